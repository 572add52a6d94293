//! A file that somebody gives as a backup: what it really is, and what to give instead. Looks at its first bytes only.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::fault::{DAMAGED, io};
use super::open::DATABASE;
use crate::journal::Error;

/// How every SQLite database begins.
///
/// Source: <https://www.sqlite.org/fileformat.html>, "The Database Header", 2026-11.
const DATABASE_HEAD: &[u8] = b"SQLite format 3\0";
/// How a write-ahead log begins, in either byte order of its sums.
///
/// Source: the same page, "The WAL File Format".
const LOG_HEADS: [&[u8]; 2] = [&[0x37, 0x7f, 0x06, 0x82], &[0x37, 0x7f, 0x06, 0x83]];
/// How files begin that gzip, zstd, xz and zip make.
const PACKED_HEADS: [&[u8]; 4] =
    [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z'], b"PK\x03\x04"];

/// What to do about a backup that is damaged.
const DAMAGED_BACKUP: &str = "this backup is damaged, and nothing was changed: give another one";
/// What to do about a file that is something else.
const NO_BACKUP: &str = "give a file that `deskhand backup` made; it prints where it puts them. Nothing was changed";

/// Refuses what cannot be a backup.
pub(super) fn examine(file: &Path) -> Result<(), Error> {
    let shown = file.display();
    let refused = |reason: String, hint| Err(Error::Storage { doing: "restored", reason, hint });
    if file.is_dir() {
        let hint = match file.join(DATABASE).is_file() {
            true => "give the database in it, `deskhand.db`, or a file of its folder `backups`",
            false => "give one of the files in it: a backup is named like `deskhand-20261130T020000Z.db`",
        };
        return refused(format!("`{shown}` is a folder"), hint);
    }
    if !file.exists() {
        let hint = "check the path; `deskhand backup` prints where it puts backups";
        return refused(format!("there is no file `{shown}`"), hint);
    }
    let mut head = Vec::new();
    let read = File::open(file).and_then(|open| open.take(16).read_to_end(&mut head));
    read.map_err(|error| io("restored", file, &error))?;
    let begins_as_one = |of: &[&[u8]]| of.iter().any(|with| head.starts_with(with));
    match head.as_slice() {
        [] => refused(format!("`{shown}` is empty"), NO_BACKUP),
        DATABASE_HEAD => Ok(()),
        _ if begins_as_one(&LOG_HEADS) => refused(
            format!("`{shown}` is a write-ahead log, which holds only the newest changes"),
            "give the database that it stands beside: the same name without `-wal`",
        ),
        _ if begins_as_one(&PACKED_HEADS) => {
            refused(format!("`{shown}` is compressed"), "unpack it first, and give the file that comes out")
        }
        _ => refused(format!("`{shown}` is no SQLite database"), NO_BACKUP),
    }
}

/// An error over a given file, with its name and advice for somebody who has other backups. The usual advice is for the journal
/// itself.
pub(super) fn about(file: &Path, error: Error) -> Error {
    match error {
        Error::Storage { doing, reason, hint } if hint == DAMAGED => {
            let shown = file.display().to_string();
            // SQLite's own words name no file.
            let reason = if reason.contains(&shown) { reason } else { format!("`{shown}`: {reason}") };
            Error::Storage { doing, reason, hint: DAMAGED_BACKUP }
        }
        Error::Storage { doing, reason, hint } if hint == super::schema::NOT_OURS => {
            Error::Storage { doing, reason, hint: NO_BACKUP }
        }
        Error::NewerSchema { found, known } => Error::Storage {
            doing: "restored",
            reason: format!("`{}` has schema {found}, this version knows {known}", file.display()),
            hint: "use the version of deskhand that made it, or give an older backup. Nothing was changed",
        },
        other => other,
    }
}
