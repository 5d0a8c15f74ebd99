//! The control log without thread and clock: propose, flush, apply.
//!
//! ```text
//!   propose -> waiting -> flush: append as one group -> sync, checked -> apply in order -> committed
//!                                        |                 |
//!                                        +---- fails ------+-> rejected (not_durable), voided later
//! ```
//!
//! Invariants: a command is applied and handed out as committed only when its record is durable
//! (unless a test asks for the mutation that breaks this); indexes of committed commands grow; a
//! rejected command does not come to life after a restart.

use std::sync::Arc;

use skein_engine::command::Command;
use skein_engine::control_state::ControlState;
use skein_engine::control_state::erasing::NamesOf;
use skein_engine::ids::{ProposalId, ShardId};
use skein_log::{
    AppendError, CloseError, Durability, Janitor, Log, LogId, OpenError, Options, PartitionId,
    Reader, Record, Storage, WorkReport, Writer,
};
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;

use crate::control::checkpoint::CheckpointWriter;
use crate::control::codec::encode_command;
use crate::control::erased::{ControlErased, goes};
use crate::control::limits::{
    CHECKPOINT_AFTER_BYTES, CHECKPOINT_CHUNKS_PER_STEP, CONTROL_DISK_RESERVE_BYTES,
    CONTROL_RETENTION_BYTES, CONTROL_SEGMENT_BYTES, ERASE_ROUNDS_MAX, FLUSH_RETRY_MS,
    GROUP_BYTES_MAX, GROUP_COMMANDS_MAX, NEW_FILES_PER_RETENTION, PROPOSALS_WAITING_MAX,
};
use crate::control::record;
use crate::control::recovery::{ControlRecovery, recover};
use crate::control::voids::Voids;

/// The only partition of a control log.
const PARTITION: PartitionId = PartitionId(0);

/// When a command counts as committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// After a checked sync that covers it: the promise.
    #[default]
    AfterSync,
    /// Before it. Wrong on purpose: a test shows that the crash tests would notice.
    BeforeSync,
}

/// A command that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The shard that asks, and is answered.
    pub shard: ShardId,
    /// Its number for the command.
    pub proposal: ProposalId,
    /// The command.
    pub command: Command,
}

/// A command that is durable and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The shard that asked.
    pub shard: ShardId,
    /// Its number for the command.
    pub proposal: ProposalId,
    /// Its place in the control log; grows from command to command.
    pub index: u64,
    /// The command.
    pub command: Command,
    /// The handle of its chat.
    pub handle: ChatHandle,
}

/// A command that is not durable and does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The shard that asked.
    pub shard: ShardId,
    /// Its number for the command.
    pub proposal: ProposalId,
    /// Why: `not_durable`, `busy`, or `bad_request` for a command no log would take.
    pub code: Code,
}

/// What became of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// In the order of their indexes.
    pub committed: Vec<Committed>,
    /// In the order of their proposals.
    pub rejected: Vec<Rejected>,
    /// Why commands were rejected, for the operator.
    pub failure: Option<String>,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounters {
    /// Commands that became durable.
    pub committed: u64,
    /// Commands that did not.
    pub rejected: u64,
    /// Groups, each one sync.
    pub groups: u64,
    /// Groups that failed.
    pub failures: u64,
    /// Checkpoints that were written to their end.
    pub checkpoints: u64,
}

