//! A named consumer: durable places in the log of somebody who reads it piece by piece, such as an
//! exporter or a sampler. After a restart it goes on where it had committed.
//!
//! A place is the next offset to read, with the epoch in which it was committed. Records that a
//! power failure or a truncation took away are given again under another epoch; a consumer that had
//! read the old ones is sent back to where the new ones begin. Retention does not wait for a
//! consumer: one that falls behind gets a gap from its reader.
//!
//! All places of a consumer are one small file, replaced as a whole.

use std::sync::Arc;

use crate::error::{ConsumerError, StorageError};
use crate::limits::{CONSUMER_NAME_BYTES_MAX, CONSUMERS_MAX, SMALL_FILE_BYTES_MAX};
use crate::meta::{ConsumerPlaces, Fault, Place};
use crate::names::{self, FileKind};
use crate::partition::Partition;
use crate::position::{Offset, PartitionId};
use crate::reader::Reader;
use crate::shared::{Shared, remove_if_there};
use crate::storage::Storage;

/// A named consumer of an open log.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let storage = MemoryStorage::new();
/// let (mut log, _) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// for payload in [&b"a"[..], b"b", b"c"] {
///     writer.append(0, &[Record { payload, ..Record::default() }])?;
/// }
///
/// let mut exporter = log.consumer("exporter")?;
/// let mut reader = exporter.reader(PartitionId(0));
/// reader.next_batch()?.expect("the first record");
/// exporter.commit(&reader);
/// exporter.sync()?;
/// assert_eq!(exporter.lag(PartitionId(0)), 2);
/// drop((exporter, reader, writer, log));
///
/// let (log, _) = Log::open(storage, options, 0, 2)?;
/// assert_eq!(log.consumer("exporter")?.position(PartitionId(0)), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    name: String,
    places: ConsumerPlaces,
    /// What its file holds; `None`: there is no file yet.
    synced: Option<ConsumerPlaces>,
}

impl Consumer {
    /// Opens or makes a consumer.
    pub(crate) fn open(shared: Arc<Shared>, name: &str) -> Result<Consumer, ConsumerError> {
        check_name(name)?;
        if !shared.take_consumer(name) {
            return Err(ConsumerError::InUse {
                name: name.to_owned(),
            });
        }
        // From here on dropping gives the name back.
        let mut consumer = Consumer {
            places: ConsumerPlaces::new(shared.partitions.len()),
            synced: None,
            name: name.to_owned(),
            shared,
        };
        consumer.load()?;
        Ok(consumer)
    }

    fn load(&mut self) -> Result<(), ConsumerError> {
        let known = list(&self.shared)?;
        if !known.contains(&self.name) {
            if known.len() >= CONSUMERS_MAX {
                return Err(ConsumerError::TooMany {
                    consumers_max: CONSUMERS_MAX,
                });
            }
            return Ok(());
        }
        let file = names::consumer(&self.name);
        let action = StorageError::during(format!("reading {file}"));
        let bytes = self.shared.storage.read(&file, SMALL_FILE_BYTES_MAX);
        let places = ConsumerPlaces::decode(&bytes.map_err(action)?, self.shared.id);
        let damaged = |problem: &str| ConsumerError::Damaged {
            file: file.clone(),
            problem: problem.to_owned(),
        };
        let places = places.map_err(|fault| match fault {
            Fault::Damaged(problem) => damaged(problem),
            Fault::Newer(_) => damaged("it was written by a newer program"),
        })?;
        if places.places.len() != self.shared.partitions.len() {
            return Err(damaged("it has another number of partitions"));
        }
        self.synced = Some(places.clone());
        self.places = places;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset of the next record to read. Where records before it were taken away and others
    /// came in their place, the first of those.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn position(&self, partition: PartitionId) -> Offset {
        let place = self.places.places[usize::from(partition.0)];
        let partition = self.partition(partition);
        let later = partition.state.lock().expect("partition state");
        let later = later
            .epochs
            .iter()
            .filter(|start| start.epoch > place.epoch);
        later
            .map(|start| start.first_offset)
            .fold(place.next, Offset::min)
            .min(partition.appended() + 1)
    }

