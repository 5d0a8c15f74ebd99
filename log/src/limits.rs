//! Every bound of the log, with its unit and its reason. Ground floor: imports nothing.

/// Newest version of files that this crate reads and writes. A file gets the oldest version that
/// can say what is in it, so a program of that version still reads it.
pub const FORMAT_VERSION: u16 = 2;

/// Version of files that need nothing newer.
pub const FORMAT_VERSION_FIRST: u16 = 1;

/// First version with sparse batches, and with the owner's metadata in a state file.
pub const FORMAT_VERSION_SPARSE: u16 = 2;

/// Largest metadata of a partition in bytes: it is replaced as a whole, with the state file.
pub const META_BYTES_MAX: usize = 4096;

/// Bytes of a batch that a rewritten segment is made of, at most (one record may be beyond it):
/// half of the largest, as a table of offsets comes in addition.
pub const SPARSE_BATCH_BYTES_MAX: usize = BATCH_BYTES_CEILING / 2;

/// Bytes of the header page in front of the batches of a segment: one page, so that the first
/// batch starts page-aligned and the header is written back on its own.
pub const SEGMENT_HEADER_BYTES: usize = 4096;

/// Smallest size of a segment file. Below this a footer and a header page are most of the file.
pub const SEGMENT_BYTES_FLOOR: u64 = 64 << 10;

/// Smallest permitted value of `segment_bytes_max`: room for two batches of two largest records.
pub const SEGMENT_BYTES_MAX_FLOOR: u64 = 256 << 10;

/// Largest size of a segment file: positions fit `u32` with room, unlinking one stays short.
pub const SEGMENT_BYTES_CEILING: u64 = 1 << 30;

/// Sizes of segment files are multiples of this (bytes), the page size the mapping works in.
pub const SEGMENT_BYTES_STEP: u64 = 4096;

/// Bytes of a batch header.
pub const BATCH_HEADER_BYTES: usize = 40;

/// Bytes of the prefix of a record.
pub const RECORD_PREFIX_BYTES: usize = 16;

/// Records and batches start at multiples of this (bytes): the length of a batch is one aligned
/// atomic word.
pub const ALIGNMENT: usize = 8;

/// Largest payload of a record in bytes: its length is a `u16`.
pub const PAYLOAD_BYTES_MAX: usize = u16::MAX as usize;

/// Largest number of records in a batch: the count is a `u16`.
pub const BATCH_RECORDS_MAX: usize = u16::MAX as usize;

/// Largest batch in bytes, header included, however large the segments are: a reader that checks
/// a batch and a recovery that rejects one work in bounded time.
pub const BATCH_BYTES_CEILING: usize = 1 << 20;

/// Distance in bytes between two entries of the sparse index.
pub const INDEX_INTERVAL_BYTES: usize = 32 << 10;

/// Most partitions of one log: each may hold a descriptor and a mapping per segment.
pub const PARTITIONS_MAX: u16 = 4096;

/// Epochs remembered per partition. A cursor of an older one gets a full batch, which is right for
/// any cursor, so forgetting costs bytes and never truth.
pub const EPOCHS_MAX: usize = 256;

/// Memory segments kept per partition while the disk takes nothing: a follower that lags by less
/// than one whole segment loses nothing, and memory stays bounded.
pub const MEMORY_SEGMENTS_MAX: usize = 2;

/// Ranges of offsets remembered as lost per partition, for `durability(offset)`. Older ones are
/// merged into their neighbour, so the answer errs towards "lost".
pub const LOST_RANGES_MAX: usize = 64;

/// Groups of records that thinning remembers at a time, some 32 bytes each; beyond that it forgets all
/// of them and keeps a record too many of each.
pub const THINNED_GROUPS_MAX: usize = 1 << 19;

/// Bytes that a log holds back, beside those of its partitions, for small files on a full disk.
pub const BALLAST_BYTES_MIN: usize = 16 << 10;

/// Bytes that it holds back for each partition: its state file, twice for a moment.
pub const BALLAST_BYTES_PER_PARTITION: usize = 8 << 10;

/// Longest name of a consumer in bytes: it is part of a file name.
pub const CONSUMER_NAME_BYTES_MAX: usize = 64;

/// Most consumers of one log: each is a small file, listed at every start.
pub const CONSUMERS_MAX: usize = 64;

/// How often (ms) the janitor looks at retention, free space and left-over mappings.
pub const HOUSEKEEPING_INTERVAL_MS: u64 = 5_000;

/// How often (ms) the janitor looks whether partitions have gone quiet and are durable as a whole,
/// to write that down. Damage to what became durable less than two of these before a crash may look
/// like a torn tail; a round in which something has gone quiet costs one replaced file.
pub const DURABLE_MARKS_INTERVAL_MS: u64 = 1_000;

/// How long (ms) the janitor waits before it asks a full disk again.
pub const SPACE_RETRY_MS: u64 = 1_000;

/// Bytes behind the tail after which the janitor starts write-back, so that a sync finds little.
pub const WRITE_BACK_BYTES: usize = 1 << 20;

/// Longest time between two syncs (ms) for which the janitor starts write-back ahead of them. Where they are
/// rarer the kernel does so by itself, after some seconds.
pub const WRITE_BACK_SYNC_INTERVAL_MS_MAX: u64 = 10_000;

/// Bytes per sync from which on a partition's files are held in large pieces. The largest have
/// 2 MiB, and the first and the last that a sync finds changed are written as a whole: what is
/// written is at most twice what was appended.
pub const LARGE_PIECES_FLUSH_BYTES: u64 = 4 << 20;

/// Window (bytes) made writable ahead of a partition whose files are held in large pieces, if it was not
/// asked for a longer one: what such a partition appends while the janitor is busy elsewhere.
pub const LARGE_PIECES_WINDOW_BYTES: usize = 16 << 20;

/// Largest size (bytes) of a small file (identity, partition state, clean mark) that is read.
pub const SMALL_FILE_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(SEGMENT_BYTES_FLOOR.is_multiple_of(SEGMENT_BYTES_STEP));
const _: () = assert!(SEGMENT_BYTES_CEILING <= u32::MAX as u64);
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(BATCH_HEADER_BYTES.is_multiple_of(ALIGNMENT));
const _: () = assert!(RECORD_PREFIX_BYTES.is_multiple_of(ALIGNMENT));
// A batch of one largest record fits half of the smallest permitted `segment_bytes_max`.
const _: () = assert!(
    (SEGMENT_BYTES_MAX_FLOOR / 2) as usize
        > BATCH_HEADER_BYTES + RECORD_PREFIX_BYTES + PAYLOAD_BYTES_MAX + ALIGNMENT
);
