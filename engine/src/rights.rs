//! What a member may do in a chat.

use std::fmt;

/// Right to start sessions.
pub const RIGHT_SHARE: u8 = 0b01;

/// Right to watch.
pub const RIGHT_WATCH: u8 = 0b10;

/// No right, and those that a token brings do not count either.
pub const RIGHTS_REVOKED: u8 = 0b100;

/// A set of rights; bit 0 share, bit 1 watch, bit 2 "revoked, whatever a token says". No rights at
/// all is the same as not being a member.
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
    /// Nothing, and rights that a token brings do not count either.
    pub const REVOKED: Self = Self(RIGHTS_REVOKED);

    /// From the bits of a record or a request; unknown bits grant nothing.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::ALL.0 | Self::REVOKED.0))
    }

    /// The bits, as they are stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is granted.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is granted and nothing is remembered.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether rights that a token brings do not count.
    pub fn is_revoked(self) -> bool {
        self.0 & RIGHTS_REVOKED != 0
    }

    /// What is granted, without what is remembered.
    pub fn granted(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }

    /// What both grant. A revocation on either side stays one.
    pub fn and(self, other: Self) -> Self {
        let revoked = (self.0 | other.0) & RIGHTS_REVOKED;
        Self(self.0 & other.0 & Self::ALL.0 | revoked)
    }

    /// What these, which are stored, and those that a token brings grant together. A stored
    /// revocation wins.
    pub fn with_claim(self, claim: Self) -> Self {
        match self.is_revoked() {
            true => Self::NONE,
            false => Self((self.0 | claim.0) & Self::ALL.0),
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.granted().0 {
            0 => "none",
            1 => "share",
            2 => "watch",
            _ => "share,watch",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::rights::Rights;

    #[test]
    fn a_revocation_wins_over_every_claim() {
        for claim in [Rights::NONE, Rights::SHARE, Rights::WATCH, Rights::ALL] {
            assert_eq!(Rights::REVOKED.with_claim(claim), Rights::NONE);
            assert_eq!(Rights::NONE.with_claim(claim), claim);
        }
        assert_eq!(Rights::SHARE.with_claim(Rights::WATCH), Rights::ALL);
        assert_eq!(Rights::NONE.with_claim(Rights::REVOKED), Rights::NONE);
    }

    #[test]
    fn a_revocation_stays_one_beside_anything() {
        assert_eq!(Rights::ALL.and(Rights::REVOKED), Rights::REVOKED);
        assert_eq!(Rights::REVOKED.and(Rights::ALL), Rights::REVOKED);
        assert_eq!(Rights::ALL.and(Rights::WATCH), Rights::WATCH);
        assert!(!Rights::REVOKED.is_none());
        assert_eq!(Rights::REVOKED.granted(), Rights::NONE);
    }
}
