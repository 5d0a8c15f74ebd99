//! A batch: what one pass of a writer appends, and the unit of checksums.
//!
//! ```text
//!  0      4           8          12          16            24            32      34   35    36
//!  +------+-----------+----------+-----------+-------------+-------------+-------+----+-----+-----------+
//!  | len  | header_crc| body_crc | generation| base_offset | append_time | count |kind|flags|durable_lag|
//!  | u32  | u32       | u32      | u32       | u64         | u64 (ms)    | u16   | u8 | u8  | u32       |
//!  +------+-----------+----------+-----------+-------------+-------------+-------+----+-----+-----------+
//!  40: body, len - 40 bytes
//! ```
//!
//! `len` counts header and body and is stored last: 0 means that nothing is here (yet).
//! `header_crc` covers `len` and bytes 8 to 40, so `len` is trusted before the body is read.
//! `generation` is the segment's random number: bytes of another segment, or bytes that a payload
//! pretends to be, never parse. `durable_lag` says how many of the records before this batch were
//! not durable when it was written, so the log carries its own durability mark.
//!
//! A batch of kind `Gap` says that the offsets from `base_offset` to before `next` (its body) are
//! not there: the one explanation of a hole.
//!
//! A batch of kind `Sparse` is what is left of batches of which records were removed (thinned or
//! erased): `end u64 · count x (offset - base_offset) u32 · zeros to a multiple of 8 · records`. It
//! stands for the offsets from `base_offset` to before `end`.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::layout::{GAP_BATCH_BYTES, GAP_BODY_BYTES};
use crate::limits::{ALIGNMENT, BATCH_HEADER_BYTES};
use crate::little_endian::{u16_at, u32_at, u64_at};
use crate::mapping::{Mapping, PublishedRange};
use crate::position::Offset;
use crate::record::{RecordRef, Records, Runs};

/// `durable_lag` of a batch whose writer can't say (more than fits).
const LAG_UNKNOWN: u32 = u32::MAX;

const KIND_DATA: u8 = 0;
const KIND_GAP: u8 = 1;
const KIND_SPARSE: u8 = 2;

/// Bytes in front of the offsets of a sparse batch.
const SPARSE_END_BYTES: usize = 8;

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    /// Records.
    Data,
    /// A hole, explained.
    Gap,
    /// Records of which others were removed.
    Sparse,
}

/// The header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Header and body in bytes.
    pub bytes: usize,
    pub body_crc: u32,
    pub generation: u32,
    pub base_offset: Offset,
    /// Milliseconds of the owner's clock, never decreasing.
    pub append_time: u64,
    pub count: u16,
    pub kind: BatchKind,
    /// The durable mark when the batch was written, if known.
    pub durable: Option<Offset>,
}

impl BatchHeader {
    /// Reads a header. `None`: there is none here, or it is damaged, or of an unknown kind.
    pub(crate) fn decode(bytes: &[u8]) -> Option<BatchHeader> {
        let header: &[u8; BATCH_HEADER_BYTES] = bytes.get(..BATCH_HEADER_BYTES)?.try_into().ok()?;
        let bytes = u32_at(header, 0) as usize;
        if bytes < BATCH_HEADER_BYTES || !bytes.is_multiple_of(ALIGNMENT) {
            return None;
        }
        if u32_at(header, 4) != header_crc(header) {
            return None;
        }
        let kind = match header[34] {
            KIND_DATA => BatchKind::Data,
            KIND_GAP => BatchKind::Gap,
            KIND_SPARSE => BatchKind::Sparse,
            _ => return None,
        };
        let base_offset = u64_at(header, 16);
        let lag = u32_at(header, 36);
        let before = base_offset.checked_sub(1)?;
        Some(BatchHeader {
            bytes,
            body_crc: u32_at(header, 8),
            generation: u32_at(header, 12),
            base_offset,
            append_time: u64_at(header, 24),
            count: u16_at(header, 32),
            kind,
            durable: if lag == LAG_UNKNOWN {
                None
            } else {
                before.checked_sub(u64::from(lag))
            },
        })
    }

