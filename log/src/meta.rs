//! The small files of a directory: its identity, the state of each partition, the clean mark.
//! Each is replaced as a whole (write, sync, rename, sync directory) and ends with a CRC of
//! everything before it.
//!
//! ```text
//!  identity   magic SKEINLOG · version u16 · partitions u16 · zero u32 · log id u64
//!             · created_at u64 · crc u32
//!  state      magic SKEINPST · version u16 · partition u16 · epochs u32 · log id u64 · floor u64
//!             · checkpoint_begin u64 · checkpoint_end u64
//!             · epochs x { epoch u32 · zero u32 · first_offset u64 }
//!             · version 2: bytes of metadata u32, metadata · crc u32
//!  clean      magic SKEINCLN · version u16 · partitions u16 · zero u32 · log id u64
//!             · partitions x { next_offset u64 } · crc u32
//!  durable    magic SKEINDUR · version u16 · partitions u16 · zero u32 · log id u64
//!             · partitions x { epoch u32 · zero u32 · durable u64 } · crc u32
//!  consumer   magic SKEINCSM, then as above, with the next offset in place of `durable`
//! ```

use crate::limits::{
    EPOCHS_MAX, FORMAT_VERSION, FORMAT_VERSION_FIRST, FORMAT_VERSION_SPARSE, META_BYTES_MAX,
};
use crate::position::{EpochStart, LogId, OFFSET_FIRST, Offset, PartitionId};

const IDENTITY_MAGIC: &[u8; 8] = b"SKEINLOG";
const STATE_MAGIC: &[u8; 8] = b"SKEINPST";
const DURABLE_MAGIC: &[u8; 8] = b"SKEINDUR";
const CONSUMER_MAGIC: &[u8; 8] = b"SKEINCSM";
const CLEAN_MAGIC: &[u8; 8] = b"SKEINCLN";

/// What is wrong with a small file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not such a file, or damaged; the text says how.
    Damaged(&'static str),
    /// Written by a newer program.
    Newer(u16),
}

/// Who a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub log_id: LogId,
    pub partitions: u16,
    pub created_at: u64,
}

impl Identity {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = start(IDENTITY_MAGIC, self.partitions, 0, self.log_id);
        bytes.extend_from_slice(&self.created_at.to_le_bytes());
        finish(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Identity, Fault> {
        let mut fields = open(bytes, IDENTITY_MAGIC)?;
        let partitions = fields.u16()?;
        fields.u32()?;
        let identity = Identity {
            log_id: LogId(fields.u64()?),
            partitions,
            created_at: fields.u64()?,
        };
        if partitions == 0 {
            return Err(Fault::Damaged("no partitions"));
        }
        fields.end().map(|()| identity)
    }
}

/// The span of a checkpoint that the owner wrote into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Offset of its first record: replay starts here.
    pub begin: Offset,
    /// Offset of its last record.
    pub end: Offset,
}

/// What has to be known of a partition before its segments are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub partition: PartitionId,
    /// Nothing below is held any more.
    pub floor: Offset,
    pub checkpoint: Option<Checkpoint>,
    /// Oldest first.
    pub epochs: Vec<EpochStart>,
    /// The owner's own.
    pub meta: Vec<u8>,
}

impl PartitionState {
    pub(crate) fn new(partition: PartitionId) -> PartitionState {
        PartitionState {
            partition,
            floor: OFFSET_FIRST,
            checkpoint: None,
            epochs: Vec::new(),
            meta: Vec::new(),
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |last| last.epoch)
    }

    /// Adds an epoch and forgets the oldest ones beyond the bound.
    pub(crate) fn push_epoch(&mut self, start: EpochStart) {
        self.epochs.push(start);
        let surplus = self.epochs.len().saturating_sub(EPOCHS_MAX);
        self.epochs.drain(..surplus);
    }

