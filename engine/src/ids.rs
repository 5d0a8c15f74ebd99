//! The engine's own numbers, each a type of its own so that they never mix.
//!
//! Numbers that travel to peers (chat handles, sessions, slots, counters) live in `skein_wire::ids`.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A pinned core's thread; 0-based.
    ShardId(u16)
);
number!(
    /// Unit of order and of files; 0-based.
    PartitionId(u16)
);
number!(
    /// A peer's connection, unique on its shard, never reused.
    ConnectionId(u64)
);
number!(
    /// A request of the HTTP or control API that waits for its reply.
    RequestId(u64)
);
number!(
    /// A guest's link; random, so that it cannot be guessed.
    GuestId(u64)
);
number!(
    /// A geofence or an alert; random, another one each time it is put.
    GeofenceId(u64)
);
number!(
    /// A watch in a record of views, unique since the start; 0 = none.
    ViewId(u64)
);
number!(
    /// A command on its way through the control log.
    ProposalId(u64)
);

/// A viewer's place in its shard's slab. The generation makes an old id of a reused place harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId {
    /// Place in the slab.
    pub index: u32,
    /// Counts the viewers that have had this place.
    pub generation: u32,
}
