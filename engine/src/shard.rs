//! One shard of the engine: the chats it owns, the chats it mirrors, its connections.
//!
//! A state machine without I/O. The caller hands in events and the time, drains
//! [`Shard::poll_output`] after each, and follows the log:
//!
//! ```text
//! frames, requests, peers, commits -> handle_*  -> outputs: append, propose, frame, …
//! the log                          -> follow    -> tables change, here and nowhere else
//! transports that can take         -> fan_out   -> shared batches
//! the clock                        -> handle_timeout, not before poll_timeout
//! ```
//!
//! Invariants worth naming:
//! - Tables and members change only in [`Shard::follow`]; the owner's admission state changes when
//!   something is accepted. What is acknowledged is what came back from the log.
//! - What takes away acts before its promise is durable, what gives acts after it.
//! - Absent chat, missing right and another's session give the same answer.
//! - A message to another shard and one to itself take the same way.

mod acks;
mod api;
mod assembling;
mod checkpoint;
mod connections;
mod crossings;
mod demand;
mod durable;
mod ending;
mod feeding;
mod fences;
mod following;
pub mod forgetting;
mod geofences;
mod guests;
mod imaging;
mod importing;
mod members;
mod memory;
mod mirrors;
mod naming;
mod peers;
mod points;
mod promises;
mod recovery;
mod relays;
mod renewal;
mod rows;
mod sealing;
mod sharing;
mod starting;
mod timers;
mod viewing;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatHandle, ChatName, RequestNumber, UserName};
use skein_wire::request::Watch;
use skein_wire::update::{Refused, Update};

use crate::chat_content::ChatContent;
use crate::chats::Chats;
use crate::connections::Connections;
use crate::fan_out::{FanOut, Pacing};
use crate::ids::{ConnectionId, PartitionId, ProposalId, ShardId};
use crate::image_assembly::Assembly;
use crate::journal::Entry;
use crate::limits::{
    Limits, REQUESTS_BURST_MAX, REQUESTS_PER_SECOND_MAX, VIEWS_BURST_MAX, VIEWS_PER_SECOND_MAX,
};
use crate::naming_wait::NamingWait;
use crate::obligation::Obligation;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::partition::Partition;
use crate::peer_message::{Message, UpstreamState};
use crate::placement::{owner_of, partition_of};
use crate::random::Random;
use crate::rate::{Rate, RateLimit};
use crate::recovering::Recovering;
use crate::session::AdmissionLimits;
use crate::stats::Stats;
use crate::table::TableLimits;
use crate::telling::Telling;
use crate::time::Timestamp;
use crate::timer::Timer;
use crate::unseen_change::UnseenChange;
use crate::user_connections::UserConnections;
use crate::wheel::Wheel;

/// What a shard is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// Which one it is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// How many partitions the log has.
    pub partitions: u16,
    /// Identity of the log, part of every cursor.
    pub log_id: u64,
    /// What the operator may change.
    pub limits: Limits,
    /// Where random numbers come from; another one at every start.
    pub seed: u64,
    /// It is a shard of a relay.
    pub relay: Option<RelayConfig>,
}

/// What a shard of a relay is told in addition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where who shares is sent to, in the text of a refusal.
    pub senders_to: Option<String>,
}