/// The control log of a data directory.
///
/// ```
/// use skein_engine::command::Command;
/// use skein_engine::ids::{ProposalId, ShardId};
/// use skein_log::MemoryStorage;
/// use skein_server::control::core::{Acknowledge, ControlCore, Proposal};
///
/// let (mut core, _) = ControlCore::open(MemoryStorage::new(), Acknowledge::AfterSync, 0, 1).unwrap();
/// let command = Command::PutMember { chat: "hike".into(), user: "ana".into(), rights: 3 };
/// core.propose(Proposal { shard: ShardId(0), proposal: ProposalId(1), command }).unwrap();
/// let flushed = core.flush(1_000);
/// assert_eq!(flushed.committed[0].index, 1);
/// assert_eq!(core.state().chat("hike").unwrap().handle, flushed.committed[0].handle);
/// ```
#[derive(Debug)]
pub struct ControlCore {
    log: Log,
    writer: Writer,
    janitor: Janitor,
    acknowledge: Acknowledge,
    waiting: Vec<Proposal>,
    state: ControlState,
    voids: Voids,
    /// Rejected records that no durable record voids yet: first and last.
    void_wanted: Option<(u64, u64)>,
    checkpoint: Option<CheckpointWriter>,
    /// Bytes of commands since the newest whole checkpoint began.
    bytes_since_checkpoint: u64,
    /// Of those, what the checkpoint covers that is being written.
    bytes_covered: u64,
    /// No step of a checkpoint before this time (ms): the last one failed.
    checkpoint_after_ms: u64,
    /// How often a checkpoint is written and its file closed, so that all before it can go by its age.
    new_file_every_ms: Option<u64>,
    /// When that is due the next time (ms).
    new_file_at_ms: u64,
    /// The next checkpoint ends its file.
    is_new_file_due: bool,
    /// What the janitor could not do since it was last told.
    untold: WorkReport,
    counters: ControlCounters,
}

impl ControlCore {
    /// Opens or makes the control log of a directory and recovers its state. `random` seeds the
    /// identity of a new log.
    ///
    /// # Errors
    /// When the directory is in use, foreign or unreadable.
    pub fn open(
        storage: Arc<dyn Storage>,
        acknowledge: Acknowledge,
        now_ms: u64,
        random: u64,
    ) -> Result<(Self, ControlRecovery), OpenError> {
        Self::open_keeping(storage, acknowledge, None, now_ms, random)
    }

    /// The same, and commands go when they are older than `retention_age_ms`, if there is one, beside
    /// those that go for their number.
    ///
    /// # Errors
    /// As for [`ControlCore::open`].
    pub fn open_keeping(
        storage: Arc<dyn Storage>,
        acknowledge: Acknowledge,
        retention_age_ms: Option<u64>,
        now_ms: u64,
        random: u64,
    ) -> Result<(Self, ControlRecovery), OpenError> {
        let (mut log, report) = Log::open(storage, options(retention_age_ms), now_ms, random)?;
        let writer = log
            .take_writer(PARTITION)
            .expect("a fresh log has its writer");
        let janitor = log.take_janitor().expect("a fresh log has its janitor");
        let mut recovered = recover(&mut log.reader(PARTITION));
        for partition in &report.partitions {
            for corruption in &partition.corruption {
                recovered.report.losses += 1;
                let file = &corruption.quarantine;
                let loss = || format!("durable records were damaged; kept in {file}");
                recovered.report.first_loss.get_or_insert_with(loss);
            }
        }
        let core = Self {
            log,
            writer,
            janitor,
            acknowledge,
            waiting: Vec::new(),
            state: recovered.state,
            voids: recovered.voids,
            void_wanted: None,
            checkpoint: None,
            bytes_since_checkpoint: recovered.bytes_replayed,
            bytes_covered: 0,
            checkpoint_after_ms: 0,
            new_file_every_ms: retention_age_ms.map(|age| (age / NEW_FILES_PER_RETENTION).max(1)),
            // What was there before this start is old enough for one.
            new_file_at_ms: now_ms,
            is_new_file_due: false,
            untold: WorkReport::default(),
            counters: ControlCounters::default(),
        };
        Ok((core, recovered.report))
    }

    /// Identity of the control log.
    pub fn log_id(&self) -> LogId {
        self.log.id()
    }

    /// The state after everything committed.
    pub fn state(&self) -> &ControlState {
        &self.state
    }

    /// Ranges of the log that do not count.
    pub fn voids(&self) -> &Voids {
        &self.voids
    }

    /// A reader of the log, for event streams.
    pub fn reader(&self) -> Reader {
        self.log.reader(PARTITION)
    }

    /// Counters since the start.
    pub fn counters(&self) -> ControlCounters {
        self.counters
    }

