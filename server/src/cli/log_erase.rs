//! `skein log erase`: takes points out of the log and the history of a stopped server, and what tells of
//! them out of its other records, with that server's own code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use skein_engine::command::Command;
use skein_engine::control_state::erasing::NamesOf;
use skein_engine::ids::{ProposalId, ShardId};
use skein_engine::limits::Limits;
use skein_engine::shard::ShardConfig;
use skein_engine::shard::forgetting::Forgotten;
use skein_engine::time::Timestamp;
use skein_log::{DiskStorage, JanitorThread, Log, Options, PartitionId, Reader};
use skein_wire::ids::{ChatName, UserName};

use crate::app::data_dir::DataDir;
use crate::chat_names::ChatNames;
use crate::cli::log_open;
use crate::clock::Clock;
use crate::control::core::{Acknowledge, ControlCore, Proposal};
use crate::control::limits::GROUP_COMMANDS_MAX;
use crate::erase_scope::EraseScope;
use crate::history::idle;
use crate::log_erase::{Erase, Erased, Means, Others, Owner, erase};
use crate::shard::core::Core;
use crate::shard::log_writer::CHECKPOINT_EVERY_BYTES;
use crate::shard::recovery::{ShardParts, recover};
use crate::shard::silent_ports::SilentPorts;
use crate::terminal::out;
use crate::{views, webhook};

/// Passes that a checkpoint may take: each writes a slice.
const PASSES_MAX: usize = 1_000_000;

/// Arguments of `skein log erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The data directory of a server that is stopped.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The points of this chat.
    #[arg(long, value_name = "CHAT", required_unless_present = "user")]
    pub chat: Option<ChatName>,
    /// Only those of this user; without a chat, in every chat.
    #[arg(long, value_name = "USER")]
    pub user: Option<UserName>,
}

/// Runs it; prints a report as JSON.
///
/// # Errors
/// A server runs on the directory, there is no such chat, or something is left that should go.
pub fn run(args: &EraseArgs) -> anyhow::Result<()> {
    let wanted = EraseScope {
        chat: args.chat.clone(),
        user: args.user.clone(),
    };
    let partitions = log_open::one(&args.data_dir, false)?.partitions();
    let clock = Clock::start();
    let erased = erase_stopped(&args.data_dir, partitions, &wanted, clock)?;
    let Some(erased) = erased else {
        bail!("there is no such chat in {}", args.data_dir.display());
    };
    let said = out::say(serde_json::to_string(&erased)?);
    if erased.leaves_something() {
        bail!("something is left, see above; erase again, and remove quarantined files by hand");
    }
    Ok(said?)
}

/// Opens both logs, erases, and closes them, whatever became of it. `None`: there is no such chat.
fn erase_stopped(
    data_dir: &Path,
    partitions: u16,
    wanted: &EraseScope,
    clock: Clock,
) -> anyhow::Result<Option<Erased>> {
    let control = open_control(data_dir, clock)?;
    let mut log = open_log(data_dir, partitions, clock)?;
    let janitor = log.take_janitor().expect("a fresh log has its janitor");
    let janitor = JanitorThread::spawn(janitor, move || clock.now_ms(), |_| {})?;
    let readers = readers(&log);
    let means = Means {
        readers: readers.clone(),
        rewriter: log.rewriter(),
        names: Arc::new(ChatNames::of(control.state())),
        others: others(&DataDir::open(data_dir)?, log.id().to_string()),
    };
    let core = core(&mut log, &control, readers, clock)?;
    let mut owner = OneShard {
        core,
        control,
        clock,
    };
    let mut erased = erase(wanted, &mut owner, &means);
    let OneShard {
        core, mut control, ..
    } = owner;
    drop((core, means, janitor.stop()));
    log.close().context("closing the event log")?;
    if let Ok(Some(erased)) = &mut erased {
        let names = NamesOf {
            chat: wanted.chat(),
            user: wanted.user(),
        };
        let of_control = control.erase(clock.now_ms(), names);
        erased.control = Some(of_control.map_err(|failure| anyhow!("the control log: {failure}"))?);
    }
    let closed = control.close();
    closed.context("closing the control log")?;
    erased
}

/// The databases, which no thread writes now.
fn others(dir: &DataDir, log_id: String) -> Others {
    let (history, views, webhook) = (dir.history(), dir.views(), dir.webhook());
    Others {
        history: Box::new(move |what| Ok(idle::erase(&history, &log_id, what)?)),
        views: Box::new(move |scope| views::idle::erase(&views, scope)),
        dead_letters: Box::new(move |scope| webhook::idle::erase(&webhook, scope)),
        // It is open here, and comes last.
        control: Box::new(|_| Ok(None)),
    }
}

fn open_control(data_dir: &Path, clock: Clock) -> anyhow::Result<ControlCore> {
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let storage = DiskStorage::new(data_dir.join("control")).context("the control log")?;
    let opened = ControlCore::open(storage, Acknowledge::AfterSync, clock.now_ms(), random);
    let (control, _) = opened.context("the control log cannot be opened; stop the server first, or call DELETE /v1/log/chats/CHAT/points of its control API")?;
    Ok(control)
}

