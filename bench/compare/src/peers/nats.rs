//! NATS: core publish and subscribe.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::codec::nats::NatsCore;
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info, lacks, program};
use crate::process::{Process, free_port, local};
use crate::stage::{Stage, TcpStage};

/// Starts a server on a port, with or without JetStream; does not wait until it is there.
///
/// # Errors
/// If it is not installed.
pub fn spawn(folder: &Path, jetstream: bool, port: u16) -> Result<Process> {
    let program = program("nats-server").context("nats-server is not installed")?;
    let store = match jetstream {
        true => format!(
            "jetstream {{ store_dir: \"{}\", max_file_store: 8GB, max_memory_store: 64MB }}\n",
            folder.display()
        ),
        false => String::new(),
    };
    let config = format!(
        "host: 127.0.0.1\nport: {port}\nmax_connections: 15000\nmax_pending: 1GB\n\
         write_deadline: \"60s\"\nping_interval: \"10m\"\n{store}"
    );
    let path = folder.join("nats.conf");
    fs::write(&path, config)?;
    let command = vec![program.into(), "-c".into(), path.into()];
    Process::start("nats", command, folder)
}

/// The peer.
pub struct NatsPeer;

impl FanOutPeer for NatsPeer {
    fn info(&self) -> Info {
        Info {
            name: "nats",
            title: "NATS core",
            install: "bench/compare/install.sh nats",
            settings: "one subject; max_pending 1 GB and write_deadline 60 s instead of 64 MB and \
                       10 s, so that no subscriber counts as slow at saturation; Go sees the one \
                       core",
        }
    }

    fn missing(&self) -> Option<String> {
        lacks("nats-server")
    }

    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let port = free_port()?;
        let mut process = spawn(folder, false, port)?;
        process.wait_for_port(port)?;
        let mut crowd = Crowd::new(NatsCore, local(port))?;
        crowd.add_senders(sessions)?;
        Ok(Box::new(TcpStage::new(crowd, vec![process])))
    }
}
