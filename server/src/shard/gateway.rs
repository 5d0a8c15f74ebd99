//! Routes requests of the HTTP and control APIs to the shard that owns the chat.

use skein_engine::ids::ShardId;
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::request::{ChatRequest, ChatResult};
use skein_wire::error::{Code, WireError};
use skein_wire::ids::ChatName;
use tokio::sync::oneshot;

use crate::http::gateway::ShardGateway;
use crate::shard::inbox::{Inbound, InboxSender};

/// The way from any thread to the shards.
#[derive(Clone, Debug)]
pub struct Gateway {
    shards: Vec<InboxSender>,
    partitions: u16,
}

impl Gateway {
    /// Over the inboxes of all shards, in order.
    pub fn new(shards: Vec<InboxSender>, partitions: u16) -> Self {
        Self { shards, partitions }
    }

    /// Which shard owns a chat.
    pub fn owner(&self, chat: &ChatName) -> ShardId {
        owner_of(
            partition_of(chat, self.partitions),
            self.shards.len() as u16,
        )
    }

    /// The inbox of one shard.
    pub fn inbox(&self, shard: ShardId) -> &InboxSender {
        &self.shards[usize::from(shard.0)]
    }

    /// All inboxes, in order.
    pub fn inboxes(&self) -> &[InboxSender] {
        &self.shards
    }

    /// Sends a request to the owner of its chat. The answer is `busy` when that shard's inbox is full.
    pub fn ask(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        let (sender, receiver) = oneshot::channel();
        let shard = self.owner(request.chat());
        if let Err(Inbound::Request(_, sender)) = self
            .inbox(shard)
            .try_send(Inbound::Request(request, sender))
        {
            // The receiver may be gone already; then nobody waits for the answer.
            let _ = sender.send(Err(WireError::of(Code::Busy)));
        }
        receiver
    }
}

impl ShardGateway for Gateway {
    fn request(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        self.ask(request)
    }
}
