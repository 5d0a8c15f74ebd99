//! A follower of one partition: a place in it and nothing else.
//!
//! It never waits and never makes the writer wait. Inside a segment it takes no lock; crossing to
//! the next one takes the lock of the segment list for a few instructions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{Batch, BatchKind, decode_gap, sparse_end};
use crate::error::ReadError;
use crate::limits::{ALIGNMENT, SEGMENT_HEADER_BYTES};
use crate::partition::{Durability, Partition};
use crate::position::{EpochStart, OFFSET_FIRST, Offset, PartitionId};
use crate::segment::{BatchPlace, Segment};
use crate::sync::{current_thread, park_timeout};

/// Follows one partition by offset. Cloning it gives a second follower at the same place.
///
/// ```
/// use skein_log::{Log, MemoryStorage, Options, PartitionId, ReadError, Record};
///
/// let options = Options { partitions: 1, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// let mut reader = log.reader(PartitionId(0));
/// assert!(reader.next_batch()?.is_none(), "at the end of the log");
///
/// for payload in [&b"a"[..], b"b", b"c"] {
///     writer.append(0, &[Record { payload, ..Record::default() }]).unwrap();
/// }
/// reader.seek(2);
/// while let Some(batch) = reader.next_batch()? {
///     for (offset, record) in batch.records() {
///         println!("{offset}: {} bytes", record.payload.len());
///     }
/// }
/// assert_eq!(reader.position(), 4);
/// # Ok::<(), ReadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    partition: Arc<Partition>,
    segment: Option<Arc<Segment>>,
    /// Where the batch with `next` starts, or one before it.
    position: usize,
    next: Offset,
    /// The newest epoch of what was read.
    epoch: u32,
    verify: bool,
}

/// What lies at the reader's place in a segment.
enum Step {
    Batch(BatchPlace, Offset),
    /// Nothing more in this segment.
    SegmentEnd,
    Damaged(ReadError),
}

impl Reader {
    pub(crate) fn new(partition: Arc<Partition>) -> Reader {
        Reader {
            epoch: partition.reading_epoch(),
            partition,
            segment: None,
            position: 0,
            next: OFFSET_FIRST,
            verify: false,
        }
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition.id
    }

    /// Checks the checksum of every batch from now on. Off by default: right for who follows what this
    /// process writes. In what was there before a start only the headers were read, but for what the
    /// start itself had to trust: who reads that turns it on, or may be given bytes that have rotted.
    pub fn set_verify(&mut self, verify: bool) {
        self.verify = verify;
    }

    /// Goes to an offset. It may lie before the first record (the next read reports the gap) or
    /// beyond the last one (the reader waits there).
    pub fn seek(&mut self, offset: Offset) {
        self.next = offset.max(OFFSET_FIRST);
        self.segment = None;
    }

    /// Goes to the first batch appended at `time_ms` or later; to the end if there is none.
    pub fn seek_time(&mut self, time_ms: u64) {
        for segment in self.partition.segments() {
            if segment.is_empty() || segment.last_time() < time_ms {
                continue;
            }
            let hint = segment.index.last_where(|entry| entry.time < time_ms);
            let mut position = hint.map_or(segment.first_position, |entry| entry.position);
            while let Some(place) = segment.batch_at(position) {
                let header = &place.header;
                if header.base_offset >= segment.end() {
                    break; // Cut off: a later segment has these offsets.
                }
                if header.append_time >= time_ms && header.kind != BatchKind::Gap {
                    return self.seek(header.base_offset.max(self.partition.first_offset()));
                }
                position += header.bytes;
            }
        }
        self.seek(self.partition.appended() + 1);
    }

    /// The offset of the next record to read.
    pub fn position(&self) -> Offset {
        self.next
    }

