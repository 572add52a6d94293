//! Copies of a journal's file: made while a process works on it, verified, and put back.
//!
//! A journal that is put back has forgotten what its runs did since. So it is paused, it remembers from when to when it knows
//! nothing, and nobody stays signed in: see [`crate::journal::Claimed::forgot_since_ms`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::fault::{DAMAGED, Fault, OTHER_USER, io, storage};
use super::open::{DATABASE, LOCK, lock, sync_folder};
use super::{derived, given, inspect, mark, schema, space, sums, write};
use crate::journal::Error;

/// Pages that are copied at a time.
const PAGES_AT_ONCE: i32 = 4_096;
/// How often a page that another program locks is tried again.
const BUSY_TRIES: u32 = 1_000;
/// How many runs that went on since the backup are named.
const NAMED_MAX: usize = 20;

/// What a journal's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Runs, of these not ended, of these waiting for a person.
    pub runs: u64,
    /// Runs that have not ended.
    pub open: u64,
    /// Approvals that wait for a person.
    pub waiting: u64,
    /// Entries of all runs.
    pub entries: u64,
    /// When the newest entry was written, in milliseconds since the Unix epoch; `None`: it has none.
    pub newest_ms: Option<i64>,
}

impl Holds {
    fn of(connection: &Connection) -> Result<Self, rusqlite::Error> {
        connection.query_row(
            "SELECT (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size),
                 (SELECT count(*) FROM runs), (SELECT count(*) FROM runs WHERE status <> 'closed'),
                 (SELECT count(*) FROM approvals WHERE state = 'waiting'),
                 (SELECT count(*) FROM entries), (SELECT max(at_ms) FROM entries)",
            [],
            |row| {
                Ok(Self {
                    bytes: row.get(0)?,
                    runs: row.get(1)?,
                    open: row.get(2)?,
                    waiting: row.get(3)?,
                    entries: row.get(4)?,
                    newest_ms: row.get(5)?,
                })
            },
        )
    }
}

/// What the present journal holds and a backup does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lost {
    /// Runs that the backup does not know.
    pub runs: u64,
    /// Runs that it knows and that went on since.
    pub went_on: u64,
    /// Entries of these.
    pub entries: u64,
    /// Effects among them: refunds, changes, mails that are known to have happened, and answers.
    pub effects: u64,
    /// Approvals that were decided since.
    pub decisions: u64,
    /// The newest of these runs.
    pub named: Vec<String>,
}

/// What putting a backup back does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// What the backup holds.
    pub holds: Holds,
    /// What is lost by it; `Err`: why the present journal cannot be compared; `None`: there is none.
    pub lost: Option<Result<Lost, String>>,
    /// Where the present file went; `None`: there was none, or nothing was done.
    pub replaced: Option<PathBuf>,
    /// Runs whose rows say something else than their entries, the first twenty; their rows are written anew.
    pub mended: Vec<String>,
    /// A process has the folder, and must be stopped before the backup can be put back.
    pub in_use: bool,
}

/// Copies the journal of a folder into a new file (0600), in one consistent state, whatever is written meanwhile; verifies
/// the copy and makes it last. `to` gets its name only then. Blocks.
///
/// [`Error::Storage`] when there is no journal, or when the copy is not whole; nothing is left of it then.
pub fn copy(folder: &Path, to: &Path) -> Result<Holds, Error> {
    must_be_there(folder, "copied")?;
    let part = with_ending(to, ".part");
    let copied =
        copy_into(&folder.join(DATABASE), &part).and_then(|()| verify(&part).map_err(no_copy)).and_then(|holds| {
            sync(&part)?;
            std::fs::rename(&part, to).map_err(|error| io("copied", to, &error))?;
            sync_folder(to.parent().unwrap_or(Path::new(".")))?;
            Ok(holds)
        });
    if copied.is_err() {
        let _ = std::fs::remove_file(&part); // Half a copy helps nobody.
    }
    copied
}

