//! Mosquitto: MQTT at quality of service 0.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::codec::mqtt::Mqtt;
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info, lacks, program};
use crate::process::{Process, free_port, local};
use crate::stage::{Stage, TcpStage};

/// The peer.
pub struct MosquittoPeer;

impl FanOutPeer for MosquittoPeer {
    fn info(&self) -> Info {
        Info {
            name: "mosquitto",
            title: "Mosquitto, MQTT 3.1.1, QoS 0",
            install: "bench/compare/install.sh mosquitto",
            settings: "one topic; no persistence; queues without limit (max_queued_messages 0), \
                       so that nothing is dropped at saturation; set_tcp_nodelay",
        }
    }

    fn missing(&self) -> Option<String> {
        lacks("mosquitto")
    }

    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let program = program("mosquitto").context("mosquitto is not installed")?;
        let port = free_port()?;
        // Started by root it would become a user that may not read the folder.
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
             max_queued_messages 0\nmax_connections -1\nset_tcp_nodelay true\nuser root\n\
             log_type error\nlog_dest stderr\n"
        );
        let path = folder.join("mosquitto.conf");
        fs::write(&path, config)?;
        let command = vec![program.into(), "-c".into(), path.into()];
        let mut process = Process::start("mosquitto", command, folder)?;
        process.wait_for_port(port)?;
        let mut crowd = Crowd::new(Mqtt, local(port))?;
        crowd.add_senders(sessions)?;
        Ok(Box::new(TcpStage::new(crowd, vec![process])))
    }
}
