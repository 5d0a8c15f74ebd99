//! A file of a partition while recovery looks at it: what it seems to hold, and what is wrong with it.
//!
//! Nothing here changes the medium, so that the files of many partitions can be looked at on several
//! threads at once; `recovery` carries out what follows from it.

use std::sync::Arc;

use crate::batch::BatchKind;
use crate::header::{Footer, SegmentHeader};
use crate::index::{IndexEntry, SparseIndex};
use crate::layout::index_entries_max;
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::position::Offset;
use crate::scan::{Stretch, check_batch, scan};
use crate::segment::{FooterState, Segment, SegmentFile, SegmentStart};
use crate::storage::StoredFile;

/// A file while recovery looks at it.
pub(crate) struct Draft {
    pub name: String,
    pub stored: Option<StoredFile>,
    pub header: SegmentHeader,
    /// The header was made up from the name and the first batch.
    pub header_damaged: bool,
    /// Every batch was looked at; else its footer was believed.
    pub scanned: bool,
    pub stretches: Vec<Stretch>,
    first_time: u64,
    pub last_time: u64,
    entries: Vec<IndexEntry>,
    first_record: Option<(Offset, usize)>,
    /// Offsets to fill by gaps.
    pub gaps: Vec<(Offset, Offset)>,
    /// Between batches that follow each other lies something else: whoever reads on would stop there.
    pub interspersed: bool,
    /// After the last offset, gaps included.
    pub end: Offset,
    /// What lies behind its last record that counts was never durable.
    pub torn: bool,
    /// After the last byte that is not zero, as far as it was scanned.
    used: usize,
}

impl Draft {
    /// A file that nobody has looked into. `header_damaged`: the header is a guess.
    pub(crate) fn new(
        name: String,
        stored: Option<StoredFile>,
        header: SegmentHeader,
        header_damaged: bool,
    ) -> Draft {
        Draft {
            name,
            end: header.base_offset,
            stored,
            header,
            header_damaged,
            scanned: false,
            stretches: Vec::new(),
            first_time: 0,
            last_time: 0,
            entries: Vec::new(),
            first_record: None,
            gaps: Vec::new(),
            interspersed: false,
            torn: false,
            used: 0,
        }
    }

    /// Takes the footer's word for what the segment holds, if it fits what follows.
    pub(crate) fn take_footer(&mut self, limit: Option<Offset>) -> bool {
        let Some(stored) = self.stored.as_mut() else {
            return false;
        };
        let reserved_from = stored.mapping.reserved_from();
        let bytes = stored.mapping.exclusive();
        if bytes.len() != self.header.capacity {
            return false;
        }
        let footer = Footer::decode(
            &bytes[reserved_from..],
            self.header.generation,
            self.header.capacity,
        );
        let Some(footer) = footer else {
            return false;
        };
        let end = footer.last_offset.saturating_add(1);
        let base = self.header.base_offset;
        let fits = end >= base && limit.is_none_or(|limit| end >= limit);
        let positions = SEGMENT_HEADER_BYTES..=reserved_from;
        if !fits || !positions.contains(&footer.end_position) {
            return false;
        }
        self.first_time = footer.first_time;
        self.last_time = footer.last_time;
        self.entries = footer.entries;
        if end == base {
            self.end = base;
            return footer.end_position == SEGMENT_HEADER_BYTES;
        }
        let generation = self.header.generation;
        let first = check_batch(bytes, SEGMENT_HEADER_BYTES, reserved_from, generation);
        let Some(first) = first.filter(|first| first.header.base_offset == base) else {
            return false;
        };
        self.first_record = Some(match first.header.kind {
            BatchKind::Data | BatchKind::Sparse => (first.header.base_offset, first.position),
            BatchKind::Gap => (first.end, first.position + first.header.bytes),
        });
        self.stretches = vec![Stretch {
            position: SEGMENT_HEADER_BYTES,
            end_position: footer.end_position,
            first: self.header.base_offset,
            end,
        }];
        self.clip(limit);
        true
    }

    /// Looks at every batch; the greatest durable mark among them.
    pub(crate) fn scan(&mut self, limit: Option<Offset>) -> Offset {
        self.scanned = true;
        let Some(stored) = self.stored.as_mut() else {
            return 0;
        };
        let reserved_from = stored.mapping.reserved_from();
        let found = scan(
            stored.mapping.exclusive(),
            reserved_from,
            self.header.generation,
            self.header.base_offset,
            limit.unwrap_or(Offset::MAX),
        );
        self.stretches = found.stretches;
        self.first_time = found.first_time;
        self.last_time = found.last_time;
        self.entries = found.entries;
        self.first_record = found.first_record;
        self.used = found.used;
        self.clip(limit);
        found.durable
    }

