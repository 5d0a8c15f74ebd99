//! Chat events as JSON: a committed command, said in the words of a chat service.

use std::fmt;

use serde_json::{Value, json};
use skein_engine::command::{Command, RIGHTS_REVOKED};
use skein_wire::ids::SessionId;
use skein_wire::update::SessionState;

use crate::http::members;

/// One event.
#[derive(Clone, Debug)]
pub struct EventJson {
    kind: &'static str,
    value: Value,
}

impl EventJson {
    /// The event of a command; some are nobody's business.
    pub fn new(index: u64, command: &Command) -> Option<Self> {
        let (kind, details) = describe(command)?;
        let mut value = json!({ "index": index, "type": kind, "chat": command.chat() });
        if let (Value::Object(all), Value::Object(details)) = (&mut value, details) {
            all.extend(details);
        }
        Some(Self { kind, value })
    }

    /// `started`, `extended`, `stopped`, `expired`, `revoked`, `member_put`, `members_put`, `member_removed`,
    /// `guest_put` or `guest_removed`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

impl fmt::Display for EventJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// "Events before this index are no longer kept; read the lists again."
pub fn resync_json(first_index: u64) -> Value {
    json!({ "type": "resync", "first_index": first_index })
}

fn describe(command: &Command) -> Option<(&'static str, Value)> {
    let id = |session: &u64| SessionId(*session).to_string();
    Some(match command {
        Command::PutMember {
            user,
            rights: RIGHTS_REVOKED,
            ..
        } => ("member_removed", json!({ "user": user })),
        Command::PutMember { user, rights, .. } => (
            "member_put",
            json!({ "user": user, "rights": members::names(*rights) }),
        ),
        Command::RemoveMember { user, .. } => ("member_removed", json!({ "user": user })),
        Command::StartSession {
            session,
            user,
            started_at_ms,
            expires_at_ms,
            ..
        } => (
            "started",
            json!({
                "session": id(session),
                "user": user,
                "at": started_at_ms,
                "expires_at": expires_at_ms,
            }),
        ),
        Command::ExtendSession {
            session,
            expires_at_ms,
            ..
        } => (
            "extended",
            json!({ "session": id(session), "expires_at": expires_at_ms }),
        ),
        Command::EndSession {
            session,
            state,
            at_ms,
            ..
        } => {
            let why = SessionState::from_u8(*state).map_or("ended", SessionState::name);
            (why, json!({ "session": id(session), "at": at_ms }))
        }
        Command::NameChat { .. } => return None,
        Command::PutMembers { members, .. } => {
            let members: Vec<Value> = members
                .iter()
                .map(|(user, rights)| json!({ "user": user, "rights": members::names(*rights) }))
                .collect();
            ("members_put", json!({ "members": members }))
        }
        Command::PutGuest { guest, record, .. } => (
            "guest_put",
            json!({ "guest": id(guest), "expires_at": record.expires_at_ms }),
        ),
        Command::RemoveGuest { guest, .. } => ("guest_removed", json!({ "guest": id(guest) })),
    })
}

#[cfg(test)]
mod tests {
    use crate::http::event_json::EventJson;
    use skein_engine::command::Command;

    #[test]
    fn an_event_says_what_happened() {
        let end = Command::EndSession {
            chat: "c".into(),
            session: 10,
            state: 4,
            at_ms: 5,
        };
        let event = EventJson::new(7, &end).expect("an event");
        assert_eq!(event.kind(), "expired");
        assert_eq!(
            event.to_string(),
            r#"{"at":5,"chat":"c","index":7,"session":"000000000000000a","type":"expired"}"#
        );
    }
}
