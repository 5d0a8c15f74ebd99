//! The record of views of a running server: what shards and requests use, and its thread's life.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use hashbrown::HashMap;
use skein_engine::control_state::ControlState;
use skein_engine::view::View;

use crate::clock::Clock;
use crate::config::settings::ViewsSettings;
use crate::control::feed::EventFeed;
use crate::erase_scope::EraseScope;
use crate::metrics::MetricRow;
use crate::views::erase::ViewsErased;
use crate::views::limits::VIEWS_WAITING_MAX;
use crate::views::stats::ViewsStats;
use crate::views::store::{PageReader, Store};
use crate::views::thread::{Message, Waiting, Worker};

/// Where shards tell of views; cheap to clone.
#[derive(Clone, Debug)]
pub struct ViewSink {
    messages: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl ViewSink {
    /// Tells of a view. Never waits: what finds no room is counted.
    pub fn tell(&self, view: View) {
        if self.messages.try_send(Message::View(view)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes what is recorded of a chat or a user; waits for the disk.
    ///
    /// # Errors
    /// The database refuses, or the server stops.
    pub fn erase(&self, scope: &EraseScope) -> anyhow::Result<ViewsErased> {
        let (reply, erased) = mpsc::sync_channel(1);
        let message = Message::Erase(scope.clone(), reply);
        self.messages
            .send(message)
            .map_err(|_| anyhow!("the server stops"))?;
        Ok(erased.recv().context("the server stops")??)
    }
}

/// The running thread.
#[derive(Debug)]
pub struct ViewsThread {
    sink: ViewSink,
    pages: Arc<PageReader>,
    thread: JoinHandle<()>,
}

impl ViewsThread {
    /// Opens the database in `folder` and begins. Before the shards run, so that no view and no session
    /// is missed. `None`: no record is kept.
    ///
    /// # Errors
    /// The database cannot be used; the text says what to do.
    pub fn start(
        settings: &ViewsSettings,
        folder: &Path,
        feed: &EventFeed,
        state: &ControlState,
        clock: Clock,
        metrics: Arc<MetricRow>,
    ) -> anyhow::Result<Option<Self>> {
        if !settings.is_on() {
            return Ok(None);
        }
        let lost = Arc::new(AtomicU64::new(0));
        let mut worker = Worker {
            store: Store::open(folder)?,
            sessions: feed.open(None),
            lost: lost.clone(),
            retain_ms: settings.retain.as_ms(),
            clock,
            metrics,
            open: HashMap::new(),
            waiting: Waiting::default(),
            stats: ViewsStats::default(),
            alive_due_ms: 0,
            retention_due_ms: 0,
            failed: 0,
        };
        worker.take_sessions(state)?;
        let (messages, inbox) = mpsc::sync_channel(VIEWS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || worker.run(&inbox))?;
        Ok(Some(Self {
            sink: ViewSink { messages, lost },
            pages: Arc::new(PageReader::new(folder)),
            thread,
        }))
    }

    /// Where shards tell of views.
    pub fn sink(&self) -> ViewSink {
        self.sink.clone()
    }

    /// What requests read.
    pub fn pages(&self) -> Arc<PageReader> {
        self.pages.clone()
    }

    /// Writes what is left and ends the thread. Call it when no shard runs any more.
    pub fn stop(self) {
        let _ = self.sink.messages.send(Message::Stop);
        if self.thread.join().is_err() {
            tracing::error!(
                "the thread of the record of views has panicked; it goes on after the next start"
            );
        }
    }
}
