//! What a worker of `skein-load` is told, and what it does then.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use skein_wire::ids::ChatName;

use crate::crowd::Crowd;
use crate::fault::Fault;
use crate::link::Link;
use crate::plan::CrowdPlan;
use crate::quic_crowd::QuicCrowd;
use crate::senders::{SendPlan, Senders};
use crate::skein_websocket::{Chat, SkeinWebsocket};
use crate::worker;

/// The argument that makes this program a worker.
pub const ARGUMENT: &str = "worker";

/// A worker's plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WorkerPlan {
    /// Viewers over WebSocket.
    Websocket(ViewPlan),
    /// Viewers over QUIC.
    Quic(ViewPlan),
    /// Senders.
    Senders(SendPlan),
}

/// Viewers, and whom they may see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ViewPlan {
    /// Who watches what.
    pub crowd: CrowdPlan,
    /// The server's name, for the upgrade.
    pub host: String,
    /// The user behind each sender, by its number.
    pub users: Vec<String>,
}

impl ViewPlan {
    /// The chats, each with the senders that share in it.
    ///
    /// # Errors
    /// When a name is none.
    fn chats(&self) -> Result<Vec<Chat>, Fault> {
        let chat = |plan: &crate::plan::ChatPlan| {
            let numbers = plan.sender_first..plan.sender_first + plan.senders;
            let user = |number: u32| Some((self.users.get(number as usize)?.clone(), number));
            Ok(Chat {
                name: ChatName::new(&plan.name)?,
                senders: numbers.filter_map(user).collect(),
            })
        };
        self.crowd.chats.iter().map(chat).collect()
    }
}

/// The worker.
pub fn main() -> ExitCode {
    worker::run(|| {
        let (plan, link): (WorkerPlan, Link) = Link::open()?;
        match plan {
            WorkerPlan::Senders(plan) => {
                worker::pin(plan.core)?;
                let schedule = plan.schedule.clone();
                worker::send(&link, &mut Senders::new(plan)?, &schedule)
            }
            WorkerPlan::Websocket(plan) => {
                worker::pin(plan.crowd.core)?;
                let viewers = plan.crowd.seats.len() as u32;
                let chats = plan.chats()?;
                let protocol = SkeinWebsocket::new(plan.host.clone(), plan.crowd.delivery(), chats);
                worker::view(&link, &mut Crowd::new(plan.crowd, protocol)?, viewers)
            }
            WorkerPlan::Quic(plan) => {
                worker::pin(plan.crowd.core)?;
                let viewers = plan.crowd.seats.len() as u32;
                let chats = plan.chats()?;
                worker::view(&link, &mut QuicCrowd::new(plan.crowd, chats)?, viewers)
            }
        }
    })
}
