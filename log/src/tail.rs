//! Follows a partition of a directory that another process may be writing.

use crate::batch::BatchKind;
use crate::error::{InspectError, ReadError};
use crate::limits::SEGMENT_HEADER_BYTES;
use crate::look::{FileBatch, Found, LOOKS_MAX, Looker, View};
use crate::position::{OFFSET_FIRST, Offset, PartitionId};

/// Follows a partition of a directory that another process may be writing.
///
/// ```
/// # use skein_log::{Log, MemoryStorage, Options, PartitionId, Record};
/// # let storage = MemoryStorage::new();
/// # let options = Options { partitions: 1, ..Options::default() };
/// # let (mut log, report) = Log::open(storage.clone(), options.clone(), 0, 1)?;
/// # let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// # writer.append(5, &[Record { key: 7, payload: b"here", ..Record::default() }])?;
/// let mut tail = skein_log::Inspector::of(storage)?.tail(PartitionId(0), 1)?;
/// assert_eq!(tail.next_batch()?.expect("a batch").append_time(), 5);
/// assert!(tail.next_batch()?.is_none(), "nothing more yet; ask again later");
/// assert_eq!(tail.position(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tail {
    looker: Looker,
    partition: PartitionId,
    view: Option<View>,
    position: usize,
    next: Offset,
}

impl Tail {
    pub(crate) fn new(looker: Looker, partition: PartitionId, from: Offset) -> Tail {
        Tail {
            looker,
            partition,
            view: None,
            position: 0,
            next: from.max(OFFSET_FIRST),
        }
    }

    /// The offset of the next record.
    pub fn position(&self) -> Offset {
        self.next
    }

    /// The next batch. `None`: nothing more has been written; ask again later. After an error the
    /// tail stands behind what it is about and can go on.
    pub fn next_batch(&mut self) -> Result<Option<FileBatch>, InspectError> {
        loop {
            if self.view.is_none() && !self.enter()? {
                return Ok(None);
            }
            let view = self.view.as_ref().expect("entered above");
            match view.batch_at(self.position) {
                Found::Nothing => {
                    if !self.enter_next()? {
                        return Ok(None);
                    }
                }
                Found::Batch(batch) => {
                    self.position += batch.header.bytes;
                    if batch.end <= self.next {
                        continue;
                    }
                    if batch.header.kind == BatchKind::Gap {
                        return Err(self.gap(batch.end));
                    }
                    if batch.header.base_offset > self.next {
                        self.position = batch.position;
                        return Err(self.gap(batch.header.base_offset));
                    }
                    let end = batch.end.min(view.cut);
                    let from = std::mem::replace(&mut self.next, end);
                    return Ok(Some(FileBatch { from, end, ..batch }));
                }
                Found::Damaged(problem) => {
                    let error = view.damaged(self.position, self.next, problem);
                    self.pass_damage();
                    return Err(error.into());
                }
            }
        }
    }

    /// Goes to the first batch of that time or later, or to damage before it: what is behind that
    /// may be wanted, and whoever reads on is told.
    pub(crate) fn skip_before(&mut self, time_ms: u64) -> Result<(), InspectError> {
        loop {
            let before = (self.view.clone(), self.position, self.next);
            match self.next_batch() {
                Ok(Some(batch)) if batch.append_time() >= time_ms => {
                    (self.position, self.next) = (batch.position, batch.from);
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Err(InspectError::Read(ReadError::Damaged { .. })) => {
                    (self.view, self.position, self.next) = before;
                    return Ok(());
                }
                Ok(Some(_)) | Err(InspectError::Read(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn gap(&mut self, next: Offset) -> InspectError {
        let from = std::mem::replace(&mut self.next, next);
        ReadError::Gap {
            partition: self.partition,
            from,
            next,
        }
        .into()
    }

    /// The first file behind the current one. That it begins beyond `next` is believed only when
    /// several looks show it: a file that was blank a moment ago may be in use now.
    fn next_view(&self, view: &View) -> Result<Option<View>, InspectError> {
        let (base, sequence) = (view.header.base_offset, view.header.sequence);
        let follows =
            |other: &View| other.header.base_offset > base || other.header.sequence > sequence;
        let mut found = None;
        for _ in 0..LOOKS_MAX {
            found = self.looker.views(self.partition)?.into_iter().find(follows);
            if found
                .as_ref()
                .is_none_or(|next| next.header.base_offset <= self.next)
            {
                break;
            }
        }
        Ok(found)
    }

    /// Enters the file that holds `next`.
    fn enter(&mut self) -> Result<bool, InspectError> {
        let mut views = self.looker.views(self.partition)?;
        let behind = views.partition_point(|view| view.header.base_offset <= self.next);
        if views.is_empty() {
            return Ok(false);
        }
        let view = views.swap_remove(behind.saturating_sub(1));
        self.position = SEGMENT_HEADER_BYTES;
        if let Some(footer) = view.footer() {
            let hint = footer
                .entries
                .iter()
                .rfind(|entry| entry.offset <= self.next);
            let fits = |position: usize| (SEGMENT_HEADER_BYTES..view.limit).contains(&position);
            self.position = hint
                .map(|entry| entry.position)
                .filter(|position| fits(*position))
                .unwrap_or(SEGMENT_HEADER_BYTES);
        }
        let base = view.header.base_offset;
        self.view = Some(view);
        if base > self.next {
            return Err(self.gap(base));
        }
        Ok(true)
    }

    /// At the end of a file: goes to the next one if there is one by now.
    fn enter_next(&mut self) -> Result<bool, InspectError> {
        let view = self.view.as_ref().expect("called in a file");
        let Some(next) = self.next_view(view)? else {
            return Ok(false);
        };
        // The file may have been filled up between the last look and the new list.
        if matches!(view.batch_at(self.position), Found::Batch(_))
            && self.next < next.header.base_offset
        {
            return Ok(true);
        }
        let base = next.header.base_offset;
        self.position = SEGMENT_HEADER_BYTES;
        self.view = Some(next);
        if base > self.next {
            return Err(self.gap(base));
        }
        Ok(true)
    }

    fn pass_damage(&mut self) {
        let view = self.view.as_ref().expect("called in a file");
        match view.search(self.position, self.next) {
            Some(batch) => {
                self.position = batch.position;
                self.next = batch.header.base_offset;
            }
            // Nothing good follows in this file: stand at its end.
            None => self.position = view.limit,
        }
    }
}
