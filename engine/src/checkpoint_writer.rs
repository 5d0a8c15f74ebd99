//! Where the writing of a partition's checkpoint stands.
//!
//! It is written in slices between the passes. The chats are those at its beginning; what comes
//! later has records of its own after the beginning. A chat's horizon is written before its rows and
//! again after them: ended rows may have been forgotten in between.

use std::collections::VecDeque;
use std::sync::Arc;

use skein_wire::ids::{ChatHandle, Slot, UserName};

use crate::rights::Rights;

/// A checkpoint being written.
#[derive(Debug)]
pub(crate) struct CheckpointWriter {
    /// Ties its records together.
    pub number: u64,
    pub chats: VecDeque<ChatHandle>,
    pub stage: Stage,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Stage {
    Begin,
    /// The next chat.
    Chat,
    /// Rows of a chat from this slot on.
    Rows(ChatHandle, Slot),
    /// Members of a chat from this place on.
    Members(ChatHandle, Arc<Vec<(UserName, Rights)>>, usize),
    End,
    /// All is written.
    Done,
}

impl CheckpointWriter {
    /// A checkpoint of these chats.
    pub fn new(number: u64, chats: Vec<ChatHandle>) -> Self {
        Self {
            number,
            chats: chats.into(),
            stage: Stage::Begin,
        }
    }
}
