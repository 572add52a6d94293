//! The journal in a SQLite file: one process, one writing thread, any number of readers.
//!
//! Here is the store as a whole and its `Journal`; `views.rs` and `accounts.rs` are what pages need beside it, `write.rs`
//! what the writes do, `writer.rs` how they reach the disk, `open.rs` how a data folder becomes a store.

mod accounts;
pub mod backup;
mod conditions;
mod derived;
mod fault;
mod given;
pub mod inspect;
mod job;
mod mark;
mod meter;
mod open;
mod reader;
mod retire;
mod rows;
mod schema;
mod space;
mod sums;
#[cfg(test)]
mod tests;
mod thread;
mod views;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use self::fault::{DAMAGED, Fault};
use self::job::Kind;
use self::reader::Readers;
pub use self::retire::Retired;
pub use self::space::Room;
use self::write::{Batch, Prepared};
use self::writer::Writer;
pub use self::writer::{Stats, Trouble};
use crate::clock::Clock;
use crate::crash;
use crate::ids::{RunId, TicketId};
use crate::journal::{
    Admitted, Arrival, Aside, Claimed, Conditions, Cursor, Error, Journal, Lease, OpenRun, Switch, TicketHistory,
};
use crate::money::Currency;
use crate::run::entry::{Body, Entry};
use crate::run::row::{Projection, RunStatus};

/// A store in a data folder. Share it behind an `Arc`: it is a [`Journal`], [`crate::journal::views::Views`] and
/// [`crate::journal::accounts::Accounts`] in one.
pub struct SqliteJournal {
    // Dropped in this order: the writer closes the file last and leaves it whole.
    readers: Arc<Readers>,
    writer: Arc<Writer>,
    folder: PathBuf,
    wal: PathBuf,
}

/// How the file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What keeps it from being written now; `None`: nothing.
    pub trouble: Option<Trouble>,
    /// Room on its disk, in bytes; `None` when the system does not say.
    pub free_bytes: Option<u64>,
    /// The size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
}

