//! Shared memory of a segment with one rule that makes it sound: *what is published never changes*.
//!
//! ```text
//!   0 ........ published ........ reserved_from ........ len
//!   read as &[u8]    | one writer     | footer, written by `pwrite`
//! ```
//!
//! - Below `published` the bytes are immutable as long as the mapping lives, so any number of
//!   threads may hold `&[u8]` and `Bytes` of them.
//! - From there to `reserved_from` only the one [`MapWriter`] writes; nobody makes a slice.
//! - Beyond lies the footer: written as a write of the file, read before the mapping is shared.
//!
//! A memory map is only as honest as its file: another process that writes into or shortens the
//! file breaks the rule. The directory lock and mode 0600 keep others out, and this crate itself
//! never shortens or rewrites a mapped file. What another process may be writing right now (tools
//! on a live directory) is copied out with atomic loads, never borrowed.
//!
//! All pointer work of the crate is in this file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

use crate::watermark::Watermark;

const WORD: usize = size_of::<u64>();

/// Mapped bytes without any promise: words in, words out.
#[derive(Debug)]
pub(crate) struct Memory {
    raw: MmapRaw,
    writable: bool,
    /// The kernel was asked for its largest pages.
    large: AtomicBool,
}

impl Memory {
    /// Zeroed memory of no file.
    pub(crate) fn anonymous(bytes: usize) -> io::Result<Arc<Memory>> {
        let raw = MmapRaw::from(MmapOptions::new().len(bytes).map_anon()?);
        Ok(Memory::new(raw, true))
    }

    /// The first `bytes` of a file. The file must be that long and stay so.
    pub(crate) fn of_file(file: &File, bytes: usize, writable: bool) -> io::Result<Arc<Memory>> {
        let mut options = MmapOptions::new();
        options.len(bytes);
        let raw = if writable {
            options.map_raw(file)?
        } else {
            options.map_raw_read_only(file)?
        };
        Ok(Memory::new(raw, writable))
    }

