//! What the fuzz targets and a bounded test share: hostile files, and what must hold whatever is in
//! them. Nothing here may panic but an assertion about the log.

use std::sync::{Arc, OnceLock};

use skein_log::{Inspector, Log, MemoryStorage, Options, PartitionId, ReadError, Record, Storage};

const P: PartitionId = PartitionId(0);

/// Where batches begin in a segment.
const BATCHES_FROM: usize = 4096;

/// Bytes of the header of a batch.
const HEADER_BYTES: usize = 40;

fn options() -> Options {
    Options {
        partitions: 1,
        segment_bytes_min: 64 << 10,
        segment_bytes_max: 256 << 10,
        disk_reserve_bytes: 0,
        ..Options::default()
    }
}

/// Names and bytes of the files of a log that was not closed: two segments, the first rewritten.
fn crashed_log() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let storage = MemoryStorage::new();
        let (mut log, _) = Log::open(storage.clone(), options(), 0, 1).expect("open");
        let mut writer = log.take_writer(P).expect("writer");
        let mut janitor = log.take_janitor().expect("janitor");
        for time in 1..=12 {
            let payload = [time as u8; 70];
            let record = |key| Record {
                key,
                payload: &payload,
                ..Record::default()
            };
            writer
                .append(time, &[record(1), record(2), record(1)])
                .expect("append");
            if time == 6 {
                writer.close_segment();
                writer.sync_now().expect("sync");
                let erased = log.rewriter().erase(P, |_, record| record.key == 2);
                erased.expect("erase");
            }
        }
        writer.set_meta(b"term 1").expect("metadata");
        janitor.work(10_000);
        let entries = storage.list().expect("list");
        let read = |name: String| {
            let bytes = storage.read(&name, 1 << 20).expect("read");
            (name, bytes)
        };
        entries.into_iter().map(|entry| read(entry.name)).collect()
    })
}

fn store(files: &[(String, Vec<u8>)]) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    for (name, bytes) in files {
        storage.write(name, bytes).expect("write");
    }
    storage.sync_directory().expect("sync");
    storage
}

/// Edits of the files: file u8 · place u16 (from the end of the header page, or from the start if
/// the top bit is set) · count u8 · so many bytes.
pub fn recovery(data: &[u8]) {
    let mut files = crashed_log().to_vec();
    let mut rest = data;
    while let Some(([file, low, high, count], after)) = rest.split_first_chunk::<4>() {
        let count = usize::from(*count % 64).min(after.len());
        let (bytes, after) = after.split_at(count);
        rest = after;
        let index = usize::from(*file) % files.len();
        let content = &mut files[index].1;
        let place = usize::from(u16::from_le_bytes([*low, *high & 0x7F]));
        let from = if high & 0x80 == 0 && content.len() > BATCHES_FROM {
            BATCHES_FROM
        } else {
            0
        };
        for (offset, byte) in bytes.iter().enumerate() {
            if let Some(target) = content.get_mut(from + place % 4096 + offset) {
                *target = *byte;
            }
        }
    }
    check(&store(&files), u64::MAX);
}

/// The offset from which on `batches` puts records into the segment that is being written.
pub fn batches_from() -> u64 {
    let mut segments = crashed_log().iter();
    let last = segments.rfind(|(name, _)| name.ends_with(".seg"));
    let base: [u8; 8] = last.expect("a segment").1[24..32]
        .try_into()
        .expect("eight");
    u64::from_le_bytes(base)
}

