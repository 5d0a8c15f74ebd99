//! The records of the control log: what their kinds and prefixes mean.
//!
//! ```text
//!  kind               key           extension        payload
//!  COMMAND            0             0                a command (codec)
//!  VOID               0             first offset     last offset, u64
//!  CHECKPOINT_BEGIN   chunks        own offset       state bytes u64, CRC-32 u32, applied index u64
//!  CHECKPOINT_CHUNK   chunk number  offset of BEGIN  a part of the state
//!  CHECKPOINT_END     chunks        offset of BEGIN  empty
//! ```
//!
//! All numbers are little-endian. The index of a command is the offset of its record.

use skein_engine::command::Command;
use skein_log::{Record, RecordRef};

use crate::control::codec::{CodecError, decode_command};

/// A command.
pub const COMMAND: u8 = 1;
/// Commands that were refused because their sync failed: they do not count.
pub const VOID: u8 = 2;
/// A checkpoint begins.
pub const CHECKPOINT_BEGIN: u8 = 16;
/// A part of a checkpoint.
pub const CHECKPOINT_CHUNK: u8 = 17;
/// A checkpoint is complete.
pub const CHECKPOINT_END: u8 = 18;

/// A record, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlRecord<'a> {
    /// A command.
    Command(Command),
    /// These commands do not count.
    Void {
        /// First of them.
        first: u64,
        /// Last of them.
        last: u64,
    },
    /// A checkpoint begins.
    Begin {
        /// The offset of this record, the name of the checkpoint.
        number: u64,
        /// What follows.
        header: CheckpointHeader,
    },
    /// A part of a checkpoint.
    Chunk {
        /// Which checkpoint.
        number: u64,
        /// Which part, from 0.
        index: u32,
        /// The part.
        bytes: &'a [u8],
    },
    /// A checkpoint is complete.
    End {
        /// Which.
        number: u64,
    },
}

/// What a checkpoint consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// Number of chunks.
    pub chunks: u32,
    /// Bytes of all of them.
    pub bytes: u64,
    /// CRC-32 of all of them.
    pub crc: u32,
    /// Index of the newest command in it.
    pub applied_index: u64,
}

/// Bytes of a [`CheckpointHeader`]'s payload.
pub const CHECKPOINT_HEADER_BYTES: usize = 20;

impl CheckpointHeader {
    /// The payload of `CHECKPOINT_BEGIN`.
    pub fn payload(&self) -> [u8; CHECKPOINT_HEADER_BYTES] {
        let mut payload = [0; CHECKPOINT_HEADER_BYTES];
        payload[..8].copy_from_slice(&self.bytes.to_le_bytes());
        payload[8..12].copy_from_slice(&self.crc.to_le_bytes());
        payload[12..].copy_from_slice(&self.applied_index.to_le_bytes());
        payload
    }
}

/// A record of a command.
pub fn command(payload: &[u8]) -> Record<'_> {
    Record {
        kind: COMMAND,
        payload,
        ..Record::default()
    }
}

/// A record that voids commands from `first` on; `last` is the last offset in its bytes.
pub fn void(first: u64, last: &[u8; 8]) -> Record<'_> {
    Record {
        kind: VOID,
        extension: first,
        payload: last,
        ..Record::default()
    }
}

/// Why a record is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadControlRecord {
    /// Its kind is not known.
    #[error("record kind {0} is not known here; use a newer program")]
    Kind(u8),
    /// Its payload has another length.
    #[error("the payload has another length than its kind")]
    Length,
    /// Its command is not understood.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What a record says.
///
/// # Errors
/// When it is not one of ours.
pub fn decode<'a>(record: &RecordRef<'a>) -> Result<ControlRecord<'a>, BadControlRecord> {
    let number = record.extension;
    Ok(match record.kind {
        COMMAND => ControlRecord::Command(decode_command(record.payload)?),
        VOID => {
            let last = u64::from_le_bytes(fixed(record.payload)?);
            ControlRecord::Void {
                first: record.extension,
                last,
            }
        }
        CHECKPOINT_BEGIN => ControlRecord::Begin {
            number,
            header: header(record)?,
        },
        CHECKPOINT_CHUNK => ControlRecord::Chunk {
            number,
            index: record.key,
            bytes: record.payload,
        },
        CHECKPOINT_END => ControlRecord::End { number },
        kind => return Err(BadControlRecord::Kind(kind)),
    })
}

fn header(record: &RecordRef<'_>) -> Result<CheckpointHeader, BadControlRecord> {
    let payload: [u8; CHECKPOINT_HEADER_BYTES] = fixed(record.payload)?;
    Ok(CheckpointHeader {
        chunks: record.key,
        bytes: u64::from_le_bytes(fixed(&payload[..8])?),
        crc: u32::from_le_bytes(fixed(&payload[8..12])?),
        applied_index: u64::from_le_bytes(fixed(&payload[12..])?),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadControlRecord> {
    bytes.try_into().map_err(|_| BadControlRecord::Length)
}
