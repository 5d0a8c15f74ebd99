//! Embedded logs: a program of its own (`logs/`) appends to each, skein's among them, so that all
//! of them are built and measured alike.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use skein_bench::pin;

use crate::log_peer::{
    Appended, BATCH_RECORDS, Durability, LogPeer, RECORD_BYTES, RESTART_RECORD_BYTES, Reopen,
};
use crate::peer::{Info, peers_folder};
use crate::process::{keep_to_loader_core, server_core};

/// Name of the program.
const PROGRAM: &str = "skein-compare-logs";

/// Most bytes that an append run writes: it stays in the page cache of a small machine.
const APPEND_BYTES_MAX: u64 = 512 << 20;

/// The same where a sync follows each second: some of them are part of the run.
const APPEND_BYTES_MAX_SYNCED: u64 = 8 << 30;

/// Records of a batch while a log is filled: 16 KiB.
const FILL_BATCH_RECORDS: usize = 16;

/// One of the logs.
pub struct EmbeddedLog {
    info: Info,
    /// Its name for the program.
    log: &'static str,
    durabilities: &'static [Durability],
}

impl EmbeddedLog {
    /// All of them, ours first.
    pub fn all() -> Vec<Self> {
        use Durability::{Disk, EachSecond, PageCache};
        let log = |name, title, log, settings, durabilities| Self {
            info: Info {
                name,
                title,
                install: "bench/compare/install.sh logs",
                settings,
            },
            log,
            durabilities,
        };
        vec![
            log(
                "log-skein",
                "skein-log",
                "skein",
                "one partition, 64 MiB segments, janitor on threads of its own, which sync each second or not at \
                 all; or one fdatasync a batch",
                &[PageCache, EachSecond, Disk],
            ),
            log(
                "log-walrus",
                "walrus-rust 0.2",
                "walrus",
                "descriptor backend; NoFsync or Milliseconds(1000) record by record (its batches are always flushed), or \
                 batch_append_for_topic with SyncEach (O_SYNC)",
                &[PageCache, EachSecond, Disk],
            ),
            log(
                "log-okaywal",
                "okaywal 0.3",
                "okaywal",
                "64 MiB segments, 256 KiB buffer; an entry per batch, every commit is synced",
                &[Disk],
            ),
            log(
                "log-commitlog",
                "commitlog 0.2",
                "commitlog",
                "64 MiB segments; a message set per batch. Its flush() does not sync, so the \
                 segment's file is synced by us after it, or each second on a thread of its own",
                &[PageCache, EachSecond, Disk],
            ),
            log(
                "log-fjall",
                "fjall 3.1 (LSM tree)",
                "fjall",
                "a write batch per batch, keys are offsets; PersistMode::Buffer or SyncData, or a thread that persists each second. It \
                 also builds a tree that can be searched, which a log does not",
                &[PageCache, EachSecond, Disk],
            ),
        ]
    }

    /// Runs the program and reads its line.
    fn run(&self, command: &str, folder: &Path, options: &[(&str, String)]) -> Result<Value> {
        let mut arguments: Vec<OsString> = vec![command.into(), "--log".into(), self.log.into()];
        arguments.extend(["--folder".into(), folder.into()]);
        for (name, value) in options {
            arguments.extend([OsString::from(name), value.into()]);
        }
        pin::to(server_core());
        let output = Command::new(program())
            .args(arguments)
            .env("WALRUS_QUIET", "1")
            .env("WALRUS_DATA_DIR", folder)
            .stdin(Stdio::null())
            .output();
        keep_to_loader_core();
        let output = output.with_context(|| format!("starting {PROGRAM}"))?;
        ensure!(
            output.status.success(),
            "{command} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().last().context("a line of JSON")?;
        Ok(serde_json::from_str(line)?)
    }
}

fn program() -> PathBuf {
    peers_folder().join("logs").join("release").join(PROGRAM)
}

fn sync_option(durability: Durability) -> (&'static str, String) {
    let sync = match durability {
        Durability::Disk => "batch",
        Durability::EachSecond => "second",
        Durability::PageCache => "none",
    };
    ("--sync", sync.to_owned())
}

impl LogPeer for EmbeddedLog {
    fn info(&self) -> Info {
        self.info
    }

    fn missing(&self) -> Option<String> {
        let program = program();
        (!program.is_file()).then(|| format!("no {}", program.display()))
    }

    fn durabilities(&self) -> &'static [Durability] {
        self.durabilities
    }

    fn append(&self, durability: Durability, time: Duration, folder: &Path) -> Result<Appended> {
        let bytes_max = match durability {
            Durability::EachSecond => APPEND_BYTES_MAX_SYNCED,
            Durability::PageCache | Durability::Disk => APPEND_BYTES_MAX,
        };
        let options = [
            sync_option(durability),
            ("--batch", BATCH_RECORDS.to_string()),
            ("--payload", RECORD_BYTES.to_string()),
            ("--millis", time.as_millis().to_string()),
            ("--bytes", bytes_max.to_string()),
        ];
        let said = self.run("append", folder, &options)?;
        let number = |key: &str| said[key].as_f64().context("a number");
        let (ours_s, raw_s) = (number("seconds")?, number("raw_seconds")?);
        Ok(Appended {
            per_second: number("records")? / ours_s,
            of_raw: (raw_s > 0.0).then(|| raw_s / ours_s),
        })
    }

    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>> {
        // What cannot do without syncing is filled with it.
        let options = [
            sync_option(self.durabilities[0]),
            ("--batch", FILL_BATCH_RECORDS.to_string()),
            ("--payload", RESTART_RECORD_BYTES.to_string()),
        ];
        let bytes = ("--bytes", bytes.to_string());
        let fill = [options.as_slice(), &[bytes]].concat();
        self.run("fill", folder, &fill)?;
        let open = move || -> Result<f64> {
            let said = self.run("open", folder, &options)?;
            Ok(said["seconds"].as_f64().context("a number")? * 1e3)
        };
        Ok(Box::new(open))
    }
}
