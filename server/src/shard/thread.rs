//! A shard's thread: pinned to a core, one pass after the other.
//!
//! It sleeps until a socket, another shard, another thread or the engine's next timer wakes it,
//! or polls for them, as configured ([`Idle`]); there is no ticker.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use skein_engine::ids::ShardId;
use skein_engine::time::Timestamp;
use skein_wire::error::{Code, WireError};

use crate::clock::Clock;
use crate::config::idle::Idle;
use crate::edge::event::Event;
use crate::edge::waker::ShardWaker;
use crate::health::Health;
use crate::metrics::MetricRow;
use crate::shard::core::{Core, PassReport};
use crate::shard::inbox::{INBOX_INPUTS_PER_PASS, Inbound, Inbox};
use crate::shard::metrics::{self, LoopStats, PUBLISH_INTERVAL_MS, ShardNumbers};
use crate::shard::peers::PEER_MESSAGES_PER_PASS;
use crate::shard::server_ports::ServerPorts;

/// Longest time for the answers that callers of the APIs wait for when a shard stops: some syncs of a
/// slow disk. Who has none by then is told that the server goes away.
const STOP_ANSWERS_MAX: Duration = Duration::from_secs(2);

/// Bytes of a partition's log that a start after a good end may replay beside its checkpoint: little
/// against loading the checkpoint itself.
const STOP_REPLAY_BYTES: u64 = 256 * 1024;

/// Longest time for the checkpoints of a stopping shard; what is not written is replayed.
const STOP_CHECKPOINTS_MAX: Duration = Duration::from_secs(2);

/// How long an adaptive shard polls after a pass before it sleeps: about what it costs to be put
/// to sleep and woken again.
const ADAPTIVE_SPIN: Duration = Duration::from_micros(100);

/// What other threads have of a shard, and the shard of them.
#[derive(Debug)]
pub struct ShardEntry {
    /// What they hand to it.
    pub inbox: Inbox,
    /// How they wake it.
    pub waker: ShardWaker,
    /// Where it shows its numbers: a row of [`metrics::SHARD_METRICS`].
    pub metrics: Arc<MetricRow>,
    /// Where it says whether the log is on disk.
    pub health: Arc<Health>,
    /// What it does while it has nothing to do.
    pub idle: Idle,
    /// How long it goes on at a stop, so that goodbyes reach their clients.
    pub stop_linger: Duration,
}

/// One running shard.
#[derive(Debug)]
pub struct ShardLoop {
    core: Core,
    ports: ServerPorts,
    inbox: Inbox,
    waker: ShardWaker,
    clock: Clock,
    events: Vec<Event>,
    stopping: bool,
    /// Nobody is served any more who comes now.
    refusing: bool,
    metrics: Arc<MetricRow>,
    health: Arc<Health>,
    idle: Idle,
    stop_linger: Duration,
    of_loop: LoopStats,
    started: Instant,
    /// Time without work since then: slept, or polled in vain.
    idle_time: Duration,
    published_at_ms: u64,
    unpublished: bool,
    /// What it last said of its partitions.
    is_degraded: bool,
}

impl ShardLoop {
    /// Joins a recovered core with its ports.
    pub fn new(core: Core, ports: ServerPorts, entry: ShardEntry, clock: Clock) -> Self {
        let ShardEntry {
            inbox,
            waker,
            metrics,
            health,
            idle,
            stop_linger,
        } = entry;
        Self {
            core,
            ports,
            inbox,
            waker,
            clock,
            events: Vec::new(),
            stopping: false,
            refusing: false,
            metrics,
            health,
            idle,
            stop_linger,
            of_loop: LoopStats::default(),
            started: Instant::now(),
            idle_time: Duration::ZERO,
            published_at_ms: 0,
            unpublished: true,
            is_degraded: false,
        }
    }

    /// Runs until told to stop, then gives the core back for closing.
    pub fn run(mut self) -> Core {
        loop {
            let now = self.now();
            self.take_inputs(now);
            #[cfg(feature = "sabotage-pass-sleep")]
            std::thread::sleep(Duration::from_millis(1));
            #[cfg(feature = "sabotage-pass-ticker")]
            std::thread::sleep(Duration::from_millis(5 - self.clock.now_ms() % 5));
            let report = self.pass(now);
            self.of_loop.passes += 1;
            self.of_loop.passes_cut += u64::from(report.more);
            self.publish(now);
            if self.stopping {
                return self.finish();
            }
            match report.more {
                true => self.ports.edge.wait(Some(Duration::ZERO)),
                false => self.rest(),
            }
        }
    }