    /// All records below were durable when this state was written.
    pub(crate) fn durable(&self) -> Offset {
        let epoch = self.epochs.last().map_or(0, |last| last.first_offset - 1);
        let checkpoint = self.checkpoint.map_or(0, |checkpoint| checkpoint.end);
        epoch.max(checkpoint).max(self.floor - 1)
    }

    pub(crate) fn encode(&self, log_id: LogId) -> Vec<u8> {
        let version = if self.meta.is_empty() {
            FORMAT_VERSION_FIRST
        } else {
            FORMAT_VERSION_SPARSE
        };
        let mut bytes = start_of_version(
            version,
            STATE_MAGIC,
            self.partition.0,
            self.epochs.len() as u32,
            log_id,
        );
        let (begin, end) = self
            .checkpoint
            .map_or((0, 0), |span| (span.begin, span.end));
        for number in [self.floor, begin, end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for start in &self.epochs {
            bytes.extend_from_slice(&u64::from(start.epoch).to_le_bytes());
            bytes.extend_from_slice(&start.first_offset.to_le_bytes());
        }
        if !self.meta.is_empty() {
            bytes.extend_from_slice(&(self.meta.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&self.meta);
        }
        finish(bytes)
    }

    pub(crate) fn decode(bytes: &[u8], log_id: LogId) -> Result<PartitionState, Fault> {
        let mut fields = open(bytes, STATE_MAGIC)?;
        let partition = PartitionId(fields.u16()?);
        let count = fields.u32()? as usize;
        if LogId(fields.u64()?) != log_id {
            return Err(Fault::Damaged("it belongs to another log"));
        }
        let floor = fields.u64()?;
        let (begin, end) = (fields.u64()?, fields.u64()?);
        if count > EPOCHS_MAX || floor == 0 || begin > end {
            return Err(Fault::Damaged("numbers out of range"));
        }
        let mut epochs = Vec::with_capacity(count);
        for _ in 0..count {
            let (epoch, _, first_offset) = (fields.u32()?, fields.u32()?, fields.u64()?);
            // `first_offset` may go back: a truncation starts an epoch too.
            let grows = epochs
                .last()
                .is_none_or(|last: &EpochStart| last.epoch < epoch);
            if epoch == 0 || first_offset == 0 || !grows {
                return Err(Fault::Damaged("epochs out of order"));
            }
            epochs.push(EpochStart {
                epoch,
                first_offset,
            });
        }
        let meta = if fields.version >= FORMAT_VERSION_SPARSE {
            let bytes = fields.u32()? as usize;
            if bytes > META_BYTES_MAX {
                return Err(Fault::Damaged("numbers out of range"));
            }
            fields.bytes(bytes)?.to_vec()
        } else {
            Vec::new()
        };
        let checkpoint = (begin > 0).then_some(Checkpoint { begin, end });
        fields.end().map(|()| PartitionState {
            partition,
            floor,
            checkpoint,
            epochs,
            meta,
        })
    }
}

/// Where each partition ended when the log was closed with everything durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CleanMark {
    pub next_offsets: Vec<Offset>,
}

impl CleanMark {
    pub(crate) fn encode(&self, log_id: LogId) -> Vec<u8> {
        let mut bytes = start(CLEAN_MAGIC, self.next_offsets.len() as u16, 0, log_id);
        for next in &self.next_offsets {
            bytes.extend_from_slice(&next.to_le_bytes());
        }
        finish(bytes)
    }

    pub(crate) fn decode(bytes: &[u8], log_id: LogId) -> Result<CleanMark, Fault> {
        let mut fields = open(bytes, CLEAN_MAGIC)?;
        let partitions = fields.u16()?;
        fields.u32()?;
        if LogId(fields.u64()?) != log_id {
            return Err(Fault::Damaged("it belongs to another log"));
        }
        let mut next_offsets = Vec::with_capacity(usize::from(partitions));
        for _ in 0..partitions {
            next_offsets.push(fields.u64()?.max(OFFSET_FIRST));
        }
        fields.end().map(|()| CleanMark { next_offsets })
    }
}

/// How far a partition was durable, in the epoch that was its newest then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DurableMark {
    pub epoch: u32,
    pub durable: Offset,
}

