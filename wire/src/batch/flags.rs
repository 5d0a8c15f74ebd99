//! Which parts an entry has, as bits.
//!
//! On the wire one byte, and a second one (the presence byte of the point's optional values) when
//! the `more` bit is set. A batch's header states the flags of most of its entries, so that in a
//! chat where everybody's fix looks alike an entry spends nothing on them.

use std::ops::BitOr;

use bytes::BufMut;

use crate::bytes_in;
use crate::error::{WireError, malformed};
use crate::payload;

/// The parts of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

/// On the wire: the presence byte follows. Derived from the bits above it, never kept.
const MORE: u8 = 1 << 5;

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A descriptor.
    pub const DESCRIPTOR: Self = Self(1 << 0);
    /// The newest point.
    pub const POINT: Self = Self(1 << 1);
    /// Its position is absolute.
    pub const WIDE: Self = Self(1 << 2);
    /// It is a blob.
    pub const SEALED: Self = Self(1 << 3);
    /// Its counter stands whole.
    pub const COUNTER_WHOLE: Self = Self(1 << 4);
    /// Earlier points, or a count of skipped ones.
    pub const EARLIER: Self = Self(1 << 6);
    /// A state.
    pub const STATE: Self = Self(1 << 7);
    /// The point has a heading.
    pub const HEADING: Self = Self((payload::HEADING as u16) << 8);
    /// The point has a speed.
    pub const SPEED: Self = Self((payload::SPEED as u16) << 8);
    /// The point has an accuracy.
    pub const ACCURACY: Self = Self((payload::ACCURACY as u16) << 8);
    /// The point has a battery level.
    pub const BATTERY: Self = Self((payload::BATTERY as u16) << 8);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The presence bits of the point's optional values.
    pub(crate) const fn motion(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// With the presence bits of a point's optional values.
    pub(crate) const fn with_motion(self, motion: u8) -> Self {
        Self(self.0 | (motion as u16) << 8)
    }

    /// Bytes that an entry with these parts takes at least, its head included.
    pub(crate) fn entry_bytes_least(self) -> usize {
        /// Sealed or not, session, name, two times, counter.
        const DESCRIPTOR: usize = 1 + 8 + 1 + 1 + 1 + 1;
        /// A length and a byte of a blob; 24 or 32 bits of each coordinate.
        const SEALED_NARROW_WIDE: [usize; 3] = [2, 6, 8];
        let [sealed, narrow, wide] = SEALED_NARROW_WIDE;
        let has = |flag: Self| self.contains(flag);
        let place = match (has(Self::SEALED), has(Self::WIDE)) {
            (true, _) => sealed,
            (_, true) => wide,
            _ => narrow,
        };
        // Time, place, a byte for each value, the counter where no descriptor has it.
        let point =
            1 + place + self.motion().count_ones() as usize + usize::from(!has(Self::DESCRIPTOR));
        let part = |flag: Self, bytes: usize| if has(flag) { bytes } else { 0 };
        1 + part(Self::DESCRIPTOR, DESCRIPTOR)
            + part(Self::POINT, point)
            + part(Self::EARLIER, 2)
            + part(Self::STATE, 2)
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        match self.motion() {
            0 => out.put_u8(self.0 as u8),
            motion => {
                out.put_u8(self.0 as u8 | MORE);
                out.put_u8(motion);
            }
        }
    }

    /// Reads flags and refuses those that contradict each other.
    pub(crate) fn read(input: &mut &[u8]) -> Result<Self, WireError> {
        let byte = bytes_in::u8(input)?;
        let flags = Self(u16::from(byte & !MORE));
        let flags = match byte & MORE {
            0 => flags,
            _ => flags.with_motion(bytes_in::u8(input)?),
        };
        flags.check()?;
        Ok(flags)
    }

    fn check(self) -> Result<(), WireError> {
        if self.motion() & !payload::MOTION != 0 {
            return Err(malformed("a presence byte has unknown bits"));
        }
        let of_point = Self::WIDE | Self::SEALED | Self::COUNTER_WHOLE | Self::EARLIER;
        let has_any = self.0 & of_point.with_motion(payload::MOTION).0 != 0;
        if has_any && !self.contains(Self::POINT) {
            return Err(malformed("an entry without a point has parts of one"));
        }
        if self.contains(Self::SEALED) && (self.contains(Self::WIDE) || self.motion() != 0) {
            return Err(malformed("a sealed point has fields of a plain one"));
        }
        if self.contains(Self::COUNTER_WHOLE | Self::DESCRIPTOR) {
            return Err(malformed("an entry states its counter twice"));
        }
        Ok(())
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
