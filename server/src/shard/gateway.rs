//! Routes requests of the HTTP and control APIs to the shard that owns the chat.

use anyhow::Context as _;
use skein_engine::ids::{PartitionId, ShardId};
use skein_engine::placement::{owner_of, partition_of};
use skein_engine::request::{ChatRequest, ChatResult};
use skein_engine::shard::forgetting::Forgotten;
use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, UserName};
use tokio::sync::oneshot;

use crate::http::gateway::ShardGateway;
use crate::log_erase::{self, Erase};
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

    /// What an erase needs of the shards; see [`log_erase::erase`].
    pub fn as_owner(&self) -> impl log_erase::Owner {
        Shards(self.clone())
    }

    /// Sends a request to the owner of its chat. The answer is `busy` when that shard's inbox is full,
    /// `going_away` when it has stopped.
    pub fn ask(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        self.ask_shard(self.owner(request.chat()), request)
    }

    fn ask_shard(&self, shard: ShardId, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        let (sender, receiver) = oneshot::channel();
        let inbox = self.inbox(shard);
        if let Err(Inbound::Request(_, sender)) = inbox.try_send(Inbound::Request(request, sender))
        {
            let code = match inbox.is_closed() {
                true => Code::GoingAway,
                false => Code::Busy,
            };
            // The receiver may be gone already; then nobody waits for the answer.
            let _ = sender.send(Err(WireError::of(code)));
        }
        receiver
    }
}

/// The owners of all chats, for a thread that may wait.
struct Shards(Gateway);

impl Shards {
    fn tell(&self, partition: skein_log::PartitionId, input: fn(PartitionId) -> Inbound) {
        let partition = PartitionId(partition.0);
        let owner = owner_of(partition, self.0.shards.len() as u16);
        self.0.inbox(owner).send_blocking(input(partition));
    }
}

impl log_erase::Owner for Shards {
    fn chats_naming(&mut self, user: &UserName) -> anyhow::Result<Vec<ChatName>> {
        let mut chats = Vec::new();
        for shard in &self.0.shards {
            let (reply, naming) = oneshot::channel();
            shard.send_blocking(Inbound::ChatsNaming(user.clone(), reply));
            chats.extend(naming.blocking_recv().context("the server stops")?);
        }
        Ok(chats)
    }

    fn forget(&mut self, erase: &Erase) -> anyhow::Result<Option<Forgotten>> {
        let (reply, forgotten) = oneshot::channel();
        let owner = self.0.owner(&erase.chat);
        let input = Inbound::Forget(erase.clone(), reply);
        self.0.inbox(owner).send_blocking(input);
        forgotten.blocking_recv().context("the server stops")
    }

    fn is_past(&mut self, chat: &ChatName, offset: u64) -> anyhow::Result<bool> {
        for shard in &self.0.shards {
            let (reply, is_past) = oneshot::channel();
            shard.send_blocking(Inbound::IsPast(chat.clone(), offset, reply));
            if !is_past.blocking_recv().context("the server stops")? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin_checkpoint(&mut self, partition: skein_log::PartitionId) -> anyhow::Result<()> {
        self.tell(partition, Inbound::BeginCheckpoint);
        Ok(())
    }

    fn close_segment(&mut self, partition: skein_log::PartitionId) {
        self.tell(partition, Inbound::CloseSegment);
    }
}

impl ShardGateway for Gateway {
    fn request(&self, request: ChatRequest) -> oneshot::Receiver<ChatResult> {
        self.ask(request)
    }

    fn request_each(&self, request: &ChatRequest) -> Vec<oneshot::Receiver<ChatResult>> {
        let shards = (0..self.shards.len() as u16).map(ShardId);
        shards
            .map(|shard| self.ask_shard(shard, request.clone()))
            .collect()
    }
}
