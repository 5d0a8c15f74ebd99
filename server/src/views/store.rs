//! The record's database: one transaction at a time, by its thread; and what readers ask of it.
//!
//! ```text
//!   view     chat, session or none, user -> from, until (none = goes on)
//!   session  chat, session -> user, started, ended (none = live)
//!   gap      times at which the record could not take all
//!   alive    the last time at which all this was so
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::database::{connect_reader, open, scrub, signed};
use crate::erase_scope::EraseScope;
use crate::views::erase::{ViewsErased, erase};

/// Name of the database in its folder.
const FILE: &str = "views.db";

/// The schema of this version, in `user_version`.
const SCHEMA: u32 = 1;

const TABLES: &str = "
CREATE TABLE view (
  id INTEGER PRIMARY KEY AUTOINCREMENT, chat TEXT NOT NULL, session INTEGER, user TEXT NOT NULL,
  from_ms INTEGER NOT NULL, until_ms INTEGER) STRICT;
CREATE INDEX view_chat ON view (chat);
CREATE INDEX view_until ON view (until_ms);
CREATE TABLE session (
  chat TEXT NOT NULL, session INTEGER NOT NULL, user TEXT NOT NULL, started_ms INTEGER NOT NULL,
  ended_ms INTEGER, PRIMARY KEY (chat, session)) STRICT, WITHOUT ROWID;
CREATE TABLE gap (at_ms INTEGER NOT NULL, lost INTEGER NOT NULL) STRICT;
CREATE TABLE alive (one INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
INSERT INTO alive VALUES (1, 0);
PRAGMA user_version = 1;
";

fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// The database, open for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens it; makes it where there is none. Views that a crash has cut off end when they were last
    /// known to go on.
    ///
    /// # Errors
    /// It is damaged or of a later version, or the file system refuses; the text says what to do.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = file(folder);
        let what_to_do = || {
            format!(
                "the record of views in {} cannot be used; look at the disk, or move the file away",
                path.display()
            )
        };
        let connection = open(&path, TABLES, SCHEMA).with_context(what_to_do)?;
        let cut_off = "UPDATE view SET until_ms = max(from_ms, (SELECT at_ms FROM alive))
             WHERE until_ms IS NULL";
        connection.execute(cut_off, []).with_context(what_to_do)?;
        Ok(Self { connection })
    }

    /// Whether a folder has a record.
    pub fn is_there(folder: &Path) -> bool {
        file(folder).exists()
    }

    /// Removes what an erase is about, and whatever is left of it in the file.
    ///
    /// # Errors
    /// The database refuses, or a reader holds on to the journal: erase again.
    pub fn erase(&mut self, scope: &EraseScope) -> rusqlite::Result<ViewsErased> {
        let change = self.begin()?;
        let erased = erase(&change.transaction, scope)?;
        change.commit()?;
        scrub(&self.connection)?;
        Ok(erased)
    }

    /// Begins a transaction; dropped without a commit, it did nothing.
    ///
    /// # Errors
    /// The database is locked or gone.
    pub fn begin(&mut self) -> rusqlite::Result<Change<'_>> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        Ok(Change { transaction })
    }
}

/// A transaction.
#[derive(Debug)]
pub struct Change<'a> {
    transaction: Transaction<'a>,
}

