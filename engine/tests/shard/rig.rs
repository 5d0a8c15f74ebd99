//! Shards, log, control log and transports in one place, driven step by step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::geofence::ledger::CrossingRecord;
use skein_engine::identity::{Grant, Identity, Person};
use skein_engine::ids::{ConnectionId, PartitionId, ProposalId, RequestId, ShardId};
use skein_engine::journal::kind;
use skein_engine::limits::Limits;
use skein_engine::output::Output;
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::record::OwnedRecord;
use skein_engine::request::{Actor, ChatReply, ChatRequest, ChatResult};
use skein_engine::shard::{Shard, ShardConfig};
use skein_engine::time::Timestamp;
use skein_engine::view::View;
use skein_wire::batch::Batch;
use skein_wire::error::Code;
use skein_wire::frame::decode_update;
use skein_wire::ids::{ChatHandle, ChatName, Counter, Cursor, SessionId, ShareNumber, UserName};
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::point::{Fix, Payload, Point, Position};
use skein_wire::request::{Delivery, Request};
use skein_wire::splitter::split_first_shared;
use skein_wire::update::{Accepted, Shared, Update, Viewing, Watching};

use crate::peer::Peer;
use crate::sink::NaiveSink;
use crate::viewer::Viewer;

/// Identity of the log.
pub const LOG: u64 = 7;

/// Passes after which a rig that has not come to rest is taken to be running in circles.
const PASSES_MAX: usize = 10_000;

/// What the control log does with proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Commit,
    Reject,
    Hold,
}

struct Stored {
    epoch: u32,
    time_ms: u64,
    record: OwnedRecord,
}

/// Everything around the shards.
pub struct Rig {
    pub shards: Vec<Shard>,
    pub now: Timestamp,
    pub control: Control,
    /// Messages between shards are not delivered while this is set.
    pub rings_are_full: bool,
    /// What is appended is not durable while this is set.
    pub holds_durable: bool,
    /// The disk is full: live points and heartbeats are dropped while this is set.
    pub drops_points: bool,
    pub limits: Limits,
    pub control_state: ControlState,
    pub closed: BTreeMap<Peer, Code>,
    pub events: Vec<String>,
    pub views: Vec<View>,
    /// Crossings of geofences that were promised.
    pub crossings: Vec<CrossingRecord>,
    /// Begin and end of the newest checkpoint.
    pub checkpoints: BTreeMap<PartitionId, (u64, u64)>,
    pub replies: BTreeMap<RequestId, ChatResult>,
    pub purged: Vec<(Peer, ChatHandle)>,
    pub outputs: usize,
    /// Messages that went from one shard to another.
    pub messages: usize,
    partitions: u16,
    logs: Vec<Vec<Stored>>,
    epochs: Vec<Vec<(u32, u64)>>,
    /// Next offset of every partition that a shard follows.
    positions: BTreeMap<(u16, u16), u64>,
    /// Records before this offset are not read again.
    pub cut: u64,
    /// A shard that follows nothing for now.
    pub deaf: Option<u16>,
    durable_told: Vec<u64>,
    held: VecDeque<(u16, ProposalId, Command)>,
    frames: BTreeMap<Peer, Vec<Update>>,
    users: BTreeMap<Peer, String>,
    viewers: BTreeMap<Peer, Viewer>,
    /// Connections whose transport takes nothing.
    pub stalled: Vec<Peer>,
    connections: u64,
    requests: u64,
    starts: u64,
}

/// Names and values that scenarios use all the time.
pub fn chat() -> ChatName {
    ChatName::new("harbour").unwrap()
}

pub fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

pub fn point(counter: u64) -> Point {
    Point {
        counter: Counter(counter),
        captured_at_ms: 1_700_000_000_000 + counter as i64,
        payload: Payload::Fix(Fix {
            position: Position {
                lat_e6: 45_000_000 + counter as i32,
                lon_e6: 13_000_000,
            },
            ..Fix::default()
        }),
    }
}

impl Rig {
    /// Fresh shards on a fresh log.
    pub fn new(shards: u16) -> Self {
        Self::with_limits(shards, Limits::default())
    }

