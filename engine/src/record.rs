//! A record of a partition as the engine hands it out and is given it back.
//!
//! The engine knows the log's record prefix (kind, flags, key, extension) and nothing else of the
//! log: it asks for an append with an [`OwnedRecord`] and follows the log through [`RawRecord`]s.

use std::fmt;

/// A record as read from the log; the payload is borrowed from the mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// What it is, see [`crate::journal::kind`].
    pub kind: u8,
    /// Bits whose meaning depends on the kind.
    pub flags: u8,
    /// The chat's handle.
    pub key: u32,
    /// The session, or a number that depends on the kind.
    pub extension: u64,
    /// The rest, laid out by kind.
    pub payload: &'a [u8],
}

/// Payloads carry coordinates: they never reach a log line.
impl fmt::Debug for RawRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRecord")
            .field("kind", &self.kind)
            .field("flags", &self.flags)
            .field("key", &self.key)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Bytes that a payload holds without an allocation: every kind that is written per fix fits.
pub const PAYLOAD_INLINE_BYTES_MAX: usize = 46;

/// The payload of a record to be appended. Short ones, above all points, live inside it.
#[derive(Clone)]
pub struct RecordPayload(Storage);

#[derive(Clone)]
enum Storage {
    Inline {
        len: u8,
        bytes: [u8; PAYLOAD_INLINE_BYTES_MAX],
    },
    Heap(Vec<u8>),
}

impl RecordPayload {
    /// An empty payload.
    pub fn new() -> Self {
        Self(Storage::Inline {
            len: 0,
            bytes: [0; PAYLOAD_INLINE_BYTES_MAX],
        })
    }

    /// Appends `more`.
    pub fn push(&mut self, more: &[u8]) {
        match &mut self.0 {
            Storage::Inline { len, bytes } => {
                let start = usize::from(*len);
                let end = start + more.len();
                if let Some(room) = bytes.get_mut(start..end) {
                    room.copy_from_slice(more);
                    *len = end as u8;
                } else {
                    let mut spilled = Vec::with_capacity(end.next_power_of_two());
                    spilled.extend_from_slice(&bytes[..start]);
                    spilled.extend_from_slice(more);
                    self.0 = Storage::Heap(spilled);
                }
            }
            Storage::Heap(bytes) => bytes.extend_from_slice(more),
        }
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Storage::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Storage::Heap(bytes) => bytes,
        }
    }
}

impl Default for RecordPayload {
    fn default() -> Self {
        Self::new()
    }
}

/// A record that the engine asks to be appended.
#[derive(Clone)]
pub struct OwnedRecord {
    /// What it is, see [`crate::journal::kind`].
    pub kind: u8,
    /// Bits whose meaning depends on the kind.
    pub flags: u8,
    /// The chat's handle.
    pub key: u32,
    /// The session, or a number that depends on the kind.
    pub extension: u64,
    /// The rest, laid out by kind.
    pub payload: RecordPayload,
}

impl OwnedRecord {
    /// The same record as a follower will see it.
    pub fn as_raw(&self) -> RawRecord<'_> {
        RawRecord {
            kind: self.kind,
            flags: self.flags,
            key: self.key,
            extension: self.extension,
            payload: self.payload.as_slice(),
        }
    }
}

impl PartialEq for OwnedRecord {
    fn eq(&self, other: &Self) -> bool {
        self.as_raw() == other.as_raw()
    }
}

impl Eq for OwnedRecord {}

impl fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_raw().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_grows_past_its_inline_room_unharmed() {
        let mut payload = RecordPayload::new();
        let mut expected = Vec::new();
        for byte in 0..200u8 {
            payload.push(&[byte]);
            expected.push(byte);
            assert_eq!(payload.as_slice(), expected);
        }
    }

    #[test]
    fn debug_shows_no_payload() {
        let mut payload = RecordPayload::new();
        payload.push(b"secret");
        let record = OwnedRecord {
            kind: 1,
            flags: 0,
            key: 2,
            extension: 3,
            payload,
        };
        assert!(!format!("{record:?}").contains("115"));
        assert!(format!("{record:?}").contains("payload_bytes: 6"));
    }
}
