//! The state as checkpoints of schema 4 hold it: there are no geofences yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use skein_wire::ids::ChatHandle;

use crate::control_state::{ControlChat, ControlKey, ControlSession, ControlState};
use crate::geofence::ledger::GeofenceLedger;
use crate::guest::GuestRecord;

/// What a checkpoint of this schema says.
#[derive(Debug, Deserialize)]
pub struct ControlStateV4 {
    applied_index: u64,
    handles: u32,
    chats: BTreeMap<String, ControlChatV4>,
}

#[derive(Debug, Deserialize)]
struct ControlChatV4 {
    handle: u32,
    members: BTreeMap<String, u8>,
    sessions: BTreeMap<u64, ControlSession>,
    keys: BTreeMap<String, BTreeMap<String, ControlKey>>,
    keys_total: usize,
    members_version: u64,
    guests: BTreeMap<u64, GuestRecord>,
    sealed: bool,
}

impl From<ControlStateV4> for ControlState {
    fn from(old: ControlStateV4) -> Self {
        let chats = old.chats.into_iter();
        Self {
            applied_index: old.applied_index,
            handles: old.handles,
            chats: chats.map(|(name, chat)| (name, chat.into())).collect(),
        }
    }
}

impl From<ControlChatV4> for ControlChat {
    fn from(old: ControlChatV4) -> Self {
        Self {
            handle: ChatHandle(old.handle),
            members: old.members,
            sessions: old.sessions,
            keys: old.keys,
            keys_total: old.keys_total,
            members_version: old.members_version,
            guests: old.guests,
            sealed: old.sealed,
            geofences: GeofenceLedger::default(),
        }
    }
}
