//! The plain broadcast servers as peers.

use std::path::Path;

use anyhow::{Context, Result};

use crate::broadcast::{tokio_websockets, tungstenite};
use crate::codec::plain::PlainWebsocket;
use crate::crowd::Crowd;
use crate::peer::{FanOutPeer, Info};
use crate::process::{Process, local};
use crate::stage::{Stage, TcpStage};

/// How both are built.
const SETTINGS: &str = "a task per connection on one thread, tokio's broadcast channel, all \
                        messages that wait put into one write; the library's default buffers";

/// A server that is one of our own small files.
pub struct PlainPeer {
    info: Info,
}

impl PlainPeer {
    /// tokio-tungstenite.
    pub fn tungstenite() -> Self {
        Self {
            info: Info {
                name: tungstenite::ROLE,
                title: "tokio-tungstenite, plain broadcast",
                install: "",
                settings: SETTINGS,
            },
        }
    }

    /// tokio-websockets.
    pub fn tokio_websockets() -> Self {
        Self {
            info: Info {
                name: tokio_websockets::ROLE,
                title: "tokio-websockets, plain broadcast",
                install: "",
                settings: SETTINGS,
            },
        }
    }
}

impl FanOutPeer for PlainPeer {
    fn info(&self) -> Info {
        self.info
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn start(&self, sessions: u32, folder: &Path) -> Result<Box<dyn Stage>> {
        let (process, said) = Process::start_role(self.info.name, Vec::new(), folder)?;
        let port = said.parse().context("a port")?;
        let mut crowd = Crowd::new(PlainWebsocket, local(port))?;
        crowd.add_senders(sessions)?;
        Ok(Box::new(TcpStage::new(crowd, vec![process])))
    }
}
