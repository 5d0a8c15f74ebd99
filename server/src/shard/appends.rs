//! What one pass appends, per partition, grouped by key.
//!
//! Records of one key follow each other as a run, so that a follower skips what it does not
//! mirror with one look-up. The order within a key is kept; between keys it is free.

use skein_engine::ids::PartitionId;
use skein_engine::record::OwnedRecord;

/// Records of one partition, in the order they were asked for.
#[derive(Debug)]
pub struct PartitionAppends {
    /// Where they go.
    pub partition: PartitionId,
    records: Vec<OwnedRecord>,
}

impl PartitionAppends {
    /// The records, grouped by key, in order within a key.
    pub fn records(&self) -> &[OwnedRecord] {
        &self.records
    }
}

/// Collects the appends of a pass. Buffers are kept from pass to pass.
#[derive(Debug, Default)]
pub struct Appends {
    /// One entry per partition that was ever appended to; those in front are in use.
    partitions: Vec<PartitionAppends>,
    used: usize,
}

impl Appends {
    /// Adds one record.
    pub fn push(&mut self, partition: PartitionId, record: OwnedRecord) {
        let used = &self.partitions[..self.used];
        let index = match used.iter().position(|p| p.partition == partition) {
            Some(index) => index,
            None => self.open(partition),
        };
        self.partitions[index].records.push(record);
    }

    /// Whether nothing is to be appended.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Groups each partition's records by key and hands them out.
    pub fn grouped(&mut self) -> &[PartitionAppends] {
        let used = &mut self.partitions[..self.used];
        for appends in used.iter_mut() {
            // A stable sort: the order within a key is a promise.
            appends.records.sort_by_key(|record| record.key);
        }
        used
    }

    /// Forgets the records, keeps the buffers.
    pub fn clear(&mut self) {
        for appends in &mut self.partitions[..self.used] {
            appends.records.clear();
        }
        self.used = 0;
    }

    fn open(&mut self, partition: PartitionId) -> usize {
        let index = self.used;
        match self.partitions.get_mut(index) {
            Some(spare) => spare.partition = partition,
            None => self.partitions.push(PartitionAppends {
                partition,
                records: Vec::new(),
            }),
        }
        self.used += 1;
        index
    }
}