/// Refuses a folder without a journal, and one that this user may not read. `doing` is `copied`, `read` or `opened`.
pub fn must_be_there(folder: &Path, doing: &'static str) -> Result<(), Error> {
    let database = folder.join(DATABASE);
    if let Some(path) = not_ours_to_read(folder, &database) {
        let reason = format!("this user may not read `{}`", path.display());
        return Err(Error::Storage { doing, reason, hint: OTHER_USER });
    }
    if database.is_file() {
        return Ok(());
    }
    let what = if folder.is_dir() { "there is no journal in" } else { "there is no folder" };
    Err(Error::Storage {
        doing,
        reason: format!("{what} `{}`", folder.display()),
        hint: "check `data_dir` or --data; `deskhand serve` makes folder and journal at its first start",
    })
}

/// What of these this user may not read, if anything.
fn not_ours_to_read<'a>(folder: &'a Path, database: &'a Path) -> Option<&'a Path> {
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    if folder.read_dir().is_err_and(|error| denied(&error)) {
        return Some(folder);
    }
    File::open(database).is_err_and(|error| denied(&error)).then_some(database)
}

/// Reads a backup through: that it is whole, of a schema that this version knows, and what it holds. Blocks.
pub fn verify(file: &Path) -> Result<Holds, Error> {
    verify_on(&open_to_read(file)?, file)
}

fn verify_on(connection: &Connection, file: &Path) -> Result<Holds, Error> {
    let failed = |error: rusqlite::Error| storage("read", &error);
    let word: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if word != "ok" {
        return Err(damaged(file, &word));
    }
    let astray =
        connection.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([])).map_err(failed)?;
    if astray {
        return Err(damaged(file, "rows stand for runs that are not there"));
    }
    if schema::examine(connection, file)? == 0 {
        return Err(damaged(file, "it holds no tables"));
    }
    if let Some(wrong) = sums::first_wrong(connection).map_err(failed)? {
        return Err(damaged(file, &wrong));
    }
    Holds::of(connection).map_err(failed)
}

/// Puts a backup in the place of a folder's journal, which is kept beside it. With `dry`, only says what that would do.
/// [`Error::InUse`] while a process has the folder. Blocks.
pub fn put_back(file: &Path, folder: &Path, now_ms: i64, stamp: &str, dry: bool) -> Result<PutBack, Error> {
    let failed = |error: rusqlite::Error| storage("restored", &error);
    given::examine(file)?;
    if dry {
        return would_put_back(file, folder);
    }
    let is_new = !folder.is_dir();
    if is_new {
        super::open::make_folder(folder)?;
    }
    let held = lock(folder)?;
    let (present, part) = (folder.join(DATABASE), folder.join(format!("{DATABASE}.restoring")));
    let _ = std::fs::remove_file(&part);
    let prepared = copy_into(file, &part).and_then(|()| verify_on(&open_to_read(&part)?, file)).and_then(|holds| {
        let mut connection = Connection::open(&part).map_err(failed)?;
        schema::migrate(&mut connection, file)?;
        let lost = present.exists().then(|| lost(&connection, &present).map_err(|error| error.to_string()));
        let mended = forget(&connection, file, now_ms).map_err(|fault| fault.into_error("restored"))?;
        drop(connection);
        sync(&part)?;
        Ok((holds, lost, mended))
    });
    if prepared.is_err() {
        let _ = std::fs::remove_file(&part);
        if is_new {
            // Nothing was there before; what was made for a backup that is none goes again.
            let _ = std::fs::remove_file(folder.join(LOCK));
            let _ = std::fs::remove_dir(folder);
        }
    }
    let (holds, lost, mended) = prepared.map_err(|error| given::about(file, error))?;
    let moved = |from: &Path, to: &Path| match std::fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("restored", from, &error)),
        _ => Ok(()),
    };
    // The log first: beside another file it would be copied into that one. Cut off in between, the folder has no journal or
    // one that ends too early; the mark says so, and the command can be given again.
    let replaced = present.exists().then(|| folder.join(format!("{DATABASE}.replaced-{stamp}")));
    if let Some(replaced) = &replaced {
        moved(&with_ending(&present, "-wal"), &with_ending(replaced, "-wal"))?;
        moved(&with_ending(&present, "-shm"), &with_ending(replaced, "-shm"))?;
        moved(&present, replaced)?;
    }
    std::fs::rename(&part, &present).map_err(|error| io("restored", &present, &error))?;
    let _ = std::fs::remove_file(folder.join(mark::MARK));
    sync_folder(folder)?;
    drop(held);
    Ok(PutBack { holds, lost, replaced, mended, in_use: false })
}