    pub fn with_limits(shards: u16, limits: Limits) -> Self {
        let partitions = 4;
        let mut rig = Self {
            shards: Vec::new(),
            now: Timestamp(1_700_000_000_000),
            control: Control::Commit,
            rings_are_full: false,
            holds_durable: false,
            drops_points: false,
            limits,
            control_state: ControlState::default(),
            closed: BTreeMap::new(),
            events: Vec::new(),
            views: Vec::new(),
            crossings: Vec::new(),
            checkpoints: BTreeMap::new(),
            replies: BTreeMap::new(),
            purged: Vec::new(),
            outputs: 0,
            messages: 0,
            partitions,
            logs: (0..partitions).map(|_| Vec::new()).collect(),
            epochs: (0..partitions).map(|_| Vec::new()).collect(),
            positions: BTreeMap::new(),
            cut: 0,
            deaf: None,
            durable_told: vec![0; usize::from(partitions)],
            held: VecDeque::new(),
            frames: BTreeMap::new(),
            users: BTreeMap::new(),
            viewers: BTreeMap::new(),
            stalled: Vec::new(),
            connections: 0,
            requests: 0,
            starts: 0,
        };
        rig.start(shards);
        rig
    }

    /// Ends the process and starts another one on the same logs. The last `lost` records of every
    /// partition are gone.
    pub fn restart(&mut self, lost: usize) {
        let shards = self.shards.len() as u16;
        for log in &mut self.logs {
            log.truncate(log.len() - lost.min(log.len()));
        }
        self.start(shards);
    }

    /// Like [`Self::restart`], in the middle of whatever is going on: what was proposed and not
    /// committed is gone too. A checkpoint whose end was lost does not count.
    pub fn crash(&mut self, lost: usize) {
        self.control = Control::Commit;
        self.rings_are_full = false;
        self.deaf = None;
        let heads: Vec<u64> = self.logs.iter().map(|log| log.len() as u64).collect();
        self.checkpoints
            .retain(|partition, (_, end)| *end + lost as u64 <= heads[usize::from(partition.0)]);
        self.restart(lost);
    }

    fn start(&mut self, shards: u16) {
        self.starts += 1;
        self.frames.clear();
        self.viewers.clear();
        self.stalled.clear();
        self.held.clear();
        self.positions.clear();
        self.shards = (0..shards)
            .map(|shard| self.recovered(shard, shards))
            .collect();
        self.settle();
    }

    fn recovered(&mut self, shard: u16, shards: u16) -> Shard {
        let config = ShardConfig {
            shard: ShardId(shard),
            shards,
            partitions: self.partitions,
            log_id: LOG,
            limits: self.limits.clone(),
            seed: self.starts * 1_000 + u64::from(shard),
            relay: None,
        };
        let mut recovered = Shard::new(config, self.now);
        let owned: Vec<u16> = (0..self.partitions)
            .filter(|number| owner_of(PartitionId(*number), shards) == ShardId(shard))
            .collect();
        for number in &owned {
            let index = usize::from(*number);
            let next = self.logs[index].len() as u64 + 1;
            self.epochs[index].push((self.starts as u32, next));
            recovered.open_partition(PartitionId(*number), &self.epochs[index], next);
            self.positions.insert((shard, *number), next);
        }
        for (name, control) in self.control_state.chats() {
            recovered.restore_chat(name, control);
        }
        for number in owned {
            let partition = PartitionId(number);
            let checkpoint = self.checkpoints.get(&partition);
            let from = checkpoint.map_or(1, |(begin, _)| *begin);
            for (offset, stored) in self.stored(number, from) {
                recovered.replay(partition, offset, stored.time_ms, stored.record.as_raw());
            }
        }
        recovered.finish_recovery(self.now);
        recovered
    }

    fn stored(&self, partition: u16, from: u64) -> impl Iterator<Item = (u64, &Stored)> {
        (1..)
            .zip(&self.logs[usize::from(partition)])
            .skip(from.saturating_sub(1) as usize)
    }