    /// Lets goodbyes reach their clients, and takes what these had sent before they read them.
    fn finish(mut self) -> Core {
        self.ports.edge.drain(self.stop_linger);
        self.ports.edge.wait(Some(Duration::ZERO));
        let now = self.now();
        self.take_inputs(now);
        self.pass(now);
        self.answer_callers();
        self.write_checkpoints();
        self.core
    }

    /// Goes on until the disk and the control log have what callers wait for, within a bound.
    fn answer_callers(&mut self) {
        let began = Instant::now();
        self.refusing = true;
        while self.ports.has_callers() {
            let left = STOP_ANSWERS_MAX.saturating_sub(began.elapsed());
            if left.is_zero() {
                tracing::info!("some callers did not get their answers");
                return;
            }
            self.sleep(Some(left));
            let now = self.now();
            self.take_inputs(now);
            self.pass(now);
        }
    }

    /// One pass, with the sends that come of it. From what these cost very large chats find their pace.
    fn pass(&mut self, now: Timestamp) -> PassReport {
        let mut report = self.core.advance(now, &mut self.ports);
        let began = Instant::now();
        self.core.serve(now, &mut self.ports, &mut report);
        self.ports.edge.flush();
        let cost_ns = began.elapsed().as_nanos() as u64;
        self.core.engine().note_fan_out_cost(cost_ns);
        report
    }

    /// Spares the next start most of its replay, within a bound.
    fn write_checkpoints(&mut self) {
        let began = Instant::now();
        self.core.begin_checkpoints_beyond(STOP_REPLAY_BYTES);
        while self.core.is_due(self.now()) && began.elapsed() < STOP_CHECKPOINTS_MAX {
            self.core.pass(self.now(), &mut self.ports);
        }
    }

    fn publish(&mut self, now: Timestamp) {
        self.unpublished = now.0 < self.published_at_ms + PUBLISH_INTERVAL_MS;
        if self.unpublished {
            return;
        }
        self.published_at_ms = now.0;
        let writers = self.core.writers();
        let of_loop = LoopStats {
            busy_ms: (self.started.elapsed() - self.idle_time).as_millis() as u64,
            records_lost: writers.lost(),
            log_degraded: writers.degraded(),
            ..self.of_loop
        };
        match (self.is_degraded, of_loop.log_degraded) {
            (false, true) => self.health.log_degraded(),
            (true, false) => self.health.log_restored(),
            _ => {}
        }
        self.is_degraded = of_loop.log_degraded;
        let engine = self.core.engine_ref().stats();
        let numbers = ShardNumbers {
            engine,
            edge: &self.ports.edge.stats(),
            of_loop,
        };
        metrics::publish(&self.metrics, numbers);
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    fn take_inputs(&mut self, now: Timestamp) {
        self.take_events(now);
        self.take_inbox(now);
        self.take_peers(now);
    }

    fn take_events(&mut self, now: Timestamp) {
        self.ports.edge.poll_events(&mut self.events);
        let engine = self.core.engine();
        for event in self.events.drain(..) {
            match event {
                Event::Connected {
                    connection,
                    identity,
                } => {
                    engine.handle_connected(now, connection, identity);
                }
                Event::Renewed {
                    connection,
                    identity,
                } => {
                    engine.handle_identity(now, connection, identity);
                }
                Event::Frame {
                    connection,
                    request,
                } => {
                    engine.handle_frame(now, connection, request);
                }
                Event::Writable { connection } => engine.handle_writable(connection),
                Event::StreamDone { connection, viewer } => {
                    engine.handle_stream_done(connection, viewer);
                }
                Event::Disconnected { connection } => engine.handle_disconnected(now, connection),
            }
        }
    }

    fn take_inbox(&mut self, now: Timestamp) {
        for _ in 0..INBOX_INPUTS_PER_PASS {
            let Some(input) = self.inbox.pop() else { break };
            match input {
                Inbound::Request(_, reply) if self.refusing => {
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(WireError::of(Code::GoingAway)));
                }
                Inbound::Request(request, reply) => {
                    let id = self.ports.expect_reply(reply);
                    self.core.engine().handle_request(now, id, request);
                }
                Inbound::Committed {
                    index,
                    proposal,
                    command,
                    handle,
                } => {
                    self.core
                        .engine()
                        .handle_committed(now, index, proposal, &command, handle);
                }
                Inbound::Rejected(proposal, code) => {
                    self.core.engine().handle_rejected(now, proposal, code);
                }
                Inbound::Forget(erase, reply) => {
                    let engine = self.core.engine();
                    let forgotten = engine.forget_sessions(&erase.chat, erase.user.as_ref());
                    engine.end_links_of(&erase.chat);
                    // Nobody waits any longer: then the erase is over.
                    let _ = reply.send(forgotten);
                }
                Inbound::ChatsNaming(user, reply) => {
                    let _ = reply.send(self.core.engine().chats_naming(&user));
                }
                Inbound::IsPast(chat, offset, reply) => {
                    let _ = reply.send(self.core.engine().is_past(&chat, offset));
                }
                Inbound::BeginCheckpoint(partition) => self.core.begin_checkpoint(partition),
                Inbound::CloseSegment(partition) => self.core.close_segment(partition),
                Inbound::Stop { retry_after_ms } => {
                    self.ports.edge.shutdown(retry_after_ms, self.stop_linger);
                    self.stopping = true;
                }
            }
        }
        if self.inbox.take_log_moved() {
            self.core.note_log_moved();
        }
    }

