//! A point of a sender that has no verdict yet, and how far it is on its way.

use skein_wire::point::{Payload, Point};

/// A point without a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) point: Point,
    pub(crate) durable: bool,
    pub(crate) stage: Stage,
    /// It was sent on an earlier connection: the server may have it.
    pub(crate) sent_before: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Live { at_ms: u64 },
    Uploaded { at_ms: u64 },
}

impl Pending {
    /// Most bytes of the point on the wire: counter, time, position and motion, or the blob.
    pub(crate) fn bytes_max(&self) -> usize {
        const HEAD: usize = 1 + 8 + 8;
        HEAD + match &self.point.payload {
            Payload::Fix(_) => 8 + 4,
            Payload::Sealed(blob) => 1 + blob.len(),
        }
    }
}
