//! `skein erase`: makes a running server forget a user, a chat, or a user in a chat.

use anyhow::bail;
use clap::Args;
use http::Method;
use serde_json::Value;
use skein_wire::ids::{ChatName, UserName};

use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::erase_scope::EraseScope;
use crate::terminal::out;

/// What of a report tells that something is left, as a pointer into it, and what is to be done then.
const LEFT: [(&str, &str); 7] = [
    (
        "/sessions_live",
        "sessions go on; end them (`skein member remove`, or `skein session stop`)",
    ),
    (
        "/views/views_live",
        "views go on; remove their viewers (`skein member remove`), or wait until they have ended",
    ),
    (
        "/control/names_left",
        "memberships, revocations, sessions, geofences or alerts name them; remove these",
    ),
    (
        "/records_left",
        "records could not be rewritten; the server's log says why",
    ),
    (
        "/control/records_left",
        "commands could not be rewritten; the server's log says why",
    ),
    (
        "/quarantined",
        "damaged files were put aside and may hold anything; remove them by hand",
    ),
    (
        "/damaged",
        "files of the log are damaged; restart the server, which puts them aside, and erase again",
    ),
];

/// Arguments of `skein erase`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein member remove --chat hike --user ana
  skein erase --user ana
  skein erase --chat hike --control 10.0.0.7:9090 --control-token control.token
  skein erase --chat hike --user ana

Points, names and rows of the history go, from the log, the control log, the record of views and what
webhooks have not delivered; docs/PRIVACY.md has the steps of a request to be forgotten. The report goes to
stdout as JSON. Exit code 1 when something is left: stderr says what, and the erase can be repeated. Of a
stopped server: skein log erase.")]
pub struct EraseArgs {
    /// What is of this chat.
    #[arg(long, value_name = "CHAT", required_unless_present = "user")]
    pub chat: Option<ChatName>,
    /// Only what is of this user; without a chat, in every chat.
    #[arg(long, value_name = "USER")]
    pub user: Option<UserName>,
    /// The server.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// Runs it; prints the server's report.
///
/// # Errors
/// What the server says, that it cannot be reached, or that something is left that should go.
pub fn run(args: EraseArgs) -> anyhow::Result<()> {
    let api = ControlApi::new(&args.control)?;
    let scope = EraseScope {
        chat: args.chat,
        user: args.user,
    };
    let report = api.call_for_long(Method::DELETE, &path(&scope))?;
    out::say(&report)?;
    let left: Vec<&str> = left_of(&report).collect();
    if left.is_empty() {
        return Ok(());
    }
    bail!("something is left: {}; then erase again", left.join("; "))
}

fn path(scope: &EraseScope) -> String {
    match (scope.chat(), scope.user()) {
        (Some(chat), None) => format!("/v1/log/chats/{}/points", segment(chat)),
        (Some(chat), Some(user)) => format!(
            "/v1/log/chats/{}/points?user={}",
            segment(chat),
            segment(user)
        ),
        (None, user) => format!("/v1/log/users/{}/points", segment(user.unwrap_or_default())),
    }
}

fn left_of(report: &Value) -> impl Iterator<Item = &'static str> {
    let is_something = |value: &Value| match value {
        Value::Array(list) => !list.is_empty(),
        other => other.as_u64().is_some_and(|count| count > 0),
    };
    LEFT.into_iter()
        .filter(move |(place, _)| report.pointer(place).is_some_and(is_something))
        .map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cli::erase::left_of;

    #[test]
    fn whatever_is_left_is_said() {
        let clean = json!({
            "records_left": 0, "sessions_live": 0, "quarantined": [], "damaged": [], "views": null,
            "control": { "records_left": 0, "names_left": 0 },
        });
        assert_eq!(left_of(&clean).count(), 0);
        for (key, value) in [
            ("records_left", json!(1)),
            ("sessions_live", json!(1)),
            ("quarantined", json!(["a.quarantine"])),
            ("damaged", json!(["a.seg"])),
            ("views", json!({ "views_live": 1 })),
            ("control", json!({ "records_left": 1, "names_left": 0 })),
            ("control", json!({ "records_left": 0, "names_left": 1 })),
        ] {
            let mut report = clean.clone();
            report[key] = value;
            assert_eq!(left_of(&report).count(), 1, "{report}");
        }
    }
}
