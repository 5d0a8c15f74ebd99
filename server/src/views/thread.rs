//! The record's thread, the only one that writes. A failed transaction is tried again with everything
//! that was in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::ids::ViewId;
use skein_engine::view::View;

use crate::clock::Clock;
use crate::control::feed::{EventCursor, FeedItem};
use crate::database::doubled;
use crate::erase_scope::EraseScope;
use crate::metrics::MetricRow;
use crate::views::erase::ViewsErased;
use crate::views::limits::{
    VIEWS_ALIVE_EVERY_MS, VIEWS_RETENTION_EVERY_MS, VIEWS_RETRY_MS_MAX, VIEWS_TICK_MS,
    VIEWS_WAITING_MAX,
};
use crate::views::stats::{self, ViewsStats};
use crate::views::store::{Change, Store};

/// What the thread is told.
#[derive(Debug)]
pub enum Message {
    /// A view begins or ends.
    View(View),
    /// Remove what is recorded, and say what it was.
    Erase(EraseScope, SyncSender<rusqlite::Result<ViewsErased>>),
    /// The server stops.
    Stop,
}

/// The thread's state.
#[derive(Debug)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// Sessions that begin and end.
    pub sessions: EventCursor,
    /// Messages that found no room.
    pub lost: Arc<AtomicU64>,
    /// Views are kept for so long after their end, milliseconds.
    pub retain_ms: u64,
    /// The server's clock.
    pub clock: Clock,
    /// Where the numbers are shown.
    pub metrics: Arc<MetricRow>,
    /// Rows of views that go on.
    pub open: HashMap<ViewId, i64>,
    /// What the next transaction has to write.
    pub waiting: Waiting,
    /// The numbers.
    pub stats: ViewsStats,
    /// Next note that all is still so.
    pub alive_due_ms: u64,
    /// Next look for what is too old.
    pub retention_due_ms: u64,
    /// Failures in a row.
    pub failed: u32,
}

/// What is not written yet.
#[derive(Debug, Default)]
pub struct Waiting {
    views: Vec<View>,
    commands: Vec<Command>,
    lost: u64,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.views.is_empty() && self.commands.is_empty() && self.lost == 0
    }
}

/// What a transaction changes of the views that go on; counts when it is committed.
#[derive(Debug, Default)]
struct Step {
    begun: HashMap<ViewId, i64>,
    ended: Vec<ViewId>,
}

