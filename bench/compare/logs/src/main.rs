//! Embedded logs under one loop: skein's and others, at the same durability.
//!
//! `compare` starts this program, one process per figure, so that no log profits from what another
//! left in memory. Each command prints one line of JSON.
//!
//! - `append`: how many records a second one thread appends, in batches; where each is synced, in
//!   turn with a plain file that is written and synced.
//! - `fill`: leaves a log of so many bytes behind and ends as in a crash, without closing it.
//! - `open`: how long it takes to open what `fill` left until one more record is in.

mod journal;

mod commit;
mod fjall_tree;
mod okay;
mod raw;
mod skein;
mod walrus;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use crate::commit::CommitJournal;
use crate::fjall_tree::FjallJournal;
use crate::journal::{Journal, Sync, Syncer};
use crate::okay::OkayJournal;
use crate::raw::Raw;
use crate::skein::SkeinJournal;
use crate::walrus::WalrusJournal;

/// Pause after the first append: background threads prepare files as in a server that is up.
const WARM: Duration = Duration::from_millis(200);

/// Time between two syncs where one follows each second.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Batches before it is the turn of the raw file, and of the clock.
const BATCHES_IN_TURN: u64 = 16;

/// Appends to embedded logs and says how fast.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Appends until the time is over or the bytes are written.
    Append {
        #[command(flatten)]
        what: What,
        /// Longest time, milliseconds.
        #[arg(long, default_value_t = 2_000)]
        millis: u64,
        /// Most bytes of payload.
        #[arg(long, default_value_t = 512 << 20)]
        bytes: u64,
    },
    /// Leaves a log behind as a crash would.
    Fill {
        #[command(flatten)]
        what: What,
        /// Bytes of payload.
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
    /// Opens what is there and appends one batch.
    Open {
        #[command(flatten)]
        what: What,
    },
}

#[derive(Args, Clone, Debug)]
struct What {
    /// Which log.
    #[arg(long, value_enum)]
    log: Kind,
    /// Its folder.
    #[arg(long)]
    folder: PathBuf,
    /// What an append means when it returns.
    #[arg(long, value_enum, default_value = "none")]
    sync: Sync,
    /// Records of a batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Bytes of a record.
    #[arg(long, default_value_t = 64)]
    payload: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Skein,
    Walrus,
    Okaywal,
    Commitlog,
    Fjall,
}

fn main() -> Result<()> {
    let line = match Cli::parse().command {
        Command::Append {
            what,
            millis,
            bytes,
        } => append(&what, Duration::from_millis(millis), bytes)?,
        Command::Fill { what, bytes } => append(&what, Duration::MAX, bytes)?,
        Command::Open { what } => open_again(&what)?,
    };
    println!("{line}");
    // As in a crash: no log is closed, no destructor writes anything.
    std::process::exit(0);
}

/// Opens the log and gives it the time that it has in a running server.
fn open(what: &What) -> Result<Box<dyn Journal>> {
    let folder: &Path = &what.folder;
    Ok(match what.log {
        Kind::Skein => Box::new(SkeinJournal::open(folder, what.sync)?),
        Kind::Walrus => Box::new(WalrusJournal::open(folder, what.sync)?),
        Kind::Okaywal => Box::new(OkayJournal::open(folder, what.sync)?),
        Kind::Commitlog => Box::new(CommitJournal::open(folder, what.sync)?),
        Kind::Fjall => Box::new(FjallJournal::open(folder, what.sync)?),
    })
}

fn append(what: &What, time: Duration, bytes: u64) -> Result<serde_json::Value> {
    let payload = vec![0x5a; what.payload];
    let batch: Vec<&[u8]> = vec![&payload; what.batch];
    let mut journal = open(what)?;
    // The first append makes files and names durable: not part of the pace.
    journal.append(&batch)?;
    let mut raw = match what.sync {
        Sync::Batch => Some(Raw::create(&what.folder.join("raw"))?),
        Sync::None | Sync::Second => None,
    };
    if let (Sync::Second, Some(sync)) = (what.sync, journal.syncer()) {
        sync_each_second(sync);
    }
    let raw_bytes = payload.repeat(what.batch);
    std::thread::sleep(WARM);
    let batches_max = bytes / (what.payload * what.batch) as u64;
    let began = Instant::now();
    let (mut batches, mut ours_s, mut raw_s) = (0, 0.0, 0.0);
    while batches < batches_max && began.elapsed() < time {
        ours_s += seconds(|| (0..BATCHES_IN_TURN).try_for_each(|_| journal.append(&batch)))?;
        if let Some(raw) = &mut raw {
            raw_s += seconds(|| (0..BATCHES_IN_TURN).try_for_each(|_| raw.write(&raw_bytes)))?;
        }
        batches += BATCHES_IN_TURN;
    }
    let records = batches * what.batch as u64;
    std::mem::forget(journal);
    Ok(json!({ "records": records, "seconds": ours_s, "raw_seconds": raw_s }))
}

/// Syncs until the process ends.
fn sync_each_second(mut sync: Syncer) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(SYNC_INTERVAL);
            if let Err(error) = sync() {
                eprintln!("a sync failed: {error:#}");
                std::process::exit(1);
            }
        }
    });
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn open_again(what: &What) -> Result<serde_json::Value> {
    let payload = vec![0x5a; what.payload];
    let batch: Vec<&[u8]> = vec![&payload; what.batch];
    let began = Instant::now();
    let mut journal = open(what)?;
    journal.append(&batch)?;
    let seconds = began.elapsed().as_secs_f64();
    std::mem::forget(journal);
    Ok(json!({ "seconds": seconds }))
}
