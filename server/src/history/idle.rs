//! The database while no thread follows the log for it: the history is off, or the server is stopped.

use std::path::Path;

use crate::history::erase::{EraseReport, EraseWhat};
use crate::history::error::HistoryError;
use crate::history::schema;
use crate::history::store::Store;

/// The history is off: what comes into the log from now on is not for it, should it be turned on
/// again. Rows stay until they are erased or somebody removes the folder.
///
/// # Errors
/// The database cannot be used.
pub fn pause(folder: &Path, log_id: &str) -> Result<(), HistoryError> {
    let Some(mut store) = open(folder, log_id)? else {
        return Ok(());
    };
    let change = store.begin()?;
    change.forget_places()?;
    change.commit()
}

/// Removes rows and whatever is left of them in the file. What of it is still in the log and was not
/// read yet becomes rows later: take it out of the log first. `None`: there is no database.
///
/// # Errors
/// The database cannot be used.
pub fn erase(
    folder: &Path,
    log_id: &str,
    what: &EraseWhat,
) -> Result<Option<EraseReport>, HistoryError> {
    let Some(mut store) = open(folder, log_id)? else {
        return Ok(None);
    };
    let change = store.begin()?;
    let mut report = change.erase(what)?;
    // Whoever reads the log next begins with the sessions that go on.
    change.erase_sessions(what, false)?;
    change.commit()?;
    store.scrub()?;
    report.scrubbed = true;
    Ok(Some(report))
}

fn open(folder: &Path, log_id: &str) -> Result<Option<Store>, HistoryError> {
    match schema::file(folder).exists() {
        true => Store::open(folder, log_id).map(Some),
        false => Ok(None),
    }
}
