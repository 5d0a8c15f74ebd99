//! The ports of a shard in the server: its edge, the rings, the control thread.

use bytes::Bytes;
use hashbrown::HashMap;
use skein_engine::chat_event::ChatEvent;
use skein_engine::command::Command;
use skein_engine::ids::{ConnectionId, ProposalId, RequestId, ShardId, ViewerId};
use skein_engine::peer_message::PeerMessage;
use skein_engine::request::ChatResult;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_engine::view::View;
use skein_wire::error::Code;
use skein_wire::frame::encode_update;
use skein_wire::ids::ChatHandle;
use skein_wire::update::Update;

use crate::control::thread::ControlSender;
use crate::edge::edge::Edge;
use crate::shard::inbox::ReplySender;
use crate::shard::peers::Peers;
use crate::shard::ports::Ports;
use crate::views::handle::ViewSink;

/// Everything outside the core of one shard.
#[derive(Debug)]
pub struct ServerPorts {
    /// Which shard.
    pub shard: ShardId,
    /// Its sockets.
    pub edge: Edge,
    /// Its rings.
    pub peers: Peers,
    /// The way to the control log; a relay has none.
    pub control: Option<ControlSender>,
    /// The way to the record of views, if one is kept.
    pub views: Option<ViewSink>,
    waiting: HashMap<RequestId, ReplySender>,
    next_request: u64,
    scratch: Vec<u8>,
}

impl ServerPorts {
    /// Over the parts.
    pub fn new(
        shard: ShardId,
        edge: Edge,
        peers: Peers,
        control: Option<ControlSender>,
        views: Option<ViewSink>,
    ) -> Self {
        Self {
            shard,
            edge,
            peers,
            control,
            views,
            waiting: HashMap::new(),
            next_request: 0,
            scratch: Vec::new(),
        }
    }

    /// Notes who waits for the answer to a request, and gives the request its number.
    pub fn expect_reply(&mut self, reply: ReplySender) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.waiting.insert(request, reply);
        request
    }

    /// Whether anybody waits for the answer to a request.
    pub fn has_callers(&mut self) -> bool {
        self.waiting.retain(|_, reply| !reply.is_closed());
        !self.waiting.is_empty()
    }
}

impl Sink for ServerPorts {
    fn offer(&mut self, connection: ConnectionId, viewer: ViewerId, batch: &SharedBatch) -> Offer {
        self.edge.offer(connection, viewer, batch)
    }

    fn tell(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.edge.tell(connection, frame);
    }

    fn offer_head(&mut self, connection: ConnectionId, frame: &Bytes) {
        self.edge.offer_head(connection, frame);
    }
}

impl Ports for ServerPorts {
    fn send(&mut self, connection: ConnectionId, update: &Update) {
        self.scratch.clear();
        encode_update(update, &mut self.scratch);
        self.edge
            .send(connection, Bytes::copy_from_slice(&self.scratch));
    }

    fn close(&mut self, connection: ConnectionId, code: Code, retry_after_ms: u32, text: &str) {
        self.edge.close(connection, code, retry_after_ms, text);
    }

    fn purge(&mut self, connection: ConnectionId, chat: ChatHandle) {
        self.edge.purge(connection, chat);
    }

    fn propose(&mut self, proposal: ProposalId, command: Command) {
        if let Some(control) = &self.control {
            control.propose(self.shard, proposal, command);
        }
    }

    fn reply(&mut self, request: RequestId, reply: ChatResult) {
        if let Some(waiting) = self.waiting.remove(&request) {
            // Whoever asked may be gone.
            let _ = waiting.send(reply);
        }
    }

    fn peer_has_room(&self, to: ShardId) -> bool {
        self.peers.has_room(to)
    }

    fn peer_send(&mut self, to: ShardId, message: PeerMessage) {
        self.peers.push(to, message);
    }

    fn note_appended(&mut self) {
        self.peers.note_appended();
    }

    fn appended_by(&self, shard: ShardId) -> u64 {
        self.peers.appended_by(shard)
    }

    fn wake(&mut self, shard: ShardId) {
        self.peers.wake(shard);
    }

    fn view(&mut self, view: View) {
        if let Some(views) = &self.views {
            views.tell(view);
        }
    }

    fn event(&mut self, index: u64, _: ChatEvent) {
        // Its names are for the control log and its readers, not for log lines.
        tracing::debug!(index, "chat event");
    }
}