    fn new(raw: MmapRaw, writable: bool) -> Arc<Memory> {
        Arc::new(Memory {
            raw,
            writable,
            large: AtomicBool::new(false),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Makes a range of a file durable.
    pub(crate) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        self.raw.flush_range(range.start, range.len())
    }

    /// Makes pages writable ahead of use. Changes no byte; a kernel that can't is no error.
    pub(crate) fn populate(&self, range: Range<usize>) {
        if self.writable && range.start < range.end && range.end <= self.len() {
            let _ = self
                .raw
                .advise_range(Advice::PopulateWrite, range.start, range.len());
        }
    }

    /// Says that a page is asked for on its own, so that the kernel reads nothing around it.
    ///
    /// While a segment is being written this matters: a store into a page that is not there yet
    /// would otherwise wait until the kernel has zeroed as much as it reads ahead, megabytes.
    pub(crate) fn expect_single_pages(&self) {
        let _ = self.raw.advise(Advice::Random);
        self.expect_no_large_pages();
    }

    /// Takes back what `expect_large_pages` said. Such advice costs the lock of the process' memory,
    /// so it is given only where it changes something.
    pub(crate) fn expect_no_large_pages(&self) {
        if self.large.swap(false, Ordering::Relaxed) {
            let _ = self.raw.advise(Advice::NoHugePage);
        }
    }

    /// Says that the kernel is to hold what is not there yet in its largest pages: one fault, one
    /// entry to protect again at write-back and one to be told to the other processors for 2 MiB,
    /// not 512. False: this kernel has none.
    pub(crate) fn expect_large_pages(&self) -> bool {
        if !self.large.load(Ordering::Relaxed) && self.raw.advise(Advice::HugePage).is_ok() {
            self.large.store(true, Ordering::Relaxed);
        }
        self.large.load(Ordering::Relaxed)
    }

    /// Says that pages are asked for in order, which is how readers come.
    pub(crate) fn expect_reading(&self) {
        let _ = self.raw.advise(Advice::Normal);
    }

    /// Takes pages out of the mapping, so that the kernel may forget what it holds of them. Changes
    /// no byte: they are the file's, and the next access finds them there.
    pub(crate) fn release(&self, range: Range<usize>) {
        if range.start < range.end && range.end <= self.len() {
            // SAFETY: the pages of a shared mapping of a file keep their content, also what was
            // stored and not yet written back; anonymous memory has no handle that calls this.
            let _ = unsafe {
                self.raw
                    .unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
    }

    fn word(&self, position: usize) -> &AtomicU64 {
        assert!(
            position.is_multiple_of(WORD),
            "position {position} is not on a word"
        );
        assert!(
            position + WORD <= self.len(),
            "position {position} is beyond {}",
            self.len()
        );
        // SAFETY: in bounds by the assertion above.
        let pointer = unsafe { self.raw.as_mut_ptr().add(position) };
        // SAFETY: the base of a mapping is page-aligned and `position` is a multiple of 8; the
        // memory lives as long as `self`.
        unsafe { AtomicU64::from_ptr(pointer.cast()) }
    }

    /// Copies bytes out, whoever may be writing them.
    pub(crate) fn copy_out(&self, range: Range<usize>) -> Vec<u8> {
        let start = range.start / WORD * WORD;
        let end = range.end.next_multiple_of(WORD);
        let mut copy = Vec::with_capacity(end - start);
        for position in (start..end).step_by(WORD) {
            copy.extend_from_slice(&self.word(position).load(Ordering::Relaxed).to_ne_bytes());
        }
        copy.truncate(range.end - start);
        copy.drain(..range.start - start);
        copy
    }

    /// Stores whole words at a position on a word; the last one is padded with zeros.
    pub(crate) fn copy_in(&self, position: usize, bytes: &[u8]) {
        assert!(self.writable, "the mapping is read-only");
        for (index, chunk) in bytes.chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(position + index * WORD)
                .store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    /// Stores bytes at any position; the words at the edges keep their other bytes.
    pub(crate) fn copy_in_at(&self, position: usize, bytes: &[u8]) {
        let start = position / WORD * WORD;
        let end = (position + bytes.len()).next_multiple_of(WORD);
        let mut words = self.copy_out(start..end);
        words[position - start..][..bytes.len()].copy_from_slice(bytes);
        self.copy_in(start, &words);
    }

    /// The 32-bit word at a position, with everything written before it was stored.
    pub(crate) fn load_acquire(&self, position: usize) -> u32 {
        self.half_word(position).load(Ordering::Acquire)
    }

    fn half_word(&self, position: usize) -> &AtomicU32 {
        assert!(
            position.is_multiple_of(4),
            "position {position} is not aligned"
        );
        assert!(
            position + 4 <= self.len(),
            "position {position} is beyond {}",
            self.len()
        );
        // SAFETY: in bounds by the assertion above.
        let pointer = unsafe { self.raw.as_mut_ptr().add(position) };
        // SAFETY: aligned as the base is page-aligned; lives as long as `self`.
        unsafe { AtomicU32::from_ptr(pointer.cast()) }
    }
}

/// The memory of a segment, see the module's rule.
#[derive(Debug)]
pub struct Mapping {
    memory: Arc<Memory>,
    published: Watermark,
    reserved_from: usize,
    writer_taken: AtomicBool,
}

impl Mapping {
    /// A mapping of which nothing is published. Bytes from `reserved_from` on are the footer's.
    pub(crate) fn new(memory: Arc<Memory>, reserved_from: usize) -> Mapping {
        assert!(
            reserved_from <= memory.len(),
            "the footer starts within the mapping"
        );
        Mapping {
            memory,
            published: Watermark::new(0),
            reserved_from,
            writer_taken: AtomicBool::new(false),
        }
    }

    /// Zeroed memory of no file.
    pub(crate) fn anonymous(bytes: usize, reserved_from: usize) -> io::Result<Mapping> {
        Ok(Mapping::new(Memory::anonymous(bytes)?, reserved_from))
    }

    /// Bytes of the mapping.
    #[allow(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Where the footer starts.
    pub(crate) fn reserved_from(&self) -> usize {
        self.reserved_from
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Everything, while nobody else has the mapping: recovery reads it before it is shared.
    pub(crate) fn exclusive(&mut self) -> &[u8] {
        // SAFETY: `&mut self` and no `MapWriter` (they need an `Arc<Mapping>`): nobody in this
        // process writes while the slice lives. Other processes are kept out by the lock.
        unsafe { slice::from_raw_parts(self.memory.raw.as_ptr(), self.memory.len()) }
    }

    /// Declares the bytes below `end` as final, before the mapping is shared.
    pub(crate) fn set_published(&mut self, end: usize) {
        assert!(end <= self.reserved_from, "batches end before the footer");
        self.published = Watermark::new(end as u64);
    }

    /// Everything below is final.
    #[inline]
    pub(crate) fn published(&self) -> usize {
        self.published.reached() as usize
    }

    /// Published bytes. `None`: the range is not published (yet).
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.published() {
            return None;
        }
        // SAFETY: start <= end <= published <= len.
        let pointer = unsafe { self.memory.raw.as_ptr().add(range.start) };
        // SAFETY: published bytes never change while the mapping lives, and the Acquire load of
        // `published` pairs with the Release store that followed writing them.
        Some(unsafe { slice::from_raw_parts(pointer, range.len()) })
    }

    /// The one writer. `None`: it was taken already.
    pub(crate) fn writer(self: &Arc<Mapping>) -> Option<MapWriter> {
        if !self.memory.writable || self.writer_taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(MapWriter {
            mapping: Arc::clone(self),
        })
    }
}

/// The right to write behind what is published, held by one writer.
#[derive(Debug)]
pub(crate) struct MapWriter {
    mapping: Arc<Mapping>,
}

impl MapWriter {
    /// Unpublished bytes to fill in. They become visible by `publish`.
    #[inline]
    pub(crate) fn fill(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        self.check_room(start, bytes);
        // SAFETY: in bounds by the assertions above.
        let pointer = unsafe { self.mapping.memory.raw.as_mut_ptr().add(start) };
        // SAFETY: unpublished bytes below the footer are touched by the one `MapWriter` alone,
        // and `&mut self` makes the slice the only one.
        unsafe { slice::from_raw_parts_mut(pointer, bytes) }
    }

    /// Asserts that bytes may be written there: behind what is published, before the footer.
    #[inline]
    pub(crate) fn check_room(&self, start: usize, bytes: usize) {
        let published = self.mapping.published.own() as usize;
        assert!(
            start >= published,
            "{start} is published already (up to {published})"
        );
        assert!(
            start + bytes <= self.mapping.reserved_from,
            "{start} + {bytes} runs into the footer at {}",
            self.mapping.reserved_from
        );
    }

    /// Stores the length word of a batch last, then publishes it: a reader of another process
    /// polls the word, one of this process asks for what is published.
    #[inline]
    pub(crate) fn publish_batch(&mut self, start: usize, bytes: u32) {
        let end = start + bytes as usize;
        assert!(
            start >= self.mapping.published.own() as usize,
            "published already"
        );
        assert!(
            end <= self.mapping.reserved_from,
            "batches end before the footer"
        );
        self.mapping
            .memory
            .half_word(start)
            .store(bytes.to_le(), Ordering::Release);
        self.mapping.published.publish(end as u64);
    }

    /// Publishes bytes that are no batch (the header page).
    pub(crate) fn publish(&mut self, end: usize) {
        assert!(end >= self.mapping.published.own() as usize, "only grows");
        assert!(end <= self.mapping.reserved_from, "stays before the footer");
        self.mapping.published.publish(end as u64);
    }
}

/// A published part of a mapping that keeps the whole mapping alive, for `Bytes::from_owner`.
pub(crate) struct PublishedRange {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl PublishedRange {
    pub(crate) fn new(mapping: Arc<Mapping>, range: Range<usize>) -> Option<PublishedRange> {
        mapping.bytes(range.clone())?;
        Some(PublishedRange { mapping, range })
    }
}

impl AsRef<[u8]> for PublishedRange {
    fn as_ref(&self) -> &[u8] {
        self.mapping
            .bytes(self.range.clone())
            .expect("was published, and that never shrinks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Arc<Mapping> {
        Arc::new(Mapping::anonymous(8192, 8000).expect("anonymous memory"))
    }

    #[test]
    fn nothing_is_readable_before_it_is_published() {
        let mapping = mapping();
        let mut writer = mapping.writer().expect("first writer");
        writer.fill(0, 16)[4..16].copy_from_slice(b"hello world!");
        assert_eq!(mapping.bytes(0..16), None);
        writer.publish_batch(0, 16);
        assert_eq!(
            mapping.bytes(0..16).expect("published")[4..],
            *b"hello world!"
        );
        assert_eq!(mapping.memory().load_acquire(0), 16);
        assert_eq!(mapping.bytes(0..17), None);
    }

    #[test]
    fn there_is_one_writer() {
        let mapping = mapping();
        assert!(mapping.writer().is_some());
        assert!(mapping.writer().is_none());
    }

    #[test]
    #[should_panic(expected = "published already")]
    fn published_bytes_can_not_be_written() {
        let mapping = mapping();
        let mut writer = mapping.writer().expect("first writer");
        writer.publish(64);
        writer.fill(56, 8);
    }

    #[test]
    #[should_panic(expected = "runs into the footer")]
    fn batches_can_not_reach_the_footer() {
        mapping().writer().expect("first writer").fill(7996, 8);
    }

    #[test]
    fn copies_need_no_alignment() {
        let memory = Memory::anonymous(4096).expect("anonymous memory");
        memory.copy_in(8, b"0123456789");
        assert_eq!(memory.copy_out(9..15), b"123456");
        assert_eq!(memory.copy_out(16..24), b"89\0\0\0\0\0\0");
        memory.copy_in_at(13, b"abcdef");
        assert_eq!(memory.copy_out(8..24), b"01234abcdef\0\0\0\0\0");
    }
}
