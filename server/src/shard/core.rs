//! The core of a shard: engine and log joined, one pass after the other.
//!
//! It knows no clock, thread or socket: inputs and `now` come in, everything else goes out through
//! [`Ports`]. The server runs it on a pinned thread, the simulation under a seed.
//!
//! The one rule: tables change only in `Core::follow_logs`, from records read back from the log.

use skein_engine::fan_out::FanOutReport;
use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::output::Output;
use skein_engine::shard::Shard;
use skein_engine::time::Timestamp;
use skein_log::{Batch, Durability, Reader};

use crate::raw_record::raw;
use crate::shard::appends::Appends;
use crate::shard::followers::{Follower, Followers};
use crate::shard::log_writer::{LogWriters, Taken};
use crate::shard::ports::Ports;
use crate::shard::rereads::Rereads;

/// Time between two looks of the writers at segments that are old enough to be closed, milliseconds.
const UPKEEP_INTERVAL_MS: u64 = 10_000;

/// Time until records that the log did not take are offered again, milliseconds.
const RETRY_INTERVAL_MS: u64 = 250;

/// Batches followed of one partition per pass, so that catching up with one partition keeps
/// nobody else waiting.
const FOLLOW_BATCHES_PER_PASS: usize = 64;

/// One shard: its engine, the partitions it writes, the partitions it follows.
#[derive(Debug)]
pub struct Core {
    engine: Shard,
    writers: LogWriters,
    followers: Followers,
    readers: Vec<Reader>,
    rereads: Rereads,
    appends: Appends,
    /// The other shards, and what of their appends was seen.
    peers: Vec<(ShardId, u64)>,
    wakes: Vec<ShardId>,
    /// Partitions that something was appended to since the writers were looked at.
    appended: Vec<PartitionId>,
    /// The others have not been told of it.
    is_untold: bool,
    /// A durable mark has moved, something is lost, or something that an append waited for is there.
    log_moved: bool,
    /// Nothing becomes durable in some partition.
    is_losing: bool,
    upkeep_at: Timestamp,
    /// So long a change may wait for a checkpoint; `None` = for ever.
    checkpoint_age_ms: Option<u64>,
}

/// What a pass left to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassReport {
    /// Whether there is more to do at once.
    pub more: bool,
    /// Records appended.
    pub appended: u64,
    /// What the fan-out did.
    pub fan_out: FanOutReport,
}

impl Core {
    /// Joins an engine that has been recovered with its log. `readers` has one reader per partition
    /// of the log, in order; `followers` stand where the recovery ended.
    pub fn new(
        engine: Shard,
        writers: LogWriters,
        followers: Followers,
        readers: Vec<Reader>,
        peers: Vec<ShardId>,
    ) -> Self {
        let appends = Appends::default();
        Self {
            engine,
            writers,
            followers,
            readers,
            rereads: Rereads::default(),
            appends,
            peers: peers.into_iter().map(|peer| (peer, 0)).collect(),
            wakes: Vec::new(),
            appended: Vec::new(),
            is_untold: false,
            log_moved: true,
            is_losing: false,
            upkeep_at: Timestamp(0),
            checkpoint_age_ms: None,
        }
    }

    /// From now on a change waits no longer than this for a checkpoint.
    pub fn set_checkpoint_age(&mut self, age_ms: Option<u64>) {
        self.checkpoint_age_ms = age_ms;
    }

    /// The engine, to hand it inputs.
    pub fn engine(&mut self) -> &mut Shard {
        &mut self.engine
    }

    /// The engine, to look at it.
    pub fn engine_ref(&self) -> &Shard {
        &self.engine
    }

    /// The partitions that this shard writes.
    pub fn writers(&self) -> &LogWriters {
        &self.writers
    }

    /// Begins a checkpoint of a partition that it writes, whether one is due or not, unless one is
    /// being written.
    pub fn begin_checkpoint(&mut self, partition: PartitionId) {
        if self.engine.begin_checkpoint(partition) {
            self.writers.note_checkpoint(partition);
        }
    }

