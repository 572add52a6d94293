//! SQLite's errors in the journal's words, each with what to do about it.

use rusqlite::ErrorCode;

use crate::journal::Error;

/// What can go wrong inside a query: SQLite's word, or ours.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sql(rusqlite::Error),
    /// The journal refuses: moved, stale, unknown.
    Said(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Said(error)
    }
}

impl Fault {
    /// What the caller gets. `doing` is `written`, `read` or `opened`.
    pub(super) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Fault::Said(error) => error,
            Fault::Sql(error) => storage(doing, &error),
        }
    }
}

/// SQLite's error with a hint.
pub(super) fn storage(doing: &'static str, error: &rusqlite::Error) -> Error {
    use rusqlite::Error as Sql;
    match error {
        Sql::FromSqlConversionFailure(..) | Sql::InvalidColumnType(..) | Sql::IntegralValueOutOfRange(..) => {
            Error::Corrupt(error.to_string())
        }
        _ if is_full(error) => Error::Storage { doing, reason: error.to_string(), hint: FREE_SPACE },
        _ => Error::Storage { doing, reason: error.to_string(), hint: hint(error.sqlite_error_code()) },
    }
}

/// The same for the folder and the files beside the database.
pub(super) fn io(doing: &'static str, what: &std::path::Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(ErrorCode::DiskFull),
        ErrorKind::ReadOnlyFilesystem => Some(ErrorCode::ReadOnly),
        _ => Some(ErrorCode::CannotOpen),
    };
    Error::Storage { doing, reason: format!("`{}`: {error}", what.display()), hint: hint(code) }
}

/// What to do about a damaged file.
pub(super) const DAMAGED: &str =
    "the file is damaged: stop deskhand, keep a copy of the data folder, and restore the newest backup";

/// What to do about a full disk.
pub(super) const FREE_SPACE: &str =
    "free space on the disk of the data folder; runs rest until then and go on by themselves";

/// What to do about a folder that takes no write.
pub(super) const READ_ONLY: &str =
    "the data folder or its disk is read-only: mount it writable, or give the folder to the user that runs deskhand";

/// What to do about a folder that belongs to somebody else.
pub(super) const OTHER_USER: &str = "give the command as the user that runs deskhand (`sudo -u USER deskhand …`); what is in the folder was not looked at";

/// Whether the disk has no room. The file that readers and writer share grows too; SQLite calls its want of room an IO error.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || matches!(extended, Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE))
}

fn hint(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::DiskFull) => FREE_SPACE,
        Some(ErrorCode::ReadOnly) => READ_ONLY,
        Some(ErrorCode::SystemIoFailure) => {
            "the disk reports errors: look at the kernel's log, and move the data folder to a disk that is whole"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DAMAGED,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check that the data folder exists and belongs to the user that runs deskhand"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds the file: close what has it open (a SQLite shell, a copy in progress)"
        }
        Some(ErrorCode::OutOfMemory) => "the machine has no memory left: give it more, or lower the concurrent runs",
        _ => "this is a mistake in deskhand: please report it with these words",
    }
}
