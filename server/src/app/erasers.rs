//! What erases from each place: by the thread that writes it, or from what is left of one that is off.

use std::path::PathBuf;
use std::sync::Arc;

use skein_log::LogId;

use crate::control::erased::ControlErased;
use crate::control::thread::ControlSender;
use crate::erase_scope::EraseScope;
use crate::history::erase::{EraseReport, EraseWhat};
use crate::history::handle::HistoryThread;
use crate::http::log_erasing::Eraser;
use crate::log_erase::{Means, OtherEraser, erase};
use crate::shard::gateway::Gateway;
use crate::views::erase::ViewsErased;
use crate::views::handle::ViewsThread;
use crate::webhook::erase::LettersErased;
use crate::webhook::handle::WebhookThread;
use crate::{history, views, webhook};

/// The log, and everything else with it.
pub fn eraser(gateway: Gateway, means: Means) -> Arc<Eraser> {
    Arc::new(move |scope| erase(scope, &mut gateway.as_owner(), &means))
}

/// The history.
pub fn history(
    thread: Option<&HistoryThread>,
    folder: PathBuf,
    log: LogId,
) -> Box<OtherEraser<EraseWhat, EraseReport>> {
    match thread {
        Some(thread) => {
            let history = thread.history().clone();
            Box::new(move |what| Ok(Some(history.erase(what.clone()).blocking_recv()??)))
        }
        None => {
            let log = log.to_string();
            Box::new(move |what| Ok(history::idle::erase(&folder, &log, what)?))
        }
    }
}

/// The record of views.
pub fn views(
    thread: Option<&ViewsThread>,
    folder: PathBuf,
) -> Box<OtherEraser<EraseScope, ViewsErased>> {
    match thread {
        Some(thread) => {
            let record = thread.sink();
            Box::new(move |scope| Ok(Some(record.erase(scope)?)))
        }
        None => Box::new(move |scope| views::idle::erase(&folder, scope)),
    }
}

/// The control log, by its thread.
pub fn control(sender: ControlSender) -> Box<OtherEraser<EraseScope, ControlErased>> {
    Box::new(move |scope| Ok(Some(sender.erase(scope)?)))
}

/// The dead letters of webhooks.
pub fn dead_letters(
    thread: Option<&WebhookThread>,
    folder: PathBuf,
) -> Box<OtherEraser<EraseScope, LettersErased>> {
    match thread {
        Some(thread) => {
            let webhooks = thread.webhooks().clone();
            Box::new(move |scope| Ok(Some(webhooks.store().erase(scope)?)))
        }
        None => Box::new(move |scope| webhook::idle::erase(&folder, scope)),
    }
}
