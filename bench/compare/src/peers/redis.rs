//! Redis: publish and subscribe.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

use crate::codec::resp::RedisPubSub;
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info, lacks, program};
use crate::process::{Process, free_port, local};
use crate::stage::{Stage, TcpStage};

/// When Redis syncs its append-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// No file at all: publish and subscribe, and the cache of the stack.
    None,
    /// The kernel decides.
    No,
    /// In the background, each second.
    EverySecond,
    /// Before each answer, once for all commands of a round.
    Always,
}

/// Starts a server; its process and port.
///
/// # Errors
/// If it does not start.
pub fn start(folder: &Path, persistence: Persistence) -> Result<(Process, u16)> {
    let port = free_port()?;
    let mut process = spawn(folder, persistence, port)?;
    process.wait_for_port(port)?;
    Ok((process, port))
}

/// Starts a server on a port and does not wait until it is there.
///
/// # Errors
/// If it is not installed.
pub fn spawn(folder: &Path, persistence: Persistence, port: u16) -> Result<Process> {
    let program = program("redis-server").context("redis-server is not installed")?;
    let folder_text = folder.display().to_string();
    let port_text = port.to_string();
    let (appendonly, fsync) = match persistence {
        Persistence::None => ("no", "no"),
        Persistence::No => ("yes", "no"),
        Persistence::EverySecond => ("yes", "everysec"),
        Persistence::Always => ("yes", "always"),
    };
    let options = [
        ("--port", port_text.as_str()),
        ("--bind", "127.0.0.1"),
        ("--dir", &folder_text),
        ("--save", ""),
        ("--appendonly", appendonly),
        ("--appendfsync", fsync),
        ("--daemonize", "no"),
        ("--maxclients", "15000"),
        ("--tcp-backlog", "4096"),
        ("--client-output-buffer-limit", "pubsub 0 0 0"),
    ];
    let mut command: Vec<OsString> = vec![program.into()];
    for (name, value) in options {
        command.extend([name.into(), value.into()]);
    }
    Process::start("redis", command, folder)
}

/// The peer.
pub struct RedisPeer;

impl FanOutPeer for RedisPeer {
    fn info(&self) -> Info {
        Info {
            name: "redis",
            title: "Redis 7, publish/subscribe",
            install: "bench/compare/install.sh redis",
            settings: "one channel; no persistence (save \"\", appendonly no); output buffers of \
                       subscribers without limit, so that none is cut off at saturation; one \
                       thread, as there is one core",
        }
    }

    fn missing(&self) -> Option<String> {
        lacks("redis-server")
    }

    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let (process, port) = start(folder, Persistence::None)?;
        let mut crowd = Crowd::new(RedisPubSub, local(port))?;
        crowd.add_senders(sessions)?;
        Ok(Box::new(TcpStage::new(crowd, vec![process])))
    }
}
