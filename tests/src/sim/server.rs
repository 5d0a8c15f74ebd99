//! The server under simulation: the real shard cores, the real control core, the real log, over
//! memory storage and plain queues. One life of it ends with a crash; the next begins on what the
//! disk has kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use skein_engine::chat_event::ChatEvent;
use skein_engine::command::Command;
use skein_engine::geofence::ledger::CrossingRecord;
use skein_engine::identity::Identity;
use skein_engine::ids::{ConnectionId, PartitionId, ProposalId, RequestId, ShardId, ViewerId};
use skein_engine::limits::Limits;
use skein_engine::peer_message::PeerMessage;
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::request::{ChatRequest, ChatResult};
use skein_engine::shard::{Shard, ShardConfig};
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::time::Timestamp;
use skein_engine::view::View;
use skein_log::{Janitor, Log, LogId, MemoryStorage, Options, Reader, SyncMode};
use skein_server::control::core::{Acknowledge, ControlCore, Proposal};
use skein_server::shard::core::Core;
use skein_server::shard::ports::Ports;
use skein_server::shard::recovery::{ShardParts, recover};
use skein_wire::error::Code;
use skein_wire::frame::encode_update;
use skein_wire::ids::{ChatHandle, ChatName};
use skein_wire::request::Request;
use skein_wire::update::Update;

use crate::sim::network::{Arrival, LinkKey, LinkKind, Network};
use crate::sim::random::Random;

/// Partitions of the simulated log.
pub const PARTITIONS: u16 = 4;
/// Bytes of a batch that goes as a datagram.
const DATAGRAM_BYTES_MAX: usize = 1_160;
/// Bytes after which a partition gets a new checkpoint: small, so that every run has some.
const CHECKPOINT_EVERY_BYTES: u64 = 4 * 1024;

/// Longest time that a change waits for a checkpoint, milliseconds: several times in a run.
const CHECKPOINT_AGE_MS: u64 = 3_000;

/// The bugs that can be put back, to see that the checks find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Syncs report success and do nothing.
    pub sync_is_a_lie: bool,
    /// Commands count as committed before their sync.
    pub acknowledge_before_sync: bool,
}

/// What the event log keeps, and how often it gets a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Bytes of a partition; `None`: all.
    pub retention_bytes: Option<u64>,
    /// Longest time that a change waits for a checkpoint, milliseconds; `None`: for ever.
    pub checkpoint_age_ms: Option<u64>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            retention_bytes: None,
            checkpoint_age_ms: Some(CHECKPOINT_AGE_MS),
        }
    }
}

/// What survives the server: its two directories.
#[derive(Clone, Debug)]
pub struct Disk {
    log: Arc<MemoryStorage>,
    control: Arc<MemoryStorage>,
}

impl Disk {
    /// Two empty directories.
    pub fn new(sabotage: Sabotage) -> Self {
        let disk = Self {
            log: MemoryStorage::new(),
            control: MemoryStorage::new(),
        };
        disk.apply(sabotage);
        disk
    }

    /// The power fails: un-synced pages are kept, dropped or permuted by the seed.
    pub fn crash(&self, seed: u64, sabotage: Sabotage) -> Self {
        let disk = Self {
            log: self.log.crash(seed),
            control: self.control.crash(seed ^ 1),
        };
        disk.apply(sabotage);
        disk
    }

    /// The process dies, the machine goes on: everything written is there.
    pub fn kill(&self, sabotage: Sabotage) -> Self {
        let disk = Self {
            log: self.log.kill(),
            control: self.control.kill(),
        };
        disk.apply(sabotage);
        disk
    }

    /// The medium of the event log, to let it fail or be full.
    pub fn log(&self) -> &MemoryStorage {
        &self.log
    }

    fn apply(&self, sabotage: Sabotage) {
        let mode = match sabotage.sync_is_a_lie {
            true => SyncMode::Lie,
            false => SyncMode::Honest,
        };
        self.log.set_sync_mode(mode);
        self.control.set_sync_mode(mode);
    }

    /// The kernel writes some pages by itself.
    pub fn write_back_some(&self, seed: u64) {
        self.log.write_back_some(seed);
        self.control.write_back_some(seed ^ 1);
    }
}

