//! The history's thread: follows all partitions, unpinned, and is the only one that writes.
//!
//! It reads durable records only, so it never has what a power failure takes from the log; that is
//! why it looks once a second instead of being woken by appends. A failed transaction takes places,
//! rows and what the sampler remembers back to the last commit, and is tried again later and later.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use skein_engine::control_state::ControlState;
use skein_engine::journal::{Entry, kind};
use skein_engine::placement::partition_of;
use skein_log::{Batch, Consumer, PartitionId, ReadError, Reader, RecordRef};
use skein_wire::ids::ChatName;

use crate::clock::Clock;
use crate::database::doubled;
use crate::history::erase::{EraseReport, EraseWhat, Erasure};
use crate::history::error::HistoryError;
use crate::history::limits::{
    CONSUMER_SYNC_EVERY_MS, RECORDS_PER_TRANSACTION_MAX, RETENTION_EVERY_MS, RETRY_MS_MAX,
    SCRUB_EXPIRED_EVERY_MS, SCRUB_INLINE_BYTES_MAX, SCRUB_RETRY_MS_MAX, TICK_MS,
};
use crate::history::message::Message;
use crate::history::row::StoredPoint;
use crate::history::sampler::{Sampler, SessionKey, moment};
use crate::history::stats::{self, HistoryStats};
use crate::history::store::{Change, Place, SessionRow, Store};
use crate::metrics::MetricRow;
use crate::raw_record::{captured_at_ms, raw};

/// What a thread is made from.
#[derive(Debug)]
pub struct WorkerStart {
    /// The database.
    pub store: Store,
    /// A reader of each partition, in order.
    pub readers: Vec<Reader>,
    /// The log's named consumer, which is told how far the database is.
    pub consumer: Consumer,
    /// One row of a session per so many milliseconds.
    pub every_ms: u64,
    /// Rows older than this are removed, milliseconds.
    pub retain_ms: u64,
    /// The server's clock.
    pub clock: Clock,
    /// Where the numbers are shown.
    pub metrics: Arc<MetricRow>,
}

/// The thread's state.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    readers: Vec<Reader>,
    consumer: Consumer,
    sampler: Sampler,
    /// Sessions that were looked up.
    sessions: HashMap<SessionKey, SessionRow>,
    erasures: Vec<Erasure>,
    retain_ms: u64,
    clock: Clock,
    metrics: Arc<MetricRow>,
    stats: HistoryStats,
    /// Failures in a row.
    failed: u32,
    /// The readers are not where the database is.
    astray: bool,
    retention_due_ms: u64,
    consumer_due_ms: u64,
    /// Rows have expired since the file was last rewritten.
    expired_since_scrub: bool,
    scrub_expired_due_ms: u64,
    /// Rewritings of the file that failed in a row, and when the next one is tried.
    scrubs_failed: u32,
    scrub_retry_due_ms: u64,
}

/// What one transaction did; counts when it is committed.
#[derive(Debug, Default)]
struct Step {
    followed: u64,
    kept: u64,
    unknown: u64,
    gaps: u64,
    /// Erases are forgotten, which name somebody.
    are_erasures_passed: bool,
    /// Partitions that moved.
    places: Vec<(usize, Place)>,
}

impl Worker {
    /// Puts every reader at its place. A partition that the history has never read begins at the
    /// end: who turns the history on does not ask for what was before. Sessions that are active
    /// then are taken from the control log.
    ///
    /// # Errors
    /// The database refuses.
    pub fn new(start: WorkerStart, state: &ControlState) -> Result<Self, HistoryError> {
        let mut worker = Self {
            sampler: Sampler::new(start.every_ms),
            store: start.store,
            readers: start.readers,
            consumer: start.consumer,
            sessions: HashMap::new(),
            erasures: Vec::new(),
            retain_ms: start.retain_ms,
            clock: start.clock,
            metrics: start.metrics,
            stats: HistoryStats::default(),
            failed: 0,
            astray: false,
            retention_due_ms: 0,
            consumer_due_ms: 0,
            expired_since_scrub: false,
            scrub_expired_due_ms: 0,
            scrubs_failed: 0,
            scrub_retry_due_ms: 0,
        };
        worker.load_erasures()?;
        worker.stats.scrub_due = worker.store.scrub_due()?;
        worker.note_sessions(state)?;
        worker.go_to_places()?;
        worker.publish();
        Ok(worker)
    }

