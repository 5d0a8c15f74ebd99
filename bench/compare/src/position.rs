//! The position as peers carry it that do not know what a position is: 48 opaque bytes.
//!
//! ```text
//! session u32 · counter u64 · captured at i64 · lat i32 · lon i32 · 20 bytes of the rest
//! ```
//!
//! skein's own points go in its own frames, with the same content.

/// Bytes of a position: session, counter, time, place, heading, speed, accuracy, battery, and the
/// little that an encoding of one's own usually adds.
pub const POSITION_BYTES: usize = 48;

/// Who moved, and its how manyth position it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the session, from 0.
    pub session: u32,
    /// The sender's count, from 1.
    pub counter: u64,
}

impl Position {
    /// Its bytes.
    ///
    /// ```
    /// use skein_compare::position::Position;
    ///
    /// let position = Position { session: 7, counter: 3 };
    /// assert_eq!(Position::read(&position.bytes()), Some(position));
    /// ```
    pub fn bytes(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0x2e; POSITION_BYTES];
        bytes[..4].copy_from_slice(&self.session.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// Reads one; `None` if these are not the bytes of one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != POSITION_BYTES {
            return None;
        }
        Some(Self {
            session: u32::from_le_bytes(bytes[..4].try_into().ok()?),
            counter: u64::from_le_bytes(bytes[4..12].try_into().ok()?),
        })
    }
}