impl Change<'_> {
    /// Makes it count.
    ///
    /// # Errors
    /// The disk is full or the database locked: nothing of it counts.
    pub fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }

    /// A view begins; gives its row.
    ///
    /// # Errors
    /// The database refuses.
    pub fn begin_view(
        &self,
        chat: &str,
        session: Option<u64>,
        user: &str,
        from_ms: u64,
    ) -> rusqlite::Result<i64> {
        self.transaction
            .prepare_cached(
                "INSERT INTO view (chat, session, user, from_ms) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![chat, session.map(signed), user, signed(from_ms)])?;
        Ok(self.transaction.last_insert_rowid())
    }

    /// A view ends.
    ///
    /// # Errors
    /// The database refuses.
    pub fn end_view(&self, row: i64, until_ms: u64) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("UPDATE view SET until_ms = ?2 WHERE id = ?1")?
            .execute(params![row, signed(until_ms)])?;
        Ok(())
    }

    /// A session is there; one that is known stays as it is.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_session(
        &self,
        chat: &str,
        session: u64,
        user: &str,
        started_ms: u64,
    ) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("INSERT OR IGNORE INTO session VALUES (?1, ?2, ?3, ?4, NULL)")?
            .execute(params![chat, signed(session), user, signed(started_ms)])?;
        Ok(())
    }

    /// A session is over; one that was over before stays so.
    ///
    /// # Errors
    /// The database refuses.
    pub fn end_session(&self, chat: &str, session: u64, at_ms: u64) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE session SET ended_ms = ?3
                 WHERE chat = ?1 AND session = ?2 AND ended_ms IS NULL",
            )?
            .execute(params![chat, signed(session), signed(at_ms)])?;
        Ok(())
    }

    /// The sessions that are live as far as the record knows.
    ///
    /// # Errors
    /// The database refuses.
    pub fn live_sessions(&self) -> rusqlite::Result<Vec<(String, u64)>> {
        let mut statement = self
            .transaction
            .prepare("SELECT chat, session FROM session WHERE ended_ms IS NULL")?;
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
        rows.collect()
    }

    /// The record could not take so much.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_gap(&self, at_ms: u64, lost: u64) -> rusqlite::Result<()> {
        let query = "INSERT INTO gap VALUES (?1, ?2)";
        self.transaction
            .execute(query, params![signed(at_ms), signed(lost)])?;
        Ok(())
    }

    /// Everything is still so.
    ///
    /// # Errors
    /// The database refuses.
    pub fn alive(&self, at_ms: u64) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("UPDATE alive SET at_ms = ?1")?
            .execute([signed(at_ms)])?;
        Ok(())
    }

    /// Removes what ended before a time.
    ///
    /// # Errors
    /// The database refuses.
    pub fn expire(&self, before_ms: u64) -> rusqlite::Result<()> {
        let bound = [signed(before_ms)];
        for query in [
            "DELETE FROM view WHERE until_ms < ?1",
            "DELETE FROM session WHERE ended_ms < ?1",
            "DELETE FROM gap WHERE at_ms < ?1",
        ] {
            self.transaction.execute(query, bound)?;
        }
        Ok(())
    }
}

/// A session of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose.
    pub user: String,
    /// Server time, milliseconds since 1970.
    pub started_ms: u64,
    /// Server time of its end; `None` = it is live.
    pub ended_ms: Option<u64>,
}

/// A view of a session, within the session's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRow {
    /// Its number; grows.
    pub id: u64,
    /// Who.
    pub user: String,
    /// The whole chat was watched, not this session alone.
    pub whole_chat: bool,
    /// Server time, milliseconds since 1970.
    pub from_ms: u64,
    /// `None` = it goes on.
    pub until_ms: Option<u64>,
}

/// What an answer says of a session's views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order in which they began.
    pub views: Vec<ViewRow>,
    /// Beginnings and ends in the session's time that the record could not take.
    pub lost: u64,
}

