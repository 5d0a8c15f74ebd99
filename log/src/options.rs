//! What the owner of a log decides. `Options::default()` suits a program that writes many partitions;
//! `validate` explains what is out of range before anything is touched.

use crate::error::OptionsError;
use crate::limits::{
    BATCH_BYTES_CEILING, PARTITIONS_MAX, SEGMENT_BYTES_CEILING, SEGMENT_BYTES_FLOOR,
    SEGMENT_BYTES_MAX_FLOOR, SEGMENT_BYTES_STEP,
};

/// How writers put batches into files. Followers map them either way.
///
/// ```
/// use skein_log::{Options, WriterBackend};
/// // For a file system that copies on write.
/// let options = Options { writer: WriterBackend::Pwrite, ..Options::default() };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriterBackend {
    /// Through the mapping: no system call per append. Needs a file system on which a store into
    /// allocated space can't fail (ext4, xfs, tmpfs).
    #[default]
    Mapped,
    /// With `pwrite`: two system calls per batch, and a full disk is an error and never a signal,
    /// whatever the file system.
    Pwrite,
}

/// Options of a log. There will be more of them: name those that you decide and take the others from
/// `Options::default()`, then a newer version needs no change.
///
/// ```
/// use skein_log::Options;
///
/// let control = Options { partitions: 1, segment_bytes_max: 1 << 20, ..Options::default() };
/// assert!(control.validate().is_ok());
///
/// let wrong = Options { segment_bytes_max: 1000, ..Options::default() };
/// assert!(wrong.validate().unwrap_err().to_string().contains("segment_bytes_max"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Partitions, 1 to 4,096; fixed when the directory is made.
    pub partitions: u16,
    /// Size of a partition's first segment in bytes; each next one doubles.
    pub segment_bytes_min: u64,
    /// Size segments grow to, in bytes, 256 KiB to 1 GiB.
    pub segment_bytes_max: u64,
    /// A segment older than this (ms) is closed at the next chance, so that retention by age can
    /// drop it. Jitter of up to an eighth is added so that partitions do not roll together.
    pub segment_age_ms: u64,
    /// The janitor syncs what was appended at least this often (ms). Where that is more than ten seconds, when the
    /// kernel writes what no sync asks for is left to it.
    pub sync_interval_ms: u64,
    /// Closed segments whose newest record is older than this (ms) are dropped. `None`: kept.
    pub retention_age_ms: Option<u64>,
    /// The oldest closed segments are dropped while all segments together are larger than this
    /// (bytes). `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// Retention never drops what the newest durable checkpoint needs. Without a checkpoint
    /// nothing is dropped.
    pub retention_needs_checkpoint: bool,
    /// Bytes of the file system the log leaves free; below it retention is shortened, then the
    /// log goes on in memory.
    pub disk_reserve_bytes: u64,
    /// Bytes in front of each tail that the janitor makes writable without a page fault. 0: off.
    /// They count as changed, so the next sync writes them, too. While a partition's syncs flush
    /// megabytes each, it has 16 MiB (at most a quarter of its segment) where this is less, and
    /// they are held in large pieces.
    pub pretouch_window_bytes: usize,
    /// How batches get into files.
    pub writer: WriterBackend,
    /// Check every batch from the newest checkpoint on at the opening (all of them, if there is no
    /// checkpoint), also where footers would be believed: whoever begins with a replay then finds
    /// damage put aside and explained, not in its way. Costs reading what the replay reads anyway.
    pub verify_from_checkpoint: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            partitions: 64,
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 64 << 20,
            segment_age_ms: 60 * 60 * 1000,
            sync_interval_ms: 1_000,
            retention_age_ms: Some(24 * 60 * 60 * 1000),
            retention_bytes: None,
            retention_needs_checkpoint: true,
            disk_reserve_bytes: 64 << 20,
            pretouch_window_bytes: 1 << 20,
            writer: WriterBackend::Mapped,
            verify_from_checkpoint: false,
        }
    }
}

impl Options {
    /// Says which option is out of range and what would be right.
    pub fn validate(&self) -> Result<(), OptionsError> {
        check(
            "partitions",
            u64::from(self.partitions),
            1,
            u64::from(PARTITIONS_MAX),
        )?;
        check_bytes(
            "segment_bytes_max",
            self.segment_bytes_max,
            SEGMENT_BYTES_MAX_FLOOR,
        )?;
        check_bytes(
            "segment_bytes_min",
            self.segment_bytes_min,
            SEGMENT_BYTES_FLOOR,
        )?;
        if self.segment_bytes_min > self.segment_bytes_max {
            return Err(OptionsError {
                option: "segment_bytes_min",
                problem: format!(
                    "{} is larger than segment_bytes_max = {}",
                    self.segment_bytes_min, self.segment_bytes_max
                ),
            });
        }
        check("segment_age_ms", self.segment_age_ms, 1, u64::MAX / 4)?;
        check("sync_interval_ms", self.sync_interval_ms, 1, 3_600_000)?;
        check(
            "pretouch_window_bytes",
            self.pretouch_window_bytes as u64,
            0,
            SEGMENT_BYTES_CEILING,
        )
    }

    /// Largest batch a writer of this log takes, in bytes, header included.
    pub fn batch_bytes_max(&self) -> usize {
        BATCH_BYTES_CEILING.min((self.segment_bytes_max / 2) as usize)
    }
}

fn check(option: &'static str, value: u64, min: u64, max: u64) -> Result<(), OptionsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OptionsError {
        option,
        problem: format!("{value} is not within {min} to {max}"),
    })
}

fn check_bytes(option: &'static str, value: u64, floor: u64) -> Result<(), OptionsError> {
    check(option, value, floor, SEGMENT_BYTES_CEILING)?;
    if value.is_multiple_of(SEGMENT_BYTES_STEP) {
        return Ok(());
    }
    Err(OptionsError {
        option,
        problem: format!("{value} is not a multiple of {SEGMENT_BYTES_STEP}"),
    })
}