    /// Before anything new is appended: offsets that a power failure set free are still free.
    fn load_erasures(&mut self) -> Result<(), HistoryError> {
        if self.store.erasures()?.is_empty() {
            return Ok(());
        }
        let change = self.store.begin()?;
        for (partition, reader) in self.readers.iter().enumerate() {
            change.shorten_erasures(partition as u16, reader.appended())?;
        }
        change.commit()?;
        self.erasures = self.store.erasures()?;
        Ok(())
    }

    /// Sessions that are known and not active have ended, also where nothing tells of it any more: the
    /// record may lie in a gap. Who reads of the end later knows better when it was.
    fn note_sessions(&mut self, state: &ControlState) -> Result<(), HistoryError> {
        let mut active = HashSet::new();
        let partitions = self.readers.len() as u16;
        let change = self.store.begin()?;
        for (name, chat) in state.chats() {
            let Ok(name) = ChatName::new(name) else {
                continue;
            };
            let partition = partition_of(&name, partitions).0;
            for (session, of) in &chat.sessions {
                let key = SessionKey {
                    chat: chat.handle.0,
                    session: *session,
                };
                let row = SessionRow {
                    partition,
                    user: of.user.clone(),
                    started_at_ms: of.started_at_ms,
                };
                change.put_session(key, &row)?;
                active.insert(key);
            }
        }
        change.end_sessions_beside(&active, self.clock.now_ms())?;
        change.commit()
    }

