//! Read-only connections, used off the async threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::fault::{Fault, storage};
use super::open::BUSY_TIMEOUT_MS;
use crate::journal::Error;

/// How many reads go on at a time. More would wait for the same disk and processors.
const READERS_MAX: usize = 4;

/// The pool. A connection is opened when it is first needed.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::default(), room: Arc::new(Semaphore::new(READERS_MAX)) })
    }

    /// Reads what is on disk now: one snapshot, whatever is written meanwhile.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => open(&readers.path).map_err(|error| storage("read", &error))?,
            };
            let snapshot = connection.transaction().map_err(|error| storage("read", &error))?;
            let result = work(&snapshot).map_err(|fault| fault.into_error("read"));
            drop(snapshot);
            if !readers.room.is_closed() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            drop(room);
            result
        });
        read.await.unwrap_or_else(|broke| {
            Err(Error::Storage {
                doing: "read",
                reason: broke.to_string(),
                hint: "this is a mistake in deskhand: please report it with the log's last lines",
            })
        })
    }

    /// Takes no more reads and closes what is not in use.
    pub(super) fn close(&self) {
        self.room.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn open(path: &std::path::Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