    /// Commands that wait for a flush.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets a command wait for the next flush.
    ///
    /// # Errors
    /// `busy` when too many wait.
    pub fn propose(&mut self, proposal: Proposal) -> Result<(), Rejected> {
        if self.waiting.len() >= PROPOSALS_WAITING_MAX {
            return Err(reject(&proposal, Code::Busy));
        }
        self.waiting.push(proposal);
        Ok(())
    }

    /// Group commit: makes up to [`GROUP_COMMANDS_MAX`] waiting commands durable, applies them, and
    /// says what became of each.
    pub fn flush(&mut self, now_ms: u64) -> Flushed {
        let mut flushed = Flushed::default();
        if self.waiting.is_empty() {
            return flushed;
        }
        let many = self.waiting.len().min(GROUP_COMMANDS_MAX);
        let (group, payloads) = self.encode(many, &mut flushed);
        if !group.is_empty() {
            self.counters.groups += 1;
            match self.commit(now_ms, &payloads) {
                Ok(first) => self.apply(first, group, &payloads, &mut flushed),
                Err(failure) => self.refuse(group, failure, &mut flushed),
            }
        }
        self.counters.committed += flushed.committed.len() as u64;
        self.counters.rejected += flushed.rejected.len() as u64;
        flushed
    }

    /// Takes the first commands, at most `many` and [`GROUP_BYTES_MAX`]; those that no record can hold
    /// are refused here.
    fn encode(&mut self, many: usize, flushed: &mut Flushed) -> (Vec<Proposal>, Vec<Vec<u8>>) {
        let (mut group, mut payloads) = (Vec::with_capacity(many), Vec::with_capacity(many));
        let mut bytes = 0;
        let fits = |proposal: &&Proposal| {
            let is_first = bytes == 0;
            bytes += proposal.command.bytes_max();
            is_first || bytes <= GROUP_BYTES_MAX
        };
        let many = self.waiting[..many].iter().take_while(fits).count();
        for proposal in self.waiting.drain(..many) {
            match encode_command(&proposal.command) {
                Ok(payload) => {
                    payloads.push(payload);
                    group.push(proposal);
                }
                Err(_) => flushed.rejected.push(reject(&proposal, Code::BadRequest)),
            }
        }
        (group, payloads)
    }

    /// Appends a void, if one is wanted, and the commands as one batch, and syncs. Gives the index
    /// of the first command.
    fn commit(&mut self, now_ms: u64, payloads: &[Vec<u8>]) -> Result<u64, String> {
        let void = self
            .void_wanted
            .map(|(first, last)| (first, last.to_le_bytes()));
        let void_record = void
            .as_ref()
            .map(|(first, last)| record::void(*first, last));
        let commands = payloads.iter().map(|payload| record::command(payload));
        let records: Vec<Record<'_>> = void_record.into_iter().chain(commands).collect();
        let offsets = self.writer.append(now_ms, &records).map_err(|error| {
            // Nothing is in the log, so there is nothing to void.
            error.to_string()
        })?;
        if self.acknowledge == Acknowledge::AfterSync
            && let Err(failure) = self.sync(*offsets.start())
        {
            self.note_refused(*offsets.start(), *offsets.end());
            return Err(failure);
        }
        self.void_wanted = None;
        Ok(*offsets.end() + 1 - payloads.len() as u64)
    }

    /// A checked sync, after which everything from `first` on is durable.
    fn sync(&mut self, first: u64) -> Result<(), String> {
        let durable = self.writer.sync_now().map_err(|error| error.to_string())?;
        let last = self.writer.appended();
        let is_kept = |offset| self.writer.durability(offset) == Durability::Durable;
        if durable >= last && is_kept(first) && is_kept(last) {
            Ok(())
        } else {
            Err(format!("records {first} to {last} did not become durable"))
        }
    }

    /// Records from `first` to `last` do not count; a durable record has yet to say so.
    fn note_refused(&mut self, first: u64, last: u64) {
        self.voids.add(first, last);
        let from = self.void_wanted.map_or(first, |(from, _)| from.min(first));
        self.void_wanted = Some((from, last));
    }