/// The same without a change: no folder, no lock, no copy. The file is read where it lies.
fn would_put_back(file: &Path, folder: &Path) -> Result<PutBack, Error> {
    let connection = open_unchanged(file).map_err(|error| given::about(file, error))?;
    let holds = verify_on(&connection, file).map_err(|error| given::about(file, error))?;
    let present = folder.join(DATABASE);
    let lost = present.exists().then(|| lost(&connection, &present).map_err(|error| error.to_string()));
    let is_of_this_version = schema::examine(&connection, file)? == schema::known();
    let mended = match is_of_this_version {
        true => derived::look(&connection, false).map_err(|fault| fault.into_error("read"))?,
        false => Vec::new(), // What its rows lack is added when it is put back.
    };
    Ok(PutBack { holds, lost, replaced: None, mended, in_use: inspect::folder(folder).in_use })
}

/// What a journal that is put back must know of itself. Says which runs' rows were written anew.
fn forget(connection: &Connection, file: &Path, now_ms: i64) -> Result<Vec<String>, Fault> {
    let known_ms: i64 = connection.query_row("SELECT ifnull(max(at_ms), 0) FROM entries", [], |row| row.get(0))?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let known = jiff::Timestamp::from_millisecond(known_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let why = format!("Restored from {name}. What was done after {known:.0} is not known here");
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute(
        "INSERT INTO restores (at_ms, known_ms, source) VALUES (?1, ?2, ?3)",
        params![now_ms, known_ms, name],
    )?;
    write::set_switch(connection, "paused", &why, "restore", now_ms)?;
    super::accounts::audit(connection, "restore", "restored", &name, &known.to_string(), now_ms)?;
    // Sessions and links that were ended since the backup must not live again.
    connection.execute_batch("DELETE FROM sessions; DELETE FROM links;")?;
    write::end_leases(connection)?;
    let mended = derived::look(connection, true)?;
    connection.execute_batch("COMMIT")?;
    Ok(mended)
}

/// What `present` holds beyond the journal of this connection.
fn lost(connection: &Connection, present: &Path) -> Result<Lost, Error> {
    let failed = |error: rusqlite::Error| storage("read", &error);
    schema::examine(&open_unchanged(present)?, present)?;
    // The present file stays as it is, its log included.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.execute("ATTACH ?1 AS present", [unchanged(present)]).map_err(failed)?;
    let compare = || -> Result<Lost, rusqlite::Error> {
        const SINCE: &str = "FROM present.runs AS p LEFT JOIN main.runs AS b ON b.run = p.run
             WHERE p.len > ifnull(b.len, 0)";
        let mut lost = connection.query_row(
            &format!("SELECT count(*) FILTER (WHERE b.run IS NULL), count(*) FILTER (WHERE b.run IS NOT NULL) {SINCE}"),
            [],
            |row| Ok(Lost { runs: row.get(0)?, went_on: row.get(1)?, ..Lost::default() }),
        )?;
        (lost.entries, lost.effects) = connection.query_row(
            &format!(
                "SELECT count(*), count(*) FILTER (WHERE e.kind = 'step_finished' AND (
                     json_extract(e.body, '$.result.effect') IS NOT NULL
                     OR json_extract(e.body, '$.result.reference') IS NOT NULL))
                 FROM (SELECT p.no AS no, ifnull(b.len, 0) AS known {SINCE}) AS s
                 JOIN present.entries AS e ON e.run = s.no AND e.seq > s.known"
            ),
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        lost.decisions = connection.query_row(
            "SELECT count(*) FROM present.approvals AS p LEFT JOIN main.approvals AS b ON b.approval = p.approval
             WHERE p.decision IS NOT NULL AND b.decision IS NULL",
            [],
            |row| row.get(0),
        )?;
        let named = format!("SELECT p.run {SINCE} ORDER BY p.opened_ms DESC, p.no DESC LIMIT {NAMED_MAX}");
        lost.named = connection.prepare(&named)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(lost)
    };
    let compared = compare().map_err(failed);
    connection.execute_batch("DETACH present").map_err(failed)?;
    compared
}

