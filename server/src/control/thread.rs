//! The control thread: one unpinned thread that makes everything that waits durable at once.
//!
//! Shards propose without waiting; outcomes go to the shard that asked, through an [`OutcomeSink`]
//! that may wait, because this thread may. Too many commands at once are refused, which the shards'
//! engines take like any refusal: permissive ones are answered so, restrictive ones are tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use skein_engine::command::Command;
use skein_engine::control_state::erasing::NamesOf;
use skein_engine::ids::{ProposalId, ShardId};
use skein_log::CloseError;
use skein_wire::error::Code;

use crate::clock::Clock;
use crate::control::core::{Committed, ControlCore, Flushed, Proposal, Rejected};
use crate::control::erased::ControlErased;
use crate::control::feed::{EventFeed, FeedPublisher};
use crate::control::limits::PROPOSALS_WAITING_MAX;
use crate::control::stats;
use crate::erase_scope::EraseScope;
use crate::health::Health;
use crate::janitor_voice::JanitorVoice;
use crate::metrics::MetricRow;

/// Takes outcomes to the shards that asked. Called on the control thread; may wait.
pub trait OutcomeSink: Send {
    /// A command is durable and applied; act on it.
    fn committed(&mut self, committed: Committed);

    /// A command does not count.
    fn rejected(&mut self, rejected: Rejected);
}

enum Message {
    Propose(Proposal),
    Refuse(Rejected),
    Erase(EraseScope, mpsc::Sender<Result<ControlErased, String>>),
    Stop,
}

/// The shards' side; cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlSender {
    messages: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

impl ControlSender {
    /// Proposes a command; never waits. Its outcome comes through the sink, `busy` when too many
    /// commands wait, nothing when the control thread has ended.
    pub fn propose(&self, shard: ShardId, proposal: ProposalId, command: Command) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let message = if waiting < PROPOSALS_WAITING_MAX {
            Message::Propose(Proposal {
                shard,
                proposal,
                command,
            })
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            Message::Refuse(Rejected {
                shard,
                proposal,
                code: Code::Busy,
            })
        };
        // A closed channel means that the process stops; nobody is acknowledged any more.
        let _ = self.messages.send(message);
    }

    /// Takes names out of the control log. Waits.
    ///
    /// # Errors
    /// What the control log says, or that it is closed.
    pub fn erase(&self, scope: &EraseScope) -> anyhow::Result<ControlErased> {
        let (reply, answer) = mpsc::channel();
        let _ = self.messages.send(Message::Erase(scope.clone(), reply));
        let erased = answer.recv().context("the server stops")?;
        erased.map_err(|failure| anyhow!("the control log: {failure}"))
    }
}

/// The running thread.
#[derive(Debug)]
pub struct ControlThread {
    sender: ControlSender,
    feed: EventFeed,
    thread: JoinHandle<Result<(), CloseError>>,
}

/// What the thread tells others.
#[derive(Debug)]
pub struct ControlSignals {
    /// Whether the control log can be made durable.
    pub health: Arc<Health>,
    /// A row of [`stats::CONTROL_METRICS`].
    pub metrics: Arc<MetricRow>,
    /// Says what the disk refuses the control log's janitor.
    pub voice: JanitorVoice,
}