    fn apply(
        &mut self,
        first: u64,
        group: Vec<Proposal>,
        payloads: &[Vec<u8>],
        flushed: &mut Flushed,
    ) {
        for (index, proposal) in (first..).zip(group) {
            let Proposal {
                shard,
                proposal,
                command,
            } = proposal;
            let handle = self.state.apply(index, &command).handle;
            flushed.committed.push(Committed {
                shard,
                proposal,
                index,
                command,
                handle,
            });
        }
        self.bytes_since_checkpoint += payloads.iter().map(|p| p.len() as u64).sum::<u64>();
    }

    fn refuse(&mut self, group: Vec<Proposal>, failure: String, flushed: &mut Flushed) {
        self.counters.failures += 1;
        // Its parts may be in the file that failed.
        self.checkpoint = None;
        flushed.rejected.extend(
            group
                .iter()
                .map(|proposal| reject(proposal, Code::NotDurable)),
        );
        flushed.failure = Some(failure);
    }

    /// Everything that is not a command: a step of a checkpoint, the log's own upkeep. Gives what the
    /// disk refused since the last time, and when there is something to do again if nothing is proposed
    /// before.
    pub fn maintain(&mut self, now_ms: u64) -> WorkReport {
        let new_file_due = self.look_at_age(now_ms);
        let checkpoint_due = self.checkpoint_step(now_ms);
        let log_due = self.work(now_ms);
        self.voids.forget_below(self.reader().first_offset());
        let mut report = std::mem::take(&mut self.untold);
        report.next_due_ms = checkpoint_due.min(new_file_due).min(log_due).max(now_ms);
        report
    }

    /// The log's own upkeep; when (ms) it is due again.
    fn work(&mut self, now_ms: u64) -> u64 {
        let report = self.janitor.work(now_ms);
        self.untold.failures.extend(report.failures);
        self.untold.refusals.extend(report.refusals);
        report.next_due_ms
    }

    /// Asks for a checkpoint that ends its file, as long as there are commands which could go then.
    /// Gives the time (ms) of the next look.
    fn look_at_age(&mut self, now_ms: u64) -> u64 {
        let Some(every_ms) = self.new_file_every_ms else {
            return u64::MAX;
        };
        if self.new_file_at_ms <= now_ms {
            self.new_file_at_ms = now_ms + every_ms;
            let newest = self.state.applied_index();
            self.is_new_file_due = newest >= self.reader().first_offset();
        }
        self.new_file_at_ms
    }

    /// Begins a checkpoint when one is due and writes its next part.
    fn checkpoint_step(&mut self, now_ms: u64) -> u64 {
        if now_ms < self.checkpoint_after_ms {
            return self.checkpoint_after_ms;
        }
        let is_due = self.is_new_file_due || self.bytes_since_checkpoint >= CHECKPOINT_AFTER_BYTES;
        if self.checkpoint.is_none() && !is_due {
            return u64::MAX;
        }
        match self.checkpoint_part(now_ms) {
            Ok(true) => now_ms,
            Ok(false) if now_ms < self.checkpoint_after_ms => self.checkpoint_after_ms,
            Ok(false) => u64::MAX,
            Err(_) => {
                self.checkpoint = None;
                self.checkpoint_after_ms = now_ms + FLUSH_RETRY_MS;
                self.checkpoint_after_ms
            }
        }
    }

