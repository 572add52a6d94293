//! What is SQLite's: the file, the rows that pages read, accounts. What every store must hold stands in `journal/tests.rs`.

mod accounts;
mod conditions;
mod file;
mod power;
mod retire;
mod room;
mod schema;
mod views;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::SqliteJournal;
use crate::ids::{StepNo, TicketId};
use crate::journal::tests::*;
use crate::journal::{Admitted, Arrival, Cursor, Error, Journal, Lease};
use crate::run::cost::Usage;
use crate::run::entry::Entry;
use crate::run::row::{Projection, RunRow, RunStatus};

fn store() -> (TempDir, SqliteJournal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    (folder, journal)
}

every_store!(store);
