//! The database as the history's thread writes it: one transaction at a time.

use std::path::{Path, PathBuf};

use hashbrown::HashSet;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use skein_wire::ids::UserName;

use crate::database::{self, signed};
use crate::history::erase::{EraseReport, EraseWhat, Erasure};
use crate::history::error::HistoryError;
use crate::history::limits::{SHRINK_BYTES_PER_ROUND, SHRINK_FREE_BYTES_MIN, SHRINK_FREE_PART_MIN};
use crate::history::row::StoredPoint;
use crate::history::sampler::SessionKey;
use crate::history::schema;

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The epoch in which that was.
    pub epoch: u64,
    /// The next offset to read.
    pub next: u64,
}

/// A session as points need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Where its records are.
    pub partition: u16,
    /// Whose.
    pub user: String,
    /// Server time of its start, milliseconds since 1970.
    pub started_at_ms: u64,
}

/// The database, open for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    folder: PathBuf,
}

impl Store {
    /// Opens or makes it.
    ///
    /// # Errors
    /// See [`schema::open`].
    pub fn open(folder: &Path, log_id: &str) -> Result<Self, HistoryError> {
        Ok(Self {
            connection: schema::open(folder, log_id)?,
            folder: folder.to_owned(),
        })
    }

    /// Begins a transaction; dropped without a commit, it did nothing.
    ///
    /// # Errors
    /// The database is locked or gone.
    pub fn begin(&mut self) -> Result<Change<'_>, HistoryError> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        Ok(Change { transaction })
    }

    /// How far a partition was read; `None`: it never was.
    ///
    /// # Errors
    /// The database refuses.
    pub fn place(&self, partition: u16) -> Result<Option<Place>, HistoryError> {
        let place = self
            .connection
            .prepare_cached("SELECT epoch, next FROM place WHERE partition = ?1")?
            .query_row([partition], |row| {
                Ok(Place {
                    epoch: row.get::<_, i64>(0)? as u64,
                    next: row.get::<_, i64>(1)? as u64,
                })
            })
            .optional()?;
        Ok(place)
    }

    /// Erases whose records were not all passed yet.
    ///
    /// # Errors
    /// The database refuses.
    pub fn erasures(&self) -> Result<Vec<Erasure>, HistoryError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT chat, user, partition, last FROM erasure")?;
        let rows = statement.query_map([], |row| {
            let chat: Option<u32> = row.get(0)?;
            let user: Option<String> = row.get(1)?;
            Ok((chat, user, row.get(2)?, row.get::<_, i64>(3)? as u64))
        })?;
        let mut erasures = Vec::new();
        for row in rows {
            let (chat, user, partition, last_offset) = row?;
            let user = user.and_then(|user| UserName::new(&user).ok());
            let what = match (chat, user) {
                (Some(chat), Some(user)) => Some(EraseWhat::Member(chat, user)),
                (Some(chat), None) => Some(EraseWhat::Chat(chat)),
                (None, user) => user.map(EraseWhat::User),
            };
            erasures.extend(what.map(|what| Erasure {
                what,
                partition,
                last_offset,
            }));
        }
        Ok(erasures)
    }

    /// Whether erased bytes may still be in the file.
    ///
    /// # Errors
    /// The database refuses.
    pub fn scrub_due(&self) -> Result<bool, HistoryError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM meta WHERE name = 'scrub_due'")?;
        Ok(statement.exists([])?)
    }

    /// Rewrites the file without what was erased, see [`database::scrub`].
    ///
    /// # Errors
    /// The disk is full, or a reader holds on to the journal: try again.
    pub fn scrub(&mut self) -> Result<(), HistoryError> {
        database::scrub(&self.connection)?;
        self.connection
            .execute("DELETE FROM meta WHERE name = 'scrub_due'", [])?;
        Ok(())
    }

    /// Gives up to [`SHRINK_BYTES_PER_ROUND`], and the few pages that SQLite needs to find them by,
    /// back to the file system, where much of the file is free; the file is shorter when its journal has been brought in. Does nothing for a file of before this
    /// was done, until that is rewritten.
    ///
    /// # Errors
    /// The database is locked or the disk is full.
    pub fn shrink(&mut self) -> Result<(), HistoryError> {
        let number = |pragma: &str| {
            let number = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            self.connection.pragma_query_value(None, pragma, number)
        };
        let page_bytes = number("page_size")? as u64;
        let bytes = number("page_count")? as u64 * page_bytes;
        let free = number("freelist_count")? as u64 * page_bytes;
        if free > SHRINK_FREE_BYTES_MIN.max(bytes / SHRINK_FREE_PART_MIN) {
            let pages = SHRINK_BYTES_PER_ROUND / page_bytes;
            // As one change: with a larger number the pragma gives one page back as well, and needs
            // to be stepped for each further one.
            let change = self.begin()?;
            for _ in 0..pages {
                let vacuum = "PRAGMA incremental_vacuum(1)";
                change.transaction.execute_batch(vacuum)?;
            }
            change.commit()?;
        }
        Ok(())
    }

    /// Brings the journal into the file, so that the file is all there is.
    ///
    /// # Errors
    /// The disk is full, or a reader holds on to the journal; nothing is lost by that.
    pub fn truncate_journal(&self) -> Result<(), HistoryError> {
        Ok(database::truncate_journal(&self.connection)?)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let file = schema::file(&self.folder);
        let journal = file.with_extension("db-wal");
        [file, journal]
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Lets the file grow no further, as a full disk would.
    #[cfg(test)]
    pub fn set_full(&self, full: bool) {
        let pages: i64 = match full {
            true => self
                .connection
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .expect("pages"),
            false => i64::from(u32::MAX - 1),
        };
        self.connection
            .pragma_update(None, "max_page_count", pages)
            .expect("a limit");
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
    pub fn commit(self) -> Result<(), HistoryError> {
        Ok(self.transaction.commit()?)
    }

    /// Notes how far a partition was read.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_place(&self, partition: u16, place: Place) -> Result<(), HistoryError> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO place VALUES (?1, ?2, ?3)")?
            .execute(params![partition, signed(place.epoch), signed(place.next)])?;
        Ok(())
    }

    /// Forgets how far all partitions were read: the history begins anew where the log then is.
    ///
    /// # Errors
    /// The database refuses.
    pub fn forget_places(&self) -> Result<(), HistoryError> {
        self.transaction.execute("DELETE FROM place", [])?;
        Ok(())
    }

    /// Notes a session; one that is known stays as it is.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_session(&self, key: SessionKey, row: &SessionRow) -> Result<(), HistoryError> {
        self.transaction
            .prepare_cached("INSERT OR IGNORE INTO session VALUES (?1, ?2, ?3, ?4, ?5, NULL)")?
            .execute(params![
                key.chat,
                signed(key.session),
                row.partition,
                row.user,
                signed(row.started_at_ms),
            ])?;
        Ok(())
    }

    /// Notes the end of a session.
    ///
    /// # Errors
    /// The database refuses.
    pub fn end_session(&self, key: SessionKey, at_ms: u64) -> Result<(), HistoryError> {
        self.transaction
            .prepare_cached("UPDATE session SET ended_ms = ?3 WHERE chat = ?1 AND session = ?2")?
            .execute(params![key.chat, signed(key.session), signed(at_ms)])?;
        Ok(())
    }

    /// Notes that all sessions which have no end yet and are not among these ended at `at_ms`.
    ///
    /// # Errors
    /// The database refuses.
    pub fn end_sessions_beside(
        &self,
        active: &HashSet<SessionKey>,
        at_ms: u64,
    ) -> Result<(), HistoryError> {
        let mut open = self
            .transaction
            .prepare_cached("SELECT chat, session FROM session WHERE ended_ms IS NULL")?;
        let open: Vec<SessionKey> = open
            .query_map([], |row| {
                Ok(SessionKey {
                    chat: row.get(0)?,
                    session: row.get::<_, i64>(1)? as u64,
                })
            })?
            .collect::<Result<_, _>>()?;
        for key in open.into_iter().filter(|key| !active.contains(key)) {
            self.end_session(key, at_ms)?;
        }
        Ok(())
    }

    /// A session, if it is known.
    ///
    /// # Errors
    /// The database refuses.
    pub fn session(&self, key: SessionKey) -> Result<Option<SessionRow>, HistoryError> {
        let row = self
            .transaction
            .prepare_cached(
                "SELECT partition, user, started_ms FROM session WHERE chat = ?1 AND session = ?2",
            )?
            .query_row(params![key.chat, signed(key.session)], |row| {
                Ok(SessionRow {
                    partition: row.get(0)?,
                    user: row.get(1)?,
                    started_at_ms: row.get::<_, i64>(2)? as u64,
                })
            })
            .optional()?;
        Ok(row)
    }

    /// Keeps a point, unless its session has one in that window. Whether it was kept.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_point(&self, point: &StoredPoint<'_>) -> Result<bool, HistoryError> {
        let rows = self
            .transaction
            .prepare_cached("INSERT OR IGNORE INTO point VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                point.chat,
                signed(point.at_ms),
                signed(point.offset),
                signed(point.session),
                signed(point.window_ms),
                point.kind,
                point.flags,
                point.payload,
            ])?;
        Ok(rows > 0)
    }

    /// Notes records that were gone before they were read.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_gap(
        &self,
        partition: u16,
        first: u64,
        last: u64,
        noticed_ms: u64,
    ) -> Result<(), HistoryError> {
        self.transaction.execute(
            "INSERT OR REPLACE INTO gap VALUES (?1, ?2, ?3, ?4)",
            params![partition, signed(first), signed(last), signed(noticed_ms)],
        )?;
        Ok(())
    }

    /// Removes the rows of records from `first` on, which the log has lost.
    ///
    /// # Errors
    /// The database refuses.
    pub fn rewind(&self, partition: u16, first: u64) -> Result<(), HistoryError> {
        self.transaction.execute(
            "DELETE FROM point WHERE offset >= ?2
             AND chat IN (SELECT chat FROM session WHERE partition = ?1)",
            params![partition, signed(first)],
        )?;
        Ok(())
    }

    /// Removes what is older than `before_ms`. Gives the rows removed.
    ///
    /// # Errors
    /// The database refuses.
    pub fn expire(&self, before_ms: u64) -> Result<u64, HistoryError> {
        let mut chats = self
            .transaction
            .prepare_cached("SELECT DISTINCT chat FROM session")?;
        let chats: Vec<u32> = chats
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut rows = 0;
        for chat in chats {
            rows += self
                .transaction
                .prepare_cached("DELETE FROM point WHERE chat = ?1 AND at_ms < ?2")?
                .execute(params![chat, signed(before_ms)])?;
        }
        let bound = [signed(before_ms)];
        // Sessions end after their last point, so nothing refers to these any more.
        self.transaction
            .execute("DELETE FROM session WHERE ended_ms < ?1", bound)?;
        self.transaction
            .execute("DELETE FROM gap WHERE noticed_ms < ?1", bound)?;
        Ok(rows as u64)
    }

    /// Removes all rows of a chat, a user or a member, and the sessions that are over. The file is to be
    /// scrubbed after that.
    ///
    /// # Errors
    /// The database refuses.
    pub fn erase(&self, what: &EraseWhat) -> Result<EraseReport, HistoryError> {
        // Points by their sessions: a point does not say whose it is.
        let (sessions, chat, user) = whose(what);
        let points = match user {
            None => sessions.to_owned(),
            Some(_) => {
                format!("(chat, session) IN (SELECT chat, session FROM session WHERE {sessions})")
            }
        };
        let whose = params![chat, user];
        let report = self.count(&points, whose)?;
        let delete = format!("DELETE FROM point WHERE {points}");
        self.transaction.execute(&delete, whose)?;
        self.note_scrub_due()?;
        Ok(report)
    }

    /// Forgets who the sessions were of. One that goes on is needed for the points that follow, unless
    /// nobody reads them.
    ///
    /// # Errors
    /// The database refuses.
    pub fn erase_sessions(&self, what: &EraseWhat, only_ended: bool) -> Result<(), HistoryError> {
        let (sessions, chat, user) = whose(what);
        let which = if only_ended {
            "ended_ms IS NOT NULL"
        } else {
            "1"
        };
        let delete = format!("DELETE FROM session WHERE {sessions} AND {which}");
        self.transaction.execute(&delete, params![chat, user])?;
        self.note_scrub_due()
    }

    fn note_scrub_due(&self) -> Result<(), HistoryError> {
        self.transaction
            .execute("INSERT OR REPLACE INTO meta VALUES ('scrub_due', '1')", [])?;
        Ok(())
    }

    fn count(
        &self,
        condition: &str,
        parameters: &[&dyn rusqlite::ToSql],
    ) -> Result<EraseReport, HistoryError> {
        let query = format!(
            "SELECT count(*), count(DISTINCT session), min(at_ms), max(at_ms) FROM point WHERE {condition}"
        );
        Ok(self.transaction.query_row(&query, parameters, |row| {
            let time = |time: Option<i64>| time.map(|time| time as u64);
            Ok(EraseReport {
                rows: row.get::<_, i64>(0)? as u64,
                sessions: row.get::<_, i64>(1)? as u64,
                from: time(row.get(2)?),
                to: time(row.get(3)?),
                scrubbed: false,
            })
        })?)
    }

    /// Notes what an erase covers of the records still to be read.
    ///
    /// # Errors
    /// The database refuses.
    pub fn put_erasure(&self, erasure: &Erasure) -> Result<(), HistoryError> {
        let (chat, user) = match &erasure.what {
            EraseWhat::Chat(chat) => (Some(*chat), None),
            EraseWhat::User(user) => (None, Some(user.as_str())),
            EraseWhat::Member(chat, user) => (Some(*chat), Some(user.as_str())),
        };
        self.transaction.execute(
            "INSERT INTO erasure VALUES (?1, ?2, ?3, ?4)",
            params![chat, user, erasure.partition, signed(erasure.last_offset)],
        )?;
        Ok(())
    }

    /// The log has lost records beyond `last`: what takes their offsets was not erased.
    ///
    /// # Errors
    /// The database refuses.
    pub fn shorten_erasures(&self, partition: u16, last: u64) -> Result<(), HistoryError> {
        self.transaction
            .prepare_cached("UPDATE erasure SET last = ?2 WHERE partition = ?1 AND last > ?2")?
            .execute(params![partition, signed(last)])?;
        Ok(())
    }

    /// Forgets erases whose records were all passed; they name somebody, too. Whether there were any.
    ///
    /// # Errors
    /// The database refuses.
    pub fn drop_erasures(&self, partition: u16, next: u64) -> Result<bool, HistoryError> {
        let dropped = self
            .transaction
            .prepare_cached("DELETE FROM erasure WHERE partition = ?1 AND last < ?2")?
            .execute(params![partition, signed(next)])?;
        if dropped > 0 {
            self.note_scrub_due()?;
        }
        Ok(dropped > 0)
    }
}

/// Which sessions, as a condition on ?1, the chat, and ?2, the user.
fn whose(what: &EraseWhat) -> (&'static str, Option<&u32>, Option<&str>) {
    match what {
        EraseWhat::Chat(chat) => ("chat = ?1 AND ?2 IS NULL", Some(chat), None),
        EraseWhat::User(user) => ("?1 IS NULL AND user = ?2", None, Some(user.as_str())),
        EraseWhat::Member(chat, user) => {
            ("chat = ?1 AND user = ?2", Some(chat), Some(user.as_str()))
        }
    }
}