    /// Writes everything but `len`, which the writer stores last.
    pub(crate) fn encode_without_len(&self, target: &mut [u8]) {
        let before = self.base_offset - 1;
        let lag = self.durable.map(|durable| before.saturating_sub(durable));
        let lag = lag
            .and_then(|lag| u32::try_from(lag).ok())
            .unwrap_or(LAG_UNKNOWN);
        let mut header = [0; BATCH_HEADER_BYTES];
        header[0..4].copy_from_slice(&(self.bytes as u32).to_le_bytes());
        header[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        header[12..16].copy_from_slice(&self.generation.to_le_bytes());
        header[16..24].copy_from_slice(&self.base_offset.to_le_bytes());
        header[24..32].copy_from_slice(&self.append_time.to_le_bytes());
        header[32..34].copy_from_slice(&self.count.to_le_bytes());
        header[34] = match self.kind {
            BatchKind::Data => KIND_DATA,
            BatchKind::Gap => KIND_GAP,
            BatchKind::Sparse => KIND_SPARSE,
        };
        header[36..40].copy_from_slice(&lag.to_le_bytes());
        let crc = header_crc(&header);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        target[4..BATCH_HEADER_BYTES].copy_from_slice(&header[4..]);
    }

    /// The offset after the batch, from header and body. `None`: the body does not fit the header
    /// (checked deeply: checksum, record structure, gap bounds).
    pub(crate) fn end_offset(&self, body: &[u8]) -> Option<Offset> {
        if crc32fast::hash(body) != self.body_crc {
            return None;
        }
        match self.kind {
            BatchKind::Data => {
                let end = self.base_offset.checked_add(u64::from(self.count))?;
                let records = Records::new(body, self.base_offset, end);
                (self.count > 0 && records.are_whole()).then_some(end)
            }
            BatchKind::Gap => {
                let next = decode_gap(body)?;
                (self.count == 0 && next > self.base_offset).then_some(next)
            }
            BatchKind::Sparse => {
                let end = sparse_end(body)?;
                let start = SPARSE_END_BYTES + sparse_table_bytes(self.count);
                let offsets = body.get(SPARSE_END_BYTES..start)?;
                let offsets = &offsets[..usize::from(self.count) * 4];
                let fits = end > self.base_offset
                    && Records::sparse(body, start, self.base_offset, offsets, end).are_whole();
                fits.then_some(end)
            }
        }
    }

    /// The records of a body that was checked, from `from` on and before `end`.
    #[inline]
    pub(crate) fn records<'a>(&self, body: &'a [u8], from: Offset, end: Offset) -> Records<'a> {
        let mut records = match self.kind {
            BatchKind::Sparse => {
                let start = SPARSE_END_BYTES + sparse_table_bytes(self.count);
                let table = SPARSE_END_BYTES..SPARSE_END_BYTES + usize::from(self.count) * 4;
                let offsets = body.get(table).unwrap_or(&[]);
                Records::sparse(body, start, self.base_offset, offsets, end)
            }
            BatchKind::Data | BatchKind::Gap => Records::new(body, self.base_offset, end),
        };
        records.skip_to(from);
        records
    }
}

/// Bytes of the offsets of a sparse batch, padded.
const fn sparse_table_bytes(count: u16) -> usize {
    (count as usize * 4).next_multiple_of(ALIGNMENT)
}

/// The offset after a sparse batch.
pub(crate) fn sparse_end(body: &[u8]) -> Option<Offset> {
    (body.len() >= SPARSE_END_BYTES).then(|| u64_at(body, 0))
}

/// The body of a sparse batch: records that are encoded already, with their offsets.
pub(crate) fn encode_sparse(
    base: Offset,
    end: Offset,
    offsets: &[Offset],
    records: &[u8],
) -> Vec<u8> {
    let mut body = end.to_le_bytes().to_vec();
    for offset in offsets {
        let distance = u32::try_from(offset - base).expect("a segment has fewer records");
        body.extend_from_slice(&distance.to_le_bytes());
    }
    body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
    body.extend_from_slice(records);
    body
}

