//! Looks a data folder over without changing it, whether or not a process works on it: for `deskhand check`.
//!
//! Here is also what cannot be checked cheaply at every append: that each run's entries fold, and that the rows beside them say
//! the same.

use std::fs::{File, TryLockError};
use std::path::Path;

use rusqlite::Connection;

use super::backup::open_to_read;
use super::derived;
use super::fault::{Fault, storage};
use super::open::{DATABASE, LOCK};
use super::rows::{RUN_COLUMNS, run_row};
use super::space::{RESERVE, free_bytes, is_read_only};
use super::{accounts, conditions, entries_of, mark, schema};
use crate::journal::Error;
use crate::journal::brake::{self, Pulled};
use crate::run::row::{RunRow, RunStatus};
use crate::run::state::RunState;

/// How many runs are named at most.
const NAMED_MAX: usize = 20;
/// A run that could be moved and that nobody has touched for so long, in milliseconds, is stuck.
const OVERDUE_MS: i64 = 10 * 60_000;

/// The folder and the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// A process has it.
    pub in_use: bool,
    /// The size of the database, in bytes; `None`: there is none.
    pub database_bytes: Option<u64>,
    /// The size of its write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// Room on the disk, in bytes; `None` when the system does not say.
    pub free_bytes: Option<u64>,
    /// The reserve is there.
    pub reserve: bool,
    /// The disk takes no write.
    pub read_only: bool,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its schema, and the newest that this version knows.
    pub schema: (i64, i64),
    /// The first table, index or trigger that is not as this version makes it.
    pub difference: Option<String>,
    /// What `PRAGMA integrity_check` finds first.
    pub damage: Option<String>,
    /// What is missing of what was acknowledged.
    pub missing: Option<String>,
    /// The first line of the audit trail that does not fit.
    pub audit_broken: Option<i64>,
    /// When the newest entry was written, in milliseconds since the Unix epoch.
    pub newest_ms: Option<i64>,
    /// When the newest backup was made, by the audit trail.
    pub backup_ms: Option<i64>,
    /// How many runs there are, and of these not ended.
    pub runs: (u64, u64),
    /// Runs that do not hold together, each with what is wrong; the first twenty.
    pub broken: Vec<String>,
    /// Runs that nothing will move: no timer, no lease, no person. The first twenty.
    pub stuck: Vec<String>,
    /// Runs that could be moved and that nobody has taken for long. The first twenty.
    pub overdue: Vec<String>,
    /// How many these are in all.
    pub overdue_count: u64,
    /// Brakes that are pulled, the weakest first.
    pub brakes: Vec<Pulled>,
}

/// By which time runs are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// The machine's, in milliseconds since the Unix epoch.
    Clock {
        /// The time.
        ms: i64,
    },
    /// A simulated world's, which stands when nobody plays it: that of the newest entry.
    World,
}

