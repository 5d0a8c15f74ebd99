//! Checkpoints of the control state: written in parts between group commits, put together again at
//! recovery.
//!
//! The state is encoded once, when the checkpoint begins; commands that are committed meanwhile lie
//! between its parts and are replayed on top of it.

use skein_engine::control_state::ControlState;
use skein_log::Record;

use crate::control::codec::{CodecError, decode_state, encode_state};
use crate::control::limits::{CHECKPOINT_CHUNK_BYTES, STATE_BYTES_MAX};
use crate::control::record::{
    CHECKPOINT_BEGIN, CHECKPOINT_CHUNK, CHECKPOINT_END, CHECKPOINT_HEADER_BYTES, CheckpointHeader,
};

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct CheckpointWriter {
    number: u64,
    bytes: Vec<u8>,
    header: CheckpointHeader,
    payload: [u8; CHECKPOINT_HEADER_BYTES],
    next: u32,
}

impl CheckpointWriter {
    /// A checkpoint of `state`, whose first record will have offset `number`.
    ///
    /// # Errors
    /// When the state is larger than a checkpoint may be.
    pub fn new(state: &ControlState, number: u64) -> Result<Self, CodecError> {
        let bytes = encode_state(state)?;
        let header = CheckpointHeader {
            chunks: bytes.chunks(CHECKPOINT_CHUNK_BYTES).len() as u32,
            bytes: bytes.len() as u64,
            crc: crc32fast::hash(&bytes),
            applied_index: state.applied_index(),
        };
        Ok(Self {
            number,
            bytes,
            payload: header.payload(),
            header,
            next: 0,
        })
    }

    /// The offset of its first record.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next records, at most `max`.
    pub fn step(&mut self, max: usize) -> Vec<Record<'_>> {
        let first = self.next;
        let last = self.records().min(first + max as u32);
        self.next = last;
        (first..last).map(|index| self.record(index)).collect()
    }

    /// Whether the last record was given out.
    pub fn is_complete(&self) -> bool {
        self.next == self.records()
    }

    /// `BEGIN`, the chunks, `END`.
    fn records(&self) -> u32 {
        self.header.chunks + 2
    }

    fn record(&self, index: u32) -> Record<'_> {
        let (kind, key, payload) = if index == 0 {
            (
                CHECKPOINT_BEGIN,
                self.header.chunks,
                self.payload.as_slice(),
            )
        } else if index <= self.header.chunks {
            (CHECKPOINT_CHUNK, index - 1, self.chunk(index as usize - 1))
        } else {
            (CHECKPOINT_END, self.header.chunks, [].as_slice())
        };
        Record {
            kind,
            key,
            payload,
            extension: self.number,
            ..Record::default()
        }
    }

    fn chunk(&self, index: usize) -> &[u8] {
        let start = index * CHECKPOINT_CHUNK_BYTES;
        &self.bytes[start..self.bytes.len().min(start + CHECKPOINT_CHUNK_BYTES)]
    }
}

/// A checkpoint that is being read.
#[derive(Debug)]
pub struct CheckpointReader {
    number: u64,
    header: CheckpointHeader,
    bytes: Vec<u8>,
    next_chunk: u32,
    broken: bool,
}

impl CheckpointReader {
    /// After its first record.
    pub fn new(number: u64, header: CheckpointHeader) -> Self {
        let broken = header.bytes > STATE_BYTES_MAX as u64 + 2;
        Self {
            number,
            header,
            bytes: Vec::new(),
            next_chunk: 0,
            broken,
        }
    }

    /// Adds a part. Parts of other checkpoints are ignored, parts out of order break this one.
    pub fn chunk(&mut self, number: u64, index: u32, bytes: &[u8]) {
        if number != self.number {
            return;
        }
        let fits = (self.bytes.len() + bytes.len()) as u64 <= self.header.bytes;
        if self.broken || index != self.next_chunk || !fits {
            self.broken = true;
            return;
        }
        self.bytes.extend_from_slice(bytes);
        self.next_chunk += 1;
    }

    /// The state, if `number` is this checkpoint and every part is there and undamaged.
    pub fn end(self, number: u64) -> Option<ControlState> {
        let whole = !self.broken
            && number == self.number
            && self.next_chunk == self.header.chunks
            && self.bytes.len() as u64 == self.header.bytes
            && crc32fast::hash(&self.bytes) == self.header.crc;
        let state = whole.then(|| decode_state(&self.bytes).ok()).flatten()?;
        (state.applied_index() == self.header.applied_index).then_some(state)
    }
}
