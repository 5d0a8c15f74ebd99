//! Moving on to another segment: a prepared file, one made here, or memory where the disk takes
//! nothing. Also what has to be said on the way: the hole that a failed or full disk leaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::{Backend, SegmentWriter};
use crate::batch::encode_gap;
use crate::error::AppendError;
use crate::header::{HEADER_BYTES, SegmentHeader};
use crate::index::SparseIndex;
use crate::layout::{GAP_BATCH_BYTES, batch_limit, capacity_for, index_entries_max};
use crate::limits::{FORMAT_VERSION_FIRST, MEMORY_SEGMENTS_MAX, SEGMENT_HEADER_BYTES};
use crate::mapping::Mapping;
use crate::partition::LostRange;
use crate::position::Offset;
use crate::segment::{Segment, SegmentFile, SegmentStart};
use crate::shared::{Counters, Worker, remove_if_there};
use crate::writer::{Active, Writer};

impl Writer {
    /// Moves on to a segment that takes a batch of `bytes`: a prepared one, one made here, or one
    /// in memory.
    pub(super) fn roll(&mut self, bytes: usize, now_ms: u64) -> Result<(), AppendError> {
        self.note_poison();
        match self.file_segment(bytes, now_ms, self.asks) {
            Ok((active, capacity)) => {
                self.install(active);
                self.leave_hole_behind();
                self.plan_next(capacity);
            }
            Err(_) => self.go_on_in_memory(bytes, now_ms)?,
        }
        self.shared.rolled.store(true, Ordering::Release);
        self.shared.wake(Worker::Preparer);
        Ok(())
    }

    /// The disk takes nothing: goes on in memory until the janitor has a file again.
    pub(super) fn go_on_in_memory(&mut self, bytes: usize, now_ms: u64) -> Result<(), AppendError> {
        let active =
            self.memory_segment(bytes, now_ms)
                .map_err(|source| AppendError::NoMemory {
                    partition: self.partition.id,
                    source,
                })?;
        self.hole_from.get_or_insert(self.next_offset);
        self.install(active);
        self.keep_few_in_memory();
        self.partition.clear_poison();
        self.partition.spare_ready.store(false, Ordering::Release);
        self.partition.degraded.store(true, Ordering::Release);
        let wanted = self.partition.next_segment_bytes.load(Ordering::Relaxed);
        self.partition.spare_wanted.store(wanted, Ordering::Release);
        Ok(())
    }

    /// A failed sync leaves a hole that the next file has to explain.
    pub(super) fn note_poison(&mut self) {
        if let Some(from) = self.partition.poisoned_from() {
            self.hole_from = Some(self.hole_from.map_or(from, |hole| hole.min(from)));
        }
    }