/// One shard. See the module's text.
///
/// ```
/// use skein_engine::ids::{ConnectionId, PartitionId, ShardId};
/// use skein_engine::identity::Identity;
/// use skein_engine::limits::Limits;
/// use skein_engine::output::Output;
/// use skein_engine::shard::{Shard, ShardConfig};
/// use skein_engine::time::Timestamp;
/// use skein_wire::ids::UserName;
/// use skein_wire::update::Update;
///
/// let now = Timestamp(1_700_000_000_000);
/// let mut shard = Shard::new(
///     ShardConfig { shard: ShardId(0), shards: 1, partitions: 1, log_id: 7, limits: Limits::default(), seed: 1, relay: None },
///     now,
/// );
/// shard.open_partition(PartitionId(0), &[(1, 1)], 1);
/// shard.finish_recovery(now);
/// let user = UserName::new("ana")?;
/// let identity = Identity { person: user.into(), expires_at_ms: now.0 + 60_000 };
/// shard.handle_connected(now, ConnectionId(1), identity);
/// let Some(Output::Frame { update: Update::Welcome(welcome), .. }) = shard.poll_output() else {
///     panic!("every connection is welcomed");
/// };
/// assert_eq!(welcome.log, 7);
/// # Ok::<(), skein_wire::error::WireError>(())
/// ```
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    admission: AdmissionLimits,
    request_rate: RateLimit,
    view_rate: RateLimit,
    random: Random,
    partitions: Vec<Partition>,
    /// Those of which a checkpoint is being written.
    checkpointing: Vec<PartitionId>,
    chats: Chats,
    connections: Connections,
    /// Connections of a user, so that a lost right finds them.
    users: HashMap<UserName, UserConnections, RandomState>,
    /// Of those connections that look at parts of the map: most look at whole chats.
    view_rates: HashMap<ConnectionId, Rate, RandomState>,
    /// Chats of which an image was asked for, and who waits for it.
    asking: BTreeMap<ChatName, Vec<(ConnectionId, Watch)>>,
    /// Watches of sessions that a mirror does not have, by the number of the question.
    row_asks: BTreeMap<u64, (ConnectionId, Watch)>,
    row_ask_last: u64,
    /// Views so far.
    view_last: u64,
    /// Chats whose number is asked for, and what waits for it.
    naming: BTreeMap<ChatName, Vec<NamingWait>>,
    /// Commands that are not promises yet, in the order in which they were received.
    obligations: BTreeMap<u64, Obligation>,
    proposals: HashMap<ProposalId, u64, RandomState>,
    order_last: u64,
    proposal_last: u64,
    outboxes: Vec<Outbox>,
    /// Messages to itself.
    local: VecDeque<Message>,
    outputs: VecDeque<Output>,
    /// Shards that have something to follow once the appends are done.
    wakes: BTreeSet<ShardId>,
    syncs: BTreeSet<PartitionId>,
    /// Owned chats of which images are being made.
    imaging: VecDeque<ChatHandle>,
    /// Images of other shards' chats that come in.
    assembling: BTreeMap<ChatHandle, Assembly>,
    /// What the control log says of each chat, until the log has been replayed.
    recovering: BTreeMap<ChatHandle, Recovering>,
    /// Relays among the connections, and what each has not answered yet.
    relays: BTreeMap<ConnectionId, Vec<UnseenChange>>,
    /// Where this is a relay: how the way to the server is, once it is known.
    upstream: Option<Arc<UpstreamState>>,
    /// Crossings that viewers here are to be told of.
    telling: VecDeque<Telling>,
    wheel: Wheel<Timer>,
    fan_out: FanOut,
    stats: Stats,
    /// Recovery is finished.
    is_serving: bool,
    /// Time of the last input.
    now: Timestamp,
    memory_checked_at: Timestamp,
}

impl Shard {
    /// A shard that owns nothing yet. Partitions are opened, chats restored, the log replayed and
    /// recovery finished before it serves.
    ///
    /// # Panics
    /// If there are no shards or no partitions, or the shard is not one of them.
    pub fn new(config: ShardConfig, now: Timestamp) -> Self {
        assert!(config.partitions > 0, "a log has at least one partition");
        assert!(
            config.shard.0 < config.shards,
            "shard {} of {}",
            config.shard,
            config.shards
        );
        let limits = &config.limits;
        let pacing = Pacing {
            floor_interval_ms_max: limits.floor_interval_ms_max,
        };
        Self {
            admission: AdmissionLimits::new(
                limits.points_per_second_max,
                limits.points_burst_max,
                limits.stale_after_ms,
            ),
            request_rate: RateLimit::new(REQUESTS_PER_SECOND_MAX, REQUESTS_BURST_MAX),
            view_rate: RateLimit::new(VIEWS_PER_SECOND_MAX, VIEWS_BURST_MAX),
            random: Random::new(config.seed),
            partitions: (0..config.partitions)
                .map(|_| Partition::default())
                .collect(),
            checkpointing: Vec::new(),
            chats: Chats::default(),
            connections: Connections::default(),
            users: HashMap::default(),
            view_rates: HashMap::default(),
            asking: BTreeMap::new(),
            row_asks: BTreeMap::new(),
            row_ask_last: 0,
            view_last: 0,
            naming: BTreeMap::new(),
            obligations: BTreeMap::new(),
            proposals: HashMap::default(),
            order_last: 0,
            proposal_last: 0,
            outboxes: (0..config.shards + u16::from(config.relay.is_some()))
                .map(|_| Outbox::default())
                .collect(),
            local: VecDeque::new(),
            outputs: VecDeque::new(),
            wakes: BTreeSet::new(),
            syncs: BTreeSet::new(),
            imaging: VecDeque::new(),
            assembling: BTreeMap::new(),
            recovering: BTreeMap::new(),
            relays: BTreeMap::new(),
            upstream: None,
            telling: VecDeque::new(),
            wheel: Wheel::new(now),
            fan_out: FanOut::new(pacing, config.seed as u32),
            stats: Stats::default(),
            is_serving: false,
            now,
            memory_checked_at: now,
            config,
        }
    }

