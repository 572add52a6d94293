//! Opens a data folder: the lock, the file, its settings, its schema, its health. Nothing here knows of runs.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::{READ_ONLY, io, storage};
use super::mark;
use super::schema;
use super::space::is_read_only;
use super::write::end_leases;
use crate::journal::Error;

/// How long SQLite waits for another program that holds the file (a backup tool, a shell).
pub(super) const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Above this size the file is not read through at the start after a crash; `deskhand check` does it when asked.
const QUICK_CHECK_MAX_BYTES: u64 = 256 << 20;
/// The database in the data folder.
pub(super) const DATABASE: &str = "deskhand.db";
/// Locked while a process uses the folder. Holds nothing.
pub(super) const LOCK: &str = "deskhand.lock";

/// A data folder that is ours now.
pub(super) struct Opened {
    /// The folder.
    pub(super) folder: PathBuf,
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
        make_folder(folder)?;
    }
    let lock = lock(folder)?;
    let database = folder.join(DATABASE);
    let wal = folder.join(format!("{DATABASE}-wal"));
    // Whoever closes the file in good order copies the log into it and removes it.
    let left_open = wal.metadata().is_ok_and(|found| found.len() > 0);
    if database.metadata().map_or(0, |found| found.len()) == 0 {
        // SQLite would make a new file, and drop the log of the old one.
        nothing_is_missed(folder, &database, left_open)?;
    }

    // Made here, for the user alone: SQLite gives a new file the rights that the process's mask leaves, and the log and the
    // file that readers share get those of the database.
    if !database.exists() {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&database);
        made.map_err(|error| io("opened", &database, &error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&database, flags).map_err(failed)?;
    // Whatever is found wrong stays as it was found: a refused file is not copied together and its log not removed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    if left_open {
        quick_check(&connection, &database)?;
    }
    schema::migrate(&mut connection, &database)?;
    mark::compare(folder, &connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    end_leases(&connection).map_err(failed)?;
    Ok(Opened { folder: folder.to_owned(), connection, database, wal, lock: Some(lock) })
}

/// Opens a folder that another process may be using: it must be there, with the schema of this version. Nothing is mended.
pub(super) fn open_beside(folder: &Path) -> Result<Opened, Error> {
    let failed = |error: rusqlite::Error| storage("opened", &error);
    super::backup::must_be_there(folder, "opened")?;
    if is_read_only(folder) {
        let reason =
            format!("`{}` stands on a disk that is read-only, and nothing can be written down there", folder.display());
        return Err(Error::Storage { doing: "opened", reason, hint: READ_ONLY });
    }
    let database = folder.join(DATABASE);
    let wal = folder.join(format!("{DATABASE}-wal"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&database, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    let (found, known) = (schema::examine(&connection, &database)?, schema::known());
    if found < known {
        return Err(Error::Storage {
            doing: "opened",
            reason: format!("`{}` has schema {found}, this version writes {known}", database.display()),
            hint: "start `deskhand serve` of this version once; it brings the file up to date",
        });
    }
    Ok(Opened { folder: folder.to_owned(), connection, database, wal, lock: None })
}

/// Makes a folder for the user alone. SQLite sees to the names inside it; the folder's own is ours to make last.
pub(super) fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(|error| io("opened", folder, &error))?;
    sync_folder(folder.parent().unwrap_or(folder))
}

/// There is no journal here: was there one?
fn nothing_is_missed(folder: &Path, database: &Path, left_open: bool) -> Result<(), Error> {
    let acknowledged = mark::read(folder).is_some_and(|mark| mark != mark::Newest::default());
    if !acknowledged && !left_open {
        return Ok(());
    }
    let state = if database.exists() { "is empty" } else { "is gone" };
    Err(Error::Storage {
        doing: "opened",
        reason: format!("`{}` {state}, but it had entries", database.display()),
        hint: "put it back, or restore the newest backup with `deskhand restore`",
    })
}

/// Makes the names in a folder last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|open| open.sync_all()).map_err(|error| io("opened", folder, &error))
}

pub(super) fn lock(folder: &Path) -> Result<File, Error> {
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