    /// A reader at the consumer's place.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn reader(&self, partition: PartitionId) -> Reader {
        let mut reader = Reader::new(Arc::clone(self.partition(partition)));
        reader.seek(self.position(partition));
        reader
    }

    /// Records appended that the consumer has not committed.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    pub fn lag(&self, partition: PartitionId) -> u64 {
        (self.partition(partition).appended() + 1).saturating_sub(self.position(partition))
    }

    /// Says that everything which the reader was given was dealt with. Durable after `sync`; until then
    /// a restart gives the records again.
    ///
    /// Records that were taken away since, with others in their place, count as they were read: the
    /// others are given.
    ///
    /// # Panics
    ///
    /// If there is no such partition: the reader is another log's.
    pub fn commit(&mut self, reader: &Reader) {
        self.places.places[usize::from(reader.partition().0)] = Place {
            epoch: reader.epoch(),
            next: reader.position(),
        };
    }

    /// Says that everything before `next` was dealt with, as the log is now: for who knows without a
    /// reader, and that nothing was truncated meanwhile.
    ///
    /// # Panics
    ///
    /// If there is no such partition, or if records before `next` were not appended yet: that is a
    /// bug of the owner.
    pub fn commit_at(&mut self, partition: PartitionId, next: Offset) {
        let held = self.partition(partition);
        let appended = held.appended();
        assert!(
            next <= appended + 1,
            "commit of {next}, but only {appended} records were appended"
        );
        let epoch = held.reading_epoch();
        self.places.places[usize::from(partition.0)] = Place {
            epoch,
            next: next.max(1),
        };
    }

    /// Makes all commits so far durable. Waits for the disk: not for a pinned thread.
    ///
    /// # Errors
    ///
    /// The disk refused; the commits stay, the next `sync` tries again.
    pub fn sync(&mut self) -> Result<(), ConsumerError> {
        if self.synced.as_ref() == Some(&self.places) {
            return Ok(());
        }
        let file = names::consumer(&self.name);
        let bytes = self.places.encode(self.shared.id);
        self.shared
            .replace(&file, &bytes)
            .map_err(StorageError::during(format!("writing {file}")))?;
        self.synced = Some(self.places.clone());
        Ok(())
    }

    /// Forgets the consumer and its places.
    ///
    /// # Errors
    ///
    /// The disk refused; the consumer may be there again after a restart.
    pub fn remove(self) -> Result<(), ConsumerError> {
        let file = names::consumer(&self.name);
        let action = || StorageError::during(format!("removing {file}"));
        let remove = |storage: &dyn Storage| remove_if_there(storage, &file);
        let removed = self.shared.change_names(remove).map_err(action())?;
        Ok(self.shared.sync_directory(removed).map_err(action())?)
    }

    fn partition(&self, partition: PartitionId) -> &Arc<Partition> {
        &self.shared.partitions[usize::from(partition.0)]
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.give_consumer_back(&self.name);
    }
}

/// Names of the consumers of a log.
pub(crate) fn list(shared: &Shared) -> Result<Vec<String>, ConsumerError> {
    let action = StorageError::during("listing consumers");
    let entries = shared.storage.list().map_err(action)?;
    let name = |name: &str| match names::kind(name) {
        FileKind::Consumer(name) => Some(name),
        _ => None,
    };
    Ok(entries
        .iter()
        .filter_map(|entry| name(&entry.name))
        .collect())
}

fn check_name(name: &str) -> Result<(), ConsumerError> {
    let fits = (1..=CONSUMER_NAME_BYTES_MAX).contains(&name.len());
    if fits && name.bytes().all(names::is_consumer_byte) {
        return Ok(());
    }
    Err(ConsumerError::BadName {
        name: name.to_owned(),
        bytes_max: CONSUMER_NAME_BYTES_MAX,
    })
}
