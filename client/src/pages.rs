//! Puts the pages of a batch together: they count when the last is in.
//!
//! At most one batch of a chat is on its way to a viewer in pages, so a page of another snapshot
//! means that the one begun before will not be finished.

use skein_wire::batch::{Batch, BatchHeader};
use skein_wire::error::{Code, WireError};

use crate::limits::PAGES_HELD_MAX;

/// The pages of at most one batch.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    header: Option<BatchHeader>,
    pages: Vec<Option<Batch>>,
    missing: usize,
}

impl Pages {
    /// Takes a batch or a page of one; gives the whole batch when there is one.
    ///
    /// # Errors
    /// `too_large` for more pages than can be held, `malformed` for pages that contradict each
    /// other: faults of the server.
    pub fn take(&mut self, batch: Batch) -> Result<Option<Batch>, WireError> {
        let Some(page) = batch.header.page else {
            return Ok(Some(batch));
        };
        if page.total > PAGES_HELD_MAX {
            return Err(WireError::new(
                Code::TooLarge,
                "a batch of more pages than this client holds",
            ));
        }
        let held = self.header.and_then(|header| header.page);
        if held.is_none_or(|held| held.snapshot != page.snapshot) {
            self.begin(&batch.header, page.total as usize);
        } else if !self.belongs(&batch.header) {
            return Err(WireError::new(
                Code::Malformed,
                "pages of one batch contradict each other",
            ));
        }
        let slot = &mut self.pages[page.index as usize];
        if slot.is_none() {
            *slot = Some(batch);
            self.missing -= 1;
        }
        Ok((self.missing == 0).then(|| self.join()).flatten())
    }

    /// Forgets what was begun: its connection is gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn begin(&mut self, header: &BatchHeader, total: usize) {
        self.header = Some(*header);
        self.pages.clear();
        self.pages.resize_with(total, || None);
        self.missing = total;
    }

    fn belongs(&self, header: &BatchHeader) -> bool {
        let total = header.page.map_or(0, |page| page.total as usize);
        self.header.is_some_and(|held| {
            (held.epoch, held.from, held.to) == (header.epoch, header.from, header.to)
                && self.pages.len() == total
        })
    }

    fn join(&mut self) -> Option<Batch> {
        let mut header = self.header.take()?;
        header.page = None;
        let pages = std::mem::take(&mut self.pages);
        let entries = pages.into_iter().flatten().flat_map(|page| page.entries);
        Some(Batch {
            header,
            entries: entries.collect(),
        })
    }
}