    /// The epoch in which the records before [`Reader::position`] were read. A later epoch that begins
    /// before that position has others in their place.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Waits until there is something for `next_batch`, a batch or an error, at most for `timeout`;
    /// whether there is. Woken by the writer. For threads that may wait: whoever has other things to
    /// do asks `next_batch` and is woken by its own writer.
    ///
    /// ```
    /// # use std::{thread, time::Duration};
    /// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
    /// # let options = Options { partitions: 1, ..Options::default() };
    /// # let (mut log, _) = Log::open(MemoryStorage::new(), options, 0, 1).unwrap();
    /// # let mut writer = log.take_writer(PartitionId(0)).unwrap();
    /// let reader = log.reader(PartitionId(0));
    /// let follower = thread::spawn(move || reader.wait(Duration::from_secs(60)));
    /// writer.append(0, &[Record::default()])?;
    /// assert!(follower.join().unwrap());
    /// # Ok::<(), skein_log::AppendError>(())
    /// ```
    pub fn wait(&self, timeout: Duration) -> bool {
        let (began, this) = (Instant::now(), current_thread());
        while !self.has_more() {
            self.partition.add_waiter(this.clone());
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            // The writer may have come between the look and the list.
            if !self.has_more() {
                park_timeout(left);
            }
        }
        self.partition.remove_waiter(&this);
        self.has_more()
    }

    fn has_more(&self) -> bool {
        let appended = self.partition.appended();
        let is_cut = self.next > appended + 1 && self.segment.is_some();
        self.next <= appended || is_cut
    }

    /// The offset of the newest record.
    pub fn appended(&self) -> Offset {
        self.partition.appended()
    }

    /// The offset up to which every record survives a power failure, or was reported lost.
    pub fn durable(&self) -> Offset {
        self.partition.durable()
    }

    /// What is known about one record.
    pub fn durability(&self, offset: Offset) -> Durability {
        self.partition.durability(offset)
    }

    /// Where replay of the newest durable checkpoint starts.
    pub fn checkpoint(&self) -> Option<Offset> {
        self.partition.checkpoint_begin()
    }

    /// The first record held; the next one to come if none is.
    pub fn first_offset(&self) -> Offset {
        self.partition.first_offset()
    }

