//! What other threads hand to a shard: requests of the HTTP and control APIs, commits of the
//! control log, the word that the log has moved on, the order to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skein_engine::command::Command;
use skein_engine::ids::{PartitionId, ProposalId};
use skein_engine::request::{ChatRequest, ChatResult};
use skein_engine::shard::forgetting::Forgotten;
use skein_wire::error::Code;
use skein_wire::ids::{ChatHandle, ChatName, UserName};
use tokio::sync::{mpsc, oneshot};

use crate::edge::waker::ShardWaker;
use crate::log_erase::Erase;

/// Inputs that wait for one shard. A full inbox makes the HTTP side answer `busy`; commits wait
/// on the control thread, which may.
pub const INBOX_INPUTS: usize = 4096;

/// Inputs taken per pass.
pub const INBOX_INPUTS_PER_PASS: usize = 1024;

/// The answer to a request, sent once.
pub type ReplySender = oneshot::Sender<ChatResult>;

/// The answer to [`Inbound::Forget`], sent once; `None`: there is no such chat.
pub type ForgetReply = oneshot::Sender<Option<Forgotten>>;

/// One input from another thread.
#[derive(Debug)]
pub enum Inbound {
    /// A request for a chat that this shard owns.
    Request(ChatRequest, ReplySender),
    /// A command is durable; act on it.
    Committed {
        /// Its place in the control log.
        index: u64,
        /// Which proposal of this shard it answers.
        proposal: Option<ProposalId>,
        /// The command.
        command: Command,
        /// The handle of its chat.
        handle: ChatHandle,
    },
    /// A proposal could not be made durable.
    Rejected(ProposalId, Code),
    /// Forget the ended sessions of a chat.
    Forget(Erase, ForgetReply),
    /// Which of this shard's chats name a user.
    ChatsNaming(UserName, oneshot::Sender<Vec<ChatName>>),
    /// Whether this shard needs no record of a chat up to an offset any more.
    IsPast(ChatName, u64, oneshot::Sender<bool>),
    /// Begin a checkpoint of a partition that this shard owns, unless one is being written.
    BeginCheckpoint(PartitionId),
    /// Close the segment of such a partition and have it synced.
    CloseSegment(PartitionId),
    /// Say goodbye to all connections: the process stops.
    Stop {
        /// When clients shall come back, spread around this, milliseconds.
        retry_after_ms: u32,
    },
}

/// The sending side, for any thread.
#[derive(Clone, Debug)]
pub struct InboxSender {
    inputs: mpsc::Sender<Inbound>,
    log_moved: Arc<AtomicBool>,
    waker: ShardWaker,
}

impl InboxSender {
    /// Hands over one input if there is room.
    ///
    /// # Errors
    /// Gives the input back when the inbox is full or the shard has stopped.
    #[expect(
        clippy::result_large_err,
        reason = "the input goes back to whoever still owes an answer for it"
    )]
    pub fn try_send(&self, input: Inbound) -> Result<(), Inbound> {
        self.inputs
            .try_send(input)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(input)
                | mpsc::error::TrySendError::Closed(input) => input,
            })?;
        self.waker.wake();
        Ok(())
    }

    /// Whether the shard has stopped.
    pub fn is_closed(&self) -> bool {
        self.inputs.is_closed()
    }

    /// Hands over one input, waiting for room. Not for a shard's thread.
    pub fn send_blocking(&self, input: Inbound) {
        // A closed inbox means that the shard has stopped: nobody is left to tell.
        if self.inputs.blocking_send(input).is_ok() {
            self.waker.wake();
        }
    }

    /// Says that a durable mark moved, that something is lost, or that the log has prepared what an
    /// append waited for; never waits itself.
    pub fn log_moved(&self) {
        self.log_moved.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The shard's side.
#[derive(Debug)]
pub struct Inbox {
    inputs: mpsc::Receiver<Inbound>,
    log_moved: Arc<AtomicBool>,
}

impl Inbox {
    /// A pair of ends.
    pub fn new(waker: ShardWaker) -> (InboxSender, Inbox) {
        let (sender, inputs) = mpsc::channel(INBOX_INPUTS);
        let log_moved = Arc::new(AtomicBool::new(false));
        let inbox = Inbox {
            inputs,
            log_moved: log_moved.clone(),
        };
        (
            InboxSender {
                inputs: sender,
                log_moved,
                waker,
            },
            inbox,
        )
    }

    /// Takes one input.
    pub fn pop(&mut self) -> Option<Inbound> {
        self.inputs.try_recv().ok()
    }

    /// Whether the log has moved on since the last call.
    pub fn take_log_moved(&self) -> bool {
        self.log_moved.load(Ordering::Acquire) && self.log_moved.swap(false, Ordering::AcqRel)
    }

    /// Whether anything waits.
    pub fn has_input(&self) -> bool {
        !self.inputs.is_empty() || self.log_moved.load(Ordering::Acquire)
    }
}