fn open_log(data_dir: &Path, partitions: u16, clock: Clock) -> anyhow::Result<Log> {
    let random = getrandom::u64().context("the system gives no random numbers")?;
    let options = Options {
        partitions,
        ..Options::default()
    };
    let (log, _) = Log::open_dir(data_dir.join("log"), options, clock.now_ms(), random)
        .context("the event log cannot be opened")?;
    Ok(log)
}

fn readers(log: &Log) -> Vec<Reader> {
    let partitions = (0..log.partitions()).map(PartitionId);
    partitions.map(|partition| log.reader(partition)).collect()
}

/// One shard that owns everything.
fn core(
    log: &mut Log,
    control: &ControlCore,
    readers: Vec<Reader>,
    clock: Clock,
) -> anyhow::Result<Core> {
    let partitions = log.partitions();
    let mut writers = Vec::new();
    for number in 0..partitions {
        let writer = log.take_writer(PartitionId(number)).expect("taken once");
        writers.push((skein_engine::ids::PartitionId(number), writer));
    }
    let parts = ShardParts {
        config: ShardConfig {
            shard: ShardId(0),
            shards: 1,
            partitions,
            log_id: log.id().0,
            limits: Limits::default(),
            seed: getrandom::u64().context("the system gives no random numbers")?,
            relay: None,
        },
        writers,
        readers,
        checkpoint_every_bytes: CHECKPOINT_EVERY_BYTES,
        checkpoint_age_ms: None,
        may_wait: true,
    };
    let (core, _) = recover(parts, control.state(), Timestamp(clock.now_ms()))
        .context("a partition cannot be read")?;
    Ok(core)
}

/// The shard, and the control log that promises what it proposes.
struct OneShard {
    core: Core,
    control: ControlCore,
    clock: Clock,
}

impl OneShard {
    /// Passes until there is nothing to do before some later time.
    fn rest(&mut self) -> anyhow::Result<()> {
        let mut ports = SilentPorts::default();
        for _ in 0..PASSES_MAX {
            let now = Timestamp(self.clock.now_ms());
            self.core.note_log_moved();
            let report = self.core.pass(now, &mut ports);
            let promised = self.promise(now, &mut ports.proposals)?;
            if !(report.more || promised || self.core.is_due(now)) {
                break;
            }
        }
        Ok(())
    }

    /// Makes promises of what was proposed. Whether there was something.
    fn promise(
        &mut self,
        now: Timestamp,
        proposals: &mut Vec<(ProposalId, Command)>,
    ) -> anyhow::Result<bool> {
        let any = !proposals.is_empty();
        for (proposal, command) in proposals.drain(..) {
            let shard = ShardId(0);
            let asked = Proposal {
                shard,
                proposal,
                command,
            };
            let asked = self.control.propose(asked);
            asked.expect("no more wait than a flush takes");
            if self.control.waiting() >= GROUP_COMMANDS_MAX {
                flush(&mut self.control, &mut self.core, now)?;
            }
        }
        while self.control.waiting() > 0 {
            flush(&mut self.control, &mut self.core, now)?;
        }
        Ok(any)
    }
}

/// Promises a group, and tells the shard.
fn flush(control: &mut ControlCore, core: &mut Core, now: Timestamp) -> anyhow::Result<()> {
    let flushed = control.flush(now.0);
    if let Some(failure) = flushed.failure {
        bail!(
            "what is over cannot be promised: {failure}; look at the disk of the control log, then erase again"
        );
    }
    let engine = core.engine();
    for done in flushed.committed {
        let proposal = Some(done.proposal);
        engine.handle_committed(now, done.index, proposal, &done.command, done.handle);
    }
    for refused in flushed.rejected {
        engine.handle_rejected(now, refused.proposal, refused.code);
    }
    Ok(())
}

impl Owner for OneShard {
    fn chats_naming(&mut self, user: &UserName) -> anyhow::Result<Vec<ChatName>> {
        self.rest()?;
        Ok(self.core.engine().chats_naming(user))
    }

    fn forget(&mut self, erase: &Erase) -> anyhow::Result<Option<Forgotten>> {
        self.rest()?;
        let engine = self.core.engine();
        let forgotten = engine.forget_sessions(&erase.chat, erase.user.as_ref());
        engine.end_links_of(&erase.chat);
        Ok(forgotten)
    }

    fn is_past(&mut self, chat: &ChatName, offset: u64) -> anyhow::Result<bool> {
        self.rest()?;
        Ok(self.core.engine().is_past(chat, offset))
    }

    fn begin_checkpoint(&mut self, partition: PartitionId) -> anyhow::Result<()> {
        let partition = skein_engine::ids::PartitionId(partition.0);
        self.core.begin_checkpoint(partition);
        self.rest()
    }

    fn close_segment(&mut self, partition: PartitionId) {
        let partition = skein_engine::ids::PartitionId(partition.0);
        self.core.close_segment(partition);
    }
}

#[cfg(test)]
#[path = "log_erase_tests.rs"]
mod tests;
