//! Starts the history, or sees to it that nothing is noted for it while it is off.

use std::path::Path;
use std::sync::Arc;

use skein_engine::control_state::ControlState;
use skein_log::Log;

use crate::chat_names::ChatNames;
use crate::clock::Clock;
use crate::config::settings::HistorySettings;
use crate::history::handle::{HistoryOptions, HistoryThread};
use crate::history::idle::pause;
use crate::history::stats::HISTORY_METRICS;
use crate::metrics::MetricsBoard;

/// The history of a configuration. `None`: it is off.
///
/// # Errors
/// Its database cannot be used; the text says what to do. One that is off stops no start.
pub fn start(
    settings: &HistorySettings,
    folder: &Path,
    log: &Log,
    state: &ControlState,
    names: &Arc<ChatNames>,
    clock: Clock,
    board: &mut MetricsBoard,
) -> anyhow::Result<Option<HistoryThread>> {
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
