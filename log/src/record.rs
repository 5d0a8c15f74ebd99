//! A record: 16 bytes of prefix and a payload, padded to 8 bytes.
//!
//! ```text
//!  0        2      3       4          8                    16
//!  +--------+------+-------+----------+---------------------+---------------+------+
//!  | len u16| kind | flags | key u32  | extension u64       | payload (len) | zero |
//!  +--------+------+-------+----------+---------------------+---------------+------+
//! ```
//!
//! All numbers are little-endian. The log gives meaning to `len` alone; kind, flags, key and
//! extension are the owner's. Ways a body can be broken: a prefix that does not fit, a payload
//! that does not fit, fewer or more records than the header counts. All of them end iteration and
//! none of them is trusted by recovery.

use crate::limits::{ALIGNMENT, RECORD_PREFIX_BYTES};
use crate::little_endian::{u16_at, u32_at, u64_at};
use crate::position::Offset;

/// A record to append.
///
/// ```
/// use skein_log::Record;
/// let record = Record { kind: 1, key: 7, payload: b"here", ..Record::default() };
/// assert_eq!((record.flags, record.extension), (0, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// The owner's kind of record.
    pub kind: u8,
    /// The owner's flags.
    pub flags: u8,
    /// The owner's number for what the record belongs to. Records of one key that follow each
    /// other form a run, which a follower skips with one look-up.
    pub key: u32,
    /// Eight more bytes of the owner's.
    pub extension: u64,
    /// At most 65,535 bytes.
    pub payload: &'a [u8],
}

/// A record as it lies in the log.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::RecordRef;
/// let batch = log.reader(PartitionId(0)).next_batch()?.expect("a batch");
/// let (offset, record): (_, RecordRef<'_>) = batch.records().next().expect("a record");
/// assert_eq!((offset, record.key, record.payload), (1, 7, &b"here"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The owner's kind of record.
    pub kind: u8,
    /// The owner's flags.
    pub flags: u8,
    /// What the record belongs to.
    pub key: u32,
    /// Eight more bytes of the owner's.
    pub extension: u64,
    /// The payload.
    pub payload: &'a [u8],
    /// Where the payload starts within the bytes of the batch, for `Batch::payload_bytes`.
    pub(crate) payload_start: usize,
}

/// Bytes a record with this payload takes, padding included.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_PREFIX_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

/// Writes one record at the start of `target` and returns the bytes it took. The padding is
/// zeroed: a body never carries bytes of somebody else.
pub(crate) fn encode_record(record: &Record<'_>, target: &mut [u8]) -> usize {
    let bytes = record_bytes(record.payload.len());
    let payload_end = RECORD_PREFIX_BYTES + record.payload.len();
    let target = &mut target[..bytes];
    target[0..2].copy_from_slice(&(record.payload.len() as u16).to_le_bytes());
    target[2] = record.kind;
    target[3] = record.flags;
    target[4..8].copy_from_slice(&record.key.to_le_bytes());
    target[8..16].copy_from_slice(&record.extension.to_le_bytes());
    target[RECORD_PREFIX_BYTES..payload_end].copy_from_slice(record.payload);
    target[payload_end..].fill(0);
    #[cfg(feature = "sabotage-crc-per-record")]
    std::hint::black_box(crc32fast::hash(target));
    bytes
}

/// Reads the record at `position` of a body. `None`: it does not fit.
#[inline]
fn decode_record(body: &[u8], position: usize) -> Option<(RecordRef<'_>, usize)> {
    let prefix: &[u8; RECORD_PREFIX_BYTES] = body
        .get(position..position + RECORD_PREFIX_BYTES)?
        .try_into()
        .ok()?;
    let payload_bytes = usize::from(u16_at(prefix, 0));
    let payload_start = position + RECORD_PREFIX_BYTES;
    let payload = body.get(payload_start..payload_start + payload_bytes)?;
    let record = RecordRef {
        kind: prefix[2],
        flags: prefix[3],
        key: u32_at(prefix, 4),
        extension: u64_at(prefix, 8),
        payload,
        payload_start,
    };
    Some((record, position + record_bytes(payload_bytes)))
}

/// The records of a batch in order, each with its offset.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::Records;
/// let batch = log.reader(PartitionId(0)).next_batch()?.expect("a batch");
/// let records: Records<'_> = batch.records();
/// assert_eq!(records.map(|(offset, _)| offset).collect::<Vec<_>>(), [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records<'a> {
    body: &'a [u8],
    position: usize,
    next: Offset,
    end: Offset,
    base: Offset,
    /// Distances from `base` of the records of a sparse batch that are still to come.
    offsets: &'a [u8],
}

impl<'a> Records<'a> {
    /// Records of `body`, the first with offset `first`, up to and excluding `end`.
    pub(crate) fn new(body: &'a [u8], first: Offset, end: Offset) -> Records<'a> {
        Records {
            body,
            position: 0,
            next: first,
            end,
            base: first,
            offsets: &[],
        }
    }

    /// Records of a sparse batch, from `position` of its body on: each has its own offset.
    pub(crate) fn sparse(
        body: &'a [u8],
        position: usize,
        base: Offset,
        offsets: &'a [u8],
        end: Offset,
    ) -> Records<'a> {
        Records {
            body,
            position,
            next: if offsets.is_empty() { end } else { base },
            end,
            base,
            offsets,
        }
    }