/// An answer of the control or HTTP API.
#[derive(Debug)]
pub struct Answer {
    /// The number that [`SimServer::request`] gave.
    pub request: u64,
    /// What the shard said.
    pub result: ChatResult,
}

/// Queues between shards, and what shards want of the outside.
#[derive(Debug)]
struct Outside {
    rings: Vec<Vec<VecDeque<PeerMessage>>>,
    ring_messages_max: usize,
    proposals: VecDeque<Proposal>,
    answers: Vec<Answer>,
    /// How often each shard has said that it appended something.
    appends: Vec<u64>,
}

/// One life of the server.
#[derive(Debug)]
pub struct SimServer {
    shards: Vec<Core>,
    control: ControlCore,
    log: Log,
    janitor: Janitor,
    outside: Outside,
    connection_last: u64,
    request_last: u64,
    requests: HashMap<u64, ShardId>,
    /// What the log's listeners have told each shard.
    log_moved: Arc<[AtomicBool]>,
    /// Crossings that were promised and that nobody has looked at.
    pub crossings: Vec<CrossingRecord>,
}

impl SimServer {
    /// Starts on a disk.
    ///
    /// # Panics
    /// When the log cannot be opened or read: on an honest disk that is a bug.
    pub fn start(
        disk: &Disk,
        sabotage: Sabotage,
        shards: u16,
        now_ms: u64,
        random: &mut Random,
    ) -> Result<Self, String> {
        Self::start_keeping(disk, sabotage, shards, Keeping::default(), now_ms, random)
    }

    /// The same with a log that keeps something else.
    ///
    /// # Errors
    /// When a log cannot be opened or read.
    pub fn start_keeping(
        disk: &Disk,
        sabotage: Sabotage,
        shards: u16,
        keeping: Keeping,
        now_ms: u64,
        random: &mut Random,
    ) -> Result<Self, String> {
        let acknowledge = match sabotage.acknowledge_before_sync {
            true => Acknowledge::BeforeSync,
            false => Acknowledge::AfterSync,
        };
        let (control, report) =
            ControlCore::open(disk.control.clone(), acknowledge, now_ms, random.bits())
                .map_err(|error| format!("control log: {error}"))?;
        if let Some(loss) = report.first_loss {
            return Err(format!("control log lost something durable: {loss}"));
        }
        let options = Options {
            retention_bytes: keeping.retention_bytes,
            ..options()
        };
        let (mut log, report) = Log::open(disk.log.clone(), options, now_ms, random.bits())
            .map_err(|error| format!("log: {error}"))?;
        if let Some(corrupt) = report.partitions.iter().find(|p| !p.corruption.is_empty()) {
            return Err(format!("log corrupt: {corrupt:?}"));
        }
        let janitor = log.take_janitor().expect("a fresh log has its janitor");
        let shards = start_shards(&mut log, &control, shards, keeping, now_ms, random)?;
        let count = shards.len();
        let rings = (0..count)
            .map(|_| (0..count).map(|_| VecDeque::new()).collect())
            .collect();
        let ring_messages_max = random.range(1, 64) as usize;
        let outside = Outside {
            rings,
            ring_messages_max,
            proposals: VecDeque::new(),
            answers: Vec::new(),
            appends: vec![0; count],
        };
        let log_moved = listen(&log, count as u16);
        let (connection_last, request_last) = (0, 0);
        let requests = HashMap::new();
        Ok(Self {
            shards,
            control,
            log,
            janitor,
            outside,
            connection_last,
            request_last,
            requests,
            log_moved,
            crossings: Vec::new(),
        })
    }

    /// Identity of the event log.
    pub fn log_id(&self) -> LogId {
        self.log.id()
    }

    /// The control core, to look at its state.
    pub fn control(&self) -> &ControlCore {
        &self.control
    }

    /// Whether some partition runs in memory, because its disk is full or has failed.
    pub fn is_degraded(&self) -> bool {
        self.shards.iter().any(|core| core.writers().degraded())
    }