/// Batches in a new segment: kind u8 · count u8 · step u8 · bytes u8 · body. The checksums, the
/// generation and the length are right; a step of 0 is the offset that is expected.
pub fn batches(data: &[u8]) -> Taken {
    let mut offset = batches_from();
    let mut files = crashed_log().to_vec();
    files.retain(|(name, _)| !name.ends_with(".state") && name != "durable");
    let segment = files.iter_mut().rfind(|(name, _)| name.ends_with(".seg"));
    let content = &mut segment.expect("a segment").1;
    let generation: [u8; 4] = content[12..16].try_into().expect("four bytes");
    content[BATCHES_FROM..].fill(0);
    let (mut place, mut rest) = (BATCHES_FROM, data);
    while let Some(([kind, count, step, bytes], after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(usize::from(*bytes).min(after.len()));
        rest = after;
        let mut batch = vec![0; HEADER_BYTES];
        batch.extend_from_slice(body);
        batch.resize(batch.len().next_multiple_of(8), 0);
        if place + batch.len() > content.len() - 4096 {
            break;
        }
        offset = offset.wrapping_add(u64::from(*step));
        seal(&mut batch, generation, offset, *kind % 4, *count);
        content[place..place + batch.len()].copy_from_slice(&batch);
        place += batch.len();
        offset = offset.wrapping_add(u64::from(*count));
    }
    check(&store(&files), batches_from())
}

/// Fills in a header whose checksums are right.
fn seal(batch: &mut [u8], generation: [u8; 4], offset: u64, kind: u8, count: u8) {
    let len = batch.len() as u32;
    let body_crc = crc32fast::hash(&batch[HEADER_BYTES..]);
    batch[0..4].copy_from_slice(&len.to_le_bytes());
    batch[8..12].copy_from_slice(&body_crc.to_le_bytes());
    batch[12..16].copy_from_slice(&generation);
    batch[16..24].copy_from_slice(&offset.to_le_bytes());
    batch[32] = count;
    batch[34] = kind;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&batch[0..4]);
    hasher.update(&batch[8..HEADER_BYTES]);
    batch[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// What a start has made of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records from some offset on.
    pub records: u64,
    /// Something was called damage.
    pub corrupt: bool,
}

/// What must hold of any directory; counts its records from an offset on.
fn check(storage: &Arc<MemoryStorage>, from: u64) -> Taken {
    if let Ok(inspector) = Inspector::of(storage.clone()) {
        let _ = (inspector.stat(), inspector.verify(P));
        let _ = inspector.damaged_small_files();
    }
    let Ok((mut log, report)) = Log::open(storage.clone(), options(), 0, 7) else {
        return Taken::default();
    };
    let corrupt = report.is_corrupt();
    let Found {
        records, damaged, ..
    } = read(&log, from);
    let mut writer = log.take_writer(P).expect("writer");
    let next = writer.next_offset();
    let appended = writer.append(0, &[Record::default()]).expect("append");
    assert_eq!(*appended.start(), next);
    writer.sync_now().expect("sync");
    drop((writer, log));

    let (log, report) = Log::open(storage.kill(), options(), 0, 8).expect("opens again");
    assert!(damaged || !report.is_corrupt(), "repaired twice: {report}");
    let last = read(&log, from).last;
    assert_eq!(last, Some(next), "what was appended is the last");
    Taken { records, corrupt }
}

/// What a reader gets.
#[derive(Default)]
struct Found {
    last: Option<u64>,
    /// Records from some offset on.
    records: u64,
    damaged: bool,
}

/// Reads everything, checked, and counts records from an offset on.
fn read(log: &Log, from: u64) -> Found {
    let mut reader = log.reader(P);
    reader.set_verify(true);
    let (mut found, mut next) = (Found::default(), 0);
    loop {
        let before = reader.position();
        match reader.next_batch() {
            Ok(Some(batch)) => {
                for (offset, record) in batch.records() {
                    assert!(offset >= next, "offsets grow");
                    assert!(record.payload.len() <= 65_535);
                    found.records += u64::from(offset >= from);
                    (found.last, next) = (Some(offset), offset + 1);
                }
            }
            Ok(None) => return found,
            Err(ReadError::Gap { next: to, .. }) => assert!(to > next, "gaps go on"),
            // A closed segment whose footer fits is not read at a start; a reader finds it.
            Err(ReadError::Damaged { .. }) => {
                let position = reader.position();
                assert!(position > next || position > before, "damage is passed");
                found.damaged = true;
            }
            Err(error) => panic!("nothing was truncated: {error}"),
        }
    }
}