impl Worker {
    /// Makes the sessions of the record those of the control log: what it has as live and is not was
    /// ended while nothing was recorded.
    ///
    /// # Errors
    /// The database refuses.
    pub fn take_sessions(&mut self, state: &ControlState) -> rusqlite::Result<()> {
        let now_ms = self.clock.now_ms();
        let change = self.store.begin()?;
        for (chat, session) in change.live_sessions()? {
            let known = state.chat(&chat);
            if !known.is_some_and(|known| known.sessions.contains_key(&session)) {
                change.end_session(&chat, session, now_ms)?;
            }
        }
        for (name, chat) in state.chats() {
            for (id, session) in &chat.sessions {
                change.put_session(name, *id, &session.user, session.started_at_ms)?;
            }
        }
        change.commit()
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub fn run(mut self, inbox: &Receiver<Message>) {
        let mut due = Instant::now();
        let mut goes_on = true;
        while goes_on {
            let wait = due.saturating_duration_since(Instant::now());
            // While the database refuses, so many wait; what sessions do waits in the control log.
            let is_full = self.waiting.views.len() >= VIEWS_WAITING_MAX;
            match inbox.recv_timeout(wait) {
                Ok(Message::View(view)) if !is_full => self.waiting.views.push(view),
                Ok(Message::View(_)) => self.waiting.lost += 1,
                Ok(Message::Erase(scope, reply)) => {
                    // What is not written yet is there, too.
                    self.round();
                    // Who asked may have given up; it is erased all the same.
                    let _ = reply.send(self.store.erase(&scope));
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => goes_on = false,
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + self.round();
                }
            }
        }
        if self.failed > 0 {
            // What sessions did meanwhile comes with the next round.
            self.round();
        }
        // Who is still there is cut off with the server.
        let now_ms = self.clock.now_ms();
        let open = self.open.keys().map(|view| View::Ended {
            view: *view,
            at_ms: now_ms,
        });
        let open: Vec<View> = open.collect();
        self.waiting.views.extend(open);
        self.round();
    }

    /// Writes what has come; how long to wait for the next time.
    fn round(&mut self) -> Duration {
        if self.failed == 0 {
            self.take_commands();
        }
        self.waiting.lost += self.lost.swap(0, Ordering::Relaxed);
        let before = self.waiting.lost;
        match self.write() {
            Ok(()) => {
                if self.failed > 0 {
                    tracing::info!("the record of views goes on");
                }
                self.failed = 0;
                self.stats.lost += before;
            }
            Err(error) => self.note_failure(&error),
        }
        self.stats.open = self.open.len() as u64;
        stats::publish(&self.metrics, &self.stats);
        Duration::from_millis(doubled(VIEWS_TICK_MS, self.failed, VIEWS_RETRY_MS_MAX))
    }

    fn note_failure(&mut self, error: &rusqlite::Error) {
        self.stats.failures += 1;
        if self.failed == 0 {
            tracing::error!(%error, "the record of views cannot be written; it tries again, live delivery goes on");
        }
        self.failed += 1;
    }

    /// All that is committed by now; never waits. Not while the database refuses: the cursor is a place in the control log,
    /// which keeps it. Stretches with nothing for us, as checkpoints are, do not
    /// end it: at a stop there is no next round.
    fn take_commands(&mut self) {
        while let Some(items) = self.sessions.next_committed() {
            for item in items {
                if let FeedItem::Command {
                    command: command @ (Command::StartSession { .. } | Command::EndSession { .. }),
                    ..
                } = item
                {
                    self.waiting.commands.push(command);
                }
            }
        }
    }

    fn write(&mut self) -> rusqlite::Result<()> {
        let now_ms = self.clock.now_ms();
        let is_alive_due = !self.open.is_empty() && now_ms >= self.alive_due_ms;
        let is_retention_due = now_ms >= self.retention_due_ms;
        if self.waiting.is_empty() && !is_alive_due && !is_retention_due {
            return Ok(());
        }
        let change = self.store.begin()?;
        let mut step = Step::default();
        for command in &self.waiting.commands {
            write_command(&change, command)?;
        }
        for view in &self.waiting.views {
            write_view(&change, view, &self.open, &mut step)?;
        }
        if self.waiting.lost > 0 {
            change.put_gap(now_ms, self.waiting.lost)?;
            // Whose end was lost must not be there for ever: whoever is still there gets another end.
            for row in self.open.values() {
                change.end_view(*row, now_ms)?;
            }
        }
        change.alive(now_ms)?;
        if is_retention_due {
            change.expire(now_ms.saturating_sub(self.retain_ms))?;
        }
        change.commit()?;
        self.stats.recorded += step.begun.len() as u64;
        self.open.extend(step.begun);
        for view in step.ended {
            self.open.remove(&view);
        }
        self.waiting = Waiting::default();
        self.alive_due_ms = now_ms + VIEWS_ALIVE_EVERY_MS;
        if is_retention_due {
            self.retention_due_ms = now_ms + VIEWS_RETENTION_EVERY_MS;
        }
        Ok(())
    }
}

fn write_command(change: &Change<'_>, command: &Command) -> rusqlite::Result<()> {
    match command {
        Command::StartSession {
            chat,
            session,
            user,
            started_at_ms,
            ..
        } => change.put_session(chat, *session, user, *started_at_ms),
        Command::EndSession {
            chat,
            session,
            at_ms,
            ..
        } => change.end_session(chat, *session, *at_ms),
        _ => Ok(()),
    }
}

fn write_view(
    change: &Change<'_>,
    view: &View,
    open: &HashMap<ViewId, i64>,
    step: &mut Step,
) -> rusqlite::Result<()> {
    match view {
        View::Begun(begun) => {
            let session = begun.session.map(|session| session.0);
            let (chat, user) = (begun.chat.as_str(), begun.user.as_str());
            let row = change.begin_view(chat, session, user, begun.at_ms)?;
            step.begun.insert(begun.view, row);
        }
        View::Ended { view, at_ms } => {
            let row = step.begun.get(view).or_else(|| open.get(view));
            // One whose beginning was lost has no row.
            if let Some(row) = row {
                change.end_view(*row, *at_ms)?;
                step.ended.push(*view);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use skein_engine::ids::{ProposalId, ShardId};
    use skein_log::MemoryStorage;

    use super::*;
    use crate::control::core::{Acknowledge, ControlCore, Proposal};
    use crate::control::feed::{EventFeed, FeedPublisher};
    use crate::metrics::MetricsBoard;
    use crate::views::stats::VIEWS_METRICS;

    struct Rig {
        folder: tempfile::TempDir,
        core: ControlCore,
        publisher: FeedPublisher,
        worker: Worker,
        sessions: u64,
    }

    impl Rig {
        fn new() -> Self {
            let storage = MemoryStorage::new();
            let acknowledge = Acknowledge::AfterSync;
            let (core, _) = ControlCore::open(storage, acknowledge, 0, 7).expect("a control log");
            let (publisher, feed) = EventFeed::new(core.log_id(), core.reader(), 0, core.voids());
            let folder = tempfile::tempdir().expect("a folder");
            let worker = Worker {
                store: Store::open(folder.path()).expect("a database"),
                sessions: feed.open(None),
                lost: Arc::default(),
                retain_ms: 60_000,
                clock: Clock::start(),
                metrics: MetricsBoard::default().once(VIEWS_METRICS),
                open: HashMap::new(),
                waiting: Waiting::default(),
                stats: ViewsStats::default(),
                alive_due_ms: 0,
                retention_due_ms: 0,
                failed: 0,
            };
            Self {
                folder,
                core,
                publisher,
                worker,
                sessions: 0,
            }
        }

        fn start_session(&mut self) {
            self.sessions += 1;
            let command = Command::StartSession {
                chat: "hike".to_owned(),
                session: self.sessions,
                user: "ana".to_owned(),
                started_at_ms: 1,
                expires_at_ms: 1_000,
                duration_s: 1,
                idempotency_key: self.sessions.to_string(),
                sealed: false,
            };
            let (shard, proposal) = (ShardId(0), ProposalId(self.sessions));
            let proposal = Proposal {
                shard,
                proposal,
                command,
            };
            self.core.propose(proposal).expect("there is room");
            let committed = self.core.flush(1).committed[0].index;
            self.publisher.publish(committed, self.core.voids());
        }

        fn recorded(&self) -> i64 {
            let file = self.folder.path().join("views.db");
            let connection = rusqlite::Connection::open(file).expect("the database");
            let count = "SELECT count(*) FROM session";
            connection
                .query_row(count, [], |row| row.get(0))
                .expect("a count")
        }
    }

    #[test]
    fn while_the_database_refuses_nothing_piles_up_and_it_is_tried_less_and_less_often() {
        let mut rig = Rig::new();
        let other = rusqlite::Connection::open(rig.folder.path().join("views.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut pauses = Vec::new();
        for _ in 0..3 {
            rig.start_session();
            pauses.push(rig.worker.round().as_millis() as u64);
            assert_eq!(
                rig.worker.waiting.commands.len(),
                1,
                "the others are in the log"
            );
        }
        assert_eq!(pauses, [2, 4, 8].map(|factor| factor * VIEWS_TICK_MS));
        other.execute_batch("ROLLBACK").unwrap();
        for recorded in [1, 3] {
            assert_eq!(rig.worker.round().as_millis() as u64, VIEWS_TICK_MS);
            assert_eq!(rig.recorded(), recorded);
        }
    }
}
