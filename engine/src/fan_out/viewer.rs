//! What the fan-out knows of one viewer: a few numbers, whatever it has missed.

use crate::ids::ConnectionId;

/// Bytes of a viewer: a cache line. 100,000 viewers are 6.4 MB, and a walk touches one line each.
pub const VIEWER_BYTES_MAX: usize = 64;

/// Where a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its scope's ready list, at [`Viewer::position`]: walks come by.
    Ready,
    /// In its chat's able list, at [`Viewer::position`]: looked at in the next pass.
    Able,
    /// In no list until its interval has passed.
    Waiting,
    /// In no list until its connection can take more.
    Full,
    /// In no list until its stream is done.
    Streaming,
    /// In no list: the connection is no more.
    Gone,
}

/// One watch of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) connection: ConnectionId,
    /// Everything up to here has been taken; 0 = nothing yet.
    pub(crate) cursor: u64,
    /// Becomes the cursor when the open stream is done.
    pub(crate) pending_to: u64,
    /// No batch before this, milliseconds since 1970.
    pub(crate) due_ms: u64,
    /// The chat's handle.
    pub(crate) chat: u32,
    /// Key of its scope within the chat.
    pub(crate) scope: u32,
    /// Index in the list that it is in.
    pub(crate) position: u32,
    /// Shortest time between two batches, milliseconds.
    pub(crate) interval_ms: u32,
    pub(crate) generation: u32,
    /// The epoch that the cursor belongs to: of another one it counts for nothing.
    pub(crate) epoch: u32,
    /// Number of the choice of cells that it was told of; 0 = it sees the whole chat, or was told of none.
    pub(crate) choice: u32,
    pub(crate) place: Place,
    /// Points of each trail wanted in the first batch.
    pub(crate) trail: u8,
    /// A datagram went to it that the head has not been told for three times.
    pub(crate) datagram: bool,
}

impl Viewer {
    /// What the cursor is worth in an epoch.
    pub(crate) fn cursor_in(&self, epoch: u32) -> u64 {
        match self.epoch == epoch {
            true => self.cursor,
            false => 0,
        }
    }
}

const _: () = assert!(size_of::<Viewer>() <= VIEWER_BYTES_MAX);
