//! Reads the history: pages of a chat's rows in the order of time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, named_params};
use skein_wire::ids::SessionId;

use crate::history::error::HistoryError;
use crate::history::limits::GAPS_PER_PAGE_MAX;
use crate::history::row::{HistoryRow, point_of};
use crate::history::schema;

/// A place in the order of a chat's rows: go on behind it. Text form `time-offset`.
///
/// ```
/// use skein_server::history::query::After;
/// let after: After = "1700000000000-17".parse().unwrap();
/// assert_eq!(after.to_string(), "1700000000000-17");
/// assert!("17".parse::<After>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    /// Time of the last row, milliseconds since 1970.
    pub at_ms: u64,
    /// Its offset.
    pub offset: u64,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at_ms, self.offset)
    }
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "not the `next` of an answer; use it as it was given, or none";
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n <= i64::MAX as u64);
        let (at_ms, offset) = text.split_once('-').ok_or(wrong)?;
        match (number(at_ms), number(offset)) {
            (Some(at_ms), Some(offset)) => Ok(Self { at_ms, offset }),
            _ => Err(wrong),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The chat's handle.
    pub chat: u32,
    /// The chat's partition, for its gaps.
    pub partition: u16,
    /// From this time on, milliseconds since 1970.
    pub from_ms: u64,
    /// Before this time.
    pub to_ms: u64,
    /// Only this user's.
    pub user: Option<String>,
    /// Only this session's.
    pub session: Option<SessionId>,
    /// Go on behind this row.
    pub after: Option<After>,
    /// Rows at most.
    pub limit: usize,
}

/// Records of the chat's partition that were gone before the history read them. Some may have been
/// of this chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First offset.
    pub first: u64,
    /// Last offset.
    pub last: u64,
    /// When that was noticed, milliseconds since 1970.
    pub noticed_ms: u64,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Rows in the order of time.
    pub rows: Vec<HistoryRow>,
    /// Gaps noticed from `from` on, with the first page.
    pub gaps: Vec<Gap>,
    /// Ask for more behind this; `None`: that was all.
    pub next: Option<After>,
}

/// Reads beside the thread that writes; readers do not wait for it, nor it for them.
#[derive(Debug)]
pub struct PageReader {
    folder: PathBuf,
    connection: Mutex<Option<Connection>>,
}

const ROWS: &str = "
SELECT p.at_ms, p.offset, p.session, p.kind, p.flags, p.payload, s.user
FROM point p JOIN session s ON s.chat = p.chat AND s.session = p.session
WHERE p.chat = :chat AND p.at_ms >= :from AND p.at_ms < :to
  AND (p.at_ms, p.offset) > (:after_ms, :after_offset)
  AND (:user IS NULL OR s.user = :user) AND (:session IS NULL OR p.session = :session)
ORDER BY p.at_ms, p.offset LIMIT :limit";

const GAPS: &str = "
SELECT first, last, noticed_ms FROM gap
WHERE partition = :partition AND noticed_ms >= :from ORDER BY first LIMIT :limit";

impl PageReader {
    /// Of the database in this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            connection: Mutex::new(None),
        }
    }

    /// One page. Waits for the disk.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn page(&self, query: &HistoryQuery) -> Result<Page, HistoryError> {
        let mut held = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = match held.take() {
            Some(connection) => connection,
            None => schema::open_reader(&self.folder)?,
        };
        // After an error the next request opens the file anew.
        let page = read(&connection, query)?;
        *held = Some(connection);
        Ok(page)
    }
}

fn read(connection: &Connection, query: &HistoryQuery) -> Result<Page, HistoryError> {
    let bounded = |time: u64| time.min(i64::MAX as u64) as i64;
    let after = query.after.unwrap_or_default();
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut found = statement.query(named_params! {
        ":chat": query.chat,
        ":from": bounded(query.from_ms.max(after.at_ms)),
        ":to": bounded(query.to_ms),
        ":after_ms": after.at_ms as i64,
        ":after_offset": after.offset as i64,
        ":user": query.user,
        ":session": query.session.map(|session| session.0 as i64),
        // One more tells whether there is a next page.
        ":limit": query.limit as i64 + 1,
    })?;
    let mut page = Page::default();
    let mut last = None;
    let mut count = 0;
    while let Some(row) = found.next()? {
        count += 1;
        if count > query.limit {
            page.next = last;
            break;
        }
        let at_ms = row.get::<_, i64>(0)? as u64;
        let offset = row.get::<_, i64>(1)? as u64;
        last = Some(After { at_ms, offset });
        let session = row.get::<_, i64>(2)? as u64;
        let point = point_of(
            row.get(3)?,
            row.get(4)?,
            session,
            row.get_ref(5)?.as_blob().unwrap_or(&[]),
        );
        // Only damage or a later version's row is none; the place behind it is still right.
        if let Some((historical, point)) = point {
            page.rows.push(HistoryRow {
                user: row.get(6)?,
                session: SessionId(session),
                at_ms,
                offset,
                historical,
                point,
            });
        }
    }
    if query.after.is_none() {
        page.gaps = gaps(connection, query)?;
    }
    Ok(page)
}

fn gaps(connection: &Connection, query: &HistoryQuery) -> Result<Vec<Gap>, HistoryError> {
    let mut statement = connection.prepare_cached(GAPS)?;
    let rows = statement.query_map(
        named_params! {
            ":partition": query.partition,
            ":from": query.from_ms.min(i64::MAX as u64) as i64,
            ":limit": GAPS_PER_PAGE_MAX as i64,
        },
        |row| {
            Ok(Gap {
                first: row.get::<_, i64>(0)? as u64,
                last: row.get::<_, i64>(1)? as u64,
                noticed_ms: row.get::<_, i64>(2)? as u64,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
