//! What the history's thread is asked for.

use tokio::sync::oneshot;

use crate::history::erase::{EraseReport, EraseWhat};
use crate::history::error::HistoryError;

/// The answer to an erase.
pub type EraseResult = Result<EraseReport, HistoryError>;

/// A message to the thread.
#[derive(Debug)]
pub enum Message {
    /// Erase, and say what was erased. The answer is not waited for when its receiver is gone.
    Erase(EraseWhat, oneshot::Sender<EraseResult>),
    /// Commit what can be and end.
    Stop,
}
