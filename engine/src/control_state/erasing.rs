//! What of a user, or of all users of a chat, the state still names; and what of it can go by itself.

use crate::command::Command;
use crate::control_state::{ControlChat, ControlState};

/// Whose names: of a chat, of a user, or of a user in one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesOf<'a> {
    /// Only in this chat.
    pub chat: Option<&'a str>,
    /// Only this user's.
    pub user: Option<&'a str>,
}

impl NamesOf<'_> {
    fn is_in(&self, chat: &str) -> bool {
        self.chat.is_none_or(|only| only == chat)
    }

    fn has(&self, user: &str) -> bool {
        self.user.is_none_or(|only| only == user)
    }

    /// Whether a command tells of them.
    ///
    /// ```
    /// use skein_engine::command::Command;
    /// use skein_engine::control_state::erasing::NamesOf;
    /// let ana = NamesOf { chat: None, user: Some("ana") };
    /// let command = |user: &str| Command::RemoveMember { chat: "hike".into(), user: user.into() };
    /// assert!(ana.are_in(&command("ana")) && !ana.are_in(&command("ben")));
    /// ```
    pub fn are_in(&self, command: &Command) -> bool {
        if !self.is_in(command.chat()) {
            return false;
        }
        match command {
            Command::PutMember { user, .. }
            | Command::RemoveMember { user, .. }
            | Command::StartSession { user, .. }
            | Command::ExtendSession { user, .. }
            | Command::EndSession { user, .. } => self.has(user),
            Command::PutMembers { members, .. } => members.iter().any(|(user, _)| self.has(user)),
            Command::PutGeofence { record, .. } => {
                self.has(&record.owner) || self.has(&record.user)
            }
            Command::RemoveGeofence { owner, .. } => self.has(owner),
            Command::Cross { crossing, .. } => {
                let named = [&crossing.owner, &crossing.user, &crossing.other_user];
                named.into_iter().any(|user| self.has(user))
            }
            Command::NameChat { .. }
            | Command::PutGuest { .. }
            | Command::RemoveGuest { .. }
            | Command::SealChat { .. } => self.user.is_none(),
        }
    }
}

impl ControlState {
    /// Forgets the idempotency keys of sessions that are over. It is no command: one that named whom
    /// to forget would be the last to name them.
    pub fn forget_keys(&mut self, of: NamesOf<'_>) {
        for (name, chat) in &mut self.chats {
            if of.is_in(name) {
                chat.forget_ended_keys(of);
            }
        }
    }

    /// Memberships (revocations among them), active sessions, keys of these and alerts that name
    /// them.
    pub fn names_left(&self, of: NamesOf<'_>) -> u64 {
        let chats = self.chats.iter().filter(|(name, _)| of.is_in(name));
        chats.map(|(_, chat)| chat.names_left(of)).sum()
    }

    /// Whether a command is about a link for guests, in a chat of theirs, that is no more. What was noted about it may
    /// name anybody.
    pub fn is_of_gone_link(&self, of: NamesOf<'_>, command: &Command) -> bool {
        match command {
            Command::PutGuest { chat, guest, .. } | Command::RemoveGuest { chat, guest } => {
                let known = self.chats.get(chat);
                of.is_in(chat) && known.is_none_or(|chat| !chat.guests.contains_key(guest))
            }
            _ => false,
        }
    }
}

impl ControlChat {
    fn forget_ended_keys(&mut self, of: NamesOf<'_>) {
        let sessions = &self.sessions;
        for (user, keys) in &mut self.keys {
            if of.has(user) {
                keys.retain(|_, key| sessions.contains_key(&key.session));
            }
        }
        self.keys.retain(|_, keys| !keys.is_empty());
        self.keys_total = self.keys.values().map(|keys| keys.len()).sum();
    }

    fn names_left(&self, of: NamesOf<'_>) -> u64 {
        let members = self.members.keys().filter(|user| of.has(user)).count();
        let sessions = self.sessions.values();
        let sessions = sessions.filter(|session| of.has(&session.user)).count();
        let keys = self.keys.keys().filter(|user| of.has(user)).count();
        let alerts = self.geofences.iter().filter(|(_, entry)| {
            let record = &entry.record;
            let named = [&record.owner, &record.user];
            named
                .into_iter()
                .any(|user| !user.is_empty() && of.has(user))
        });
        (members + sessions + keys + alerts.count()) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::command::Command;
    use crate::control_state::ControlState;
    use crate::control_state::erasing::NamesOf;

    const ANA: NamesOf<'static> = NamesOf {
        chat: None,
        user: Some("ana"),
    };

    fn start(session: u64, user: &str) -> Command {
        Command::StartSession {
            chat: "hike".into(),
            session,
            user: user.into(),
            started_at_ms: 1,
            expires_at_ms: 9,
            duration_s: 1,
            idempotency_key: format!("key-{session}"),
            sealed: false,
        }
    }

    #[test]
    fn keys_of_what_is_over_go_and_the_rest_is_counted() {
        let mut state = ControlState::default();
        let member = |user: &str| Command::PutMember {
            chat: "hike".into(),
            user: user.into(),
            rights: 3,
        };
        let end = Command::EndSession {
            chat: "hike".into(),
            session: 7,
            state: 3,
            at_ms: 2,
            user: "ana".into(),
        };
        let commands = [
            member("ana"),
            member("ben"),
            start(7, "ana"),
            start(8, "ana"),
            start(9, "ben"),
            end,
        ];
        for (index, command) in (1..).zip(&commands) {
            state.apply(index, command);
        }
        // A membership, a session and the keys of both sessions.
        assert_eq!(state.names_left(ANA), 3);
        state.forget_keys(ANA);
        let chat = state.chat("hike").unwrap();
        assert_eq!(chat.key("ana", "key-7"), None);
        assert!(chat.key("ana", "key-8").is_some(), "the session goes on");
        assert!(chat.key("ben", "key-9").is_some(), "another user's");
        let remove = Command::RemoveMember {
            chat: "hike".into(),
            user: "ana".into(),
        };
        state.apply(20, &remove);
        state.forget_keys(ANA);
        assert_eq!(state.names_left(ANA), 0);
        let elsewhere = NamesOf {
            chat: Some("club"),
            ..ANA
        };
        assert_eq!(
            state.names_left(NamesOf {
                user: Some("ben"),
                ..elsewhere
            }),
            0
        );
        assert_eq!(
            state.names_left(NamesOf {
                chat: Some("hike"),
                user: None
            }),
            3
        );
    }

    #[test]
    fn each_command_that_names_somebody_is_found() {
        for command in [
            start(1, "ana"),
            Command::PutMembers {
                chat: "hike".into(),
                members: vec![("ben".into(), 3), ("ana".into(), 3)],
            },
            Command::ExtendSession {
                chat: "hike".into(),
                session: 1,
                expires_at_ms: 2,
                user: "ana".into(),
            },
        ] {
            assert!(ANA.are_in(&command), "{command:?}");
            let in_chat = |chat| NamesOf {
                chat: Some(chat),
                user: None,
            };
            assert!(in_chat("hike").are_in(&command) && !in_chat("club").are_in(&command));
            assert!(
                !NamesOf {
                    user: Some("eve"),
                    ..ANA
                }
                .are_in(&command),
                "{command:?}"
            );
        }
        let name = Command::NameChat {
            chat: "hike".into(),
        };
        assert!(!ANA.are_in(&name));
    }
}
