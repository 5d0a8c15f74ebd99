//! Chats that exist because a token says so: the first request gives the chat its number.
//!
//! Handles come from the control log, so the request waits until that is durable, and is then judged
//! like a new one.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName};

use crate::command::Command;
use crate::limits::NAMING_WAITS_PER_CHAT_MAX;
use crate::naming_wait::NamingWait;
use crate::obligation::Purpose;
use crate::peer_message::Message;
use crate::rights::Rights;
use crate::shard::Shard;
use crate::time::Timestamp;

impl Shard {
    /// Lets a request wait until its chat has a number, if the token brings the right that it needs.
    /// Else there is no such chat.
    pub(super) fn await_name(
        &mut self,
        name: &ChatName,
        claim: Rights,
        right: Rights,
        wait: NamingWait,
    ) -> Result<(), WireError> {
        self.check_serving()?;
        if !claim.has(right) {
            return Err(Self::not_found());
        }
        let is_first = !self.naming.contains_key(name);
        let waits = self.naming.entry(name.clone()).or_default();
        if waits.len() >= NAMING_WAITS_PER_CHAT_MAX {
            return Err(WireError::of(Code::Busy));
        }
        if let NamingWait::Watch { connection, .. } = &wait
            && let Some(known) = self.connections.get_mut(connection)
        {
            known.asking += 1;
        }
        waits.push(wait);
        if is_first {
            let chat = name.as_str().to_owned();
            self.propose(None, Command::NameChat { chat }, Purpose::Name, Vec::new());
        }
        Ok(())
    }

    /// A chat has its number: what waited for it is judged.
    pub(super) fn named(&mut self, now: Timestamp, chat: ChatHandle) {
        let Some(name) = self.chats.get(chat).map(|chat| chat.name.clone()) else {
            return;
        };
        for wait in self.naming.remove(&name).unwrap_or_default() {
            match wait {
                NamingWait::Start { caller, start } => self.start(now, caller, start),
                NamingWait::Watch { connection, watch } => {
                    self.watch_again(now, connection, watch);
                }
                NamingWait::Image {
                    from,
                    chat,
                    user,
                    claim,
                } => self.image_asked(from, chat, (user, claim), (false, true)),
            }
        }
    }

    /// A chat's number could not be made durable.
    pub(super) fn name_failed(&mut self, command: &Command, code: Code) {
        let Ok(name) = ChatName::new(command.chat()) else {
            return;
        };
        for wait in self.naming.remove(&name).unwrap_or_default() {
            match wait {
                NamingWait::Start { caller, .. } => {
                    self.answer_error(caller, WireError::of(code));
                }
                NamingWait::Watch { connection, watch } => {
                    if let Some(known) = self.connections.get_mut(&connection) {
                        known.asking = known.asking.saturating_sub(1);
                        self.refuse(connection, watch.request, WireError::of(code));
                    }
                }
                NamingWait::Image {
                    from,
                    chat,
                    user,
                    claim,
                } => {
                    let refused = Message::WatchRefused {
                        chat,
                        user,
                        claim,
                        code,
                    };
                    self.post(from, refused);
                }
            }
        }
    }
}
