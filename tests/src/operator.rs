//! What an operator does: tokens, members, sessions, metrics, by the command line and by HTTP.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::metrics::Metrics;
use crate::process::{self, Ended};
use crate::server::Server;

/// Tokens that were made already, by data directory and user: making one starts a process.
static TOKENS: Mutex<BTreeMap<(String, String), String>> = Mutex::new(BTreeMap::new());

impl Server {
    /// A token for `user`, by `skein token`.
    pub fn token(&self, user: &str) -> String {
        let place = self.data_dir().display().to_string();
        let key = (place.clone(), user.to_owned());
        let known = TOKENS.lock().expect("no panic inside").get(&key).cloned();
        known.unwrap_or_else(|| {
            let ended = process::run(["token", "--user", user, "--data-dir", &place]);
            let token = ended.expect_success("skein token").stdout.trim().to_owned();
            TOKENS
                .lock()
                .expect("no panic inside")
                .insert(key, token.clone());
            token
        })
    }

    /// Adds a member with the right to share and to watch, by `skein member add`.
    pub fn add_member(&self, chat: &str, user: &str) {
        let ended = self.member(&["add", "--chat", chat, "--user", user]);
        ended.expect_success("skein member add");
    }

    /// Removes a member, by `skein member remove`.
    pub fn remove_member(&self, chat: &str, user: &str) {
        let ended = self.member(&["remove", "--chat", chat, "--user", user]);
        ended.expect_success("skein member remove");
    }

    /// `skein member …` against this server.
    pub fn member(&self, arguments: &[&str]) -> Ended {
        self.control_command("member", arguments)
    }

    /// `skein session …` against this server.
    pub fn session(&self, arguments: &[&str]) -> Ended {
        self.control_command("session", arguments)
    }

    fn control_command(&self, command: &str, arguments: &[&str]) -> Ended {
        let address = self.ready.control.to_string();
        let mut all = vec![command];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&["--control", &address]);
        process::run(all)
    }

    /// Adds many members over HTTP: a process for each would take longer than the test.
    pub fn put_member(&self, chat: &str, user: &str, rights: &[&str]) -> Response {
        Request::new("PUT", &format!("/v1/chats/{chat}/members/{user}"))
            .json(&json!({ "rights": rights }))
            .send(self.ready.control)
    }

    /// The text of `GET /metrics`, read.
    pub fn metrics(&self) -> Metrics {
        let answer = Request::new("GET", "/metrics").send(self.ready.control);
        Metrics::parse(&answer.expect_success("metrics").body)
    }

    /// Starts a session by HTTP as `user`.
    pub fn start_session(&self, chat: &str, user: &str, body: &Value) -> Response {
        Request::new("POST", &format!("/v1/chats/{chat}/sessions"))
            .token(&self.token(user))
            .json(body)
            .send(self.ready.http)
    }

    /// The sessions of a chat, by HTTP as `user`.
    pub fn sessions(&self, chat: &str, user: &str) -> Value {
        let answer = Request::new("GET", &format!("/v1/chats/{chat}/sessions"))
            .token(&self.token(user))
            .send(self.ready.http);
        answer.expect_success("sessions").json()
    }

    /// The current positions of a chat, by HTTP as `user`.
    pub fn positions(&self, chat: &str, user: &str) -> Value {
        let answer = Request::new("GET", &format!("/v1/chats/{chat}/positions"))
            .token(&self.token(user))
            .send(self.ready.http);
        answer.expect_success("positions").json()
    }
}
