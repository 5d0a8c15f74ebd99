//! Where the writing of a partition's checkpoint stands.
//!
//! It is written in slices between the passes. The chats are those at its beginning; what comes
//! later has records of its own after the beginning. A chat's horizon is written before its rows and
//! again after them: ended rows may have been forgotten in between. Before its end it waits until what
//! was proposed to the control log by then is promised: with the log before it goes the only other
//! word of an end.

use std::collections::VecDeque;

use skein_wire::ids::{ChatHandle, Slot, UserName};

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
    /// Members of a chat behind this name.
    Members(ChatHandle, Option<UserName>),
    /// All is told; the commands up to this one are to be promised before the end is written.
    Promises(u64),
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