/// The offset after a gap.
pub(crate) fn decode_gap(body: &[u8]) -> Option<Offset> {
    (body.len() == GAP_BODY_BYTES).then(|| u64_at(body, 0))
}

/// A whole `Gap` batch but for `len`: offsets `from` to before `next` are not there.
pub(crate) fn encode_gap(
    generation: u32,
    from: Offset,
    next: Offset,
    append_time: u64,
    durable: Offset,
    target: &mut [u8],
) {
    let mut body = [0; GAP_BODY_BYTES];
    body[..8].copy_from_slice(&next.to_le_bytes());
    let header = BatchHeader {
        bytes: GAP_BATCH_BYTES,
        body_crc: crc32fast::hash(&body),
        generation,
        base_offset: from,
        append_time,
        count: 0,
        kind: BatchKind::Gap,
        durable: Some(durable),
    };
    header.encode_without_len(target);
    target[BATCH_HEADER_BYTES..GAP_BATCH_BYTES].copy_from_slice(&body);
}

fn header_crc(header: &[u8; BATCH_HEADER_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[0..4]);
    hasher.update(&header[8..]);
    hasher.finalize()
}

/// Records that were appended together, read without a copy.
///
/// A batch keeps the mapping of its segment alive, also after retention has unlinked the file;
/// so do the `Bytes` it gives out. Don't keep them for long.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
/// # let mut writer = log.take_writer(PartitionId(0)).unwrap();
/// writer.append(1_700_000_000_000, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
///
/// let batch = log.reader(PartitionId(0)).next_batch().unwrap().expect("one batch");
/// assert_eq!(batch.base_offset(), 1);
/// assert_eq!(batch.append_time(), 1_700_000_000_000);
/// for (offset, record) in batch.records() {
///     assert_eq!((offset, record.key, record.payload), (1, 7, &b"here"[..]));
///     assert_eq!(batch.payload_bytes(&record), "here"); // `Bytes` of the same memory
/// }
/// # Ok::<(), skein_log::AppendError>(())
/// ```
#[derive(Debug)]
pub struct Batch {
    mapping: Arc<Mapping>,
    position: Range<usize>,
    header: BatchHeader,
    /// First record the reader asked for.
    from: Offset,
    /// After the last record that counts.
    end: Offset,
    shared: OnceCell<Bytes>,
}

impl Batch {
    /// A batch whose bytes are published; records below `from` and from `end` on are left out.
    pub(crate) fn new(
        mapping: Arc<Mapping>,
        position: Range<usize>,
        header: BatchHeader,
        from: Offset,
        end: Offset,
    ) -> Batch {
        Batch {
            mapping,
            position,
            header,
            from,
            end,
            shared: OnceCell::new(),
        }
    }

    /// Offset of the first record that `records` gives.
    pub fn base_offset(&self) -> Offset {
        self.from
    }

    /// Offset of the last record that `records` gives.
    pub fn last_offset(&self) -> Offset {
        self.end - 1
    }

    /// When the batch was appended: milliseconds of the clock the writer was given, never
    /// decreasing within a partition.
    pub fn append_time(&self) -> u64 {
        self.header.append_time
    }

    /// The durable mark when this batch was written, if it was within reach.
    pub fn durable_before(&self) -> Option<Offset> {
        self.header.durable
    }