    fn take_peers(&mut self, now: Timestamp) {
        for peer in self.ports.peers.others() {
            for _ in 0..PEER_MESSAGES_PER_PASS {
                let Some(message) = self.ports.peers.pop(peer) else {
                    break;
                };
                self.core.engine().handle_peer(now, peer, message);
            }
        }
    }

    /// Comes back when there may be something to do.
    fn rest(&mut self) {
        let began = Instant::now();
        match self.idle {
            Idle::Sleep => self.sleep(None),
            Idle::Spin => while !self.spin(ADAPTIVE_SPIN) {},
            Idle::Adaptive => {
                if !self.spin(ADAPTIVE_SPIN) {
                    self.sleep(None);
                }
            }
        }
        self.idle_time += began.elapsed();
    }

    /// Looks around for so long, without sleeping. Whether there is something to do.
    fn spin(&mut self, limit: Duration) -> bool {
        let began = Instant::now();
        let edge = self.ports.edge.until_due();
        let engine = self.wait_ms().map(Duration::from_millis);
        let due = [edge, engine].into_iter().flatten().min();
        loop {
            self.ports.edge.wait(Some(Duration::ZERO));
            let spun = began.elapsed();
            if self.ports.edge.has_input() || self.has_input() || due.is_some_and(|at| at <= spun) {
                return true;
            }
            if spun >= limit {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// Sleeps until there is something to do, at most for `longest`.
    fn sleep(&mut self, longest: Option<Duration>) {
        self.waker.announce_sleep();
        // Whoever put something in before the announcement did not wake us: look once more.
        let limit = match self.has_input() {
            true => Some(Duration::ZERO),
            false => {
                let due = self.wait_ms().map(Duration::from_millis);
                [due, longest].into_iter().flatten().min()
            }
        };
        self.ports.edge.wait(limit);
        self.waker.announce_awake();
        self.of_loop.sleeps += 1;
    }

    /// Whether something waits that comes from no socket.
    fn has_input(&self) -> bool {
        self.inbox.has_input()
            || self.ports.peers.has_input()
            || self.core.has_appends(&self.ports)
            || self.core.behind()
    }

    /// Milliseconds until the next timer, if any.
    fn wait_ms(&self) -> Option<u64> {
        let due = self
            .core
            .poll_timeout()
            .map(|at| at.0.saturating_sub(self.clock.now_ms()));
        // Numbers that changed since the last copy are shown soon, also when nothing more happens.
        let publish = self.unpublished.then_some(PUBLISH_INTERVAL_MS);
        [due, publish].into_iter().flatten().min()
    }
}

/// Starts a thread for a shard, pinned to `core` where one is named, and runs `body` on it.
///
/// # Errors
/// When the thread cannot be made.
pub fn spawn<T: Send + 'static>(
    shard: ShardId,
    core: Option<usize>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(format!("shard-{shard}"))
        .spawn(move || {
            if let Some(core) = core {
                pin(shard, core);
            }
            body()
        })
}

fn pin(shard: ShardId, core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(shard = shard.0, core, %error, "the shard is not pinned");
    }
}