    /// The epochs that are durable, oldest first; a writer's own is `Writer::epochs`.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.partition
            .state
            .lock()
            .expect("partition state")
            .epochs
            .clone()
    }

    /// The batch at the reader's place; its records start there. `None`: the reader has
    /// everything. After an error the reader stands where the error says and can go on.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        // First: of what is cut meanwhile nothing may be taken for the new epoch's.
        let epoch = self.partition.reading_epoch();
        let appended = self.partition.appended();
        if self.next > appended {
            return if self.next > appended + 1 {
                self.beyond_the_end(appended)
            } else {
                Ok(None)
            };
        }
        let floor = self.partition.floor();
        if self.next < floor {
            return Err(self.gap(floor));
        }
        loop {
            if self.segment.is_none() && !self.enter_segment()? {
                return Ok(None);
            }
            let segment = self.segment.as_ref().expect("entered above");
            match self.step(segment) {
                Step::Batch(place, end) if place.header.kind == BatchKind::Gap => {
                    return Err(self.gap(end));
                }
                Step::Batch(place, end) => {
                    let segment = Arc::clone(segment);
                    let sparse = place.header.kind == BatchKind::Sparse;
                    let batch = self.take(&segment, place, end);
                    self.epoch = epoch;
                    // All of its records may have been removed.
                    if sparse && batch.records().next().is_none() {
                        if self.next > appended {
                            return Ok(None);
                        }
                        continue;
                    }
                    return Ok(Some(batch));
                }
                Step::SegmentEnd => self.leave_segment()?,
                Step::Damaged(error) => {
                    self.pass_damage();
                    return Err(error);
                }
            }
        }
    }

    /// Stands in the segment of `next`, at a batch at or before it. False: there is none yet.
    fn enter_segment(&mut self) -> Result<bool, ReadError> {
        let Some(segment) = self.partition.segment_at(self.next) else {
            return Ok(false);
        };
        if segment.first_offset > self.next {
            return Err(self.gap(segment.first_offset));
        }
        let hint = segment.index.last_where(|entry| entry.offset <= self.next);
        self.position = match hint {
            Some(entry) if self.next > segment.first_offset => entry.position,
            _ => segment.first_position,
        };
        self.segment = Some(segment);
        Ok(true)
    }

    /// Goes on behind the segment. If it ends before the reader's place it was cut.
    fn leave_segment(&mut self) -> Result<(), ReadError> {
        let end = self
            .segment
            .take()
            .map_or(self.next, |segment| segment.end());
        if end < self.next {
            self.next = end;
            return Err(ReadError::Truncated {
                partition: self.partition.id,
                next: end,
            });
        }
        Ok(())
    }

    /// Finds the batch that holds `next`, from the reader's position on.
    fn step(&self, segment: &Segment) -> Step {
        let limit = segment.end();
        if self.next >= limit {
            return Step::SegmentEnd;
        }
        let mut position = self.position.max(SEGMENT_HEADER_BYTES);
        loop {
            let Some(place) = segment.batch_at(position) else {
                return Step::Damaged(self.damaged(segment, position, "its header is not valid"));
            };
            let end = match self.end_of(segment, &place) {
                Some(end) => end,
                None => {
                    return Step::Damaged(self.damaged(segment, position, "its body is not valid"));
                }
            };
            if end > self.next {
                return Step::Batch(place, end.min(limit));
            }
            position += place.header.bytes;
        }
    }

    /// After the last offset of a batch. `None`: the body does not fit.
    fn end_of(&self, segment: &Segment, place: &BatchPlace) -> Option<Offset> {
        let body = segment.mapping.bytes(place.body())?;
        if self.verify {
            return place.header.end_offset(body);
        }
        match place.header.kind {
            BatchKind::Data => Some(place.header.base_offset + u64::from(place.header.count)),
            BatchKind::Sparse => sparse_end(body),
            BatchKind::Gap => decode_gap(body),
        }
    }

    fn take(&mut self, segment: &Arc<Segment>, place: BatchPlace, end: Offset) -> Batch {
        debug_assert!(
            place.header.kind != BatchKind::Gap,
            "gaps are passed in `next_batch`"
        );
        let from = self.next.max(place.header.base_offset);
        self.position = place.position + place.header.bytes;
        self.next = end;
        Batch::new(
            Arc::clone(&segment.mapping),
            place.range(),
            place.header,
            from,
            end,
        )
    }

    /// The log is shorter than where the reader stands: it was truncated, or the reader was sent
    /// there. A reader that was sent there waits.
    fn beyond_the_end(&mut self, appended: Offset) -> Result<Option<Batch>, ReadError> {
        if self.segment.take().is_none() {
            return Ok(None);
        }
        self.next = appended + 1;
        Err(ReadError::Truncated {
            partition: self.partition.id,
            next: self.next,
        })
    }

    fn gap(&mut self, next: Offset) -> ReadError {
        let from = self.next;
        self.seek(next);
        ReadError::Gap {
            partition: self.partition.id,
            from,
            next,
        }
    }

    fn damaged(&self, segment: &Segment, position: usize, problem: &str) -> ReadError {
        ReadError::Damaged {
            file: segment.name(),
            offset: self.next,
            position: position as u64,
            problem: problem.to_owned(),
        }
    }

    /// Stands behind a damaged batch: at the next one of this segment that is right, else at the
    /// next segment.
    fn pass_damage(&mut self) {
        let Some(segment) = self.segment.take() else {
            return;
        };
        let mut position = self.position.max(SEGMENT_HEADER_BYTES);
        while position < segment.mapping.published() {
            position += ALIGNMENT;
            let place = segment.batch_at(position).filter(|place| {
                let header = &place.header;
                header.generation == segment.header.generation && header.base_offset > self.next
            });
            if let Some(place) = place
                && self.end_of(&segment, &place).is_some()
            {
                // Stays there: looking the offset up would walk over the damage again.
                self.next = place.header.base_offset;
                self.position = position;
                self.segment = Some(segment);
                return;
            }
        }
        self.seek(segment.end().max(self.next + 1));
    }
}