    /// The records in order.
    pub fn records(&self) -> Records<'_> {
        self.header.records(self.body(), self.from, self.end)
    }

    /// The records as runs of equal key.
    pub fn runs(&self) -> Runs<'_> {
        Runs::new(self.records())
    }

    /// The whole body without a copy. About 60 ns the first time, an atomic increment after that.
    pub fn bytes(&self) -> Bytes {
        let make = || {
            let body = self.position.start + BATCH_HEADER_BYTES..self.position.end;
            let owner = PublishedRange::new(Arc::clone(&self.mapping), body);
            Bytes::from_owner(owner.expect("a batch is published"))
        };
        self.shared.get_or_init(make).clone()
    }

    /// The payload of one of this batch's records without a copy.
    ///
    /// # Panics
    ///
    /// If `record` belongs to a longer batch.
    pub fn payload_bytes(&self, record: &RecordRef<'_>) -> Bytes {
        let start = record.payload_start;
        self.bytes().slice(start..start + record.payload.len())
    }

    fn body(&self) -> &[u8] {
        let body = self.position.start + BATCH_HEADER_BYTES..self.position.end;
        self.mapping.bytes(body).expect("a batch is published")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, encode_record};

    fn header() -> BatchHeader {
        BatchHeader {
            bytes: 64,
            body_crc: 0x1234_5678,
            generation: 99,
            base_offset: 1_000,
            append_time: 1_700_000_000_000,
            count: 3,
            kind: BatchKind::Data,
            durable: Some(990),
        }
    }

    fn encoded(header: &BatchHeader) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        header.encode_without_len(&mut bytes);
        bytes[..4].copy_from_slice(&(header.bytes as u32).to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        assert_eq!(BatchHeader::decode(&encoded(&header())), Some(header()));
        let unknown = BatchHeader {
            durable: None,
            ..header()
        };
        assert_eq!(BatchHeader::decode(&encoded(&unknown)), Some(unknown));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let good = encoded(&header());
        for bit in 0..BATCH_HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn a_lag_that_does_not_fit_is_unknown_not_wrong() {
        let far = BatchHeader {
            base_offset: 1 << 40,
            durable: Some(1),
            ..header()
        };
        assert_eq!(
            BatchHeader::decode(&encoded(&far)).expect("valid").durable,
            None
        );
    }

    #[test]
    fn a_sparse_batch_gives_what_is_left_at_its_own_offsets() {
        let mut records = vec![0; 256];
        let mut bytes = 0;
        for payload in [&b"one"[..], b"", b"three hundred"] {
            let record = Record {
                key: payload.len() as u32,
                payload,
                ..Record::default()
            };
            bytes += encode_record(&record, &mut records[bytes..]);
        }
        records.truncate(bytes);
        let body = encode_sparse(100, 200, &[101, 105, 199], &records);
        let header = BatchHeader {
            bytes: BATCH_HEADER_BYTES + body.len(),
            body_crc: crc32fast::hash(&body),
            base_offset: 100,
            count: 3,
            kind: BatchKind::Sparse,
            ..header()
        };
        assert_eq!(header.end_offset(&body), Some(200));
        let offsets = |from, end| -> Vec<Offset> {
            let records = header.records(&body, from, end);
            records.map(|(offset, _)| offset).collect()
        };
        assert_eq!(offsets(100, 200), [101, 105, 199]);
        assert_eq!(offsets(102, 200), [105, 199]);
        assert_eq!(offsets(105, 199), [105]);
        assert_eq!(offsets(200, 200), [0; 0]);
        let runs = Runs::new(header.records(&body, 100, 200));
        let runs: Vec<_> = runs.map(|run| (run.key, run.records.count())).collect();
        assert_eq!(runs, [(3, 1), (0, 1), (13, 1)]);

        for (count, end, offsets) in [
            (3, 200, [101, 101, 199]), // not growing
            (3, 199, [101, 105, 199]), // beyond the end
            (2, 200, [101, 105, 199]), // bytes left over
        ] {
            let body = encode_sparse(100, end, &offsets, &records);
            let bad = BatchHeader {
                body_crc: crc32fast::hash(&body),
                count,
                ..header
            };
            assert_eq!(bad.end_offset(&body), None, "{count} {end} {offsets:?}");
        }
    }

    #[test]
    fn a_gap_says_where_the_log_goes_on() {
        let mut bytes = [0; GAP_BATCH_BYTES];
        encode_gap(7, 10, 25, 5, 9, &mut bytes);
        bytes[..4].copy_from_slice(&(GAP_BATCH_BYTES as u32).to_le_bytes());
        let header = BatchHeader::decode(&bytes).expect("valid header");
        assert_eq!(header.kind, BatchKind::Gap);
        assert_eq!(header.end_offset(&bytes[BATCH_HEADER_BYTES..]), Some(25));
    }
}