    /// A reader of one partition, to check it.
    pub fn reader(&self, partition: u16) -> Reader {
        self.log.reader(skein_log::PartitionId(partition))
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Compares what the shards that mirror a chat hold of it with what its owner holds. Returns how
    /// many there are.
    ///
    /// # Errors
    /// What one of them holds that is something else.
    pub fn compare_mirrors(&self, chat: &ChatName) -> Result<u64, String> {
        let content = |shard: &Core| shard.engine_ref().content(chat);
        let owner = self.owner(chat);
        let truth = content(&self.shards[owner]);
        let mut mirrors = 0;
        for (number, shard) in self.shards.iter().enumerate() {
            let Some(mirrored) = content(shard).filter(|_| number != owner) else {
                continue;
            };
            mirrors += 1;
            if Some(&mirrored) != truth.as_ref() {
                return Err(format!(
                    "shard {number} holds {mirrored:?} of {chat}, its owner {truth:?}"
                ));
            }
        }
        Ok(mirrors)
    }

    /// A new connection on a shard, after a valid `Hello`.
    pub fn connect(&mut self, now_ms: u64, shard: usize, identity: Identity) -> LinkKey {
        self.connection_last += 1;
        let connection = ConnectionId(self.connection_last);
        let engine = self.shards[shard].engine();
        engine.handle_connected(Timestamp(now_ms), connection, identity);
        LinkKey { shard, connection }
    }

    /// Hands something that arrived to its shard.
    pub fn arrive(&mut self, now_ms: u64, network: &mut Network, arrival: Arrival) {
        let now = Timestamp(now_ms);
        match arrival {
            Arrival::Request(key, Request::Ping(number)) => {
                let engine = self.shards[key.shard].engine();
                engine.handle_frame(now, key.connection, Request::Ping(number));
            }
            Arrival::Request(key, request) => {
                self.shards[key.shard]
                    .engine()
                    .handle_frame(now, key.connection, request);
            }
            Arrival::Writable(key) => {
                network.batch_taken(key);
                self.shards[key.shard]
                    .engine()
                    .handle_writable(key.connection);
            }
            Arrival::StreamDone(key, viewer) => {
                self.shards[key.shard]
                    .engine()
                    .handle_stream_done(key.connection, viewer);
            }
            Arrival::ClosedAtServer(key) => {
                self.shards[key.shard]
                    .engine()
                    .handle_disconnected(now, key.connection);
            }
            Arrival::Frames(..) | Arrival::ClosedAtClient(_) => {
                unreachable!("that is for a client")
            }
        }
    }

    /// A request of the control API; the answer comes with [`SimServer::take_answers`].
    pub fn request(&mut self, now_ms: u64, request: ChatRequest) -> u64 {
        self.request_last += 1;
        let shard = self.owner(request.chat());
        let id = RequestId(self.request_last);
        self.shards[shard]
            .engine()
            .handle_request(Timestamp(now_ms), id, request);
        self.requests
            .insert(self.request_last, ShardId(shard as u16));
        self.request_last
    }

    /// Answers since the last call.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.outside.answers)
    }

    /// Begins a checkpoint of a partition, as an operator's erase does: in so short a life few are due.
    pub fn begin_checkpoint(&mut self, partition: PartitionId) {
        let owner = owner_of(partition, self.shards.len() as u16);
        self.shards[usize::from(owner.0)].begin_checkpoint(partition);
    }

    /// Whole checkpoints that its shards wrote.
    pub fn checkpoints(&self) -> u64 {
        let of_shard = |core: &Core| core.engine_ref().stats().checkpoints;
        self.shards.iter().map(of_shard).sum()
    }

    /// The shard that owns a chat.
    pub fn owner(&self, chat: &ChatName) -> usize {
        let partition = partition_of(chat, PARTITIONS);
        usize::from(owner_of(partition, self.shards.len() as u16).0)
    }

    /// One round: every shard takes its messages and runs passes until it rests.
    pub fn run_shards(&mut self, now_ms: u64, network: &mut Network) {
        for shard in 0..self.shards.len() {
            self.run_shard(now_ms, network, shard);
        }
    }