/// Looks at the folder and its disk.
pub fn folder(folder: &Path) -> Folder {
    let bytes = |name: &str| folder.join(name).metadata().ok().map(|found| found.len());
    let in_use =
        File::open(folder.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    Folder {
        in_use,
        database_bytes: bytes(DATABASE),
        wal_bytes: bytes(&format!("{DATABASE}-wal")).unwrap_or(0),
        free_bytes: free_bytes(folder),
        reserve: bytes(RESERVE).is_some(),
        read_only: is_read_only(folder),
    }
}

/// Reads the file through. Takes as long as reading all of it takes. Blocks.
pub fn content(folder: &Path, now: Now) -> Result<Content, Error> {
    let database = folder.join(DATABASE);
    let failed = |error: rusqlite::Error| storage("read", &error);
    let connection = open_to_read(&database)?;
    // The mark first: it may only lag behind what is read after it.
    let mark = mark::read(folder);
    connection.execute_batch("BEGIN").map_err(failed)?;
    let word: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    let found = schema::examine(&connection, &database)?;
    if found < schema::known() {
        return Err(Error::Storage {
            doing: "read",
            reason: format!("`{}` has schema {found}, this version reads {}", database.display(), schema::known()),
            hint: "start `deskhand serve` of this version once; it brings the file up to date",
        });
    }
    let newest = mark::Newest::of(&connection).map_err(failed)?;
    let content = || -> Result<Content, Fault> {
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let newest_ms = one("SELECT max(at_ms) FROM entries")?;
        let now_ms = match now {
            Now::Clock { ms } => ms,
            Now::World => newest_ms.unwrap_or(0),
        };
        let (broken, waits) = look_at_runs(&connection, now_ms)?;
        Ok(Content {
            schema: (found, schema::known()),
            difference: schema::first_difference(&connection)?,
            damage: (word != "ok").then_some(word),
            missing: mark.and_then(|mark| mark::missing(mark, newest)),
            audit_broken: accounts::verify_audit(&connection)?,
            newest_ms,
            backup_ms: one("SELECT max(at_ms) FROM audit WHERE what = 'backup_made'")?,
            runs: (count("SELECT count(*) FROM runs")?, count("SELECT count(*) FROM runs WHERE status <> 'closed'")?),
            broken,
            stuck: waits.stuck,
            overdue: waits.overdue,
            overdue_count: waits.overdue_count,
            brakes: brake::all(conditions::switches(&connection)?),
        })
    };
    content().map_err(|fault| fault.into_error("read"))
}

/// What the runs' rows hold beside [`RUN_COLUMNS`].
struct Beside {
    no: i64,
    len: u64,
    leased: bool,
    claimable_ms: Option<i64>,
    is_unreadable: bool,
}

/// Open runs that do not move.
#[derive(Default)]
struct Waits {
    stuck: Vec<String>,
    overdue: Vec<String>,
    overdue_count: u64,
}

fn look_at_runs(connection: &Connection, now_ms: i64) -> Result<(Vec<String>, Waits), Fault> {
    let (mut broken, mut waits) = (Vec::new(), Waits::default());
    let sql = format!(
        "SELECT {RUN_COLUMNS}, no AS no, len AS len, lease_owner IS NOT NULL AS leased, claimable_ms AS claimable_ms,
             unreadable_ms IS NOT NULL AS unreadable
         FROM runs WHERE retired_ms IS NULL ORDER BY no"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let beside = Beside {
            no: row.get("no")?,
            len: row.get("len")?,
            leased: row.get("leased")?,
            claimable_ms: row.get("claimable_ms")?,
            is_unreadable: row.get("unreadable")?,
        };
        let found = match run_row(row) {
            Ok(found) => found,
            Err(error) => {
                broken.push(format!("row {}: {error}", beside.no));
                continue;
            }
        };
        if broken.len() < NAMED_MAX
            && let Some(what) = contradiction(connection, &found, &beside)?
        {
            broken.push(format!("{}: {what}", found.run));
        }
        match stuck_by(&found, &beside, now_ms) {
            Some(Wait::Nothing) if waits.stuck.len() < NAMED_MAX => {
                waits.stuck.push(format!("{}: it is open, and no timer, lease or person will move it", found.run));
            }
            Some(Wait::Overdue { minutes }) => {
                waits.overdue_count += 1;
                if waits.overdue.len() < NAMED_MAX {
                    let words = format!("it is due since {minutes} minutes and nobody has taken it");
                    waits.overdue.push(format!("{}: {words}", found.run));
                }
            }
            _ => {}
        }
    }
    Ok((broken, waits))
}

/// What a run's entries and rows contradict each other in, if in anything.
fn contradiction(connection: &Connection, row: &RunRow, beside: &Beside) -> Result<Option<String>, Fault> {
    let entries = match entries_of(connection, &row.run) {
        Ok(entries) => entries,
        Err(Fault::Said(error)) => return Ok(Some(error.to_string())),
        Err(other) => return Err(other),
    };
    // One result per started step, no result without its start, no approval carried out without its step: the fold refuses.
    let state = match RunState::fold(&entries) {
        Ok(state) => state,
        Err(refused) => return Ok(Some(refused.to_string())),
    };
    if beside.len != entries.len() as u64 {
        return Ok(Some(format!("its row counts {} entries, there are {}", beside.len, entries.len())));
    }
    if beside.is_unreadable {
        return Ok(None); // It was ended by its row, which knows more than its entries.
    }
    derived::first_difference(connection, beside.no, row, &entries, &state)
}

/// What an open run waits for that does not come.
enum Wait {
    Nothing,
    Overdue { minutes: i64 },
}

/// Why a run does not move; every open run has a timer, a lease or a person.
fn stuck_by(row: &RunRow, beside: &Beside, now_ms: i64) -> Option<Wait> {
    if row.status == RunStatus::Closed || beside.leased {
        return None;
    }
    match beside.claimable_ms {
        None if row.status == RunStatus::WaitingApproval => None,
        None => Some(Wait::Nothing),
        Some(due_ms) if due_ms.saturating_add(OVERDUE_MS) < now_ms => {
            Some(Wait::Overdue { minutes: (now_ms - due_ms) / 60_000 })
        }
        Some(_) => None,
    }
}