    /// Whether every batch with records from this offset on is as its footer promises.
    pub(crate) fn is_sound(&mut self, from: Offset) -> bool {
        let (Some(last), Some(stored)) = (self.stretches.last(), self.stored.as_mut()) else {
            return self.stretches.is_empty();
        };
        let (end_position, end) = (last.end_position, last.end);
        if end <= from {
            return true;
        }
        let bytes = stored.mapping.exclusive();
        let behind = self.entries.partition_point(|entry| entry.offset <= from);
        let before = behind.checked_sub(1).map(|index| self.entries[index]);
        let (mut expected, mut position) = match before {
            Some(entry) => (entry.offset, entry.position),
            None => (self.header.base_offset, SEGMENT_HEADER_BYTES),
        };
        while position < end_position {
            let batch = check_batch(bytes, position, end_position, self.header.generation);
            let Some(batch) = batch.filter(|batch| batch.header.base_offset == expected) else {
                return false;
            };
            expected = batch.end;
            position += batch.header.bytes;
        }
        // A later file may claim the last offsets.
        expected >= end
    }

    /// Whether a batch that reaches beyond an offset was appended after a time. Stops at the first one that is
    /// damaged.
    pub(crate) fn goes_on_after(&mut self, offset: Offset, time: u64) -> bool {
        let generation = self.header.generation;
        let Some(stored) = self.stored.as_mut() else {
            return false;
        };
        let end_position = stored.mapping.reserved_from();
        let bytes = stored.mapping.exclusive();
        let mut position = SEGMENT_HEADER_BYTES;
        while let Some(batch) = check_batch(bytes, position, end_position, generation) {
            if batch.end > offset && batch.header.append_time > time {
                return true;
            }
            position += batch.header.bytes;
        }
        false
    }

    /// Leaves out what a later file claims.
    fn clip(&mut self, limit: Option<Offset>) {
        if let Some(limit) = limit {
            self.stretches.retain(|stretch| stretch.first < limit);
            for stretch in &mut self.stretches {
                stretch.end = stretch.end.min(limit);
            }
        }
        self.end = self
            .stretches
            .last()
            .map_or(self.header.base_offset, |last| last.end);
    }

    pub(crate) fn end_position(&self) -> usize {
        self.stretches
            .last()
            .map_or(SEGMENT_HEADER_BYTES, |last| last.end_position)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        (self.end_position() - SEGMENT_HEADER_BYTES) as u64
    }

    /// Bytes behind the last record that counts that are to be zeroed, up to the last one that is not.
    pub(crate) fn garbage_bytes(&self) -> usize {
        self.used.saturating_sub(self.end_position())
    }

    pub(crate) fn into_segment(self, is_last: bool) -> Option<Arc<Segment>> {
        let end_position = self.end_position();
        let mut stored = self.stored?;
        stored.mapping.set_published(end_position);
        let (first_offset, first_position) = self.first_record.unwrap_or((self.end, end_position));
        let start = SegmentStart {
            header: self.header,
            first_offset: first_offset.min(self.end),
            first_position,
            end: self.end,
            first_time: self.first_time,
            last_time: self.last_time,
        };
        let whole = stored.mapping.len() == self.header.capacity;
        let entries_max = index_entries_max(stored.mapping.len());
        let index = SparseIndex::from_entries(&self.entries, entries_max);
        let file = SegmentFile::new(stored.handle, self.name, true);
        if !self.scanned {
            file.set_footer(FooterState::Synced);
        }
        let segment = Segment::new(start, Arc::new(stored.mapping), Some(file), index);
        if !is_last || !whole {
            segment.seal();
        }
        Some(Arc::new(segment))
    }

    /// Decides for every hole of this file: gaps if what was there had been durable.
    fn judge(&mut self, limit: Option<Offset>, known: Offset) {
        let mut expected = self.header.base_offset;
        if self.header_damaged && expected > known {
            self.torn = true;
            self.stretches.clear();
            self.end = expected;
            return;
        }
        let (mut kept, mut position) = (0, SEGMENT_HEADER_BYTES);
        for stretch in &self.stretches {
            if stretch.first > expected || stretch.position > position {
                if expected > known {
                    break;
                }
                if stretch.first > expected {
                    self.gaps.push((expected, stretch.first));
                } else {
                    self.interspersed = true;
                }
            }
            (expected, position) = (stretch.end, stretch.end_position);
            kept += 1;
        }
        self.torn = kept < self.stretches.len();
        self.stretches.truncate(kept);
        let target = limit.unwrap_or(known.saturating_add(1));
        if !self.torn && expected < target {
            if expected > known {
                self.torn = true;
            } else {
                self.gaps.push((expected, target));
                expected = target;
            }
        }
        self.end = expected;
        let end_position = self.end_position();
        self.entries.retain(|entry| entry.position < end_position);
        self.first_record = self
            .first_record
            .filter(|(_, position)| *position < end_position);
    }
}

/// Decides for every place that is not as it should be whether it is damage or a torn tail.
pub(crate) fn judge(drafts: &mut [Draft], known: Offset) {
    for index in 0..drafts.len() {
        let limit = drafts.get(index + 1).map(|next| next.header.base_offset);
        let draft = &mut drafts[index];
        draft.judge(limit, known);
        if draft.torn {
            return;
        }
    }
}