    /// One shard takes its messages and runs passes until it rests.
    pub fn run_shard(&mut self, now_ms: u64, network: &mut Network, shard: usize) {
        self.take_peers(now_ms, shard);
        if self.log_moved[shard].swap(false, Ordering::Relaxed) {
            self.shards[shard].note_log_moved();
        }
        for _ in 0..100 {
            let mut ports = SimPorts {
                shard,
                now_ms,
                network: &mut *network,
                outside: &mut self.outside,
            };
            if !self.shards[shard].pass(Timestamp(now_ms), &mut ports).more {
                break;
            }
        }
    }

    /// The engine of one shard, to look at it.
    pub fn engine(&self, shard: usize) -> &Shard {
        self.shards[shard].engine_ref()
    }

    fn take_peers(&mut self, now_ms: u64, shard: usize) {
        for from in 0..self.shards.len() {
            while let Some(message) = self.outside.rings[from][shard].pop_front() {
                let engine = self.shards[shard].engine();
                engine.handle_peer(Timestamp(now_ms), ShardId(from as u16), message);
            }
        }
    }

    /// The control thread takes what waits, commits it as a group and tells the shards.
    pub fn run_control(&mut self, now_ms: u64) {
        while let Some(proposal) = self.outside.proposals.pop_front() {
            if let Err(rejected) = self.control.propose(proposal) {
                self.reject(now_ms, rejected.shard, rejected.proposal, rejected.code);
            }
        }
        let flushed = self.control.flush(now_ms);
        for done in flushed.committed {
            if let Command::Cross { crossing, .. } = &done.command {
                self.crossings.push(crossing.clone());
            }
            let engine = self.shards[usize::from(done.shard.0)].engine();
            let proposal = Some(done.proposal);
            let now = Timestamp(now_ms);
            engine.handle_committed(now, done.index, proposal, &done.command, done.handle);
        }
        for rejected in flushed.rejected {
            self.reject(now_ms, rejected.shard, rejected.proposal, rejected.code);
        }
        self.control.maintain(now_ms);
    }

    fn reject(&mut self, now_ms: u64, shard: ShardId, proposal: ProposalId, code: Code) {
        let engine = self.shards[usize::from(shard.0)].engine();
        engine.handle_rejected(Timestamp(now_ms), proposal, code);
    }

    /// The janitor's turn.
    pub fn run_janitor(&mut self, now_ms: u64) {
        self.janitor.work(now_ms);
    }
}

/// Small ones, so that every run meets them: images come in several slices, ended rows are forgotten
/// and trails are full.
fn limits() -> Limits {
    Limits {
        image_rows_per_pass: 3,
        tombstones_per_chat_max: 4,
        trail_points: 8,
        ..Limits::default()
    }
}

fn options() -> Options {
    Options {
        partitions: PARTITIONS,
        segment_bytes_min: 256 * 1024,
        segment_bytes_max: 256 * 1024,
        sync_interval_ms: 500,
        ..Options::default()
    }
}

/// Notes for each shard that something has happened to a partition that it owns, as the server does.
fn listen(log: &Log, shards: u16) -> Arc<[AtomicBool]> {
    let moved: Arc<[AtomicBool]> = (0..shards).map(|_| AtomicBool::new(false)).collect();
    let noted = Arc::clone(&moved);
    let note = move |partition: skein_log::PartitionId| {
        let owner = owner_of(PartitionId(partition.0), shards);
        noted[usize::from(owner.0)].store(true, Ordering::Relaxed);
    };
    let (durable, lost) = (note.clone(), note.clone());
    log.on_durable(Box::new(move |partition, _| durable(partition)));
    log.on_lost(Box::new(move |partition, _, _| lost(partition)));
    log.on_ready(Box::new(note));
    moved
}

