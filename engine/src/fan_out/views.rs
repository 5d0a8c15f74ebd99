//! Viewers of parts of the map, as figures: how many they are, and what is held for them.

use std::ops::AddAssign;

/// Views now, of a chat or of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Watches of a part of the map.
    pub watches: u64,
    /// Areas that are served to them.
    pub areas: u64,
    /// Bytes of what is served, and of who is where.
    pub bytes: u64,
}

impl AddAssign for Views {
    fn add_assign(&mut self, other: Self) {
        self.watches += other.watches;
        self.areas += other.areas;
        self.bytes += other.bytes;
    }
}
