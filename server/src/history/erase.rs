//! Erasing: what, what became of it, and which records of the log it still holds back.

use serde::Serialize;
use skein_wire::ids::UserName;

/// What is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseWhat {
    /// All of a chat, by its handle.
    Chat(u32),
    /// All of a user, in every chat.
    User(UserName),
    /// What a user shared in one chat.
    Member(u32, UserName),
}

/// What an erase did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EraseReport {
    /// Rows removed.
    pub rows: u64,
    /// Sessions that they were of.
    pub sessions: u64,
    /// Time of the oldest, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Time of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The file was rewritten: nothing of the rows is left in it. False: that is being done.
    pub scrubbed: bool,
}

/// One erase, as far as one partition is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// What.
    pub what: EraseWhat,
    /// The partition.
    pub partition: u16,
    /// The newest record at that time; later ones are new.
    pub last_offset: u64,
}

impl Erasure {
    /// Whether a point that is still to be sampled was erased before.
    pub fn covers(&self, chat: u32, user: &str, partition: u16, offset: u64) -> bool {
        let is_meant = match &self.what {
            EraseWhat::Chat(erased) => *erased == chat,
            EraseWhat::User(erased) => erased.as_str() == user,
            EraseWhat::Member(erased, member) => *erased == chat && member.as_str() == user,
        };
        is_meant && partition == self.partition && offset <= self.last_offset
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::UserName;

    use crate::history::erase::{EraseWhat, Erasure};

    #[test]
    fn only_what_was_there_at_the_time_is_held_back() {
        let user = EraseWhat::User(UserName::new("ana").unwrap());
        let member = EraseWhat::Member(1, UserName::new("ana").unwrap());
        for (what, chat, name, offset, expect) in [
            (EraseWhat::Chat(1), 1, "ben", 9, true),
            (EraseWhat::Chat(1), 1, "ben", 10, false),
            (EraseWhat::Chat(1), 2, "ben", 9, false),
            (user.clone(), 2, "ana", 9, true),
            (user, 2, "ben", 9, false),
            (member.clone(), 1, "ana", 9, true),
            (member.clone(), 1, "ben", 9, false),
            (member, 2, "ana", 9, false),
        ] {
            let erasure = Erasure {
                what,
                partition: 3,
                last_offset: 9,
            };
            assert_eq!(erasure.covers(chat, name, 3, offset), expect, "{erasure:?}");
            assert!(!erasure.covers(chat, name, 4, offset));
        }
    }
}