    /// Writes a part; true when more parts follow. One that is cut short is begun anew: what it would have covered
    /// still counts.
    fn checkpoint_part(&mut self, now_ms: u64) -> Result<bool, AppendError> {
        if self.writer.degraded() {
            // It would fill memory and could not become durable.
            self.checkpoint = None;
            self.checkpoint_after_ms = now_ms + FLUSH_RETRY_MS;
            return Ok(false);
        }
        let checkpoint = match self.checkpoint.take() {
            Some(checkpoint) => checkpoint,
            None => {
                self.bytes_covered = self.bytes_since_checkpoint;
                match CheckpointWriter::new(&self.state, self.writer.next_offset()) {
                    Ok(checkpoint) => checkpoint,
                    // Beyond any size that was foreseen: the log is replayed from further back, and it is
                    // not tried at every step.
                    Err(_) => {
                        self.bytes_since_checkpoint = 0;
                        self.is_new_file_due = false;
                        return Ok(false);
                    }
                }
            }
        };
        let checkpoint = self.checkpoint.insert(checkpoint);
        let offsets = self
            .writer
            .append(now_ms, &checkpoint.step(CHECKPOINT_CHUNKS_PER_STEP))?;
        if !checkpoint.is_complete() {
            return Ok(true);
        }
        self.writer
            .set_checkpoint(checkpoint.number(), *offsets.end());
        self.checkpoint = None;
        self.bytes_since_checkpoint -= self.bytes_covered;
        self.counters.checkpoints += 1;
        if std::mem::take(&mut self.is_new_file_due) {
            self.writer.close_segment();
        }
        Ok(false)
    }

    /// Takes the names of users, and what tells of them, out of the log: forgets what can go by
    /// itself, writes a checkpoint, and rewrites all that lies before it without them.
    ///
    /// # Errors
    /// When the checkpoint cannot be made durable, and nothing is erased; when the disk refuses to
    /// rewrite a file.
    pub fn erase(&mut self, now_ms: u64, of: NamesOf<'_>) -> Result<ControlErased, String> {
        self.state.forget_keys(of);
        let begin = self.checkpoint_now(now_ms)?;
        let rewriter = self.log.rewriter();
        let mut erased = ControlErased {
            names_left: self.state.names_left(of),
            ..ControlErased::default()
        };
        for _ in 0..ERASE_ROUNDS_MAX {
            self.writer.close_segment();
            let state = &self.state;
            let report = rewriter
                .erase(PARTITION, |offset, record| {
                    goes(offset, record, begin, (state, of))
                })
                .map_err(|error| error.to_string())?;
            if let Some(damaged) = report.damaged.first() {
                return Err(format!(
                    "{damaged}; restart to put the file aside, then erase again"
                ));
            }
            erased.records_removed += report.records_removed;
            erased.files_rewritten += report.segments_rewritten;
            erased.records_left = report.records_left;
            if erased.records_left == 0 {
                break;
            }
            // A file that is not named or not durable yet is so after the log's own upkeep.
            self.work(now_ms);
        }
        // The old files go now, not with the next command.
        self.work(now_ms);
        Ok(erased)
    }

    /// Writes a whole checkpoint; where it begins, once it is durable.
    fn checkpoint_now(&mut self, now_ms: u64) -> Result<u64, String> {
        self.checkpoint = None;
        let begin = self.writer.next_offset();
        let before = self.counters.checkpoints;
        while self.checkpoint_part(now_ms).map_err(|it| it.to_string())? {}
        if self.counters.checkpoints == before {
            return Err("no checkpoint could be written".to_owned());
        }
        self.sync(begin)?;
        self.work(now_ms);
        Ok(begin)
    }

    /// Makes everything durable and marks the log as cleanly closed.
    ///
    /// # Errors
    /// When the disk refuses; the next start then recovers as after a crash.
    pub fn close(self) -> Result<(), CloseError> {
        let Self {
            log,
            writer,
            janitor,
            ..
        } = self;
        drop((writer, janitor));
        log.close()
    }
}

fn reject(proposal: &Proposal, code: Code) -> Rejected {
    Rejected {
        shard: proposal.shard,
        proposal: proposal.proposal,
        code,
    }
}

/// Small files, kept until a checkpoint covers them and there are enough younger ones, or they are old.
fn options(retention_age_ms: Option<u64>) -> Options {
    Options {
        partitions: 1,
        segment_bytes_min: CONTROL_SEGMENT_BYTES,
        segment_bytes_max: CONTROL_SEGMENT_BYTES,
        retention_age_ms,
        retention_bytes: Some(CONTROL_RETENTION_BYTES),
        disk_reserve_bytes: CONTROL_DISK_RESERVE_BYTES,
        pretouch_window_bytes: 0,
        ..Options::default()
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