fn start_shards(
    log: &mut Log,
    control: &ControlCore,
    shards: u16,
    keeping: Keeping,
    now_ms: u64,
    random: &mut Random,
) -> Result<Vec<Core>, String> {
    let readers: Vec<Reader> = (0..PARTITIONS)
        .map(|p| log.reader(skein_log::PartitionId(p)))
        .collect();
    let mut cores = Vec::new();
    for shard in (0..shards).map(ShardId) {
        let owned = (0..PARTITIONS)
            .map(PartitionId)
            .filter(|&p| owner_of(p, shards) == shard);
        let writers: Vec<_> = owned
            .map(|p| {
                let writer = log.take_writer(skein_log::PartitionId(p.0));
                (p, writer.expect("each writer is taken once"))
            })
            .collect();
        let parts = ShardParts {
            config: ShardConfig {
                shard,
                shards,
                partitions: PARTITIONS,
                log_id: log.id().0,
                limits: limits(),
                seed: random.bits(),
                relay: None,
            },
            writers,
            readers: readers.clone(),
            checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
            checkpoint_age_ms: keeping.checkpoint_age_ms,
            may_wait: false,
        };
        let (core, _) = recover(parts, control.state(), Timestamp(now_ms))
            .map_err(|error| format!("replay: {error}"))?;
        cores.push(core);
    }
    Ok(cores)
}

/// The outside of one shard during one pass.
struct SimPorts<'a> {
    shard: usize,
    now_ms: u64,
    network: &'a mut Network,
    outside: &'a mut Outside,
}

impl SimPorts<'_> {
    fn key(&self, connection: ConnectionId) -> LinkKey {
        LinkKey {
            shard: self.shard,
            connection,
        }
    }
}

impl Sink for SimPorts<'_> {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        let (key, now_ms) = (self.key(connection), self.now_ms);
        let Some(link) = self.network.link(key) else {
            return Offer::Gone;
        };
        match link.kind {
            LinkKind::Ordered if link.batch_in_flight => Offer::Full,
            LinkKind::Ordered => {
                self.network.send_ordered_batch(now_ms, key, batch.frames());
                Offer::Sent
            }
            LinkKind::Datagrams
                if batch.frame_count() == 1 && batch.frames_len() <= DATAGRAM_BYTES_MAX =>
            {
                self.network.send_datagram(now_ms, key, batch.frames());
                Offer::Datagram
            }
            LinkKind::Datagrams => {
                self.network
                    .send_stream(now_ms, key, viewer, batch.frames());
                Offer::Streaming
            }
        }
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.network
            .send_frames(self.now_ms, self.key(connection), frame.clone());
    }

    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes) {
        let key = self.key(connection);
        self.network.send_datagram(self.now_ms, key, frame.clone());
    }
}

impl Ports for SimPorts<'_> {
    fn send(&mut self, connection: ConnectionId, update: &Update) {
        let mut frame = Vec::new();
        encode_update(update, &mut frame);
        self.network
            .send_frames(self.now_ms, self.key(connection), frame.into());
    }

    fn close(&mut self, connection: ConnectionId, _code: Code, _retry: u32, _text: &str) {
        self.network.cut(self.now_ms, self.key(connection));
    }

    fn purge(&mut self, connection: ConnectionId, _chat: ChatHandle) {
        // Bytes that are half-written belong to a viewer without a right: the connection breaks.
        self.network.cut(self.now_ms, self.key(connection));
    }

    fn propose(&mut self, proposal: ProposalId, command: Command) {
        let shard = ShardId(self.shard as u16);
        self.outside.proposals.push_back(Proposal {
            shard,
            proposal,
            command,
        });
    }

    fn reply(&mut self, request: RequestId, result: ChatResult) {
        self.outside.answers.push(Answer {
            request: request.0,
            result,
        });
    }

    fn view(&mut self, _view: View) {}

    fn event(&mut self, _index: u64, _event: ChatEvent) {}

    fn peer_has_room(&self, to: ShardId) -> bool {
        let ring = &self.outside.rings[self.shard][usize::from(to.0)];
        ring.len() < self.outside.ring_messages_max
    }

    fn peer_send(&mut self, to: ShardId, message: PeerMessage) {
        self.outside.rings[self.shard][usize::from(to.0)].push_back(message);
    }

    fn note_appended(&mut self) {
        self.outside.appends[self.shard] += 1;
    }

    fn appended_by(&self, shard: ShardId) -> u64 {
        self.outside.appends[usize::from(shard.0)]
    }

    fn wake(&mut self, _shard: ShardId) {}
}