    /// Runs passes until nobody has anything to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..PASSES_MAX {
            let before = self.outputs;
            let mut busy = false;
            for shard in 0..self.shards.len() as u16 {
                busy |= self.pass(shard);
            }
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            busy |= due.is_some_and(|due| due <= self.now);
            if !busy && before == self.outputs {
                return;
            }
        }
        panic!("the shards do not come to rest");
    }

    /// Lets time go on, from timer to timer.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            let due = self.shards.iter().filter_map(Shard::poll_timeout).min();
            match due.filter(|due| *due <= end) {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// One round of one shard, in the order in which a server does it. True if a message was moved
    /// or a record followed.
    pub fn pass(&mut self, number: u16) -> bool {
        let mut busy = self.carry(number);
        self.drain(number);
        busy |= self.follow(number);
        self.drain(number);
        self.tell_durable(number);
        let mut sink = NaiveSink {
            shard: number,
            stalled: &self.stalled,
            taken: Vec::new(),
        };
        let shard = &mut self.shards[usize::from(number)];
        shard.fan_out(self.now, &mut sink);
        let taken = sink.taken;
        for (peer, frames) in taken {
            self.take_batch(peer, frames);
        }
        self.shards[usize::from(number)].handle_timeout(self.now);
        self.drain(number);
        busy | self.has_messages(number)
    }

    /// Whether messages of a shard wait that can be moved.
    fn has_messages(&self, from: u16) -> bool {
        let from = &self.shards[usize::from(from)];
        let mut to = (0..self.shards.len() as u16).map(ShardId);
        !self.rings_are_full && to.any(|to| from.has_peer_messages(to))
    }

    /// Moves the messages of a shard to the others.
    pub fn carry(&mut self, from: u16) -> bool {
        let mut busy = false;
        for to in 0..self.shards.len() as u16 {
            while !self.rings_are_full
                && let Some(message) = self.shards[usize::from(from)].poll_peer(ShardId(to))
            {
                busy = true;
                self.messages += 1;
                self.shards[usize::from(to)].handle_peer(self.now, ShardId(from), message);
            }
        }
        busy
    }

    fn drain(&mut self, number: u16) {
        let mut appends: BTreeMap<u16, Vec<OwnedRecord>> = BTreeMap::new();
        while let Some(output) = self.shards[usize::from(number)].poll_output() {
            self.outputs += 1;
            match output {
                Output::Append { partition, record } => {
                    let shards = self.shards.len() as u16;
                    let owner = owner_of(partition, shards);
                    assert_eq!(owner, ShardId(number), "only the owner appends");
                    if self.drops_points && matches!(record.kind, kind::POINT | kind::HEARTBEAT) {
                        self.shards[usize::from(number)].handle_dropped(partition);
                        continue;
                    }
                    appends.entry(partition.0).or_default().push(record);
                }
                other => self.carry_out(number, other),
            }
        }
        for (partition, mut records) in appends {
            // As a server does: runs of one chat, each in its own order.
            records.sort_by_key(|record| record.key);
            let epoch = self.starts as u32;
            let time_ms = self.now.0;
            let log = &mut self.logs[usize::from(partition)];
            log.extend(records.into_iter().map(|record| Stored {
                epoch,
                time_ms,
                record,
            }));
        }
    }

    fn carry_out(&mut self, number: u16, output: Output) {
        let peer = |connection: ConnectionId| Peer {
            shard: number,
            number: connection.0,
        };
        match output {
            Output::Frame { connection, update } => {
                if let Update::Watching(watching) = &update
                    && let Some(viewer) = self.viewers.get_mut(&peer(connection))
                {
                    viewer.epoch = watching.epoch;
                    viewer.cursor = watching.from;
                }
                self.frames
                    .entry(peer(connection))
                    .or_default()
                    .push(update);
            }
            Output::Close {
                connection, code, ..
            } => {
                self.closed.insert(peer(connection), code);
            }
            Output::Purge { connection, chat } => self.purged.push((peer(connection), chat)),
            Output::Reply { request, reply } => {
                let before = self.replies.insert(request, reply);
                assert!(before.is_none(), "a request is answered once");
            }
            Output::Follow { partition, from } => {
                self.positions.insert((number, partition.0), from);
            }
            Output::Unfollow { partition } => {
                self.positions.remove(&(number, partition.0));
            }
            Output::Reread {
                partition,
                key,
                after,
                upto,
            } => self.reread(number, partition, key, after, upto),
            Output::Propose { proposal, command } => {
                self.held.push_back((number, proposal, command));
                self.work_control();
            }
            Output::Checkpointed {
                partition,
                begin,
                end,
            } => {
                self.checkpoints.insert(partition, (begin, end));
            }
            Output::View(view) => self.views.push(view),
            Output::Event { event, .. } => {
                self.events.push(format!("{:?}", event.what));
            }
            Output::Wake { .. } | Output::Sync { .. } => {}
            Output::Append { .. } => unreachable!("collected before"),
        }
    }

    /// Works off what was proposed, as `control` says.
    pub fn work_control(&mut self) {
        while self.control != Control::Hold
            && let Some((shard, proposal, command)) = self.held.pop_front()
        {
            let now = self.now;
            let shard = &mut self.shards[usize::from(shard)];
            if self.control == Control::Reject {
                shard.handle_rejected(now, proposal, Code::NotDurable);
                continue;
            }
            let index = self.control_state.applied_index() + 1;
            let applied = self.control_state.apply(index, &command);
            if let Command::Cross { crossing, .. } = &command {
                self.crossings.push(crossing.clone());
            }
            shard.handle_committed(now, index, Some(proposal), &command, applied.handle);
        }
    }

    /// A command that comes through the control log without having been proposed by a shard.
    pub fn commit(&mut self, command: Command) {
        let index = self.control_state.applied_index() + 1;
        let handle = self.control_state.apply(index, &command).handle;
        let now = self.now;
        for shard in &mut self.shards {
            shard.handle_committed(now, index, None, &command, handle);
        }
        self.settle();
    }

    /// A shard comes to a partition's head without having seen what is before it: the log does not
    /// have it any more.
    pub fn overtake(&mut self, number: u16) {
        let partition = self.partition();
        let next = self.logs[usize::from(partition.0)].len() as u64 + 1;
        let Some(position) = self.positions.get_mut(&(number, partition.0)) else {
            return;
        };
        *position = next;
        self.shards[usize::from(number)].handle_overtaken(self.now, partition, next);
    }

    fn reread(
        &mut self,
        number: u16,
        partition: PartitionId,
        key: ChatHandle,
        after: u64,
        upto: u64,
    ) {
        let records: Vec<(u64, u64, OwnedRecord)> = self
            .stored(partition.0, after + 1)
            .take_while(|(offset, _)| *offset <= upto)
            .filter(|(_, stored)| stored.record.key == key.0)
            .map(|(offset, stored)| (offset, stored.time_ms, stored.record.clone()))
            .collect();
        let now = self.now;
        let shard = &mut self.shards[usize::from(number)];
        if after + 1 < self.cut {
            shard.handle_reread_lost(now, key);
            return;
        }
        for (offset, time_ms, record) in records {
            shard.follow_reread(now, partition, offset, time_ms, record.as_raw());
        }
        shard.handle_reread_done(now, partition, key, upto);
    }

    fn follow(&mut self, number: u16) -> bool {
        if self.deaf == Some(number) {
            return false;
        }
        let mut busy = false;
        for ((_, partition), position) in self
            .positions
            .iter_mut()
            .filter(|((shard, _), _)| *shard == number)
        {
            let log = &self.logs[usize::from(*partition)];
            while let Some(stored) = log.get(*position as usize - 1) {
                busy = true;
                self.shards[usize::from(number)].follow(
                    self.now,
                    PartitionId(*partition),
                    stored.epoch,
                    *position,
                    stored.time_ms,
                    stored.record.as_raw(),
                );
                *position += 1;
            }
        }
        busy
    }

    fn tell_durable(&mut self, number: u16) {
        if self.holds_durable {
            return;
        }
        let shards = self.shards.len() as u16;
        for partition in 0..self.partitions {
            let id = PartitionId(partition);
            let head = self.logs[usize::from(partition)].len() as u64;
            let told = &mut self.durable_told[usize::from(partition)];
            if owner_of(id, shards) == ShardId(number) && *told != head {
                *told = head;
                self.shards[usize::from(number)].handle_durable(id, head, |_| false);
            }
        }
    }

    fn take_batch(&mut self, peer: Peer, mut frames: Bytes) {
        self.outputs += 1;
        while let Some(frame) =
            split_first_shared(&mut frames, SERVER_FRAME_BYTES_MAX).expect("whole frames")
        {
            let update = decode_update(frame).expect("a good frame");
            let body = match update {
                Some(Update::Batch(body)) => body,
                Some(told @ (Update::Viewing(_) | Update::Clusters(_))) => {
                    self.frames.entry(peer).or_default().push(told);
                    continue;
                }
                other => panic!("a batch, not {other:?}"),
            };
            let batch = Batch::decode(&body).expect("a good batch");
            let handle = batch.header.chat;
            let known = self.frames_of(peer).iter().any(
                |update| matches!(update, Update::Watching(watching) if watching.chat == handle),
            );
            assert!(known, "a watch is answered before its first batch");
            let viewer = self.viewers.get_mut(&peer).expect("a viewer");
            viewer.apply(&batch);
        }
    }

    // What scenarios do.

    /// The shard that owns the chat, and one that does not (the same where there is one only).
    pub fn owner_and_other(&self) -> (u16, u16) {
        let owner = self.owner_of(&chat());
        (owner, (owner + 1) % self.shards.len() as u16)
    }

    /// The shard that a chat belongs to.
    pub fn owner_of(&self, chat: &ChatName) -> u16 {
        owner_of(
            partition_of(chat, self.partitions),
            self.shards.len() as u16,
        )
        .0
    }

    pub fn partition(&self) -> PartitionId {
        partition_of(&chat(), self.partitions)
    }

    /// Offset of the newest record of a partition.
    pub fn head(&self, partition: PartitionId) -> u64 {
        self.logs[usize::from(partition.0)].len() as u64
    }

    /// A new connection.
    pub fn connect(&mut self, shard: u16, name: &str) -> Peer {
        self.connect_as(shard, name, None)
    }

    /// A new connection with what its token gives.
    pub fn connect_as(&mut self, shard: u16, name: &str, grant: Option<Grant>) -> Peer {
        self.connections += 1;
        let number = self.connections;
        let identity = Identity {
            person: Person {
                user: user(name),
                grant: grant.map(Arc::new),
            },
            expires_at_ms: self.now.0 + 24 * 3_600_000,
        };
        self.shards[usize::from(shard)].handle_connected(self.now, ConnectionId(number), identity);
        self.settle();
        let peer = Peer { shard, number };
        self.users.insert(peer, name.to_owned());
        peer
    }

    pub fn user_of(&self, peer: Peer) -> &str {
        &self.users[&peer]
    }

    pub fn disconnect(&mut self, peer: Peer) {
        self.shards[usize::from(peer.shard)]
            .handle_disconnected(self.now, ConnectionId(peer.number));
        self.settle();
    }

    /// Sends a frame and lets everything settle.
    pub fn send(&mut self, peer: Peer, request: Request) {
        self.send_only(peer, request);
        self.settle();
    }

    /// Sends a frame and nothing more.
    pub fn send_only(&mut self, peer: Peer, request: Request) {
        let connection = ConnectionId(peer.number);
        self.shards[usize::from(peer.shard)].handle_frame(self.now, connection, request);
    }

    /// The frames that a connection got and nobody looked at yet.
    pub fn take_frames(&mut self, peer: Peer) -> Vec<Update> {
        let frames = self.frames.entry(peer).or_default();
        let is_kept = |update: &Update| matches!(update, Update::Watching(_));
        let taken = frames.iter().filter(|it| !is_kept(it)).cloned().collect();
        frames.retain(is_kept);
        taken
    }

    /// The cells that a connection was told of, of views that nobody looked at yet.
    pub fn told(&mut self, peer: Peer) -> Vec<Viewing> {
        let frames = self.take_frames(peer).into_iter();
        let viewing = frames.filter_map(|update| match update {
            Update::Viewing(viewing) => Some(viewing),
            _ => None,
        });
        viewing.collect()
    }

    /// The wanted interval that a sender was told last, of what nobody looked at yet.
    pub fn told_demand(&mut self, peer: Peer) -> Option<u32> {
        let frames = self.take_frames(peer).into_iter().rev();
        let mut demands = frames.filter_map(|update| match update {
            Update::Demand(demand) => Some(demand.interval_ms),
            _ => None,
        });
        demands.next()
    }

    fn frames_of(&self, peer: Peer) -> &[Update] {
        self.frames.get(&peer).map_or(&[], Vec::as_slice)
    }

    /// A request of the API; its reply, or `None` while there is none.
    pub fn ask(&mut self, request: ChatRequest) -> (RequestId, Option<ChatResult>) {
        let id = self.ask_only(request);
        self.settle();
        (id, self.replies.get(&id).cloned())
    }

    /// A request of the API and nothing more.
    pub fn ask_only(&mut self, request: ChatRequest) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        let shards = self.shards.len() as u16;
        let owner = owner_of(partition_of(request.chat(), self.partitions), shards);
        self.shards[usize::from(owner.0)].handle_request(self.now, id, request);
        id
    }

    /// Starts a session and returns how it is bound.
    pub fn share(&mut self, peer: Peer, key: &str) -> Shared {
        self.send(peer, Self::share_start(key, 900));
        let frames = self.take_frames(peer);
        let shared = frames.iter().find_map(|update| match update {
            Update::Shared(shared) => Some(*shared),
            _ => None,
        });
        shared.unwrap_or_else(|| panic!("no session but {frames:?}"))
    }

    pub fn send_point(&mut self, peer: Peer, share: ShareNumber, counter: u64) {
        self.send(peer, Self::point_frame(share, counter));
    }

    /// Begins to watch; what was refused panics.
    pub fn watch(&mut self, peer: Peer) -> Watching {
        self.watch_from(peer, None, Delivery::Every)
    }

    pub fn watch_from(
        &mut self,
        peer: Peer,
        cursor: Option<Cursor>,
        delivery: Delivery,
    ) -> Watching {
        self.watch_as(peer, Viewer::default(), cursor, delivery)
    }

    /// Goes on with what a viewer has, on a new connection.
    pub fn watch_again(&mut self, peer: Peer, viewer: &Viewer) -> Watching {
        let cursor = Cursor {
            log: LOG,
            epoch: viewer.epoch,
            offset: viewer.cursor,
        };
        self.watch_as(peer, viewer.come_back(), Some(cursor), Delivery::Every)
    }

    fn watch_as(
        &mut self,
        peer: Peer,
        viewer: Viewer,
        cursor: Option<Cursor>,
        delivery: Delivery,
    ) -> Watching {
        self.viewers.insert(peer, viewer);
        self.send(peer, Self::watch_frame(cursor, delivery));
        let watching = self.watching_of(peer);
        watching.unwrap_or_else(|| panic!("no watch but {:?}", self.frames_of(peer)))
    }

    /// The answer to a connection's watch.
    pub fn watching_of(&self, peer: Peer) -> Option<Watching> {
        self.frames_of(peer).iter().find_map(|update| match update {
            Update::Watching(watching) => Some(*watching),
            _ => None,
        })
    }

    /// Prepares for batches of a watch that the scenario asks for itself.
    pub fn expect_viewer(&mut self, peer: Peer) {
        self.viewers.insert(peer, Viewer::default());
    }

    /// One round of every shard, no more.
    pub fn one_pass_each(&mut self) {
        for shard in 0..self.shards.len() as u16 {
            self.pass(shard);
        }
    }

    pub fn viewer(&self, peer: Peer) -> &Viewer {
        &self.viewers[&peer]
    }

    /// Acknowledgements among the frames that a connection got.
    pub fn take_accepted(&mut self, peer: Peer) -> Vec<Accepted> {
        self.take_frames(peer)
            .into_iter()
            .filter_map(|update| match update {
                Update::Accepted(accepted) => Some(accepted),
                _ => None,
            })
            .collect()
    }

    /// The code with which the last request of a connection was refused.
    pub fn take_refusal(&mut self, peer: Peer) -> Option<Code> {
        self.take_frames(peer)
            .into_iter()
            .rev()
            .find_map(|update| match update {
                Update::Refused(refused) => Some(refused.code),
                _ => None,
            })
    }

    /// Live sessions as the API lists them.
    pub fn live_sessions(&mut self) -> Vec<SessionId> {
        let asked = ChatRequest::Sessions {
            chat: chat(),
            actor: Actor::Control,
        };
        match self.ask(asked).1 {
            Some(Ok(ChatReply::Sessions(sessions))) => {
                sessions.into_iter().map(|info| info.session).collect()
            }
            other => panic!("no sessions but {other:?}"),
        }
    }
}