/// The database, open for reading.
#[derive(Debug)]
pub struct PageReader {
    folder: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl PageReader {
    /// Of the database in a folder; it is opened when it is first asked.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            connection: Mutex::new(None),
        }
    }

    fn with<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = match slot.take() {
            Some(connection) => connection,
            None => connect_reader(&file(&self.folder))?,
        };
        let answer = question(&connection);
        *slot = Some(connection);
        answer
    }

    /// A session, if the record knows it. Waits for the disk.
    ///
    /// # Errors
    /// The database refuses.
    pub fn session(&self, chat: &str, session: u64) -> rusqlite::Result<Option<SessionRow>> {
        let query =
            "SELECT user, started_ms, ended_ms FROM session WHERE chat = ?1 AND session = ?2";
        self.with(|connection| {
            connection
                .prepare_cached(query)?
                .query_row(params![chat, signed(session)], |row| {
                    Ok(SessionRow {
                        user: row.get(0)?,
                        started_ms: row.get::<_, i64>(1)? as u64,
                        ended_ms: row.get::<_, Option<i64>>(2)?.map(|at| at as u64),
                    })
                })
                .optional()
        })
    }

    /// The views of a session behind a number, but for those of its own user. Waits for the disk.
    ///
    /// # Errors
    /// The database refuses.
    pub fn page(
        &self,
        chat: &str,
        session: u64,
        of: &SessionRow,
        after: u64,
        limit: usize,
    ) -> rusqlite::Result<Page> {
        let ended_ms = of.ended_ms.unwrap_or(i64::MAX as u64);
        let clipped = |row: &Row<'_>| {
            let until_ms = row.get::<_, Option<i64>>(3)?.map(|at| at as u64);
            Ok(ViewRow {
                id: row.get::<_, i64>(0)? as u64,
                user: row.get(1)?,
                from_ms: (row.get::<_, i64>(2)? as u64).max(of.started_ms),
                until_ms: match (until_ms, of.ended_ms) {
                    (Some(until), Some(ended)) => Some(until.min(ended)),
                    (until, ended) => until.or(ended),
                },
                whole_chat: row.get(4)?,
            })
        };
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, user, from_ms, until_ms, session IS NULL FROM view
                 WHERE chat = ?1 AND id > ?2 AND (session IS NULL OR session = ?3) AND user <> ?4
                   AND from_ms <= ?5 AND (until_ms IS NULL OR until_ms >= ?6)
                 ORDER BY id LIMIT ?7",
            )?;
            let parameters = params![
                chat,
                signed(after),
                signed(session),
                of.user,
                signed(ended_ms),
                signed(of.started_ms),
                limit as i64
            ];
            let views = statement
                .query_map(parameters, clipped)?
                .collect::<rusqlite::Result<_>>()?;
            let lost: i64 = connection
                .prepare_cached(
                    "SELECT coalesce(sum(lost), 0) FROM gap WHERE at_ms >= ?1 AND at_ms <= ?2",
                )?
                .query_row(params![signed(of.started_ms), signed(ended_ms)], |row| {
                    row.get(0)
                })?;
            Ok(Page {
                views,
                lost: lost as u64,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::views::store::{PageReader, Store, ViewRow};

    fn row(id: u64, user: &str, whole_chat: bool, from_ms: u64, until_ms: Option<u64>) -> ViewRow {
        let user = user.to_owned();
        ViewRow {
            id,
            user,
            whole_chat,
            from_ms,
            until_ms,
        }
    }

    #[test]
    fn a_session_is_told_of_what_showed_it_while_it_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("views");
        let mut store = Store::open(&folder).unwrap();
        let change = store.begin().unwrap();
        change.put_session("c", 7, "ana", 100).unwrap();
        let begin = |session, user, from_ms, until_ms: Option<u64>| {
            let row = change.begin_view("c", session, user, from_ms).unwrap();
            if let Some(until_ms) = until_ms {
                change.end_view(row, until_ms).unwrap();
            }
        };
        begin(None, "early", 10, Some(99));
        begin(None, "ben", 50, Some(150));
        begin(Some(7), "cem", 120, None);
        begin(Some(8), "other", 120, None);
        begin(None, "ana", 120, None);
        begin(None, "late", 300, None);
        change.begin_view("d", None, "elsewhere", 120).unwrap();
        change.put_gap(130, 3).unwrap();
        change.alive(310).unwrap();
        change.commit().unwrap();
        let reader = PageReader::new(&folder);
        let live = reader.session("c", 7).unwrap().expect("known");
        let page = reader.page("c", 7, &live, 0, 10).unwrap();
        let (ben, cem) = (
            row(2, "ben", true, 100, Some(150)),
            row(3, "cem", false, 120, None),
        );
        let late = row(6, "late", true, 300, None);
        assert_eq!((page.views, page.lost), (vec![ben.clone(), cem, late], 3));
        let first = reader.page("c", 7, &live, 0, 1).unwrap().views;
        assert_eq!(first, std::slice::from_ref(&ben));

        let change = store.begin().unwrap();
        change.end_session("c", 7, 200).unwrap();
        change.end_session("c", 7, 999).unwrap();
        change.commit().unwrap();
        let over = reader.session("c", 7).unwrap().expect("known");
        assert_eq!(over.ended_ms, Some(200));
        let page = reader.page("c", 7, &over, 0, 10).unwrap();
        let cem = row(3, "cem", false, 120, Some(200));
        assert_eq!(page.views, [ben, cem], "nobody after its end");

        // What a crash cut off was there when it was last noted.
        drop(store);
        let mut store = Store::open(&folder).unwrap();
        let page = reader.page("c", 7, &live, 2, 10).unwrap();
        let untils: Vec<Option<u64>> = page.views.iter().map(|it| it.until_ms).collect();
        assert_eq!(untils, [Some(310), Some(310)]);
        let change = store.begin().unwrap();
        change.expire(311).unwrap();
        change.commit().unwrap();
        assert_eq!(reader.page("c", 7, &live, 0, 10).unwrap().views, []);
        assert_eq!(reader.session("c", 7).unwrap(), None);
    }
}