/// How far each partition was known to be durable at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DurableMarks {
    pub marks: Vec<DurableMark>,
}

impl DurableMarks {
    pub(crate) fn encode(&self, log_id: LogId) -> Vec<u8> {
        let pairs = self.marks.iter().map(|mark| (mark.epoch, mark.durable));
        encode_pairs(DURABLE_MAGIC, log_id, pairs)
    }

    pub(crate) fn decode(bytes: &[u8], log_id: LogId) -> Result<DurableMarks, Fault> {
        let pairs = decode_pairs(DURABLE_MAGIC, log_id, bytes)?.into_iter();
        let mark = |(epoch, durable)| DurableMark { epoch, durable };
        Ok(DurableMarks {
            marks: pairs.map(mark).collect(),
        })
    }

    /// The mark of a partition, if it is of its newest epoch: a truncation takes marks back.
    pub(crate) fn of(&self, state: &PartitionState) -> Offset {
        let mark = self.marks.get(usize::from(state.partition.0));
        mark.filter(|mark| mark.epoch == state.epoch())
            .map_or(0, |mark| mark.durable)
    }
}

/// The next offset that a consumer reads, and the newest epoch when that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub epoch: u32,
    pub next: Offset,
}

/// The places of a consumer, by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerPlaces {
    pub places: Vec<Place>,
}

impl ConsumerPlaces {
    /// At the start of every partition.
    pub(crate) fn new(partitions: usize) -> ConsumerPlaces {
        let start = Place {
            epoch: 0,
            next: OFFSET_FIRST,
        };
        ConsumerPlaces {
            places: vec![start; partitions],
        }
    }

    pub(crate) fn encode(&self, log_id: LogId) -> Vec<u8> {
        let pairs = self.places.iter().map(|place| (place.epoch, place.next));
        encode_pairs(CONSUMER_MAGIC, log_id, pairs)
    }

    pub(crate) fn decode(bytes: &[u8], log_id: LogId) -> Result<ConsumerPlaces, Fault> {
        let pairs = decode_pairs(CONSUMER_MAGIC, log_id, bytes)?.into_iter();
        let place = |(epoch, next): (u32, Offset)| Place {
            epoch,
            next: next.max(OFFSET_FIRST),
        };
        Ok(ConsumerPlaces {
            places: pairs.map(place).collect(),
        })
    }
}

/// An epoch and an offset for each partition.
fn encode_pairs(
    magic: &[u8; 8],
    log_id: LogId,
    pairs: impl ExactSizeIterator<Item = (u32, Offset)>,
) -> Vec<u8> {
    let mut bytes = start(magic, pairs.len() as u16, 0, log_id);
    for (epoch, offset) in pairs {
        bytes.extend_from_slice(&u64::from(epoch).to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    finish(bytes)
}

fn decode_pairs(magic: &[u8; 8], log_id: LogId, bytes: &[u8]) -> Result<Vec<(u32, Offset)>, Fault> {
    let mut fields = open(bytes, magic)?;
    let partitions = fields.u16()?;
    fields.u32()?;
    if LogId(fields.u64()?) != log_id {
        return Err(Fault::Damaged("it belongs to another log"));
    }
    let mut pairs = Vec::with_capacity(usize::from(partitions));
    for _ in 0..partitions {
        let (epoch, _, offset) = (fields.u32()?, fields.u32()?, fields.u64()?);
        pairs.push((epoch, offset));
    }
    fields.end().map(|()| pairs)
}

fn start(magic: &[u8; 8], small: u16, number: u32, log_id: LogId) -> Vec<u8> {
    start_of_version(FORMAT_VERSION_FIRST, magic, small, number, log_id)
}

fn start_of_version(
    version: u16,
    magic: &[u8; 8],
    small: u16,
    number: u32,
    log_id: LogId,
) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&small.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&log_id.0.to_le_bytes());
    bytes
}

