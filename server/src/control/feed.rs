//! Follows committed commands by index: the source of event streams.
//!
//! A stream is a cursor on the control log, like a viewer on a partition: no queue, no copy kept
//! for anybody. It reads up to the newest committed index and leaves out what does not count.

use std::sync::{Arc, Mutex, PoisonError};

use skein_engine::command::Command;
use skein_log::{LogId, ReadError, Reader};
use tokio::sync::watch;

use crate::control::event_place::EventPlace;
use crate::control::record::{ControlRecord, decode};
use crate::control::voids::Voids;

/// One thing in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// What was asked for is not kept any more, or is of another log: read the lists again.
    Resync {
        /// The first index that follows.
        first_index: u64,
    },
    /// A committed command.
    Command {
        /// Its index.
        index: u64,
        /// The command.
        command: Command,
        /// Server time at which it was appended, milliseconds since 1970.
        time_ms: u64,
    },
}

/// What the control thread tells the streams.
#[derive(Clone, Debug)]
pub struct FeedPublisher {
    committed: watch::Sender<u64>,
    voids: Arc<Mutex<Voids>>,
}

impl FeedPublisher {
    /// After a group: what does not count first, then how far everything is committed.
    pub fn publish(&self, committed: u64, voids: &Voids) {
        let mut shared = self.voids.lock().unwrap_or_else(PoisonError::into_inner);
        if *shared != *voids {
            shared.clone_from(voids);
        }
        drop(shared);
        self.committed
            .send_if_modified(|index| std::mem::replace(index, committed) != committed);
    }
}

/// Opens streams; cheap to clone.
#[derive(Clone, Debug)]
pub struct EventFeed {
    log: LogId,
    reader: Reader,
    committed: watch::Receiver<u64>,
    voids: Arc<Mutex<Voids>>,
}

impl EventFeed {
    /// Over a reader of this control log, from the newest committed index on.
    pub fn new(log: LogId, reader: Reader, committed: u64, voids: &Voids) -> (FeedPublisher, Self) {
        let (sender, receiver) = watch::channel(committed);
        let voids = Arc::new(Mutex::new(voids.clone()));
        let publisher = FeedPublisher {
            committed: sender,
            voids: voids.clone(),
        };
        (
            publisher,
            Self {
                log,
                reader,
                committed: receiver,
                voids,
            },
        )
    }

    /// The control log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// The place behind the event with this index.
    pub fn place(&self, index: u64) -> EventPlace {
        EventPlace {
            log: Some(self.log),
            index,
        }
    }

    /// The place behind everything that is committed.
    pub fn end(&self) -> EventPlace {
        self.place(*self.committed.borrow())
    }

    /// A stream of what comes after a place; `None` = of what comes from now on.
    pub fn open(&self, after: Option<EventPlace>) -> EventCursor {
        let mut cursor = EventCursor {
            reader: self.reader.clone(),
            committed: self.committed.clone(),
            voids: self.voids.clone(),
            next: 0,
            resync: None,
            is_waiting: false,
        };
        let newest = *cursor.committed.borrow();
        match after {
            Some(after) if self.has(after) && after.index <= newest => {
                cursor.go_to(after.index + 1);
            }
            Some(_) => cursor.resync_at(newest + 1),
            None => cursor.go_to(newest + 1),
        }
        cursor
    }

    fn has(&self, place: EventPlace) -> bool {
        place.log.is_none_or(|log| log == self.log)
    }
}

/// One stream's place.
#[derive(Debug)]
pub struct EventCursor {
    reader: Reader,
    committed: watch::Receiver<u64>,
    voids: Arc<Mutex<Voids>>,
    next: u64,
    resync: Option<u64>,
    /// It had all that was committed, and waited for more.
    is_waiting: bool,
}

impl EventCursor {
    /// The next items, at least one, at most those of one group; waits for them. `None` when the
    /// control thread has ended. Cancel-safe: nothing is taken before it is given out.
    pub async fn next(&mut self) -> Option<Vec<FeedItem>> {
        loop {
            if let Some(first_index) = self.resync.take() {
                return Some(vec![FeedItem::Resync { first_index }]);
            }
            let next = self.next;
            // Then nothing that retention takes before it wakes was a command.
            self.is_waiting = *self.committed.borrow() < next;
            let newest = *self
                .committed
                .wait_for(|newest| *newest >= next)
                .await
                .ok()?;
            let items = self.read(newest);
            if !items.is_empty() {
                return Some(items);
            }
            // Long stretches may hold nothing for us (checkpoints); others want to run as well.
            tokio::task::yield_now().await;
        }
    }

    /// The next items up to an index that is committed, without waiting; perhaps none of the batch
    /// at this place. `None` when all up to there was given.
    pub fn next_until(&mut self, end: u64) -> Option<Vec<FeedItem>> {
        if let Some(first_index) = self.resync.take() {
            return Some(vec![FeedItem::Resync { first_index }]);
        }
        self.is_waiting = false;
        (self.next <= end).then(|| self.read(end))
    }

    /// The same up to what is committed by now.
    pub fn next_committed(&mut self) -> Option<Vec<FeedItem>> {
        let newest = *self.committed.borrow();
        self.next_until(newest)
    }

    /// The commands of the batch at this place; empty when there are none in it.
    fn read(&mut self, newest: u64) -> Vec<FeedItem> {
        match self.reader.next_batch() {
            // The batch holds more than is committed (the beginning of a checkpoint): all of it
            // lies beyond, because groups are batches of their own.
            Ok(Some(batch)) if batch.base_offset() > newest => {
                self.go_to(batch.base_offset());
                Vec::new()
            }
            Ok(Some(batch)) => {
                self.next = batch.last_offset() + 1;
                let voids = self.voids.lock().unwrap_or_else(PoisonError::into_inner);
                let time_ms = batch.append_time();
                batch
                    .records()
                    .filter(|(index, _)| !voids.contains(*index))
                    .filter_map(|(index, record)| match decode(&record) {
                        Ok(ControlRecord::Command(command)) => Some(FeedItem::Command {
                            index,
                            command,
                            time_ms,
                        }),
                        _ => None,
                    })
                    .collect()
            }
            Ok(None) => {
                // The index is committed, so its record is there; only a hole can end here.
                self.next = newest + 1;
                Vec::new()
            }
            Err(error) => {
                self.pass(&error);
                Vec::new()
            }
        }
    }

    /// Dropped records are told; holes that a failed disk left held nothing that counts.
    fn pass(&mut self, error: &ReadError) {
        let first = self.reader.first_offset();
        if self.next < first && self.is_waiting {
            self.go_to(first);
        } else if self.next < first {
            self.resync_at(first);
        } else {
            self.next = self.reader.position().max(self.next + 1);
            tracing::debug!(%error, "an event stream passed a hole in the control log");
        }
    }

    fn resync_at(&mut self, next: u64) {
        self.go_to(next);
        self.resync = Some(next);
    }

    fn go_to(&mut self, next: u64) {
        self.next = next;
        self.reader.seek(next);
    }
}