    /// Takes every reader to where the database is. Where the log lost records since (they were not
    /// durable after all, or it was cut), goes back to the first that came in their place.
    fn go_to_places(&mut self) -> Result<(), HistoryError> {
        let mut places = Vec::new();
        for (partition, reader) in self.readers.iter_mut().enumerate() {
            let end = reader.durable() + 1;
            let epochs = reader.epochs();
            let epoch = epochs.last().map_or(0, |start| start.epoch.into());
            let known = self.store.place(partition as u16)?;
            let next = known.map_or(end, |place| {
                epochs
                    .iter()
                    .filter(|start| u64::from(start.epoch) > place.epoch)
                    .map(|start| start.first_offset)
                    .fold(place.next, u64::min)
                    .min(reader.appended() + 1)
            });
            reader.seek(next);
            let went_back = known.is_some_and(|place| next < place.next);
            let place = Place { epoch, next };
            if known != Some(place) {
                places.push((partition as u16, place, went_back));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let change = self.store.begin()?;
        for (partition, place, went_back) in places {
            if went_back {
                change.rewind(partition, place.next)?;
            }
            change.put_place(partition, place)?;
        }
        change.commit()
    }

    /// The database, to make it refuse.
    #[cfg(test)]
    pub fn store_for_test(&self) -> &Store {
        &self.store
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        let mut due = Instant::now();
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(wait) {
                Ok(Message::Erase(what, answer)) => self.handle_erase(&what, answer),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => due = Instant::now() + self.round(),
            }
        }
        // What is durable by now; the rest is read after the next start.
        let _ = self.round();
        self.tell_consumer(true);
        if let Err(error) = self.store.truncate_journal() {
            tracing::debug!(%error, "the journal of the history stays");
        }
    }

    /// One round of everything; how long to wait for the next.
    pub fn round(&mut self) -> Duration {
        let wait_ms = match self.try_round() {
            Ok(more) => {
                if self.failed > 0 {
                    tracing::info!("the history goes on");
                }
                self.failed = 0;
                if more { 0 } else { TICK_MS }
            }
            Err(error) => self.handle_failure(&error),
        };
        self.tell_consumer(false);
        self.publish();
        Duration::from_millis(wait_ms)
    }

    fn try_round(&mut self) -> Result<bool, HistoryError> {
        self.come_back()?;
        let more = self.follow()?;
        self.expire()?;
        self.store.shrink()?;
        // One that fails holds nothing else up: the log goes on, and drops what is not read in time.
        if self.clock.now_ms() >= self.scrub_retry_due_ms {
            self.scrub_or_later();
        }
        Ok(more)
    }

    /// After a failure, takes the readers to where the database is.
    fn come_back(&mut self) -> Result<(), HistoryError> {
        if self.astray {
            self.go_to_places()?;
            self.astray = false;
        }
        Ok(())
    }

    /// Goes back to the last commit. Live delivery knows nothing of it.
    fn handle_failure(&mut self, error: &HistoryError) -> u64 {
        self.stats.failures += 1;
        if self.failed == 0 {
            tracing::error!(%error, "the history cannot be written; it tries again, live delivery goes on");
        }
        self.failed += 1;
        self.forget();
        self.astray = true;
        doubled(TICK_MS, self.failed, RETRY_MS_MAX)
    }

    fn forget(&mut self) {
        self.sampler.clear();
        self.sessions.clear();
    }

    /// Reads what is durable, in one transaction. Whether there may be more.
    fn follow(&mut self) -> Result<bool, HistoryError> {
        if self
            .readers
            .iter()
            .all(|reader| reader.position() > reader.durable())
        {
            return Ok(false);
        }
        let mut step = Step::default();
        let mut room = RECORDS_PER_TRANSACTION_MAX;
        let change = self.store.begin()?;
        for (partition, reader) in self.readers.iter_mut().enumerate() {
            let before = reader.position();
            if before > reader.durable() {
                continue;
            }
            let of_partition = |erasure: &&Erasure| usize::from(erasure.partition) == partition;
            let erasures: Vec<&Erasure> = self.erasures.iter().filter(of_partition).collect();
            let mut follower = Follower {
                partition: partition as u16,
                change: &change,
                sampler: &mut self.sampler,
                sessions: &mut self.sessions,
                erasures: &erasures,
                now_ms: self.clock.now_ms(),
                step: &mut step,
            };
            while room > 0 && reader.position() <= reader.durable() {
                let Some(records) = follower.read(reader)? else {
                    break;
                };
                room = room.saturating_sub(records);
            }
            if reader.position() != before {
                let place = Place {
                    epoch: reader.epoch().into(),
                    next: reader.position(),
                };
                change.put_place(partition as u16, place)?;
                step.are_erasures_passed |= change.drop_erasures(partition as u16, place.next)?;
                step.places.push((partition, place));
            }
        }
        change.commit()?;
        self.note(&step);
        Ok(room == 0)
    }

    fn note(&mut self, step: &Step) {
        self.stats.followed += step.followed;
        self.stats.kept += step.kept;
        self.stats.unknown += step.unknown;
        self.stats.gaps += step.gaps;
        self.stats.scrub_due |= step.are_erasures_passed;
        for (partition, place) in &step.places {
            self.erasures.retain(|erasure| {
                usize::from(erasure.partition) != *partition || erasure.last_offset >= place.next
            });
        }
    }

    fn expire(&mut self) -> Result<(), HistoryError> {
        let now_ms = self.clock.now_ms();
        if now_ms < self.retention_due_ms {
            return Ok(());
        }
        let change = self.store.begin()?;
        let rows = change.expire(now_ms.saturating_sub(self.retain_ms))?;
        change.commit()?;
        self.stats.expired += rows;
        self.retention_due_ms = now_ms + RETENTION_EVERY_MS;
        self.expired_since_scrub |= rows > 0;
        self.scrub_expired(now_ms);
        Ok(())
    }

    /// Rewrites the file once in a while after rows have expired, where that is cheap.
    fn scrub_expired(&mut self, now_ms: u64) {
        let is_small = self.store.bytes() <= SCRUB_INLINE_BYTES_MAX;
        if self.expired_since_scrub && is_small && now_ms >= self.scrub_expired_due_ms {
            // Not at once again if it fails: nobody was promised anything.
            self.scrub_expired_due_ms = now_ms + SCRUB_EXPIRED_EVERY_MS;
            match self.store.scrub() {
                Ok(()) => self.expired_since_scrub = false,
                Err(error) => self.note_scrub_failure(&error),
            }
        }
    }

    fn handle_erase(
        &mut self,
        what: &EraseWhat,
        answer: tokio::sync::oneshot::Sender<Result<EraseReport, HistoryError>>,
    ) {
        let erased = self.erase(what);
        let erased = erased.and_then(|report| self.forget_ended(what).map(|()| report));
        let mut report = match erased {
            Ok(report) => report,
            Err(error) => {
                self.stats.failures += 1;
                self.publish();
                self.forget();
                self.astray = true;
                // The caller may have left; the failure is counted.
                let _ = answer.send(Err(error));
                return;
            }
        };
        tracing::info!(rows = report.rows, "history erased on request");
        if self.store.bytes() <= SCRUB_INLINE_BYTES_MAX {
            self.scrub_or_later();
            report.scrubbed = !self.stats.scrub_due;
            let _ = answer.send(Ok(report));
        } else {
            let _ = answer.send(Ok(report));
            self.scrub_or_later();
        }
        self.publish();
    }

    /// Removes the rows, and notes up to where records still to be read are covered.
    fn erase(&mut self, what: &EraseWhat) -> Result<EraseReport, HistoryError> {
        self.come_back()?;
        let covers = |(partition, reader): (usize, &Reader)| {
            (reader.position() <= reader.appended()).then(|| Erasure {
                what: what.clone(),
                partition: partition as u16,
                last_offset: reader.appended(),
            })
        };
        let erasures: Vec<Erasure> = self.readers.iter().enumerate().filter_map(covers).collect();
        let change = self.store.begin()?;
        let report = change.erase(what)?;
        for erasure in &erasures {
            change.put_erasure(erasure)?;
        }
        change.commit()?;
        self.erasures.extend(erasures);
        self.forget();
        self.stats.erased += report.rows;
        self.stats.scrub_due = true;
        Ok(report)
    }

    /// Reads what is durable by now, which tells of more ends, and forgets whose the ended sessions were.
    fn forget_ended(&mut self, what: &EraseWhat) -> Result<(), HistoryError> {
        let ends: Vec<u64> = self.readers.iter().map(Reader::durable).collect();
        let is_behind = |readers: &[Reader]| {
            let mut readers = readers.iter().zip(&ends);
            readers.any(|(reader, end)| reader.position() <= *end)
        };
        while is_behind(&self.readers) && self.follow()? {}
        let change = self.store.begin()?;
        change.erase_sessions(what, true)?;
        change.commit()
    }

    /// Rewrites the file after an erase, or says when that is tried again.
    fn scrub_or_later(&mut self) {
        if !self.stats.scrub_due {
            return;
        }
        match self.store.scrub() {
            Ok(()) => {
                self.stats.scrub_due = false;
                self.scrubs_failed = 0;
            }
            Err(error) => {
                self.note_scrub_failure(&error);
                let wait_ms = doubled(TICK_MS, self.scrubs_failed, SCRUB_RETRY_MS_MAX);
                self.scrub_retry_due_ms = self.clock.now_ms() + wait_ms;
                self.scrubs_failed += 1;
            }
        }
    }

    fn note_scrub_failure(&mut self, error: &HistoryError) {
        self.stats.failures += 1;
        tracing::warn!(%error, "the history's file cannot be rewritten yet; it is tried again");
    }

    /// Lets the log's consumer say how far the database is.
    fn tell_consumer(&mut self, at_once: bool) {
        let now_ms = self.clock.now_ms();
        if self.failed > 0 || (!at_once && now_ms < self.consumer_due_ms) {
            return;
        }
        self.consumer_due_ms = now_ms + CONSUMER_SYNC_EVERY_MS;
        for (partition, reader) in self.readers.iter().enumerate() {
            let partition = PartitionId(partition as u16);
            if self.consumer.position(partition) != reader.position() {
                self.consumer.commit(reader);
            }
        }
        if let Err(error) = self.consumer.sync() {
            tracing::debug!(%error, "the place of the history cannot be noted in the log");
        }
    }

    fn publish(&mut self) {
        self.stats.bytes = self.store.bytes();
        let lag = |reader: &Reader| (reader.appended() + 1).saturating_sub(reader.position());
        self.stats.lag = self.readers.iter().map(lag).sum();
        stats::publish(&self.metrics, &self.stats);
    }
}

/// Reads one partition into a transaction.
struct Follower<'a> {
    partition: u16,
    change: &'a Change<'a>,
    sampler: &'a mut Sampler,
    sessions: &'a mut HashMap<SessionKey, SessionRow>,
    erasures: &'a [&'a Erasure],
    now_ms: u64,
    step: &'a mut Step,
}

