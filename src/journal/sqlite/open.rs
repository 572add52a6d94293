//! Opens a data folder: the lock, the file, its settings, its schema, its health. Nothing here knows of runs.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::{io, storage};
use super::write::end_leases;
use crate::journal::Error;

pub(super) mod embedded {
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// How long SQLite waits for another program that holds the file (a backup tool, a shell).
pub(super) const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Above this size the file is not read through at the start after a crash; `deskhand check` does it when asked.
const QUICK_CHECK_MAX_BYTES: u64 = 256 << 20;
/// The database in the data folder.
const DATABASE: &str = "deskhand.db";
/// Locked while a process uses the folder. Holds nothing.
const LOCK: &str = "deskhand.lock";

/// A data folder that is ours now.
pub(super) struct Opened {
    /// The one connection that writes.
    pub(super) connection: Connection,
    /// The database.
    pub(super) database: PathBuf,
    /// Its write-ahead log.
    pub(super) wal: PathBuf,
    /// To be kept for as long as the connection is open; absent beside a process that has it.
    pub(super) lock: Option<File>,
}

/// Opens the folder, or makes it.
pub(super) fn open(folder: &Path) -> Result<Opened, Error> {
    let failed = |error: rusqlite::Error| storage("opened", &error);
    if !folder.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(|error| io("opened", folder, &error))?;
    }
    let lock = lock(folder)?;
    let database = folder.join(DATABASE);
    let wal = folder.join(format!("{DATABASE}-wal"));
    // Whoever closes the file in good order copies the log into it and removes it.
    let left_open = wal.metadata().is_ok_and(|found| found.len() > 0);

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&database, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    if left_open {
        quick_check(&connection, &database)?;
    }
    migrate(&mut connection)?;
    end_leases(&connection).map_err(failed)?;
    Ok(Opened { connection, database, wal, lock: Some(lock) })
}

/// Opens a folder that another process may be using: it must be there, with the schema of this version. Nothing is mended.
pub(super) fn open_beside(folder: &Path) -> Result<Opened, Error> {
    let failed = |error: rusqlite::Error| storage("opened", &error);
    let database = folder.join(DATABASE);
    let wal = folder.join(format!("{DATABASE}-wal"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&database, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    let known = embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
    let found: Option<i64> = connection
        .query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        .map_err(failed)?;
    let (found, known) = (found.unwrap_or(0), known.map_or(0, i64::from));
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(Opened { connection, database, wal, lock: None }),
        std::cmp::Ordering::Greater => Err(Error::NewerSchema { found, known }),
        std::cmp::Ordering::Less => Err(Error::Storage {
            doing: "opened",
            reason: format!("`{}` has schema {found}, this version writes {known}", database.display()),
            hint: "start `deskhand serve` of this version once; it brings the file up to date",
        }),
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io("opened", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: folder.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(io("opened", &path, &error)),
    }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    // Small pages: a commit writes whole pages, and most of ours change a few hundred bytes of three of them. It holds for new
    // files only. FULL, not NORMAL: with NORMAL a power cut takes back commits that were answered `Ok`, and an effect whose start is
    // forgotten is done again. Checkpoints are the writing thread's business.
    connection.execute_batch(
        "PRAGMA page_size = 1024;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA recursive_triggers = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 8388608;
         PRAGMA cache_size = -8192;",
    )?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Reads the file through after a crash, so that damage is found before anything is sent.
fn quick_check(connection: &Connection, database: &Path) -> Result<(), Error> {
    let bytes = database.metadata().map_or(0, |found| found.len());
    if bytes > QUICK_CHECK_MAX_BYTES {
        tracing::warn!("the journal was not closed; it is too large ({bytes} bytes) to be checked at the start");
        return Ok(());
    }
    match first_damage(connection).map_err(|error| storage("opened", &error))? {
        None => Ok(()),
        Some(damage) => Err(storage(
            "opened",
            &rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(format!("`{}`: {damage}", database.display())),
            ),
        )),
    }
}

/// What `PRAGMA quick_check` finds first, if anything.
pub(super) fn first_damage(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((word != "ok").then_some(word))
}

/// Brings the schema up to what this version knows; refuses one that is newer.
fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let runner = embedded::migrations::runner();
    let known = runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0);
    let broken = |error: refinery::Error| Error::Storage {
        doing: "brought up to date",
        reason: reason(&error),
        hint: "nothing was changed: use the version before, or restore a backup",
    };
    let fresh: bool = connection
        .query_row("SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |row| {
            row.get(0)
        })
        .map_err(|error| storage("opened", &error))?;
    let found = match fresh {
        true => 0,
        false => runner.get_last_applied_migration(connection).map_err(broken)?.map_or(0, |last| last.version()),
    };
    if found > known {
        return Err(Error::NewerSchema { found: i64::from(found), known: i64::from(known) });
    }
    if found < known {
        runner.set_grouped(true).run(connection).map_err(broken)?;
    }
    Ok(())
}

/// The error with its causes: the outermost alone says only where it happened.
fn reason(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
