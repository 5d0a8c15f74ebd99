//! What recovery found, for the log of the owner and for `skein log stat`.

use std::fmt;

use crate::position::{LogId, Offset, PartitionId};

/// What opening a log found.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// assert!(report.created && !report.is_corrupt());
/// drop((writer, log));
/// // Nobody has closed it.
/// let (_, report) = Log::open(storage.kill(), options, 10, 2)?;
/// assert!(!report.clean);
/// assert_eq!(report.partitions[0].next_offset, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The directory was made by this open.
    pub created: bool,
    /// The log was closed cleanly before.
    pub clean: bool,
    /// Identity of the log.
    pub log_id: LogId,
    /// One entry per partition that holds something or that something was found about.
    pub partitions: Vec<PartitionReport>,
}

/// What was found in one partition.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// use skein_log::PartitionReport;
/// let (_, report) = Log::open(storage.kill(), options, 10, 2)?;
/// let partition: &PartitionReport = &report.partitions[0];
/// assert_eq!((partition.first_offset, partition.next_offset, partition.torn_bytes), (1, 2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionReport {
    /// The partition.
    pub partition: PartitionId,
    /// First record held; equal to `next_offset` if there is none.
    pub first_offset: Offset,
    /// Offset of the next record.
    pub next_offset: Offset,
    /// Epoch of the coming writer.
    pub epoch: u32,
    /// Segments held.
    pub segments: usize,
    /// Bytes of batches that had not become durable before a crash and were zeroed: a torn tail,
    /// an ordinary thing.
    pub torn_bytes: u64,
    /// Durable records that are damaged. Not ordinary.
    pub corruption: Vec<Corruption>,
    /// Other things worth knowing.
    pub notes: Vec<String>,
}

/// Records that had been durable and can't be read. The file was kept under another name.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// writer.sync_now()?;
/// // This one carries how far all was durable.
/// writer.append(6, &[Record::default()])?;
/// let damaged = storage.kill();
/// damaged.flip_bit("p00000-00000000000000000001.seg", 4096 + 60, 1);
/// let (_, report) = Log::open(damaged, options, 10, 2)?;
/// let corruption = &report.partitions[0].corruption[0];
/// assert_eq!(corruption.lost, [(1, 1)]);
/// assert!(corruption.quarantine.ends_with(".quarantine"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// The damaged file.
    pub file: String,
    /// Its name now.
    pub quarantine: String,
    /// First and last offset of each lost range; empty if the damage hit no record, as in a
    /// header page.
    pub lost: Vec<(Offset, Offset)>,
}

impl RecoveryReport {
    /// Durable records were lost; somebody should look at the disk.
    pub fn is_corrupt(&self) -> bool {
        self.partitions
            .iter()
            .any(|partition| !partition.corruption.is_empty())
    }

    /// Bytes of torn tails in all partitions.
    pub fn torn_bytes(&self) -> u64 {
        self.partitions
            .iter()
            .map(|partition| partition.torn_bytes)
            .sum()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.created, self.clean) {
            (true, _) => "new",
            (false, true) => "closed cleanly",
            (false, false) => "not closed cleanly, recovered",
        };
        write!(f, "log {}: {how}", self.log_id)?;
        for partition in &self.partitions {
            write!(f, "\n{partition}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PartitionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} segments, next offset {}, epoch {}",
            self.partition, self.segments, self.next_offset, self.epoch
        )?;
        if self.torn_bytes > 0 {
            write!(f, "; cut a torn tail of {} bytes", self.torn_bytes)?;
        }
        for corruption in &self.corruption {
            write!(
                f,
                "; DAMAGED {} (kept as {})",
                corruption.file, corruption.quarantine
            )?;
            for (first, last) in &corruption.lost {
                write!(f, ", durable records {first} to {last} are lost")?;
            }
        }
        for note in &self.notes {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}
