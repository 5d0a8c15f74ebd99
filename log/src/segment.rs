//! One segment while the log is open: mapping, file, index and how far things have gone.
//!
//! The writer appends, followers read, the janitor closes, syncs and drops it; what they share is
//! here, each field with one of them as its writer.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::batch::BatchHeader;
use crate::header::{Footer, SegmentHeader};
use crate::index::SparseIndex;
use crate::layout::FOOTER_HEADER_BYTES;
use crate::limits::{BATCH_HEADER_BYTES, WRITE_BACK_BYTES};
use crate::mapping::Mapping;
use crate::position::Offset;
use crate::storage::FileHandle;

/// "No limit" and "nothing is lost" for offsets.
const NONE: u64 = u64::MAX;

/// How far the footer of a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FooterState {
    None,
    Written,
    Synced,
}

/// The file behind a segment.
pub(crate) struct SegmentFile {
    pub handle: Arc<dyn FileHandle>,
    name: Mutex<String>,
    /// It has the name of a segment and not that of a spare.
    named: AtomicBool,
    /// Its name is gone (dropped, or taken by the segment that supersedes it).
    gone: AtomicBool,
    footer: AtomicU8,
}

impl SegmentFile {
    pub(crate) fn new(handle: Arc<dyn FileHandle>, name: String, named: bool) -> SegmentFile {
        SegmentFile {
            handle,
            name: Mutex::new(name),
            named: AtomicBool::new(named),
            gone: AtomicBool::new(false),
            footer: AtomicU8::new(FooterState::None as u8),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.name.lock().expect("file name").clone()
    }

    pub(crate) fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    pub(crate) fn set_named(&self, name: String) {
        *self.name.lock().expect("file name") = name;
        self.named.store(true, Ordering::Release);
    }

    pub(crate) fn footer(&self) -> FooterState {
        match self.footer.load(Ordering::Acquire) {
            0 => FooterState::None,
            1 => FooterState::Written,
            _ => FooterState::Synced,
        }
    }

    pub(crate) fn set_footer(&self, state: FooterState) {
        self.footer.store(state as u8, Ordering::Release);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

impl fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentFile")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// What a segment starts with.
#[derive(Debug)]
pub(crate) struct SegmentStart {
    pub header: SegmentHeader,
    /// The first record held. Later than the header's base where the segment begins with a gap.
    pub first_offset: Offset,
    /// Where the batch of that record starts.
    pub first_position: usize,
    /// After the last record.
    pub end: Offset,
    pub first_time: u64,
    pub last_time: u64,
}

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    pub header: SegmentHeader,
    pub first_offset: Offset,
    pub first_position: usize,
    pub mapping: Arc<Mapping>,
    /// `None`: memory only.
    pub file: Option<SegmentFile>,
    pub index: SparseIndex,
    end: AtomicU64,
    limit: AtomicU64,
    lost_from: AtomicU64,
    /// Losses below were told to the listeners.
    loss_reported: AtomicU64,
    first_time: AtomicU64,
    last_time: AtomicU64,
    sealed: AtomicBool,
    /// Up to here (position) pages were made writable ahead.
    pub pretouched: AtomicUsize,
    /// Up to here (position) write-back was started.
    pub written_back: AtomicUsize,
    /// Up to here (position) the file was handed to a sync.
    flushed: AtomicUsize,
}

/// A batch found in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPlace {
    pub header: BatchHeader,
    pub position: usize,
}

impl BatchPlace {
    pub(crate) fn range(&self) -> Range<usize> {
        self.position..self.position + self.header.bytes
    }

    pub(crate) fn body(&self) -> Range<usize> {
        self.position + BATCH_HEADER_BYTES..self.position + self.header.bytes
    }
}

impl Segment {
    pub(crate) fn new(
        start: SegmentStart,
        mapping: Arc<Mapping>,
        file: Option<SegmentFile>,
        index: SparseIndex,
    ) -> Segment {
        let lost_from = if file.is_none() {
            start.first_offset
        } else {
            NONE
        };
        let published = mapping.published();
        Segment {
            header: start.header,
            first_offset: start.first_offset,
            first_position: start.first_position,
            mapping,
            file,
            index,
            end: AtomicU64::new(start.end),
            limit: AtomicU64::new(NONE),
            lost_from: AtomicU64::new(lost_from),
            loss_reported: AtomicU64::new(0),
            first_time: AtomicU64::new(start.first_time),
            last_time: AtomicU64::new(start.last_time),
            sealed: AtomicBool::new(false),
            pretouched: AtomicUsize::new(published),
            written_back: AtomicUsize::new(published),
            flushed: AtomicUsize::new(published),
        }
    }