    /// A segment in a prepared file, or else in one that is made here, which waits for the disk:
    /// `prepared_only` says not to, as long as there is somebody to prepare one.
    pub(super) fn file_segment(
        &mut self,
        bytes: usize,
        now_ms: u64,
        prepared_only: bool,
    ) -> io::Result<(Active, usize)> {
        let capacity = self.next_capacity(bytes);
        let spare = match self.take_prepared(capacity) {
            Some(spare) => spare,
            None if prepared_only && self.shared.janitor_runs.load(Ordering::Acquire) => {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            None => {
                let spare = self.shared.create_spare(capacity)?;
                Counters::add(&self.shared.counters.segments_prepared_inline, 1);
                spare
            }
        };
        let name = spare.name.clone();
        let file = SegmentFile::new(spare.stored.handle, spare.name, false);
        match self.new_segment(spare.stored.mapping, Some(file), self.hole_from, now_ms) {
            Ok(active) => Ok((active, capacity)),
            Err(error) => {
                // Whatever became of it: nothing was published in it.
                let _ = remove_if_there(&*self.shared.storage, &name);
                Err(error)
            }
        }
    }

    fn memory_segment(&self, bytes: usize, now_ms: u64) -> io::Result<Active> {
        let capacity = (self.shared.options.segment_bytes_min as usize).max(capacity_for(bytes));
        let mapping = Mapping::anonymous(capacity, batch_limit(capacity))?;
        Counters::add(&self.shared.counters.segments_in_memory, 1);
        self.new_segment(mapping, None, None, now_ms)
    }

    /// Writes the header, and the gap if there is one, into a blank mapping.
    fn new_segment(
        &self,
        mapping: Mapping,
        file: Option<SegmentFile>,
        hole_from: Option<Offset>,
        now_ms: u64,
    ) -> io::Result<Active> {
        let mapping = Arc::new(mapping);
        let map = mapping.writer().expect("a new mapping has no writer");
        let handle = file.as_ref().map(|file| &file.handle);
        let mut map = SegmentWriter::new(self.shared.options.writer, map, handle);
        let header = SegmentHeader {
            version: FORMAT_VERSION_FIRST,
            partition: self.partition.id,
            generation: self.shared.generation(),
            log_id: self.shared.id,
            base_offset: hole_from.unwrap_or(self.next_offset),
            sequence: self.partition.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            created_at: now_ms,
            capacity: mapping.len(),
            epoch: self.epoch(),
        };
        header.encode(map.fill(0, HEADER_BYTES));
        map.publish(SEGMENT_HEADER_BYTES)?;
        let mut position = SEGMENT_HEADER_BYTES;
        if let Some(from) = hole_from.filter(|from| *from < self.next_offset) {
            let (next, durable) = (self.next_offset, self.partition.durable());
            let time = now_ms.max(self.last_time);
            let target = map.fill(position, GAP_BATCH_BYTES);
            encode_gap(header.generation, from, next, time, durable, target);
            map.publish_batch(position, GAP_BATCH_BYTES as u32)?;
            position += GAP_BATCH_BYTES;
        }
        let start = SegmentStart {
            header,
            first_offset: self.next_offset,
            first_position: position,
            end: self.next_offset,
            first_time: 0,
            last_time: 0,
        };
        let index = SparseIndex::with_capacity(index_entries_max(mapping.len()));
        let segment = Arc::new(Segment::new(start, mapping, file, index));
        Ok(self.active(segment, map, position))
    }

    pub(super) fn install(&mut self, active: Active) {
        let segment = Arc::clone(&active.segment);
        let unused = self.active.replace(active).and_then(|old| {
            old.segment.seal();
            old.segment.is_unused().then_some(old.segment)
        });
        self.partition.with_segments(|segments| {
            if let Some(unused) = &unused {
                segments.retain(|segment| !Arc::ptr_eq(segment, unused));
            }
            segments.push(segment);
        });
        if let Some(unused) = unused {
            self.shared.discard(unused);
        }
    }

    /// What lies between the hole's start and the new file will never be durable.
    pub(super) fn leave_hole_behind(&mut self) {
        if let Some(from) = self.hole_from.take() {
            let next = self.next_offset;
            self.partition.with_segments(|segments| {
                for segment in segments
                    .iter()
                    .filter(|segment| segment.first_offset < next)
                {
                    if segment.end() > from {
                        segment.set_lost_from(from);
                    }
                }
            });
            if from < next {
                self.partition.note_lost(LostRange { from, end: next });
            }
        }
        self.partition.clear_poison();
        self.partition.spare_ready.store(false, Ordering::Release);
        self.partition.degraded.store(false, Ordering::Release);
        self.partition.spare_wanted.store(0, Ordering::Release);
    }

    fn plan_next(&self, capacity: usize) {
        let max = self.shared.options.segment_bytes_max;
        let next = (capacity as u64 * 2)
            .min(max)
            .max(self.shared.options.segment_bytes_min);
        self.partition
            .next_segment_bytes
            .store(next, Ordering::Relaxed);
    }

    /// Bounds the memory of a partition without a disk.
    fn keep_few_in_memory(&self) {
        let surplus = self.partition.with_segments(|segments| {
            let is_memory = |segment: &Arc<Segment>| segment.file.is_none();
            let in_memory = segments.iter().filter(|segment| is_memory(segment)).count();
            let mut surplus = Vec::new();
            while in_memory - surplus.len() > MEMORY_SEGMENTS_MAX {
                let oldest = segments.iter().position(is_memory).expect("counted above");
                surplus.push(segments.remove(oldest));
            }
            surplus
        });
        for segment in surplus {
            self.partition.leave_loss(&segment);
            self.shared.discard(segment);
        }
    }
}