impl Follower<'_> {
    /// Reads a batch as far as it is durable. Gives the records read, at least 1; `None`: there is
    /// nothing more now.
    fn read(&mut self, reader: &mut Reader) -> Result<Option<usize>, HistoryError> {
        let from = reader.position();
        match reader.next_batch() {
            Ok(Some(batch)) => {
                let durable = reader.durable();
                if batch.last_offset() > durable {
                    reader.seek(durable + 1);
                }
                self.batch(&batch, durable).map(Some)
            }
            Ok(None) => Ok(None),
            Err(ReadError::Truncated { next, .. }) => {
                self.change.rewind(self.partition, next)?;
                Ok(Some(1))
            }
            // Retention or damage has taken them. The reader stands behind.
            Err(_) => {
                let last = reader.position().saturating_sub(1);
                tracing::warn!(
                    partition = self.partition,
                    records = last.saturating_sub(from) + 1,
                    "records were gone before the history read them"
                );
                self.change
                    .put_gap(self.partition, from, last, self.now_ms)?;
                self.step.gaps += 1;
                Ok(Some(1))
            }
        }
    }

    fn batch(&mut self, batch: &Batch, durable: u64) -> Result<usize, HistoryError> {
        let mut records = 0;
        for (offset, record) in batch.records().take_while(|(offset, _)| *offset <= durable) {
            records += 1;
            self.record(offset, batch.append_time(), &record)?;
        }
        self.step.followed += records as u64;
        Ok(records.max(1))
    }

    fn record(
        &mut self,
        offset: u64,
        time_ms: u64,
        record: &RecordRef<'_>,
    ) -> Result<(), HistoryError> {
        let key = SessionKey {
            chat: record.key,
            session: record.extension,
        };
        match record.kind {
            kind::POINT | kind::HISTORICAL_POINT => self.point(key, offset, time_ms, record),
            kind::STARTED | kind::CHECKPOINT_ROW | kind::ENDED => self.session(key, record),
            _ => Ok(()),
        }
    }

    fn session(&mut self, key: SessionKey, record: &RecordRef<'_>) -> Result<(), HistoryError> {
        let started = match Entry::decode(&raw(record)) {
            Ok(Entry::Started { started, .. }) => started,
            Ok(Entry::CheckpointRow { row, .. }) => row.started,
            Ok(Entry::Ended { at_ms, .. }) => {
                self.sampler.forget(key);
                self.sessions.remove(&key);
                return self.change.end_session(key, at_ms);
            }
            // Counted by the shards; here it can only be passed.
            _ => return Ok(()),
        };
        let row = SessionRow {
            partition: self.partition,
            user: started.user.as_str().to_owned(),
            started_at_ms: started.started_at_ms,
        };
        self.change.put_session(key, &row)
    }

    fn point(
        &mut self,
        key: SessionKey,
        offset: u64,
        time_ms: u64,
        record: &RecordRef<'_>,
    ) -> Result<(), HistoryError> {
        let live = record.kind == kind::POINT;
        // Most points arrive in a window that is taken; they cost a look-up and nothing else.
        if !self.sessions.contains_key(&key) {
            let Some(row) = self.change.session(key)? else {
                self.step.unknown += 1;
                return Ok(());
            };
            self.sessions.insert(key, row);
        }
        let session = &self.sessions[&key];
        let is_erased = self
            .erasures
            .iter()
            .any(|erasure| erasure.covers(key.chat, &session.user, self.partition, offset));
        if is_erased {
            return Ok(());
        }
        let captured_ms = if live { 0 } else { captured_at_ms(record) };
        let at_ms = moment(live, captured_ms, session.started_at_ms, time_ms);
        let Some(window_ms) = self.sampler.offer(key, at_ms) else {
            return Ok(());
        };
        let kept = self.change.put_point(&StoredPoint {
            chat: key.chat,
            session: key.session,
            at_ms,
            window_ms,
            offset,
            kind: record.kind,
            flags: record.flags,
            payload: record.payload,
        })?;
        self.step.kept += u64::from(kept);
        Ok(())
    }
}