    /// Notes that all that is published goes to a sync now; how many bytes were in none before.
    pub(crate) fn note_flush(&self) -> u64 {
        let published = self.mapping.published();
        (published - self.flushed.swap(published, Ordering::Relaxed)) as u64
    }

    /// Bytes that are published and were in no sync.
    pub(crate) fn unflushed(&self) -> u64 {
        let flushed = self.flushed.load(Ordering::Relaxed);
        self.mapping.published().saturating_sub(flushed) as u64
    }

    /// So much was appended since write-back was last started that it is time to do so again.
    pub(crate) fn is_write_back_due(&self) -> bool {
        let started = self.written_back.load(Ordering::Relaxed);
        self.mapping.published() >= started + WRITE_BACK_BYTES
    }

    /// Name of the file for messages.
    pub(crate) fn name(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(|| "a segment in memory".to_owned(), SegmentFile::name)
    }

    /// After the last record that counts.
    pub(crate) fn end(&self) -> Offset {
        self.end
            .load(Ordering::Acquire)
            .min(self.limit.load(Ordering::Acquire))
    }

    /// The writer appended up to here.
    #[inline]
    pub(crate) fn advance(&self, end: Offset, time: u64) {
        if self.first_time.load(Ordering::Relaxed) == 0 {
            self.first_time.store(time, Ordering::Relaxed);
        }
        self.last_time.store(time, Ordering::Relaxed);
        self.end.store(end, Ordering::Release);
    }

    /// Records from `limit` on count no more.
    pub(crate) fn cut(&self, limit: Offset) {
        self.limit.fetch_min(limit, Ordering::AcqRel);
    }

    /// Records from here on can't become durable in this segment.
    pub(crate) fn lost_from(&self) -> Option<Offset> {
        let from = self.lost_from.load(Ordering::Acquire);
        (from != NONE).then_some(from)
    }

    pub(crate) fn set_lost_from(&self, from: Offset) {
        self.lost_from
            .fetch_min(from.max(self.first_offset), Ordering::AcqRel);
    }

    /// Notes that losses up to `end` are told now; returns up to where they were before.
    pub(crate) fn loss_reported(&self, end: Offset) -> Offset {
        self.loss_reported.fetch_max(end, Ordering::AcqRel)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.end() <= self.first_offset
    }

    /// Nothing is lost without it: no record, no gap that it explains, no name that says that
    /// records of earlier files count no more.
    pub(crate) fn is_unused(&self) -> bool {
        let is_named = self.file.as_ref().is_some_and(SegmentFile::is_named);
        self.is_empty() && self.header.base_offset == self.first_offset && !is_named
    }

    /// All its offsets are claimed by a later segment.
    pub(crate) fn is_superseded_by(&self, later: &Segment) -> bool {
        self.header.sequence < later.header.sequence
            && self.header.base_offset >= later.header.base_offset
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// The writer has left for good.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    pub(crate) fn first_time(&self) -> u64 {
        self.first_time.load(Ordering::Relaxed)
    }

    pub(crate) fn last_time(&self) -> u64 {
        self.last_time.load(Ordering::Relaxed)
    }

    /// The batch at a published position.
    #[inline]
    pub(crate) fn batch_at(&self, position: usize) -> Option<BatchPlace> {
        let header = self
            .mapping
            .bytes(position..position + BATCH_HEADER_BYTES)?;
        let header = BatchHeader::decode(header)?;
        (position + header.bytes <= self.mapping.published())
            .then_some(BatchPlace { header, position })
    }

    /// Writes the footer of a segment its writer has left, once. A hint only, not synced here.
    /// Writing it twice at once writes the same bytes.
    pub(crate) fn write_footer(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let fits = self.mapping.len() == self.header.capacity;
        if !fits || file.is_gone() || file.footer() != FooterState::None {
            return;
        }
        let footer = Footer {
            generation: self.header.generation,
            last_offset: self.end() - 1,
            end_position: self.mapping.published(),
            first_time: self.first_time(),
            last_time: self.last_time(),
            entries: self.index.entries(),
        };
        // A disk that takes it not leaves the segment to be scanned.
        let place = self.mapping.reserved_from();
        if file.handle.write_at(place, &footer.encode()).is_ok() {
            file.set_footer(FooterState::Written);
        }
        self.mapping.memory().expect_reading();
    }

    /// Takes the footer away before the segment is appended to again.
    pub(crate) fn clear_footer(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.set_footer(FooterState::None);
        self.mapping.memory().expect_single_pages();
        let zeros = [0; FOOTER_HEADER_BYTES];
        file.handle.write_at(self.mapping.reserved_from(), &zeros)
    }
}
