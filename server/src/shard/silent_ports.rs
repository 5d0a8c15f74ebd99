//! The outside of a shard that nobody is connected to: for work on a stopped data directory.
//!
//! Whatever goes out is dropped, but for proposals: a checkpoint is not finished before what was proposed
//! is promised, so whoever has one written takes them from here to the control log. Who has none written may
//! let them lie: what a shard finds to be promised at a start, it finds again at the next one.

use bytes::Bytes;
use skein_engine::chat_event::ChatEvent;
use skein_engine::command::Command;
use skein_engine::ids::{ConnectionId, ProposalId, RequestId, ShardId, ViewerId};
use skein_engine::peer_message::PeerMessage;
use skein_engine::request::ChatResult;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::view::View;
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;
use skein_wire::update::Update;

use crate::shard::ports::Ports;

/// Drops everything but proposals.
#[derive(Clone, Debug, Default)]
pub struct SilentPorts {
    /// What the shard wants promised, in its order.
    pub proposals: Vec<(ProposalId, Command)>,
}

impl Sink for SilentPorts {
    fn offer(&mut self, _: ConnectionId, _: ViewerId, _: &SharedBatch) -> Offer {
        Offer::Gone
    }

    fn tell(&mut self, _: ConnectionId, _: &Bytes) {}

    fn offer_head(&mut self, _: ConnectionId, _: &Bytes) {}
}

impl Ports for SilentPorts {
    fn send(&mut self, _: ConnectionId, _: &Update) {}

    fn close(&mut self, _: ConnectionId, _: Code, _: u32, _: &str) {}

    fn purge(&mut self, _: ConnectionId, _: ChatHandle) {}

    fn propose(&mut self, proposal: ProposalId, command: Command) {
        self.proposals.push((proposal, command));
    }

    fn reply(&mut self, _: RequestId, _: ChatResult) {}

    fn peer_has_room(&self, _: ShardId) -> bool {
        true
    }

    fn peer_send(&mut self, _: ShardId, _: PeerMessage) {}

    fn event(&mut self, _: u64, _: ChatEvent) {}

    fn view(&mut self, _: View) {}

    fn note_appended(&mut self) {}

    fn appended_by(&self, _: ShardId) -> u64 {
        0
    }

    fn wake(&mut self, _: ShardId) {}
}
