//! Erasing from the record of views: who watched a chat or a user, and whom a user watched.

use rusqlite::{Transaction, params};
use serde::Serialize;

use crate::erase_scope::EraseScope;

/// What an erase did to the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ViewsErased {
    /// Views removed.
    pub views: u64,
    /// Sessions of which the record knew, removed.
    pub sessions: u64,
    /// Views that go on and stay: end them first where all has to go.
    pub views_live: u64,
}

/// Views by the user, and views of the user's sessions alone. What somebody saw who watched the whole
/// chat tells of that user only beside the user's session, which goes as well.
const CONCERNED: &str = "(?1 IS NULL OR chat = ?1) AND (?2 IS NULL OR user = ?2 OR EXISTS (
    SELECT 1 FROM session WHERE session.chat = view.chat AND session.session = view.session
      AND session.user = ?2))";

pub(crate) fn erase(change: &Transaction<'_>, scope: &EraseScope) -> rusqlite::Result<ViewsErased> {
    let whose = params![scope.chat(), scope.user()];
    let views = format!("DELETE FROM view WHERE until_ms IS NOT NULL AND {CONCERNED}");
    let views = change.execute(&views, whose)? as u64;
    let live = format!("SELECT count(*) FROM view WHERE {CONCERNED}");
    let live: i64 = change.query_row(&live, whose, |row| row.get(0))?;
    let sessions = change.execute(
        "DELETE FROM session WHERE ended_ms IS NOT NULL
           AND (?1 IS NULL OR chat = ?1) AND (?2 IS NULL OR user = ?2)",
        whose,
    )? as u64;
    Ok(ViewsErased {
        views,
        sessions,
        views_live: live as u64,
    })
}
