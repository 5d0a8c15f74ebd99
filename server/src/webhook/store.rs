//! What survives a restart: how far each address has acknowledged, and the batches that were given up.
//!
//! ```text
//!   target  address -> control log, index of the last event that it has
//!   dead    address, id, indexes, body of a batch · tries, last error · whether it is to be tried again
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use skein_log::LogId;

use crate::control::event_place::EventPlace;
use crate::database::{open, scrub, signed};
use crate::erase_scope::EraseScope;
use crate::webhook::erase::{LettersErased, erase};
use crate::webhook::message::Message;

/// Name of the database in its folder.
const FILE: &str = "webhook.db";

/// The schema of this version, in `user_version`.
const SCHEMA: u32 = 1;

const TABLES: &str = "
CREATE TABLE target (url TEXT PRIMARY KEY, log INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, message TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, events INTEGER NOT NULL, failed_ms INTEGER NOT NULL,
  tries INTEGER NOT NULL, error TEXT NOT NULL, retry INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX dead_url ON dead (url);
PRAGMA user_version = 1;
";

/// A batch that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number in the list.
    pub id: u64,
    /// Whom it was meant for.
    pub url: String,
    /// Its `webhook-id`.
    pub message: String,
    /// Index of its first event.
    pub first: u64,
    /// Index of its last event.
    pub last: u64,
    /// How many they are.
    pub events: u64,
    /// Server time of the last try, milliseconds since 1970.
    pub failed_at_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    pub error: String,
    /// It waits to be tried again.
    pub retrying: bool,
}

/// A try that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// Server time, milliseconds since 1970.
    pub at_ms: u64,
    /// Which try it was.
    pub tries: u32,
    /// Why.
    pub error: &'a str,
}

/// The database. Calls wait for the disk.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    /// Erases since the start.
    erases: AtomicU64,
}

const COLUMNS: &str = "id, url, message, first, last, events, failed_ms, tries, error, retry";

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let number = |index| row.get::<_, i64>(index).map(|number| number as u64);
    Ok(DeadLetter {
        id: number(0)?,
        url: row.get(1)?,
        message: row.get(2)?,
        first: number(3)?,
        last: number(4)?,
        events: number(5)?,
        failed_at_ms: number(6)?,
        tries: row.get(7)?,
        error: row.get(8)?,
        retrying: row.get(9)?,
    })
}

