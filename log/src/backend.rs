//! How the batches of a writer get into a segment. Two ways, one trait.
//!
//! - *Mapped*: encoded in place, in the mapping. No system call; the janitor touches the pages
//!   ahead. The default, and what memory segments always use.
//! - *Pwrite*: encoded into a buffer, then written to the file with two `pwrite`s, the length word
//!   last. Never stores into the mapping, so a full or failing disk is an error of that call on
//!   every file system, also where a store into allocated space can fail (copy on write).
//!
//! Followers do not know the difference: both publish through the same mapping, whose pages are
//! the pages that `pwrite` fills.

use std::io;
use std::sync::Arc;

use crate::mapping::MapWriter;
use crate::options::WriterBackend;
use crate::storage::FileHandle;

/// Bytes of the length word of a batch.
const LEN_BYTES: usize = size_of::<u32>();

/// Puts bytes behind what is published in a segment.
pub(crate) trait Backend {
    /// Bytes to fill in, for the place `start`. They may hold anything; what is filled in becomes
    /// readable by the `publish` that follows.
    fn fill(&mut self, start: usize, bytes: usize) -> &mut [u8];

    /// Makes the batch that was filled in at `start` readable, its length word last.
    ///
    /// # Errors
    ///
    /// The file took it not, or not whole. Nothing of it is readable.
    fn publish_batch(&mut self, start: usize, bytes: u32) -> io::Result<()>;

    /// Makes what was filled in readable, up to `end`; it is no batch (the header page).
    ///
    /// # Errors
    ///
    /// As for a batch.
    fn publish(&mut self, end: usize) -> io::Result<()>;
}

impl Backend for MapWriter {
    #[inline]
    fn fill(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        MapWriter::fill(self, start, bytes)
    }

    #[inline]
    fn publish_batch(&mut self, start: usize, bytes: u32) -> io::Result<()> {
        MapWriter::publish_batch(self, start, bytes);
        Ok(())
    }

    fn publish(&mut self, end: usize) -> io::Result<()> {
        MapWriter::publish(self, end);
        Ok(())
    }
}

/// Writes with `pwrite`.
#[derive(Debug)]
pub(crate) struct PwriteWriter {
    /// The right to publish; its memory is not stored to.
    map: MapWriter,
    handle: Arc<dyn FileHandle>,
    /// At most the largest batch.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
}

impl PwriteWriter {
    fn new(map: MapWriter, handle: Arc<dyn FileHandle>) -> PwriteWriter {
        PwriteWriter {
            map,
            handle,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
        }
    }
}

impl Backend for PwriteWriter {
    fn fill(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        self.map.check_room(start, bytes);
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        (self.start, self.filled) = (start, bytes);
        &mut self.buffer[..bytes]
    }

    fn publish_batch(&mut self, start: usize, bytes: u32) -> io::Result<()> {
        assert_eq!(
            (start, bytes as usize),
            (self.start, self.filled),
            "what was filled in is published"
        );
        // Another process polls the length word: it must not be there before the rest is.
        let rest = &self.buffer[LEN_BYTES..self.filled];
        self.handle.write_at(start + LEN_BYTES, rest)?;
        self.handle.write_at(start, &bytes.to_le_bytes())?;
        self.map.publish(start + bytes as usize);
        Ok(())
    }

    fn publish(&mut self, end: usize) -> io::Result<()> {
        self.handle
            .write_at(self.start, &self.buffer[..self.filled])?;
        self.map.publish(end);
        Ok(())
    }
}

/// One of the two. Not a `dyn`: the mapped one is worth inlining.
#[derive(Debug)]
pub(crate) enum SegmentWriter {
    Mapped(MapWriter),
    Pwrite(PwriteWriter),
}

impl SegmentWriter {
    /// The writer of a segment; one without a file is memory.
    pub(crate) fn new(
        backend: WriterBackend,
        map: MapWriter,
        handle: Option<&Arc<dyn FileHandle>>,
    ) -> SegmentWriter {
        match (backend, handle) {
            (WriterBackend::Pwrite, Some(handle)) => {
                SegmentWriter::Pwrite(PwriteWriter::new(map, Arc::clone(handle)))
            }
            _ => SegmentWriter::Mapped(map),
        }
    }
}

impl Backend for SegmentWriter {
    #[inline]
    fn fill(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        match self {
            SegmentWriter::Mapped(writer) => Backend::fill(writer, start, bytes),
            SegmentWriter::Pwrite(writer) => writer.fill(start, bytes),
        }
    }

    #[inline]
    fn publish_batch(&mut self, start: usize, bytes: u32) -> io::Result<()> {
        match self {
            SegmentWriter::Mapped(writer) => Backend::publish_batch(writer, start, bytes),
            SegmentWriter::Pwrite(writer) => writer.publish_batch(start, bytes),
        }
    }

    fn publish(&mut self, end: usize) -> io::Result<()> {
        match self {
            SegmentWriter::Mapped(writer) => Backend::publish(writer, end),
            SegmentWriter::Pwrite(writer) => writer.publish(end),
        }
    }
}
