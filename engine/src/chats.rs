//! The chats of a shard, found by handle (every record) or by name (what people ask for).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::ids::{ChatHandle, ChatName, SessionId, UserName};

use crate::audience::Audience;
use crate::chat::{Chat, Role};
use crate::ids::PartitionId;
use crate::membership::Membership;
use crate::owner::Owner;
use crate::rights::Rights;
use crate::session::Session;
use crate::sole_timer::SoleTimer;
use crate::table::{Table, TableLimits, Tables};
use crate::time::Timestamp;

/// All chats that a shard owns or mirrors.
#[derive(Debug)]
pub(crate) struct Chats {
    /// Looked at in the place of a chat that is not there.
    decoy: Chat,
    by_handle: HashMap<ChatHandle, Chat, RandomState>,
    by_name: HashMap<ChatName, ChatHandle, RandomState>,
}

impl Default for Chats {
    fn default() -> Self {
        Self {
            decoy: decoy(),
            by_handle: HashMap::default(),
            by_name: HashMap::default(),
        }
    }
}

impl Chats {
    /// What a user with such a claim may do in a chat. In one that is not there that is nothing, after
    /// the same look-ups: how long a refusal takes must not tell the two apart.
    pub fn rights(&self, chat: ChatHandle, (user, claim): (&UserName, Rights)) -> Rights {
        match self.get(chat) {
            Some(chat) => chat.rights_with(user, claim),
            None => self.decoy.rights_with(user, Rights::NONE),
        }
    }

    /// A chat by its number.
    pub fn get(&self, chat: ChatHandle) -> Option<&Chat> {
        self.by_handle.get(&chat)
    }

    /// A chat by its number.
    pub fn get_mut(&mut self, chat: ChatHandle) -> Option<&mut Chat> {
        self.by_handle.get_mut(&chat)
    }

    /// A chat's number by its name.
    pub fn named(&self, name: &ChatName) -> Option<ChatHandle> {
        self.by_name.get(name).copied()
    }

    /// The owner's half of a chat.
    pub fn owner_mut(&mut self, chat: ChatHandle) -> Option<&mut Owner> {
        self.get_mut(chat)?.owner_mut()
    }

    /// A live session of an owned chat.
    pub fn session_mut(&mut self, chat: ChatHandle, session: SessionId) -> Option<&mut Session> {
        self.owner_mut(chat)?.sessions.get_mut(&session)
    }

    /// Adds a chat, in place of one with the same number.
    pub fn insert(&mut self, chat: Chat) {
        self.by_name.insert(chat.name.clone(), chat.handle);
        self.by_handle.insert(chat.handle, chat);
    }

    /// Takes a chat out.
    pub fn remove(&mut self, chat: ChatHandle) -> Option<Chat> {
        let chat = self.by_handle.remove(&chat)?;
        self.by_name.remove(&chat.name);
        Some(chat)
    }

    /// The numbers of all chats that `wanted` picks, in order: the same on every run.
    pub fn handles(&self, wanted: impl Fn(&Chat) -> bool) -> Vec<ChatHandle> {
        let chats = self.by_handle.values().filter(|chat| wanted(chat));
        let mut handles: Vec<ChatHandle> = chats.map(|chat| chat.handle).collect();
        handles.sort_unstable();
        handles
    }

    /// Every chat, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Chat> {
        self.by_handle.values()
    }
}

/// Members of the chat that stands for those that are not there: about as many as a chat of some size
/// makes a look-up compare.
const DECOY_MEMBERS: u32 = 64;

/// A chat whose members are nobody: an empty table would not even look for a name.
fn decoy() -> Chat {
    let mut members = Membership::default();
    for number in 0..DECOY_MEMBERS {
        // Reserved for guests, whose names have no such end: no user can have it.
        let nobody = format!("guest:nobody-{number}");
        let nobody = UserName::new(&nobody).expect("a short name of letters");
        members.put(&nobody, Rights::WATCH);
    }
    Chat {
        name: ChatName::new("nowhere").expect("a short name of letters"),
        handle: ChatHandle(0),
        partition: PartitionId(0),
        table: Table::new(0, 1, TableLimits::default()),
        members,
        audience: Audience::default(),
        demand_told_ms: 0,
        demand_told_at: Timestamp(0),
        demand_timer: SoleTimer::default(),
        forget_timer: SoleTimer::default(),
        keys_timer: SoleTimer::default(),
        role: Role::Owner(Box::default()),
    }
}

impl Tables for Chats {
    fn table(&self, chat: ChatHandle) -> Option<&Table> {
        self.get(chat).map(|chat| &chat.table)
    }
}
