//! The history of a running server: what requests use, and its thread's life.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use skein_engine::control_state::ControlState;
use skein_engine::placement::partition_of;
use skein_log::{Log, PartitionId, Reader};
use skein_wire::ids::ChatName;
use tokio::sync::oneshot;

use crate::chat_names::ChatNames;
use crate::clock::Clock;
use crate::history::erase::EraseWhat;
use crate::history::error::HistoryError;
use crate::history::limits::TICK_MS;
use crate::history::message::{EraseResult, Message};
use crate::history::query::{HistoryQuery, Page, PageReader};
use crate::history::store::Store;
use crate::history::thread::{Worker, WorkerStart};
use crate::metrics::MetricRow;

/// Name of the log's consumer, as `skein log stat` shows it.
pub const CONSUMER: &str = "history";

/// How the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// One row of a session per so many milliseconds.
    pub every_ms: u64,
    /// Rows older than this are removed, milliseconds.
    pub retain_ms: u64,
}

/// What requests use; cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    names: Arc<ChatNames>,
    partitions: u16,
    pages: Arc<PageReader>,
    messages: Sender<Message>,
}

impl History {
    /// A chat by name: its handle and partition. `None`: it was never named.
    pub fn chat(&self, chat: &ChatName) -> Option<(u32, u16)> {
        let handle = self.names.handle(chat.as_str())?;
        Some((handle, partition_of(chat, self.partitions).0))
    }

    /// One page. Waits for the disk.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn page(&self, query: &HistoryQuery) -> Result<Page, HistoryError> {
        self.pages.page(query)
    }

    /// Erases. It is done, whether the answer is waited for or not.
    pub fn erase(&self, what: EraseWhat) -> oneshot::Receiver<EraseResult> {
        let (sender, receiver) = oneshot::channel();
        // A thread that has ended drops the sender: the answer is `Stopping`.
        let _ = self.messages.send(Message::Erase(what, sender));
        receiver
    }
}

/// After a start it may have to read what is old, and has rotted since it was written.
fn reader(log: &Log, partition: u16) -> Reader {
    let mut reader = log.reader(PartitionId(partition));
    reader.set_verify(true);
    reader
}

/// The running thread.
#[derive(Debug)]
pub struct HistoryThread {
    history: History,
    thread: JoinHandle<()>,
}

impl HistoryThread {
    /// Opens the database in `folder` and begins to follow the log. Before the shards run, so that
    /// nothing is appended that it would not see.
    ///
    /// # Errors
    /// The database cannot be used; the text says what to do.
    pub fn start(
        folder: &Path,
        options: HistoryOptions,
        log: &Log,
        state: &ControlState,
        names: Arc<ChatNames>,
        clock: Clock,
        metrics: Arc<MetricRow>,
    ) -> anyhow::Result<Self> {
        let store = Store::open(folder, &log.id().to_string())?;
        let start = WorkerStart {
            store,
            readers: (0..log.partitions()).map(|it| reader(log, it)).collect(),
            consumer: log.consumer(CONSUMER)?,
            every_ms: options.every_ms,
            retain_ms: options.retain_ms,
            clock,
            metrics,
        };
        let worker = Worker::new(start, state)?;
        let (messages, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || worker.run(&inbox))?;
        let history = History {
            names,
            partitions: log.partitions(),
            pages: Arc::new(PageReader::new(folder)),
            messages,
        };
        tracing::info!(
            every_ms = options.every_ms,
            tick_ms = TICK_MS,
            "history is kept"
        );
        Ok(Self { history, thread })
    }

    /// What requests use.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Commits what is durable and ends the thread. Call it before the log is closed.
    pub fn stop(self) {
        let _ = self.history.messages.send(Message::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the history's thread has panicked; it goes on after the next start");
        }
    }
}
