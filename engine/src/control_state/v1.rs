//! The state as checkpoints of schema 1 hold it: without versions of memberships, without guests,
//! without sealing and without geofences.

use std::collections::BTreeMap;

use serde::Deserialize;
use skein_wire::ids::ChatHandle;

use crate::control_state::{ControlChat, ControlKey, ControlSession, ControlState};
use crate::geofence::ledger::GeofenceLedger;

/// What a checkpoint of schema 1 says.
#[derive(Debug, Deserialize)]
pub struct ControlStateV1 {
    applied_index: u64,
    handles: u32,
    chats: BTreeMap<String, ControlChatV1>,
}

#[derive(Debug, Deserialize)]
struct ControlChatV1 {
    handle: u32,
    members: BTreeMap<String, u8>,
    sessions: BTreeMap<u64, ControlSession>,
    keys: BTreeMap<String, BTreeMap<String, ControlKey>>,
    keys_total: usize,
}

impl From<ControlStateV1> for ControlState {
    fn from(old: ControlStateV1) -> Self {
        let chats = old.chats.into_iter();
        Self {
            applied_index: old.applied_index,
            handles: old.handles,
            chats: chats.map(|(name, chat)| (name, chat.into())).collect(),
        }
    }
}

/// Members are as of the checkpoint: whoever read them before reads them again.
impl From<ControlChatV1> for ControlChat {
    fn from(old: ControlChatV1) -> Self {
        Self {
            handle: ChatHandle(old.handle),
            members: old.members,
            sessions: old.sessions,
            keys: old.keys,
            keys_total: old.keys_total,
            members_version: 0,
            guests: BTreeMap::new(),
            sealed: false,
            geofences: GeofenceLedger::default(),
        }
    }
}