impl SqliteJournal {
    /// Opens a data folder, making it (0700) when it is not there; brings its schema up to date, and after a crash looks
    /// for damage. Blocks.
    ///
    /// [`Error::InUse`] when another process has the folder, [`Error::NewerSchema`] when a newer version wrote it,
    /// [`Error::Storage`] when the file cannot be used.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(folder, Room::default())
    }

    /// The same with another idea of how much room there must be.
    pub fn open_with(folder: impl AsRef<Path>, room: Room) -> Result<Self, Error> {
        Self::from(open::open(folder.as_ref())?, room)
    }

    fn from(opened: open::Opened, room: Room) -> Result<Self, Error> {
        let (folder, wal) = (opened.folder.clone(), opened.wal.clone());
        let readers = Readers::new(opened.database.clone());
        Ok(Self { readers, writer: Arc::new(Writer::start(opened, room)?), folder, wal })
    }

    /// Opens a data folder that another process may be working on: for commands that look at it, set a switch or record a
    /// person's act. The other process hears no bell; it looks by itself every few seconds. Claims nothing: a worker belongs
    /// to the process that has the folder. Blocks.
    ///
    /// [`Error::Storage`] when there is no journal or its schema is older, [`Error::NewerSchema`] when it is newer.
    pub fn open_beside(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from(open::open_beside(folder.as_ref())?, Room::default())
    }

    /// Takes nothing more, writes what waits, and closes the file. Everything asked afterwards is [`Error::Closed`].
    pub async fn close(&self) {
        self.readers.close();
        let writer = self.writer.clone();
        if tokio::task::spawn_blocking(move || writer.close()).await.is_err() {
            tracing::error!("the journal could not be closed in good order");
        }
    }

    /// To be called at a start: runs that rest by a clock that was set back since can be claimed from now on.
    pub async fn wake_the_future(&self, now_ms: i64) -> Result<usize, Error> {
        self.write(move |connection| write::wake_the_future(connection, now_ms)).await
    }

    /// What was written since it was opened.
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// How the file does, for pages and for the machine that watches. Looks at the disk; asks the journal nothing.
    pub fn health(&self) -> Health {
        Health {
            trouble: self.writer.trouble(),
            free_bytes: space::free_bytes(&self.folder),
            wal_bytes: self.wal.metadata().map_or(0, |found| found.len()),
        }
    }

    /// Reads the whole file and says what is damaged first, if anything is. Takes as long as reading the file takes.
    pub async fn first_damage(&self) -> Result<Option<String>, Error> {
        self.read(|connection| Ok(open::first_damage(connection)?)).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.readers.read(work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        self.writer.write(Kind::GoesOn, work).await
    }

    /// The same with the write's two boundaries: written and not committed; on disk and nobody told.
    async fn write_at<T, F>(&self, place: crash::Place, kind: Kind, mut work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let inside = place.clone();
        let work = move |connection: &Connection| work(connection).inspect(|_| inside.passes("journal.written"));
        let written = self.writer.write(kind, work).await?;
        place.passes("journal.committed");
        Ok(written)
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.readers.close();
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn admit(&self, arrivals: Vec<Arrival>, cursor: Option<Cursor>) -> Result<Vec<Admitted>, Error> {
        let prepared: Vec<Prepared> = arrivals.into_iter().map(Prepared::new).collect();
        let place = crash::at(|| match (&*prepared, &cursor) {
            ([], Some(cursor)) => format!("cursor {}", cursor.lane),
            (some, _) => format!("{} admit", some.iter().map(Prepared::of).collect::<Vec<_>>().join(" ")),
        });
        self.write_at(place, Kind::Starts, move |connection| write::admit(connection, &prepared, cursor.as_ref())).await
    }

    async fn cursor(&self, lane: &str) -> Result<Option<String>, Error> {
        let lane = lane.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT position FROM cursors WHERE lane = ?1")?;
            Ok(statement.query_row([lane], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn set_aside(&self) -> Result<Vec<Aside>, Error> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT ticket, why, since_ms FROM aside ORDER BY since_ms, ticket")?;
            let rows = statement.query_map([], |row| {
                Ok(Aside { ticket: TicketId(row.get(0)?), why: row.get(1)?, since_ms: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn ticket_history(&self, ticket: TicketId, since_ms: i64) -> Result<TicketHistory, Error> {
        self.read(move |connection| ticket_history(connection, ticket, since_ms)).await
    }

    async fn claim(&self, owner: &str, now_ms: i64, ttl: Duration) -> Result<Option<Claimed>, Error> {
        let owner = owner.to_owned();
        let until_ms = now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        // A claim that waited long for a stuck disk would give a lease that is over already, one after the other.
        let (waited, most_ms) = (Clock::system().stopwatch(), u64::try_from(ttl.as_millis() / 2).unwrap_or(u64::MAX));
        let claimed = self.writer.write(Kind::Starts, move |connection| {
            if waited.elapsed_ms() > most_ms {
                return Ok(None);
            }
            let claimed = write::claim(connection, &owner, now_ms, until_ms)?;
            if let Some((lease, ..)) = &claimed {
                crash::point("journal.written", || format!("{} claim", lease.run));
            }
            Ok(claimed)
        });
        let Some((lease, claims_without_progress, forgot_since_ms)) = claimed.await? else { return Ok(None) };
        let entries = match self.entries(&lease.run).await {
            Err(Error::Corrupt(why)) => return Err(Error::Unreadable { lease, why }),
            entries => entries?,
        };
        crash::point("journal.committed", || format!("{} claim len={}", lease.run, entries.len()));
        Ok(Some(Claimed { lease, entries, claims_without_progress, forgot_since_ms }))
    }

    async fn renew(&self, lease: &Lease, until_ms: i64) -> Result<Lease, Error> {
        let lease = lease.clone();
        self.write(move |connection| write::renew(connection, &lease, until_ms)).await
    }

    async fn release(&self, lease: Lease) -> Result<(), Error> {
        let place = crash::at(|| format!("{} release", lease.run));
        self.write_at(place, Kind::GoesOn, move |connection| write::release(connection, &lease)).await
    }

    async fn put_back(&self, lease: Lease, wake_ms: i64) -> Result<(), Error> {
        let place = crash::at(|| format!("{} put back", lease.run));
        self.write_at(place, Kind::GoesOn, move |connection| write::put_back(connection, &lease, wake_ms)).await
    }

    async fn append_if(
        &self,
        lease: &Lease,
        expected_len: u64,
        entries: &[Entry],
        projection: Projection,
        conditions: Conditions,
    ) -> Result<(), Error> {
        let (lease, batch) = (lease.clone(), Batch::new(entries, Box::new(projection)));
        let kind = batch.kind();
        let place = crash::at(|| {
            let what = if write::is_progress(entries) { "append" } else { "again" };
            format!("{} {what} len={expected_len}+{}", lease.run, entries.len())
        });
        self.write_at(place, kind, move |connection| {
            write::append(connection, &lease, expected_len, &batch, &conditions)
        })
        .await
    }

    async fn park(&self, lease: &Lease, reason: &str, now_ms: i64) -> Result<(), Error> {
        let (lease, reason) = (lease.clone(), reason.to_owned());
        let place = crash::at(|| format!("{} park", lease.run));
        self.write_at(place, Kind::GoesOn, move |connection| write::park(connection, &lease, &reason, now_ms)).await
    }

    async fn interject(
        &self,
        run: &RunId,
        expected_len: u64,
        entries: Vec<Entry>,
        projection: Projection,
    ) -> Result<(), Error> {
        let (run, batch) = (run.clone(), Batch::new(&entries, Box::new(projection)));
        let place = crash::at(|| format!("{run} interject len={expected_len}+{}", entries.len()));
        self.write_at(place, Kind::GoesOn, move |connection| write::interject(connection, &run, expected_len, &batch))
            .await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, Error> {
        let run = run.clone();
        self.read(move |connection| entries_of(connection, &run)).await
    }

    async fn next_wake(&self) -> Result<Option<i64>, Error> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT min(claimable_ms) FROM runs WHERE claimable_ms IS NOT NULL")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        })
        .await
    }

    async fn switch(&self, name: &str) -> Result<Option<String>, Error> {
        let name = name.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT value FROM switches WHERE name = ?1")?;
            Ok(statement.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn switches(&self) -> Result<Vec<Switch>, Error> {
        self.read(conditions::switches).await
    }

    async fn spent_since(&self, since_ms: i64) -> Result<i64, Error> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT ifnull(sum(cost_micros), 0) FROM call_sums WHERE quarter >= ?1")?;
            Ok(statement.query_row([since_ms.div_euclid(900_000)], |row| row.get(0))?)
        })
        .await
    }

    async fn refunded_since(&self, currency: Currency, since_ms: i64) -> Result<i64, Error> {
        self.read(move |connection| conditions::refunded(connection, currency, since_ms)).await
    }

    async fn set_switch(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<(), Error> {
        let (name, value, by) = (name.to_owned(), value.to_owned(), by.to_owned());
        self.write(move |connection| write::set_switch(connection, &name, &value, &by, now_ms)).await
    }

    async fn switch_on(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<Option<Switch>, Error> {
        let (name, value, by) = (name.to_owned(), value.to_owned(), by.to_owned());
        self.write(move |connection| write::switch_on(connection, &name, &value, &by, now_ms)).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.writer.bell()
    }
}

fn entries_of(connection: &Connection, run: &RunId) -> Result<Vec<Entry>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.at_ms, e.body, e.sum, e.run, r.len FROM runs AS r JOIN entries AS e ON e.run = r.no
         WHERE r.run = ?1 ORDER BY e.seq",
    )?;
    let mut rows = statement.query([run.as_str()])?;
    let mut entries = Vec::new();
    let mut len: u64 = 0;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get(0)?;
        let corrupt =
            |why: &dyn std::fmt::Display| Error::Corrupt(format!("entry {seq} of `{run}`: {why}\nhint: {DAMAGED}"));
        if seq != entries.len() as u64 + 1 {
            return Err(corrupt(&"the ones before it are missing").into());
        }
        len = row.get(5)?;
        let text = row.get_ref(2)?.as_str().map_err(|error| corrupt(&error))?;
        let (at_ms, sum, no): (i64, Option<u32>, i64) = (row.get(1)?, row.get(3)?, row.get(4)?);
        if sum.is_some_and(|sum| sum != write::sum(no, seq, at_ms, text)) {
            return Err(corrupt(&"it is not what was written").into());
        }
        let body: Body = serde_json::from_str(text).map_err(|error| corrupt(&error))?;
        entries.push(Entry { at_ms, body });
    }
    if entries.is_empty() {
        return Err(Error::NoSuchRun(run.clone()).into());
    }
    if entries.len() as u64 != len {
        let (found, what) = (entries.len(), "entries are there and its row says");
        return Err(Error::Corrupt(format!("`{run}`: {found} {what} {len}\nhint: {DAMAGED}")).into());
    }
    Ok(entries)
}

fn ticket_history(connection: &Connection, ticket: TicketId, since_ms: i64) -> Result<TicketHistory, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT run, status, len, opened_ms >= ?2 AND outcome IS NOT 'skipped',
             unreadable_ms IS NOT NULL FROM runs WHERE ticket = ?1
         ORDER BY opened_ms, no",
    )?;
    let mut rows = statement.query(params![ticket.0, since_ms])?;
    let mut history = TicketHistory::default();
    while let Some(row) = rows.next()? {
        let run: RunId = rows::parsed(row, 0)?;
        let status = row.get_ref(1)?.as_str().ok().and_then(RunStatus::parse);
        let status = status.ok_or_else(|| Error::Corrupt(format!("`{run}` stands in no known way")))?;
        if status != RunStatus::Closed {
            history.open = Some(OpenRun { run: run.clone(), len: row.get(2)?, status });
        }
        history.recent += u32::from(row.get::<_, bool>(3)?);
        history.unreadable |= row.get::<_, bool>(4)?;
        history.runs.push(run);
    }
    Ok(history)
}
