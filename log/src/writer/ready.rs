//! For a writer on a thread that must not wait for the disk: whether an append can go on with what
//! is prepared, and a call for what is missing.

use std::sync::atomic::Ordering;

use crate::begin::begin;
use crate::error::AppendError;
use crate::layout::capacity_for;
use crate::record::Record;
use crate::shared::{Spare, Worker};
use crate::writer::Writer;

impl Writer {
    /// Whether `append` of these records would wait for no disk. If not, what is missing is being
    /// prepared: the listeners of [`crate::Log::on_ready`] hear when it is there, and the caller keeps
    /// the records until then.
    ///
    /// Always true where no [`crate::JanitorThread`] runs: nobody would prepare anything. Records that
    /// `append` refuses count as ready: it says why.
    ///
    /// ```
    /// use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
    ///
    /// let options = Options { partitions: 1, ..Options::default() };
    /// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1)?;
    /// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
    /// let records = [Record { key: 7, payload: b"here", ..Record::default() }];
    /// if writer.is_ready_for(1_000, &records) {
    ///     writer.append(1_000, &records)?;
    /// } // Else: keep them, and ask again when `Log::on_ready` has said so.
    /// # assert_eq!(writer.appended(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready_for(&mut self, now_ms: u64, records: &[Record<'_>]) -> bool {
        self.is_ready_for_from(now_ms, records.iter().copied())
    }

    /// The same for [`Writer::append_from`].
    pub fn is_ready_for_from<'a>(
        &mut self,
        now_ms: u64,
        records: impl ExactSizeIterator<Item = Record<'a>>,
    ) -> bool {
        let Ok(bytes) = self.measure(records) else {
            return true;
        };
        if !self.shared.janitor_runs.load(Ordering::Acquire) {
            return true;
        }
        self.asks = true;
        let begun = self.is_begun();
        let has_segment = !self.must_roll(bytes, now_ms) || self.reserve(bytes);
        if begun && has_segment {
            return true;
        }
        // First that it wants to be told, then of what: the syncer does the latter once, and who sees
        // that it is wanted has to see whom to tell. (A file stays wanted until it is taken.) By
        // exchanges, as on the other side: of them alone the model checker knows the order.
        self.partition.ready_wanted.swap(true, Ordering::AcqRel);
        if !begun {
            self.partition.begin_wanted.swap(true, Ordering::AcqRel);
            self.shared.wake(Worker::Syncer);
        }
        if !has_segment {
            self.shared.wake(Worker::Preparer);
        }
        false
    }

    /// Takes a prepared file for the segment after this one, or asks for it. True also where the disk
    /// takes nothing: then the next segment is memory.
    fn reserve(&mut self, bytes: usize) -> bool {
        let capacity = self.next_capacity(bytes);
        if self
            .reserved
            .as_ref()
            .is_some_and(|it| it.bytes == capacity)
        {
            return true;
        }
        self.give_reserve_back();
        self.reserved = self.shared.take_spare(capacity);
        if self.reserved.is_some() {
            self.partition.spare_wanted.store(0, Ordering::Release);
            self.partition.space_refused.store(false, Ordering::Release);
            return true;
        }
        if self.partition.degraded.load(Ordering::Acquire) {
            return true;
        }
        let wanted = capacity as u64;
        self.partition.spare_wanted.store(wanted, Ordering::Release);
        self.partition.space_refused.swap(false, Ordering::AcqRel)
    }

    /// Bytes of the next segment, if it is to take a batch of `bytes`.
    pub(super) fn next_capacity(&self, bytes: usize) -> usize {
        let planned = self.partition.next_segment_bytes.load(Ordering::Relaxed) as usize;
        planned.max(capacity_for(bytes))
    }

    /// A prepared file of this size, if there is one.
    pub(super) fn take_prepared(&mut self, capacity: usize) -> Option<Spare> {
        let reserved = self.reserved.take_if(|spare| spare.bytes == capacity);
        reserved.or_else(|| self.shared.take_spare(capacity))
    }

    /// Another writer may use it.
    pub(super) fn give_reserve_back(&mut self) {
        if let Some(spare) = self.reserved.take() {
            self.shared.put_spare(spare);
        }
    }

    /// Whether what a start owes the partition is done.
    pub(super) fn is_begun(&mut self) -> bool {
        self.begun = self.begun || self.partition.begun.load(Ordering::Acquire);
        self.begun
    }

    /// Does what a start owes the partition, here and now.
    pub(super) fn begin(&mut self) -> Result<(), AppendError> {
        begin(&self.shared, &self.partition)?;
        self.begun = true;
        Ok(())
    }
}
