//! SQLite files of the data directory: how they are made and opened, whatever is in them.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use rusqlite::{Connection, OpenFlags};

use skein_wire::limit_list;

limit_list! {
    /// The bounds of databases, in the order of this file.
    pub fn database_limits;

    BUSY_TIMEOUT_MS: u64 = 2_000, "milliseconds",
        "for which a database locked by another program is waited for";
    JOURNAL_BYTES_MAX: u32 = 16 * 1024 * 1024, "bytes",
        "of a journal that stay between two transactions: what one large transaction needed is not kept for ever";
}

/// Makes an empty file and its folder where there is none, for their owner's eyes only. SQLite gives
/// the journals the rights of the database.
///
/// # Errors
/// What the file system says.
pub fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)?;
    Ok(())
}

/// Opens a database that is there for writing.
///
/// # Errors
/// It is none, or the file system refuses.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    // Before the first page is written; a file from before gets it when it is next rewritten.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    // A row that is deleted is overwritten, in the journal and in the file.
    connection.pragma_update(None, "secure_delete", "ON")?;
    // What was committed survives a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Opens a database of a schema for writing; makes it, with its folder, where there is none. The tables
/// set `user_version`.
///
/// # Errors
/// It is damaged or of a later schema, or the file system refuses.
pub fn open(path: &Path, tables: &str, schema: u32) -> anyhow::Result<Connection> {
    make_private(path)?;
    let connection = connect(path)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        connection.execute_batch(&format!("BEGIN; {tables} COMMIT;"))?;
    } else if found != schema {
        bail!(
            "it has schema {found}, this version knows {schema}; run a version at least as new as the one that wrote it"
        );
    }
    Ok(connection)
}

/// Brings the journal into the file, so that the file is all there is.
///
/// # Errors
/// The disk is full, or a reader holds on to the journal; nothing is lost by that.
pub fn truncate_journal(connection: &Connection) -> rusqlite::Result<()> {
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = connection.query_row(checkpoint, [], |row| row.get(0))?;
    if busy == 0 {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    let text = "a reader holds on to the journal".to_owned();
    Err(rusqlite::Error::SqliteFailure(code, Some(text)))
}

/// Rewrites the file without what was erased. `secure_delete` has overwritten the rows, but not the
/// copies that splits of pages leave behind. Takes as long as copying the file.
///
/// # Errors
/// The disk is full, or a reader holds on to the journal: try again.
pub fn scrub(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    truncate_journal(connection)
}

/// Opens a database that is there for reading.
///
/// # Errors
/// It is none, or the file system refuses.
pub fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    Ok(connection)
}

/// A pause after failures in a row: doubled with each of them, up to a longest one.
pub fn doubled(pause_ms: u64, failures: u32, pause_ms_max: u64) -> u64 {
    let factor = 1_u64.checked_shl(failures).unwrap_or(u64::MAX);
    pause_ms.saturating_mul(factor).min(pause_ms_max)
}

/// SQLite's integers are signed; the bits are kept.
pub fn signed(number: u64) -> i64 {
    number as i64
}