    /// Begins a checkpoint of each partition of which a restart would have to replay more than
    /// `bytes` beside its last one. Passes write it while [`Core::is_due`].
    pub fn begin_checkpoints_beyond(&mut self, bytes: u64) {
        let engine = &mut self.engine;
        self.writers
            .begin_checkpoints_beyond(bytes, |partition| engine.begin_checkpoint(partition));
    }

    /// Whether a pass has something to do now, without an input.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        self.behind() || due || self.writers.has_waiting()
    }

    /// A durable mark has moved, something is lost, or what an append waited for is there, as the
    /// log's listeners say: the next pass looks at all writers.
    pub fn note_log_moved(&mut self) {
        self.log_moved = true;
    }

    /// Whether a shard that this one follows has appended something since the last pass.
    pub fn has_appends(&self, ports: &impl Ports) -> bool {
        let shards = self.engine.config().shards;
        let mut peers = self.peers.iter();
        peers.any(|(peer, seen)| {
            ports.appended_by(*peer) != *seen && self.followers.any_of(*peer, shards)
        })
    }

    /// Closes the segment of a partition that it writes and asks for its sync.
    pub fn close_segment(&mut self, partition: PartitionId) {
        self.writers.close_segment(partition);
    }

    /// One pass over everything that inputs have left in the engine.
    pub fn pass(&mut self, now: Timestamp, ports: &mut impl Ports) -> PassReport {
        let mut report = self.advance(now, ports);
        self.serve(now, ports, &mut report);
        report
    }

    /// The first half of a pass: works off inputs, appends, and follows the logs. The tables are new then.
    pub fn advance(&mut self, now: Timestamp, ports: &mut impl Ports) -> PassReport {
        let mut report = PassReport::default();
        self.engine.handle_timeout(now);
        self.upkeep(now);
        let log_moved = std::mem::take(&mut self.log_moved);
        if log_moved {
            report.appended += self.offer_waiting(now);
        }
        report.appended += self.settle(now, ports);
        self.look_at_peers(ports);
        report.more = self.follow_logs(now);
        self.report_durable(log_moved);
        if self.is_losing {
            self.upkeep_at = self.upkeep_at.min(Timestamp(now.0 + RETRY_INTERVAL_MS));
        }
        // Following may have asked for more: acknowledgements, replies, a record of its own.
        report.appended += self.settle(now, ports);
        report
    }

    /// The second half: viewers get what is new, the other shards their messages. Whoever has a clock tells
    /// the engine what it has cost ([`Shard::note_fan_out_cost`]).
    pub fn serve(&mut self, now: Timestamp, ports: &mut impl Ports, report: &mut PassReport) {
        report.fan_out = self.engine.fan_out(now, ports);
        report.appended += self.settle(now, ports);
        self.send_to_peers(ports);
        report.more |= self.behind() || report.fan_out.more;
    }

    /// Whether a partition has more to read.
    pub fn behind(&self) -> bool {
        self.followers.any_marked() || !self.rereads.is_empty()
    }

    /// When a pass is due without an input.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let engine = self.engine.poll_timeout();
        Some(engine.map_or(self.upkeep_at, |at| at.min(self.upkeep_at)))
    }

    /// What the log's writers want now and then, also when nothing happens.
    fn upkeep(&mut self, now: Timestamp) {
        if now < self.upkeep_at {
            return;
        }
        let Self {
            engine,
            writers,
            followers,
            appended,
            ..
        } = self;
        let mut is_late = false;
        writers.upkeep(now, |partition, taken| {
            tell_dropped(engine, partition, taken);
            if taken.appended > 0 {
                is_late = true;
                appended.push(partition);
                followers.mark(partition);
            }
        });
        if is_late {
            self.tell_late_appends();
        }
        let engine = &mut self.engine;
        if let Some(age_ms) = self.checkpoint_age_ms {
            let begin = |partition| {
                let begun = engine.begin_checkpoint(partition);
                begun.then(|| engine.holds_ended(partition))
            };
            self.writers.begin_checkpoints_aged(now, age_ms, begin);
        }
        self.make_up_for_losses(now);
        let interval = match self.writers.has_kept() || self.writers.has_losses() {
            true => RETRY_INTERVAL_MS,
            false => UPKEEP_INTERVAL_MS,
        };
        self.upkeep_at = Timestamp(now.0 + interval);
    }

    /// Begins checkpoints where the disk has lost something and takes records again.
    fn make_up_for_losses(&mut self, now: Timestamp) {
        let engine = &mut self.engine;
        self.writers
            .begin_checkpoints_after_losses(now, |partition| engine.begin_checkpoint(partition));
    }

    /// Appends what had to wait for the log to prepare something.
    fn offer_waiting(&mut self, now: Timestamp) -> u64 {
        let Self {
            engine,
            writers,
            followers,
            appended,
            ..
        } = self;
        let mut count = 0;
        writers.offer_waiting(now, |partition, taken| {
            tell_dropped(engine, partition, taken);
            if taken.appended > 0 {
                count += taken.appended;
                appended.push(partition);
                followers.mark(partition);
            }
        });
        if count > 0 {
            self.tell_late_appends();
        }
        count
    }

    /// What the engine wanted to be followed was not in the log when it said so.
    fn tell_late_appends(&mut self) {
        self.is_untold = true;
        self.wakes.extend(self.peers.iter().map(|(peer, _)| *peer));
    }

    /// Tells the engine how far its partitions are durable, and what never will be.
    fn report_durable(&mut self, log_moved: bool) {
        let engine = &mut self.engine;
        if log_moved || self.is_losing {
            self.appended.clear();
            for (partition, writer) in self.writers.durable_moved() {
                let is_lost = |offset| writer.durability(offset) == Durability::Lost;
                engine.handle_durable(partition, writer.durable(), is_lost);
            }
            self.is_losing = false;
            for (partition, from) in self.writers.lost_from() {
                self.is_losing = true;
                engine.handle_lost_from(partition, from);
            }
        }
        // Whoever appends finds out, too, that the disk takes nothing any more.
        for partition in self.appended.drain(..) {
            if let Some(from) = self.writers.lost_from_in(partition) {
                self.is_losing = true;
                engine.handle_lost_from(partition, from);
            }
        }
    }

    /// Marks what others have appended to.
    fn look_at_peers(&mut self, ports: &impl Ports) {
        let shards = self.engine.config().shards;
        for (peer, seen) in &mut self.peers {
            let appends = ports.appended_by(*peer);
            if std::mem::replace(seen, appends) != appends {
                self.followers.mark_those_of(*peer, shards);
            }
        }
    }

    /// Drains the engine's outputs and appends what they ask for.
    fn settle(&mut self, now: Timestamp, ports: &mut impl Ports) -> u64 {
        let mut appended = 0;
        loop {
            self.drain_outputs(ports);
            if self.appends.is_empty() {
                break;
            }
            appended += self.append(now);
        }
        if std::mem::take(&mut self.is_untold) {
            ports.note_appended();
        }
        for shard in self.wakes.drain(..) {
            ports.wake(shard);
        }
        appended
    }

    fn drain_outputs(&mut self, ports: &mut impl Ports) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Append { partition, record } => self.appends.push(partition, record),
                Output::Propose { proposal, command } => ports.propose(proposal, command),
                Output::Frame { connection, update } => ports.send(connection, &update),
                Output::Close {
                    connection,
                    code,
                    retry_after_ms,
                    text,
                } => {
                    ports.close(connection, code, retry_after_ms, &text);
                }
                Output::Purge { connection, chat } => ports.purge(connection, chat),
                Output::Reply { request, reply } => ports.reply(request, reply),
                Output::Follow { partition, from } => self.follow(partition, from),
                Output::Unfollow { partition } => self.followers.remove(partition),
                Output::Reread {
                    partition,
                    key,
                    after,
                    upto,
                } => {
                    let reader = self.readers[usize::from(partition.0)].clone();
                    self.rereads.begin(reader, partition, key, after, upto);
                }
                // Peers are woken after the appends of this round are visible.
                Output::Wake { shard } => self.wakes.push(shard),
                Output::Sync { partition } => self.writers.request_sync(partition),
                Output::Checkpointed {
                    partition,
                    begin,
                    end,
                } => {
                    self.writers.set_checkpoint(partition, begin, end);
                }
                Output::View(view) => ports.view(view),
                Output::Event { index, event } => ports.event(index, event),
            }
        }
    }

    fn append(&mut self, now: Timestamp) -> u64 {
        let mut appended = 0;
        for appends in self.appends.grouped() {
            let (partition, records) = (appends.partition, appends.records());
            let engine = &mut self.engine;
            let taken = self.writers.append(now, partition, records);
            tell_dropped(engine, partition, taken);
            if taken.kept > 0 {
                self.upkeep_at = self.upkeep_at.min(Timestamp(now.0 + RETRY_INTERVAL_MS));
            }
            if taken.appended > 0 {
                appended += taken.appended;
                self.is_untold = true;
                self.followers.mark(partition);
            }
            self.appended.push(partition);
            self.writers
                .begin_checkpoint_due(partition, |partition| engine.begin_checkpoint(partition));
        }
        self.appends.clear();
        appended
    }

    /// Follows every partition up to its watermark, within the bound of a pass.
    /// Returns whether any has more.
    fn follow_logs(&mut self, now: Timestamp) -> bool {
        let engine = &mut self.engine;
        self.followers
            .follow_marked(|follower| follow_partition(engine, now, follower));
        let more = self.followers.any_marked();
        more | self.rereads.go_on(&mut self.engine, now)
    }

    fn follow(&mut self, partition: PartitionId, from: u64) {
        let mut reader = self.readers[usize::from(partition.0)].clone();
        reader.seek(from);
        self.followers.add(partition, reader);
    }

    fn send_to_peers(&mut self, ports: &mut impl Ports) {
        for &(peer, _) in &self.peers {
            let mut sent = false;
            while ports.peer_has_room(peer) {
                let Some(message) = self.engine.poll_peer(peer) else {
                    break;
                };
                ports.peer_send(peer, message);
                sent = true;
            }
            if sent {
                ports.wake(peer);
            }
        }
    }
}

fn tell_dropped(engine: &mut Shard, partition: PartitionId, taken: Taken) {
    for _ in 0..taken.dropped {
        engine.handle_dropped(partition);
    }
}

/// Follows one partition for a bounded number of batches. Returns whether it has more.
fn follow_partition(engine: &mut Shard, now: Timestamp, follower: &mut Follower) -> bool {
    let Follower {
        partition,
        epoch,
        ref mut reader,
        ..
    } = *follower;
    for _ in 0..FOLLOW_BATCHES_PER_PASS {
        match reader.next_batch() {
            Ok(Some(batch)) => follow_batch(engine, now, partition, epoch, &batch),
            Ok(None) => return false,
            // The reader stands behind what is missing; mirrors ask their owners for all of it.
            Err(error) => {
                tracing::error!(partition = partition.0, %error, "a follower missed records");
                engine.handle_overtaken(now, partition, reader.position());
            }
        }
    }
    true
}

fn follow_batch(
    engine: &mut Shard,
    now: Timestamp,
    partition: PartitionId,
    epoch: u32,
    batch: &Batch,
) {
    let time_ms = batch.append_time();
    for (offset, record) in batch.records() {
        engine.follow(now, partition, epoch, offset, time_ms, raw(&record));
    }
}
