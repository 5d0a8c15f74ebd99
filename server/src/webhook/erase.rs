//! Erasing from the dead letters: events of a chat or a user go out of the batches that were given up.

use rusqlite::{Transaction, params};
use serde::Serialize;
use serde_json::Value;

use crate::erase_scope::EraseScope;

/// What an erase did to the dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LettersErased {
    /// Events taken out, or members out of an event that names several.
    pub events: u64,
    /// Letters that had nothing else and are gone.
    pub letters: u64,
}

pub(crate) fn erase(
    change: &Transaction<'_>,
    scope: &EraseScope,
) -> rusqlite::Result<LettersErased> {
    let mut erased = LettersErased::default();
    let mut statement = change.prepare("SELECT id, body FROM dead")?;
    let letters = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let letters: Vec<(i64, Vec<u8>)> = letters.collect::<rusqlite::Result<_>>()?;
    for (id, body) in letters {
        // Its own words; one that cannot be read holds nobody knows what, and goes.
        let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let left = body["events"].as_array_mut();
        let taken = left.map_or(0, |events| take_out(events, scope));
        let left = body["events"].as_array().map_or(0, Vec::len);
        if left == 0 {
            change.execute("DELETE FROM dead WHERE id = ?1", [id])?;
            erased.letters += 1;
        } else if taken > 0 {
            change.execute(
                "UPDATE dead SET events = ?2, body = ?3 WHERE id = ?1",
                params![id, left as i64, body.to_string().into_bytes()],
            )?;
        }
        erased.events += taken;
    }
    Ok(erased)
}

/// Takes out what is concerned; gives how much it was.
fn take_out(events: &mut Vec<Value>, scope: &EraseScope) -> u64 {
    let mut taken = 0;
    events.retain_mut(|event| {
        let is_here = scope.chat().is_none_or(|chat| event["chat"] == chat);
        let Some(user) = scope.user().filter(|_| is_here) else {
            taken += u64::from(is_here);
            return !is_here;
        };
        if let Some(members) = event["members"].as_array_mut() {
            let before = members.len();
            members.retain(|member| member["user"] != user);
            taken += (before - members.len()) as u64;
            return !members.is_empty();
        }
        let names = ["user", "other_user", "owner"];
        let is_theirs = names.iter().any(|name| event[name] == user);
        taken += u64::from(is_theirs);
        !is_theirs
    });
    taken
}