    /// The next thing to do. Wakes and syncs come last, after the appends they are about.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if let Some(partition) = self.syncs.pop_first() {
            return Some(Output::Sync { partition });
        }
        let shard = self.wakes.pop_first()?;
        Some(Output::Wake { shard })
    }

    /// What it holds of a chat that it owns or mirrors, and follows.
    pub fn content(&self, name: &ChatName) -> Option<ChatContent> {
        let chat = self.chats.get(self.chats.named(name)?)?;
        chat.is_following().then(|| ChatContent::of(chat))
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What it was made with.
    pub fn config(&self) -> &ShardConfig {
        &self.config
    }

    fn table_limits(&self) -> TableLimits {
        TableLimits {
            trail_points: self.config.limits.trail_points,
            tombstones_max: self.config.limits.tombstones_per_chat_max,
            tombstone_age_ms_max: self.config.limits.tombstone_age_ms_max,
        }
    }

    /// The shard that owns a chat of this name.
    fn owner_of_name(&self, name: &ChatName) -> ShardId {
        if self.config.relay.is_some() {
            // The hub, which counts as the shard behind the last.
            return ShardId(self.config.shards);
        }
        owner_of(self.partition_of(name), self.config.shards)
    }

    fn partition_of(&self, name: &ChatName) -> PartitionId {
        partition_of(name, self.config.partitions)
    }

    fn partition(&mut self, partition: PartitionId) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::from(partition.0))
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn frame(&mut self, connection: ConnectionId, update: Update) {
        self.emit(Output::Frame { connection, update });
    }

    fn refuse(&mut self, connection: ConnectionId, request: RequestNumber, error: WireError) {
        self.stats.count_refused(error.code);
        let refused = Refused {
            request,
            code: error.code,
            text: error.text.into_owned(),
        };
        self.frame(connection, Update::Refused(refused));
    }

    /// Asks for an append to a chat of this shard, and notes whom to wake.
    fn append(&mut self, chat: ChatHandle, entry: &Entry) {
        let Some(known) = self.chats.get(chat) else {
            return;
        };
        let partition = known.partition;
        if let Some(owner) = known.owner() {
            self.wakes
                .extend(owner.mirrors.iter().map(|mirror| mirror.shard));
        }
        self.append_to(partition, chat, entry);
    }

    fn append_to(&mut self, partition: PartitionId, chat: ChatHandle, entry: &Entry) {
        if let Some(state) = self.partition(partition) {
            state.outstanding += 1;
        }
        let record = entry.encode(chat);
        self.emit(Output::Append { partition, record });
    }

    /// Sends a message to a shard; one to itself waits for [`Self::settle`].
    fn post(&mut self, to: ShardId, message: Message) {
        if to == self.config.shard {
            self.local.push_back(message);
        } else if let Some(outbox) = self.outboxes.get_mut(usize::from(to.0)) {
            outbox.push(message);
        }
    }

    /// Ends every input: works off what the shard said to itself.
    fn settle(&mut self, now: Timestamp) {
        while let Some(message) = self.local.pop_front() {
            self.receive(now, self.config.shard, message);
        }
    }

    /// Begins every input.
    fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn not_found() -> WireError {
        WireError::of(Code::NotFound)
    }
}
