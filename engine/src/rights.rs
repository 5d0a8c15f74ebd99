//! What a member may do in a chat.

use std::fmt;

use crate::command::{RIGHT_SHARE, RIGHT_WATCH};

/// A set of rights; bit 0 share, bit 1 watch. No rights at all is the same as not being a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// May start sessions.
    pub const SHARE: Self = Self(RIGHT_SHARE);
    /// May see the chat.
    pub const WATCH: Self = Self(RIGHT_WATCH);
    /// Both.
    pub const ALL: Self = Self(RIGHT_SHARE | RIGHT_WATCH);

    /// From the bits of a record or a request; unknown bits grant nothing.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits, as they are stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is granted.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is granted.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// What both grant.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "none",
            1 => "share",
            2 => "watch",
            _ => "share,watch",
        })
    }
}