fn finish(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks magic, checksum and version; what is left are the fields.
fn open<'a>(bytes: &'a [u8], magic: &[u8; 8]) -> Result<Fields<'a>, Fault> {
    let (content, crc) = bytes
        .split_last_chunk::<4>()
        .ok_or(Fault::Damaged("it is too short"))?;
    if !content.starts_with(magic) {
        return Err(Fault::Damaged("its first bytes are not the expected ones"));
    }
    if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
        return Err(Fault::Damaged("its checksum does not match"));
    }
    let mut fields = Fields {
        version: 0,
        rest: &content[magic.len()..],
    };
    let version = fields.u16()?;
    fields.version = version;
    if version > FORMAT_VERSION {
        return Err(Fault::Newer(version));
    }
    Ok(fields)
}

struct Fields<'a> {
    version: u16,
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Fault::Damaged("it is too short"))?;
        self.rest = rest;
        Ok(*head)
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], Fault> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Fault::Damaged("it is too short"))?;
        self.rest = rest;
        Ok(head)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.take().map(u64::from_le_bytes)
    }

    fn end(self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::Damaged("it is too long"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId(0x0102_0304_0506_0708);

    #[test]
    fn small_files_come_back_as_they_were() {
        let identity = Identity {
            log_id: LOG,
            partitions: 64,
            created_at: 5,
        };
        assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
        let state = PartitionState {
            partition: PartitionId(3),
            floor: 10,
            checkpoint: Some(Checkpoint { begin: 11, end: 20 }),
            epochs: vec![
                EpochStart {
                    epoch: 1,
                    first_offset: 1,
                },
                EpochStart {
                    epoch: 2,
                    first_offset: 15,
                },
            ],
            meta: Vec::new(),
        };
        assert_eq!(
            PartitionState::decode(&state.encode(LOG), LOG),
            Ok(state.clone())
        );
        assert_eq!(state.durable(), 20);
        let with_meta = PartitionState {
            meta: b"vote".to_vec(),
            ..state.clone()
        };
        assert_eq!(
            PartitionState::decode(&with_meta.encode(LOG), LOG),
            Ok(with_meta)
        );
        let clean = CleanMark {
            next_offsets: vec![1, 99],
        };
        assert_eq!(
            CleanMark::decode(&clean.encode(LOG), LOG),
            Ok(clean.clone())
        );
        assert!(CleanMark::decode(&clean.encode(LOG), LogId(1)).is_err());
        let mark = |epoch, durable| DurableMark { epoch, durable };
        let durable = DurableMarks {
            marks: vec![mark(1, 5), mark(0, 0), mark(9, 9), mark(2, 30)],
        };
        let read = DurableMarks::decode(&durable.encode(LOG), LOG);
        assert_eq!(read, Ok(durable.clone()));
        assert!(DurableMarks::decode(&durable.encode(LOG), LogId(1)).is_err());
        assert_eq!(durable.of(&state), 30, "of the newest epoch");
        let of_another_epoch = PartitionState {
            partition: PartitionId(2),
            ..state
        };
        assert_eq!(durable.of(&of_another_epoch), 0);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = PartitionState::new(PartitionId(1)).encode(LOG);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(PartitionState::decode(&bad, LOG).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(
                PartitionState::decode(&good[..cut], LOG).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn epochs_are_bounded() {
        let mut state = PartitionState::new(PartitionId(1));
        for epoch in 1..=2 * EPOCHS_MAX as u32 {
            state.push_epoch(EpochStart {
                epoch,
                first_offset: 1,
            });
        }
        assert_eq!(state.epochs.len(), EPOCHS_MAX);
        assert_eq!(state.epoch(), 2 * EPOCHS_MAX as u32);
        assert!(PartitionState::decode(&state.encode(LOG), LOG).is_ok());
    }
}