impl ControlThread {
    /// Starts the thread. `sink` gets the outcomes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        core: ControlCore,
        clock: Clock,
        sink: Box<dyn OutcomeSink>,
        signals: ControlSignals,
    ) -> std::io::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let committed = core.state().applied_index();
        let (publisher, feed) =
            EventFeed::new(core.log_id(), core.reader(), committed, core.voids());
        let worker = Worker {
            core,
            clock,
            sink,
            signals,
            inbox,
            waiting: waiting.clone(),
            publisher,
        };
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(|| worker.run())?;
        Ok(Self {
            sender: ControlSender { messages, waiting },
            feed,
            thread,
        })
    }

    /// The way to propose.
    pub fn sender(&self) -> ControlSender {
        self.sender.clone()
    }

    /// The source of event streams.
    pub fn feed(&self) -> EventFeed {
        self.feed.clone()
    }

    /// Makes what waits durable, closes the log cleanly and ends the thread. Call it when no shard
    /// proposes any more.
    ///
    /// # Errors
    /// When the log could not be closed; the next start recovers as after a crash.
    pub fn stop(self) -> Result<(), CloseError> {
        let _ = self.sender.messages.send(Message::Stop);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Worker {
    core: ControlCore,
    clock: Clock,
    sink: Box<dyn OutcomeSink>,
    signals: ControlSignals,
    inbox: mpsc::Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    publisher: FeedPublisher,
}

impl Worker {
    fn run(mut self) -> Result<(), CloseError> {
        let mut goes_on = true;
        while goes_on {
            stats::publish(&self.signals.metrics, &self.core);
            let now_ms = self.clock.now_ms();
            let report = self.core.maintain(now_ms);
            self.signals.voice.hear(now_ms, &report);
            let rest_ms = report.next_due_ms.saturating_sub(now_ms);
            goes_on = self.receive(Duration::from_millis(rest_ms));
            while self.core.waiting() > 0 {
                let flushed = self.core.flush(self.clock.now_ms());
                self.deliver(flushed);
            }
        }
        stats::publish(&self.signals.metrics, &self.core);
        self.core.close()
    }

    /// Waits for a message and takes all that are there; false when the thread shall end.
    fn receive(&mut self, timeout: Duration) -> bool {
        let mut message = match self.inbox.recv_timeout(timeout) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        loop {
            match message {
                Message::Propose(proposal) => self.take(proposal),
                Message::Refuse(rejected) => self.sink.rejected(rejected),
                Message::Erase(scope, reply) => self.erase(&scope, &reply),
                Message::Stop => return false,
            }
            message = match self.inbox.try_recv() {
                Ok(message) => message,
                Err(_) => return true,
            };
            if self.core.waiting() >= PROPOSALS_WAITING_MAX {
                // Room is made by the flush that follows; this one waits that long.
                let flushed = self.core.flush(self.clock.now_ms());
                self.deliver(flushed);
            }
        }
    }

    fn take(&mut self, proposal: Proposal) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Err(rejected) = self.core.propose(proposal) {
            self.sink.rejected(rejected);
        }
    }

    /// What was asked for before is in the log first: an erase is about all of it.
    fn erase(&mut self, scope: &EraseScope, reply: &mpsc::Sender<Result<ControlErased, String>>) {
        while self.core.waiting() > 0 {
            let flushed = self.core.flush(self.clock.now_ms());
            self.deliver(flushed);
        }
        let of = NamesOf {
            chat: scope.chat(),
            user: scope.user(),
        };
        // Whoever has gone away need not know.
        let _ = reply.send(self.core.erase(self.clock.now_ms(), of));
    }

    /// Streams and shards learn of a group only when it is durable.
    fn deliver(&mut self, flushed: Flushed) {
        self.publisher
            .publish(self.core.state().applied_index(), self.core.voids());
        self.signals
            .health
            .set_control_durable(flushed.failure.is_none());
        if let Some(failure) = &flushed.failure {
            let commands = flushed.rejected.len();
            tracing::error!(
                %failure,
                commands,
                "the control log could not be made durable; starts are refused until it can"
            );
        }
        for committed in flushed.committed {
            self.sink.committed(committed);
        }
        for rejected in flushed.rejected {
            self.sink.rejected(rejected);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Duration;

    use skein_engine::command::Command;
    use skein_engine::ids::{ProposalId, ShardId};
    use skein_log::{LogId, MemoryStorage, Operation};
    use skein_wire::error::Code;
    use skein_wire::ids::UserName;

    use crate::clock::Clock;
    use crate::control::core::{Acknowledge, Committed, ControlCore, Rejected};
    use crate::control::event_place::EventPlace;
    use crate::control::feed::FeedItem;
    use crate::control::stats::CONTROL_METRICS;
    use crate::control::thread::{ControlSignals, ControlThread, OutcomeSink};
    use crate::erase_scope::EraseScope;
    use crate::health::Health;
    use crate::janitor_voice::{CONTROL_JANITOR_METRICS, JanitorVoice};
    use crate::metrics::MetricsBoard;

    /// Long enough for any machine; a hang ends the test.
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Outcomes(Sender<Result<Committed, Rejected>>);

    impl OutcomeSink for Outcomes {
        fn committed(&mut self, committed: Committed) {
            let _ = self.0.send(Ok(committed));
        }
        fn rejected(&mut self, rejected: Rejected) {
            let _ = self.0.send(Err(rejected));
        }
    }

    fn start(
        storage: &Arc<MemoryStorage>,
    ) -> (
        ControlThread,
        Receiver<Result<Committed, Rejected>>,
        Arc<Health>,
    ) {
        let clock = Clock::start();
        let open = ControlCore::open(storage.clone(), Acknowledge::AfterSync, clock.now_ms(), 1);
        let (core, _) = open.expect("open");
        let (sender, receiver) = mpsc::channel();
        let health = Arc::new(Health::default());
        let mut board = MetricsBoard::default();
        let voice = JanitorVoice::of_control(board.once(CONTROL_JANITOR_METRICS));
        let signals = ControlSignals {
            health: health.clone(),
            metrics: board.once(CONTROL_METRICS),
            voice,
        };
        let thread = ControlThread::spawn(core, clock, Box::new(Outcomes(sender)), signals);
        (thread.expect("a thread"), receiver, health)
    }

    fn put(user: u64) -> Command {
        Command::PutMember {
            chat: "c".into(),
            user: user.to_string(),
            rights: 3,
        }
    }

    #[test]
    fn outcomes_come_in_order_and_what_waits_at_the_stop_is_durable() {
        let storage = MemoryStorage::new();
        let (thread, outcomes, _) = start(&storage);
        let sender = thread.sender();
        for number in 0..2_000 {
            sender.propose(ShardId(1), ProposalId(number), put(number));
        }
        thread.stop().expect("stop");
        let committed: Vec<Committed> = outcomes.iter().map(|outcome| outcome.unwrap()).collect();
        assert_eq!(committed.len(), 2_000);
        for (number, one) in committed.iter().enumerate() {
            assert_eq!((one.shard, one.proposal.0), (ShardId(1), number as u64));
        }
        let crashed = storage.crash(5);
        let (core, _) = ControlCore::open(crashed, Acknowledge::AfterSync, 0, 1).expect("open");
        assert_eq!(core.state().chat("c").unwrap().members.len(), 2_000);
    }

    #[test]
    fn a_failing_disk_shows_in_health_and_heals() {
        let storage = MemoryStorage::new();
        let (thread, outcomes, health) = start(&storage);
        let sender = thread.sender();
        let mut number = 0;
        let mut outcome = || {
            number += 1;
            sender.propose(ShardId(0), ProposalId(number), put(number));
            outcomes.recv_timeout(PATIENCE).expect("an outcome")
        };
        assert!(outcome().is_ok());
        storage.fail_call(Operation::Sync, 0);
        let rejected = (0..10)
            .find_map(|_| outcome().err())
            .expect("the failure shows");
        assert_eq!(rejected.code, Code::NotDurable);
        let healed = (0..100).any(|_| outcome().is_ok());
        assert!(healed && health.control_durable());
        thread.stop().expect("stop");
    }

    #[test]
    fn what_the_disk_refuses_the_janitor_is_counted() {
        let storage = MemoryStorage::new();
        let clock = Clock::start();
        let open = ControlCore::open(storage.clone(), Acknowledge::AfterSync, clock.now_ms(), 1);
        let mut board = MetricsBoard::default();
        let refusals = board.once(CONTROL_JANITOR_METRICS);
        let signals = ControlSignals {
            health: Arc::default(),
            metrics: board.once(CONTROL_METRICS),
            voice: JanitorVoice::of_control(refusals.clone()),
        };
        let (sender, outcomes) = mpsc::channel();
        let core = open.expect("open").0;
        let thread = ControlThread::spawn(core, clock, Box::new(Outcomes(sender)), signals);
        let thread = thread.expect("a thread");
        thread.sender().propose(ShardId(0), ProposalId(1), put(1));
        let outcome = outcomes.recv_timeout(PATIENCE).expect("an outcome");
        outcome.expect("committed");
        // The state file, which a checkpoint changes, and an erase writes one.
        storage.fail_call(Operation::SyncDirectory, 0);
        let scope = EraseScope {
            chat: None,
            user: Some(UserName::new("1").expect("a name")),
        };
        thread.sender().erase(&scope).expect("erased");
        let began = std::time::Instant::now();
        while refusals.get(1) == 0 {
            assert!(began.elapsed() < PATIENCE, "nobody counts it");
            std::thread::yield_now();
        }
        thread.stop().expect("stop");
        assert_eq!(refusals.get(1), 1);
    }

    #[test]
    fn an_event_stream_goes_on_where_it_was() {
        let storage = MemoryStorage::new();
        let (thread, outcomes, _) = start(&storage);
        let sender = thread.sender();
        for number in 0..600 {
            sender.propose(ShardId(0), ProposalId(number), put(number));
        }
        let indexes: Vec<u64> = (0..600)
            .map(|_| {
                outcomes
                    .recv_timeout(PATIENCE)
                    .expect("an outcome")
                    .unwrap()
                    .index
            })
            .collect();
        let feed = thread.feed();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        let read = |after: Option<u64>, many: usize| {
            runtime.block_on(async {
                let (mut cursor, mut items) = (feed.open(after.map(EventPlace::from)), Vec::new());
                while items.len() < many {
                    items.extend(cursor.next().await.expect("items"));
                }
                items
            })
        };
        let index_of = |item: &FeedItem| match item {
            FeedItem::Command { index, .. } => *index,
            FeedItem::Resync { .. } => 0,
        };
        let all: Vec<u64> = read(Some(0), 600).iter().map(index_of).collect();
        assert_eq!(all, indexes);
        let middle: Vec<u64> = read(Some(indexes[300]), 299).iter().map(index_of).collect();
        assert_eq!(middle, indexes[301..]);
        let future = read(Some(1 << 40), 1);
        assert_eq!(
            future,
            [FeedItem::Resync {
                first_index: indexes[599] + 1
            }]
        );

        // A place of a directory that was made anew since is none here, whatever its index.
        let foreign = EventPlace {
            log: Some(LogId(0xf0e)),
            index: indexes[3],
        };
        let items = runtime.block_on(async { feed.open(Some(foreign)).next().await });
        assert_eq!(items, Some(future));

        let waiting = runtime.block_on(async {
            let mut cursor = feed.open(None);
            sender.propose(ShardId(0), ProposalId(9_999), put(9_999));
            cursor.next().await.expect("items")
        });
        assert!(index_of(&waiting[0]) > indexes[599]);
        thread.stop().expect("stop");
        let ended = runtime.block_on(async {
            let mut cursor = feed.open(None);
            cursor.next().await
        });
        assert_eq!(ended, None);
    }
}