    /// Leaves out the records before `from`.
    pub(crate) fn skip_to(&mut self, from: Offset) {
        while self.next < from {
            let before = self.clone();
            match self.next() {
                Some((offset, _)) if offset >= from => {
                    *self = before;
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn next_sparse(&mut self) -> Option<(Offset, RecordRef<'a>)> {
        let (distance, rest) = self.offsets.split_first_chunk::<4>()?;
        let distance = u64::from(u32::from_le_bytes(*distance));
        let offset = self.base.checked_add(distance)?;
        if offset < self.next || offset >= self.end {
            return None;
        }
        let (record, position) = decode_record(self.body, self.position)?;
        self.position = position;
        self.offsets = rest;
        self.next = if rest.is_empty() {
            self.end
        } else {
            offset + 1
        };
        Some((offset, record))
    }

    /// True when exactly the expected records fill the whole body.
    pub(crate) fn are_whole(mut self) -> bool {
        while self.next().is_some() {}
        // A table may go on behind the last offset for which the batch stands.
        let all = self.next == self.end && self.offsets.is_empty();
        all && self.position == self.body.len()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Offset, RecordRef<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Offset, RecordRef<'a>)> {
        if self.next >= self.end {
            return None;
        }
        if !self.offsets.is_empty() {
            return self.next_sparse();
        }
        let (record, position) = decode_record(self.body, self.position)?;
        let offset = self.next;
        self.position = position;
        self.next += 1;
        Some((offset, record))
    }
}

/// The runs of a batch: stretches of records with one key.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
/// # let mut writer = log.take_writer(PartitionId(0)).unwrap();
/// let record = |key, payload| Record { key, payload, ..Record::default() };
/// writer.append(0, &[record(7, b"a"), record(7, b"b"), record(9, b"c")])?;
///
/// let batch = log.reader(PartitionId(0)).next_batch().unwrap().expect("one batch");
/// let wanted: Vec<_> = batch
///     .runs()
///     .filter(|run| run.key == 9) // one look-up per run, the records of 7 are not looked at
///     .flat_map(|run| run.records)
///     .map(|(offset, record)| (offset, record.payload.to_vec()))
///     .collect();
/// assert_eq!(wanted, [(3, b"c".to_vec())]);
/// # Ok::<(), skein_log::AppendError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    rest: Records<'a>,
}

/// Records with one key that follow each other.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::Run;
/// let batch = log.reader(PartitionId(0)).next_batch()?.expect("a batch");
/// let run: Run<'_> = batch.runs().next().expect("a run");
/// assert_eq!((run.key, run.records.count()), (7, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The key they share.
    pub key: u32,
    /// The records.
    pub records: Records<'a>,
}

impl<'a> Runs<'a> {
    pub(crate) fn new(records: Records<'a>) -> Runs<'a> {
        Runs { rest: records }
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        let mut run = self.rest.clone();
        let (_, first) = self.rest.next()?;
        let mut ahead = self.rest.clone();
        while let Some((_, record)) = ahead.next() {
            if record.key != first.key {
                break;
            }
            self.rest = ahead.clone();
        }
        run.end = self.rest.next;
        Some(Run {
            key: first.key,
            records: run,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(records: &[Record<'_>]) -> Vec<u8> {
        let mut body = vec![0xAA; 4096];
        let mut position = 0;
        for record in records {
            position += encode_record(record, &mut body[position..]);
        }
        body.truncate(position);
        body
    }

    #[test]
    fn records_come_back_as_they_were() {
        let first = Record {
            kind: 1,
            flags: 2,
            key: 3,
            extension: 4,
            payload: b"hello",
        };
        let second = Record {
            payload: b"",
            ..first
        };
        let body = body(&[first, second]);
        let read: Vec<_> = Records::new(&body, 10, 12).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].0, 10);
        assert_eq!(read[0].1.payload, b"hello");
        assert_eq!((read[0].1.kind, read[0].1.flags, read[0].1.key), (1, 2, 3));
        assert_eq!(read[1].1.extension, 4);
        assert_eq!(
            body[RECORD_PREFIX_BYTES + 5..24],
            [0; 3],
            "padding is zeroed"
        );
        assert!(Records::new(&body, 10, 12).are_whole());
        assert!(
            !Records::new(&body, 10, 13).are_whole(),
            "one record is missing"
        );
        assert!(
            !Records::new(&body, 10, 11).are_whole(),
            "one record too many"
        );
    }

    #[test]
    fn a_cut_body_ends_iteration() {
        let body = body(&[Record {
            payload: b"0123456789",
            ..Record::default()
        }]);
        for cut in 0..26 {
            assert_eq!(Records::new(&body[..cut], 1, 2).count(), 0, "cut at {cut}");
        }
    }

    #[test]
    fn runs_group_equal_neighbours() {
        let of = |key| Record {
            key,
            payload: b"x",
            ..Record::default()
        };
        let body = body(&[of(1), of(1), of(2), of(1)]);
        let runs: Vec<_> = Runs::new(Records::new(&body, 1, 5))
            .map(|run| {
                (
                    run.key,
                    run.records.map(|(offset, _)| offset).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(runs, [(1, vec![1, 2]), (2, vec![3]), (1, vec![4])]);
    }
}
