//! Whose file it is and which schema it has: examined before anything is changed, then brought up to date in one transaction.

use std::path::Path;

use rusqlite::Connection;

use super::fault::storage;
use crate::journal::Error;

pub(super) mod embedded {
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// Stands in the head of every file of ours: "Desk".
const APPLICATION_ID: i32 = 0x4465_736b;
/// What to do about a database of another program where ours should be.
pub(super) const NOT_OURS: &str = "set `data_dir` to a folder of deskhand's own, or move the file away";
const RESTORE: &str = "restore a backup with `deskhand restore`";

/// The newest schema that this version knows.
pub(super) fn known() -> i64 {
    migrations().last().map_or(0, |last| i64::from(last.version()))
}

fn migrations() -> Vec<refinery::Migration> {
    let mut all = embedded::migrations::runner().get_migrations().clone();
    all.sort_by_key(refinery::Migration::version);
    all
}

/// The schema of a file; 0: it is empty. Changes nothing.
///
/// [`Error::NewerSchema`] when a newer version wrote it; [`Error::Storage`] when it is not ours, or its history is not one
/// that this version could have written.
pub(super) fn examine(connection: &Connection, database: &Path) -> Result<i64, Error> {
    let failed = |error: rusqlite::Error| storage("opened", &error);
    let refused = |what: String, hint| Error::Storage {
        doing: "opened",
        reason: format!("`{}` {what}", database.display()),
        hint,
    };
    let not_ours = || Err(refused("is a database of another program".to_owned(), NOT_OURS));
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    if id != 0 && id != APPLICATION_ID {
        return not_ours();
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    if count("SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'")? == 0 {
        return match count("SELECT count(*) FROM sqlite_schema")? {
            0 => Ok(0),
            _ => not_ours(),
        };
    }
    let mut statement = connection
        .prepare("SELECT version, name, checksum FROM refinery_schema_history ORDER BY version")
        .map_err(failed)?;
    let applied: Vec<(i64, String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    let found = applied.last().map_or(0, |last| last.0);
    if found > known() {
        return Err(Error::NewerSchema { found, known: known() });
    }
    for (nth, migration) in migrations().iter().enumerate() {
        let version = i64::from(migration.version());
        if version > found {
            break;
        }
        let Some((there, name, sum)) = applied.get(nth) else { break };
        if *there != version {
            return Err(refused(format!("has schema {found} without step {version} before it"), RESTORE));
        }
        if name != migration.name() || *sum != migration.checksum().to_string() {
            let hint = "use the version that wrote it, or restore a backup with `deskhand restore`";
            return Err(refused(
                format!("has another step {version} of its schema (`{name}`) than this version"),
                hint,
            ));
        }
    }
    Ok(found)
}

/// Brings a file up to what this version knows, all or nothing.
pub(super) fn migrate(connection: &mut Connection, database: &Path) -> Result<(), Error> {
    if examine(connection, database)? < known() {
        embedded::migrations::runner().set_grouped(true).run(connection).map_err(|error| Error::Storage {
            doing: "brought up to date",
            reason: reason(&error),
            hint: "nothing was changed: use the version before, or restore a backup",
        })?;
    }
    let failed = |error: rusqlite::Error| storage("opened", &error);
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    if id != APPLICATION_ID {
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    }
    Ok(())
}

/// What differs between a file's tables, indexes and triggers and those that this version makes: the first name, if any.
pub(super) fn first_difference(connection: &Connection) -> Result<Option<String>, Error> {
    let failed = |error: rusqlite::Error| storage("opened", &error);
    let fresh = Connection::open_in_memory().map_err(failed)?;
    for migration in migrations() {
        fresh.execute_batch(migration.sql().unwrap_or_default()).map_err(failed)?;
    }
    let parts = |connection: &Connection| -> Result<Vec<(String, String)>, rusqlite::Error> {
        connection
            .prepare(
                "SELECT name, ifnull(sql, '') FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'
                 ORDER BY name, type",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let (wanted, found) = (parts(&fresh).map_err(failed)?, parts(connection).map_err(failed)?);
    let lacks = wanted.iter().find(|part| !found.contains(part));
    let more = found.iter().find(|part| !wanted.contains(part));
    Ok(lacks.or(more).map(|(name, _)| name.clone()))
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
