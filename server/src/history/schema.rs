//! The database's file and tables: made, opened, checked, brought up to date.
//!
//! ```text
//!   meta     log id · whether erased bytes may still be in the file
//!   place    partition -> epoch, next offset to read     (committed with the rows)
//!   session  chat, session -> user, times                (who a point is of)
//!   point    chat, time, offset -> record as in the log  (one per session and window)
//!   gap      ranges of the log that were gone before they were read
//!   erasure  records not yet read that an erase covers
//! ```

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use crate::database::{connect, connect_reader, make_private};
use crate::history::error::HistoryError;
use crate::history::limits::CHECK_BYTES_MAX;

/// The schema of this version, in `user_version`.
const SCHEMA: u32 = 1;

/// Marks the file as ours, in `application_id`: "skei".
const APPLICATION_ID: u32 = 0x736b_6569;

/// Name of the database in its folder.
const FILE: &str = "history.db";

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE place (partition INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;
CREATE TABLE session (
  chat INTEGER NOT NULL, session INTEGER NOT NULL, partition INTEGER NOT NULL, user TEXT NOT NULL,
  started_ms INTEGER NOT NULL, ended_ms INTEGER,
  PRIMARY KEY (chat, session)) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user);
CREATE TABLE point (
  chat INTEGER NOT NULL, at_ms INTEGER NOT NULL, offset INTEGER NOT NULL, session INTEGER NOT NULL,
  window_ms INTEGER NOT NULL, kind INTEGER NOT NULL, flags INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (chat, at_ms, offset)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX point_window ON point (chat, session, window_ms);
CREATE TABLE gap (
  partition INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, noticed_ms INTEGER NOT NULL,
  PRIMARY KEY (partition, first)) STRICT, WITHOUT ROWID;
CREATE TABLE erasure (chat INTEGER, user TEXT, partition INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
";

/// The path of the database in the folder of the history.
pub fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Opens the database for writing; makes it, for its owner's eyes only, where there is none.
///
/// # Errors
/// It is damaged, of a later version or of another log, or the file system refuses.
pub fn open(folder: &Path, log_id: &str) -> Result<Connection, HistoryError> {
    let path = file(folder);
    make_private(&path).map_err(|source| HistoryError::Io {
        action: format!("making {}", path.display()),
        source,
    })?;
    let connected = connect(&path).map_err(HistoryError::from);
    let opened = connected.and_then(|connection| prepare(connection, &path, log_id));
    opened.map_err(|error| named(error, folder, &path))
}

/// Opens the database for reading, once it is there.
///
/// # Errors
/// The file system refuses.
pub fn open_reader(folder: &Path) -> Result<Connection, HistoryError> {
    Ok(connect_reader(&file(folder))?)
}

fn prepare(
    mut connection: Connection,
    path: &Path,
    log_id: &str,
) -> Result<Connection, HistoryError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA {
        return Err(HistoryError::Newer {
            path: path.to_owned(),
            found,
            known: SCHEMA,
        });
    }
    if found == 0 {
        create(&mut connection, log_id)?;
    }
    check(&connection, path, log_id)?;
    Ok(connection)
}

fn create(connection: &mut Connection, log_id: &str) -> Result<(), HistoryError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO meta VALUES ('log', ?1)", [log_id])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    Ok(transaction.commit()?)
}

fn check(connection: &Connection, path: &Path, log_id: &str) -> Result<(), HistoryError> {
    let application: u32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(damaged(path, "it is a database of another program"));
    }
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes <= CHECK_BYTES_MAX {
        let problem: String =
            connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if problem != "ok" {
            return Err(damaged(path, "its pages do not fit together"));
        }
    }
    let log: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = 'log'", [], |row| {
            row.get(0)
        })
        .optional()?;
    match log {
        Some(found) if found == log_id => Ok(()),
        Some(_) => Err(HistoryError::OtherLog {
            path: path.to_owned(),
        }),
        None => Err(damaged(path, "it does not name its log")),
    }
}

/// Tells damage from what may pass.
fn named(error: HistoryError, folder: &Path, path: &Path) -> HistoryError {
    let HistoryError::Database(cause) = &error else {
        return error;
    };
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => HistoryError::Damaged {
            path: path.to_owned(),
            folder: folder.to_owned(),
            problem: cause.to_string(),
        },
        Some(ErrorCode::Unknown) => HistoryError::Damaged {
            path: path.to_owned(),
            folder: folder.to_owned(),
            problem: "a table is missing or has another form".to_owned(),
        },
        _ => error,
    }
}

fn damaged(path: &Path, problem: &str) -> HistoryError {
    HistoryError::Damaged {
        path: path.to_owned(),
        folder: path.parent().unwrap_or(path).to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::history::error::HistoryError;
    use crate::history::schema::{file, open};

    #[test]
    fn only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("history");
        let connection = open(&folder, "log-1").unwrap();
        connection
            .execute("INSERT INTO place VALUES (0, 1, 1)", [])
            .unwrap();
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            files += 1;
        }
        assert_eq!(files, 3, "database, journal, its index");
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), "log-1").unwrap());
        assert!(matches!(
            open(dir.path(), "log-2"),
            Err(HistoryError::OtherLog { .. })
        ));
        let connection = open(dir.path(), "log-1").unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let newer = open(dir.path(), "log-1").unwrap_err();
        assert!(newer.to_string().contains("at least as new"), "{newer}");
    }

    #[test]
    fn damage_is_named_with_what_to_do() {
        for damage in [0..64, 100..4_000, 4_096..12_000] {
            let dir = tempfile::tempdir().unwrap();
            let connection = open(dir.path(), "log-1").unwrap();
            connection
                .pragma_update(None, "wal_checkpoint", "TRUNCATE")
                .unwrap();
            drop(connection);
            let mut bytes = fs::read(file(dir.path())).unwrap();
            bytes[damage.clone()].fill(0x5a);
            fs::write(file(dir.path()), bytes).unwrap();
            let error = open(dir.path(), "log-1").unwrap_err();
            assert!(
                matches!(error, HistoryError::Damaged { .. }),
                "{damage:?}: {error}"
            );
            assert!(error.to_string().contains("move the folder"), "{error}");
        }
    }
}