impl Store {
    /// Opens the database of a folder; makes both where there are none.
    ///
    /// # Errors
    /// It is damaged or of a later version, or the file system refuses; the text says what to do.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path: PathBuf = folder.join(FILE);
        let what_to_do = || {
            format!(
                "the places of webhooks in {} cannot be used; look at the disk, or move the file away: its addresses then begin with what comes next",
                path.display()
            )
        };
        let connection = open(&path, TABLES, SCHEMA).with_context(what_to_do)?;
        Ok(Self {
            connection: Mutex::new(connection),
            erases: AtomicU64::new(0),
        })
    }

    /// Whether a folder has such a database.
    pub fn is_there(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Takes events out of the dead letters, and whatever is left of them out of the file. The events
    /// of the control log must be gone by then: whoever holds some that were read before reads again.
    ///
    /// # Errors
    /// The database refuses: erase again.
    pub fn erase(&self, scope: &EraseScope) -> rusqlite::Result<LettersErased> {
        let mut connection = self.connection();
        self.erases.fetch_add(1, Ordering::Release);
        let change = connection.transaction()?;
        let erased = erase(&change, scope)?;
        change.commit()?;
        scrub(&connection)?;
        Ok(erased)
    }

    /// Drops dead letters that were given up, or tried again in vain, before a time. How many.
    ///
    /// # Errors
    /// The database refuses.
    pub fn expire(&self, before_ms: u64) -> rusqlite::Result<usize> {
        let connection = self.connection();
        let query = "DELETE FROM dead WHERE failed_ms < ?1";
        let dropped = connection.execute(query, [signed(before_ms)])?;
        if dropped > 0 {
            scrub(&connection)?;
        }
        Ok(dropped)
    }

    /// Erases since the start. What was read from the control log before one may name somebody who is
    /// to be forgotten.
    pub fn erases(&self) -> u64 {
        self.erases.load(Ordering::Acquire)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves no half of a transaction.
        let locked = self.connection.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// How far an address has acknowledged; `None`: it is new.
    ///
    /// # Errors
    /// The database refuses.
    pub fn place(&self, url: &str) -> rusqlite::Result<Option<EventPlace>> {
        self.connection()
            .prepare_cached("SELECT log, last FROM target WHERE url = ?1")?
            .query_row([url], |row| {
                Ok(EventPlace {
                    log: Some(LogId(row.get::<_, i64>(0)? as u64)),
                    index: row.get::<_, i64>(1)? as u64,
                })
            })
            .optional()
    }

    /// An address has everything up to a place.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_place(&self, url: &str, log: LogId, last: u64) -> rusqlite::Result<()> {
        put_place(&self.connection(), url, log, last)
    }

    /// A batch that was read after so many erases is given up: it stands in the list, and the address's
    /// place is behind it. False: there was an erase since, and neither is so.
    ///
    /// # Errors
    /// The database refuses: neither.
    pub fn give_up(
        &self,
        url: &str,
        log: LogId,
        (message, erases): (&Message, u64),
        failure: Failure<'_>,
    ) -> rusqlite::Result<bool> {
        let mut connection = self.connection();
        if self.erases() != erases {
            return Ok(false);
        }
        let change = connection.transaction()?;
        change.execute(
            "INSERT INTO dead (url, message, first, last, events, failed_ms, tries, error, retry, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)",
            params![
                url,
                message.id,
                signed(message.first),
                signed(message.last),
                message.events as i64,
                signed(failure.at_ms),
                failure.tries,
                failure.error,
                &message.body[..],
            ],
        )?;
        put_place(&change, url, log, message.last)?;
        change.commit()?;
        Ok(true)
    }

    /// Batches in the list, of one address or of all.
    ///
    /// # Errors
    /// The database refuses.
    pub fn dead_count(&self, url: Option<&str>) -> rusqlite::Result<u64> {
        let count: i64 = self
            .connection()
            .prepare_cached("SELECT count(*) FROM dead WHERE ?1 IS NULL OR url = ?1")?
            .query_row([url], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// The list behind a number, in the order in which batches were given up.
    ///
    /// # Errors
    /// The database refuses.
    pub fn dead_letters(&self, after: u64, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
        let query = format!("SELECT {COLUMNS} FROM dead WHERE id > ?1 ORDER BY id LIMIT ?2");
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&query)?;
        let rows = statement.query_map(params![signed(after), limit as i64], letter)?;
        rows.collect()
    }

    /// One of the list, with its body.
    ///
    /// # Errors
    /// The database refuses.
    pub fn dead_letter(&self, id: u64) -> rusqlite::Result<Option<(DeadLetter, Bytes)>> {
        self.one("id = ?1", signed(id))
    }

    /// The first of an address that is to be tried again.
    ///
    /// # Errors
    /// The database refuses.
    pub fn next_retry(&self, url: &str) -> rusqlite::Result<Option<(DeadLetter, Bytes)>> {
        self.one("url = ?1 AND retry ORDER BY id LIMIT 1", url)
    }

    fn one(
        &self,
        condition: &str,
        parameter: impl rusqlite::ToSql,
    ) -> rusqlite::Result<Option<(DeadLetter, Bytes)>> {
        let query = format!("SELECT {COLUMNS}, body FROM dead WHERE {condition}");
        self.connection()
            .prepare_cached(&query)?
            .query_row([parameter], |row| {
                Ok((letter(row)?, row.get::<_, Vec<u8>>(10)?.into()))
            })
            .optional()
    }

    /// Lets one of the list be tried again. False: there is no such one.
    ///
    /// # Errors
    /// The database refuses.
    pub fn retry(&self, id: u64) -> rusqlite::Result<bool> {
        let query = "UPDATE dead SET retry = 1 WHERE id = ?1";
        Ok(self.connection().execute(query, [signed(id)])? > 0)
    }

    /// It was tried again, in vain.
    ///
    /// # Errors
    /// The database refuses.
    pub fn retry_failed(&self, id: u64, failure: Failure<'_>) -> rusqlite::Result<()> {
        self.connection().execute(
            "UPDATE dead SET retry = 0, failed_ms = ?2, tries = ?3, error = ?4 WHERE id = ?1",
            params![
                signed(id),
                signed(failure.at_ms),
                failure.tries,
                failure.error
            ],
        )?;
        Ok(())
    }

    /// Takes one out of the list: it has arrived after all, or nobody wants it. False: there is no such one.
    ///
    /// # Errors
    /// The database refuses.
    pub fn remove(&self, id: u64) -> rusqlite::Result<bool> {
        let query = "DELETE FROM dead WHERE id = ?1";
        Ok(self.connection().execute(query, [signed(id)])? > 0)
    }
}

fn put_place(connection: &Connection, url: &str, log: LogId, last: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO target VALUES (?1, ?2, ?3)")?
        .execute(params![url, signed(log.0), signed(last)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use skein_log::LogId;
    use skein_wire::ids::UserName;

    use crate::control::event_place::EventPlace;
    use crate::erase_scope::EraseScope;
    use crate::webhook::message::Message;
    use crate::webhook::store::{Failure, Store};

    const LOG: LogId = LogId(u64::MAX - 5);

    fn message(first: u64, last: u64) -> Message {
        Message {
            id: format!("m-{first}"),
            first,
            last,
            events: 2,
            body: format!("body of {first}").into(),
        }
    }

    fn failure(error: &str) -> Failure<'_> {
        Failure {
            at_ms: 9,
            tries: 3,
            error,
        }
    }

    #[test]
    fn places_and_dead_letters_survive() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("webhook");
        let store = Store::open(&folder).unwrap();
        assert_eq!(store.place("a").unwrap(), None);
        store.put_place("a", LOG, 7).unwrap();
        store
            .give_up("b", LOG, (&message(8, 9), 0), failure("no"))
            .unwrap();
        store
            .give_up("b", LOG, (&message(10, 12), 0), failure("no"))
            .unwrap();
        drop(store);
        let store = Store::open(&folder).unwrap();
        let place = |index| {
            let log = Some(LOG);
            Some(EventPlace { log, index })
        };
        assert_eq!(store.place("a").unwrap(), place(7));
        assert_eq!(
            store.place("b").unwrap(),
            place(12),
            "behind what was given up"
        );
        assert_eq!(store.dead_count(Some("b")).unwrap(), 2);
        assert_eq!(store.dead_count(Some("a")).unwrap(), 0);
        let list = store.dead_letters(0, 10).unwrap();
        assert_eq!(list.iter().map(|it| it.first).collect::<Vec<_>>(), [8, 10]);
        assert_eq!(store.dead_letters(list[0].id, 10).unwrap(), list[1..]);
        let (letter, body) = store.dead_letter(list[1].id).unwrap().expect("it is there");
        assert_eq!((letter, &body[..]), (list[1].clone(), &b"body of 10"[..]));
    }

    #[test]
    fn a_retry_is_asked_for_once_and_ends_either_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .give_up("b", LOG, (&message(8, 9), 0), failure("no"))
            .unwrap();
        let id = store.dead_letters(0, 1).unwrap()[0].id;
        assert_eq!(store.next_retry("b").unwrap(), None);
        assert!(store.retry(id).unwrap() && !store.retry(id + 1).unwrap());
        assert_eq!(store.next_retry("a").unwrap(), None);
        assert!(store.next_retry("b").unwrap().is_some());
        store.retry_failed(id, failure("again no")).unwrap();
        assert_eq!(store.next_retry("b").unwrap(), None);
        assert_eq!(store.dead_letters(0, 1).unwrap()[0].error, "again no");
        assert!(store.remove(id).unwrap() && !store.remove(id).unwrap());
        assert_eq!(store.dead_count(None).unwrap(), 0);
    }

    #[test]
    fn a_dead_letter_goes_with_its_time_and_leaves_nothing_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for (number, at_ms) in [(8, 100), (10, 200)] {
            let failure = Failure {
                at_ms,
                ..failure("no")
            };
            store
                .give_up("b", LOG, (&message(number, number), 0), failure)
                .unwrap();
        }
        assert_eq!(store.expire(100).unwrap(), 0, "its time is not over");
        assert_eq!(store.expire(101).unwrap(), 1);
        let left = store.dead_letters(0, 10).unwrap();
        assert_eq!(left.iter().map(|it| it.first).collect::<Vec<_>>(), [10]);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let text = b"body of 8";
            assert!(!bytes.windows(text.len()).any(|it| it == text));
        }
    }

    #[test]
    fn what_was_read_before_an_erase_is_never_in_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put_place("b", LOG, 7).unwrap();
        let read_at = store.erases();
        let user = Some(UserName::new("ana").unwrap());
        store.erase(&EraseScope { chat: None, user }).unwrap();
        let give_up = |erases| store.give_up("b", LOG, (&message(8, 9), erases), failure("no"));
        assert!(!give_up(read_at).unwrap());
        assert_eq!(store.dead_count(None).unwrap(), 0);
        let place = store.place("b").unwrap().map(|place| place.index);
        assert_eq!(place, Some(7), "it is to be read again");
        assert!(give_up(store.erases()).unwrap());
        assert_eq!(store.dead_count(None).unwrap(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("webhook.db"), [0x5a; 4096]).unwrap();
        let error = Store::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("move the file away"), "{error}");
    }
}