/// Copies a database, with what its log holds, into a new file of its own.
fn copy_into(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| storage("copied", &error);
    let source = open_to_read(from)?;
    // One snapshot for the whole copy: what is written meanwhile belongs to the next one.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(failed)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| io("copied", to, &error))?;
    let mut copy = Connection::open(to).map_err(failed)?;
    let backup = Backup::new(&source, &mut copy).map_err(failed)?;
    let mut busy = 0;
    loop {
        match backup.step(PAGES_AT_ONCE).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => busy = 0,
            _ if busy < BUSY_TRIES => busy += 1,
            _ => return Err(storage("copied", &busy_error())),
        }
    }
    drop(backup);
    drop(copy);
    // A file by itself: the copy took over that the original has a log.
    let copy = Connection::open(to).map_err(failed)?;
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(failed)
}

fn busy_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

/// Opens a database that stays as it is.
pub(super) fn open_to_read(file: &Path) -> Result<Connection, Error> {
    let missing = || Error::Storage {
        doing: "read",
        reason: format!("there is no file `{}`", file.display()),
        hint: "check the path; `deskhand backup` prints where it puts backups",
    };
    if !file.is_file() {
        return Err(missing());
    }
    if space::is_read_only(file.parent().unwrap_or(file)) {
        return open_unchanged(file); // The file that readers share cannot be made there.
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(file, flags).and_then(|connection| {
        connection.busy_timeout(std::time::Duration::from_millis(super::open::BUSY_TIMEOUT_MS))?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    opened.map_err(|error| storage("read", &error))
}

/// Opens a database so that not even a file is made beside it.
fn open_unchanged(file: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let opened = Connection::open_with_flags(unchanged(file), flags).and_then(|connection| {
        connection.execute_batch("PRAGMA trusted_schema = OFF;")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    opened.map_err(|error| storage("read", &error))
}

/// The address under which SQLite only reads a file. One without a log is taken as it is; one with a log needs the files
/// beside it to be read in whole.
fn unchanged(file: &Path) -> String {
    let mut address = String::from("file:");
    for byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'?' | b'#' | b'%' => address += &format!("%{byte:02X}"),
            byte if byte.is_ascii() => address.push(char::from(*byte)),
            byte => address += &format!("%{byte:02X}"),
        }
    }
    let log = with_ending(file, "-wal").metadata();
    // A process that works on it may just have emptied its log, and fills it again; it has the file that readers share.
    let has_log = log.is_ok_and(|log| log.len() > 0 || with_ending(file, "-shm").exists());
    address + if has_log { "?mode=ro" } else { "?mode=ro&immutable=1" }
}

/// A copy that is not whole, for somebody who wanted one: it is the journal that must be looked at.
fn no_copy(error: Error) -> Error {
    match error {
        Error::Storage { reason, hint: DAMAGED, .. } => Error::Storage {
            doing: "copied",
            reason,
            hint: "the journal itself is damaged there, and no copy was kept: look with `deskhand check`, keep a copy of the \
                   data folder, and restore the newest backup that is whole",
        },
        other => other,
    }
}

fn damaged(file: &Path, what: &str) -> Error {
    Error::Storage { doing: "read", reason: format!("`{}`: {what}", file.display()), hint: DAMAGED }
}

fn sync(file: &Path) -> Result<(), Error> {
    File::open(file).and_then(|open| open.sync_all()).map_err(|error| io("copied", file, &error))
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
