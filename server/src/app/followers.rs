//! The threads beside the shards that follow what happens: history, record of views, webhooks. Each is there if
//! the configuration asks for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_engine::control_state::ControlState;
use skein_log::{Log, LogId};

use crate::app::erasers;
use crate::chat_names::ChatNames;
use crate::clock::Clock;
use crate::config::settings::{Config, HistorySettings};
use crate::control::feed::EventFeed;
use crate::control::thread::ControlSender;
use crate::history::handle::{HistoryOptions, HistoryThread};
use crate::history::idle::pause;
use crate::history::stats::HISTORY_METRICS;
use crate::log_erase::Others;
use crate::metrics::MetricsBoard;
use crate::views::handle::ViewsThread;
use crate::views::stats::VIEWS_METRICS;
use crate::webhook::handle::WebhookThread;
use crate::webhook::signer::Signer;
use crate::webhook::stats::{WEBHOOK_METRICS, WebhookStats};

/// Where each keeps what it must not forget.
#[derive(Clone, Debug)]
pub struct FollowerDirs {
    /// The folder of the history, if one is kept.
    pub history: PathBuf,
    /// The folder of the record of views, if one is kept.
    pub views: PathBuf,
    /// The folder of webhooks' places, if there are webhooks.
    pub webhook: PathBuf,
}

/// What they follow.
pub(crate) struct Followed<'a> {
    pub log: &'a Log,
    /// As the control log left it.
    pub state: &'a ControlState,
    pub names: &'a Arc<ChatNames>,
    /// What happens in chats from now on.
    pub feed: EventFeed,
    pub clock: Clock,
}

/// Those that run.
#[derive(Debug)]
pub(crate) struct Followers {
    pub history: Option<HistoryThread>,
    pub views: Option<ViewsThread>,
    pub webhook: Option<WebhookThread>,
    dirs: FollowerDirs,
}

impl Followers {
    /// Starts those that are configured.
    ///
    /// # Errors
    /// What one of them cannot use, and what to do about it.
    pub fn start(
        config: &Config,
        dirs: FollowerDirs,
        signer: Option<Arc<Signer>>,
        followed: &Followed<'_>,
        board: &mut MetricsBoard,
    ) -> anyhow::Result<Self> {
        let clock = followed.clock;
        let history = start_history(&config.history, &dirs.history, followed, board)?;
        let webhook = WebhookThread::spawn(
            &config.webhook,
            signer,
            &dirs.webhook,
            followed.feed.clone(),
            clock,
            WebhookStats::new(board.once(WEBHOOK_METRICS)),
        )?;
        let views = ViewsThread::start(
            &config.views,
            &dirs.views,
            &followed.feed,
            followed.state,
            clock,
            board.once(VIEWS_METRICS),
        )?;
        Ok(Self {
            history,
            views,
            webhook,
            dirs,
        })
    }

    /// What erases from each of them, and from the control log.
    pub fn erasers(&self, log: LogId, control: ControlSender) -> Others {
        let dirs = self.dirs.clone();
        Others {
            history: erasers::history(self.history.as_ref(), dirs.history, log),
            views: erasers::views(self.views.as_ref(), dirs.views),
            dead_letters: erasers::dead_letters(self.webhook.as_ref(), dirs.webhook),
            control: erasers::control(control),
        }
    }

    /// Stops them; each has noted how far it came.
    pub fn stop(self) {
        if let Some(history) = self.history {
            history.stop();
        }
        if let Some(views) = self.views {
            views.stop();
        }
        if let Some(webhook) = self.webhook {
            webhook.stop();
        }
    }
}

/// The history of a configuration, or `None`: it is off, and nothing is noted for it. One that is off stops no start.
fn start_history(
    settings: &HistorySettings,
    folder: &Path,
    followed: &Followed<'_>,
    board: &mut MetricsBoard,
) -> anyhow::Result<Option<HistoryThread>> {
    let Followed {
        log,
        state,
        names,
        clock,
        ..
    } = *followed;
    if !settings.enabled {
        if let Err(error) = pause(folder, &log.id().to_string()) {
            tracing::warn!(%error, "the history is off, and its database cannot be told");
        }
        return Ok(None);
    }
    let options = HistoryOptions {
        every_ms: settings.every.as_ms(),
        retain_ms: settings.retain.as_ms(),
    };
    let metrics = board.once(HISTORY_METRICS);
    HistoryThread::start(folder, options, log, state, names.clone(), clock, metrics).map(Some)
}
