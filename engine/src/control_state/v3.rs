//! The state as checkpoints of the schemas 2 and 3 hold it: chats cannot be sealed yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use skein_wire::ids::ChatHandle;

use crate::control_state::{ControlChat, ControlKey, ControlSession, ControlState};
use crate::geofence::ledger::GeofenceLedger;
use crate::guest::GuestRecord;

/// What a checkpoint of these schemas says.
#[derive(Debug, Deserialize)]
pub struct ControlStateV3 {
    applied_index: u64,
    handles: u32,
    chats: BTreeMap<String, ControlChatV3>,
}

#[derive(Debug, Deserialize)]
struct ControlChatV3 {
    handle: u32,
    members: BTreeMap<String, u8>,
    sessions: BTreeMap<u64, ControlSession>,
    keys: BTreeMap<String, BTreeMap<String, ControlKey>>,
    keys_total: usize,
    members_version: u64,
    guests: BTreeMap<u64, GuestRecord>,
}

impl From<ControlStateV3> for ControlState {
    fn from(old: ControlStateV3) -> Self {
        let chats = old.chats.into_iter();
        Self {
            applied_index: old.applied_index,
            handles: old.handles,
            chats: chats.map(|(name, chat)| (name, chat.into())).collect(),
        }
    }
}

impl From<ControlChatV3> for ControlChat {
    fn from(old: ControlChatV3) -> Self {
        Self {
            handle: ChatHandle(old.handle),
            members: old.members,
            sessions: old.sessions,
            keys: old.keys,
            keys_total: old.keys_total,
            members_version: old.members_version,
            guests: old.guests,
            sealed: false,
            geofences: GeofenceLedger::default(),
        }
    }
}
