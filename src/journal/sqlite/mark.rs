//! How far the journal was acknowledged, kept beside it. The write-ahead log ends for SQLite at its first damaged page: what
//! was acknowledged behind it is dropped without a word. So after each commit the newest entry and audit line are noted in a
//! file of their own, and an opened journal that ends before them says so.
//!
//! The mark is written after the commit is on disk and is not synchronised: it may lag behind the journal, never run ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::fault::{Fault, storage};
use crate::journal::Error;

/// The file that holds the mark.
pub(super) const MARK: &str = "deskhand.mark";

/// The newest lines of a journal; 0 where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Newest {
    pub(super) entry: i64,
    pub(super) audit: i64,
}

impl Newest {
    /// What a journal holds.
    pub(super) fn of(connection: &Connection) -> Result<Self, rusqlite::Error> {
        connection
            .prepare_cached(
                "SELECT ifnull((SELECT max(id) FROM entries), 0), ifnull((SELECT max(line) FROM audit), 0)",
            )?
            .query_row([], |row| Ok(Self { entry: row.get(0)?, audit: row.get(1)? }))
    }

    fn line(self) -> String {
        let words = format!("deskhand mark 1: entry {:019} audit {:019}", self.entry, self.audit);
        format!("{words} check {:08x}\n", crc32fast::hash(words.as_bytes()))
    }

    /// Back from its line; `None` when it is not whole.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let entry = words.find(|word| *word == "entry").and_then(|_| words.next())?.parse().ok()?;
        let audit = words.find(|word| *word == "audit").and_then(|_| words.next())?.parse().ok()?;
        let newest = Self { entry, audit };
        (newest.line() == line).then_some(newest)
    }
}

/// The mark of one data folder.
pub(super) struct Mark {
    path: PathBuf,
    file: Option<File>,
    last: Option<Newest>,
}

impl Mark {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(MARK), file: None, last: None }
    }

    /// Notes what has just been committed. That it cannot be noted stops nothing: the journal itself is on disk.
    pub(super) fn note(&mut self, connection: &Connection) {
        let Ok(newest) = Newest::of(connection) else { return };
        if self.last == Some(newest) {
            return;
        }
        if self.file.is_none() {
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path);
            self.file = opened.inspect_err(|error| tracing::warn!("`{}`: {error}", self.path.display())).ok();
        }
        if let Some(file) = &self.file {
            match file.write_all_at(newest.line().as_bytes(), 0) {
                Ok(()) => self.last = Some(newest),
                Err(error) => tracing::warn!("`{}`: {error}", self.path.display()),
            }
        }
    }
}

/// Reads the mark of a folder; `None` when there is none, or none that is whole.
pub(super) fn read(folder: &Path) -> Option<Newest> {
    Newest::parse(&std::fs::read_to_string(folder.join(MARK)).ok()?)
}

/// Whether the journal holds all that was acknowledged.
pub(super) fn compare(folder: &Path, connection: &Connection) -> Result<(), Error> {
    let Some(mark) = read(folder) else { return Ok(()) };
    let newest = Newest::of(connection).map_err(|error| storage("opened", &error))?;
    match missing(mark, newest) {
        None => Ok(()),
        Some(reason) => Err(Fault::Said(Error::Storage {
            doing: "opened",
            reason,
            hint: "its write-ahead log was damaged, removed or left behind by a copy: put back the whole folder, or restore a \
                   backup with `deskhand restore`; it also takes the journal as it is, and pauses the agent first",
        })
        .into_error("opened")),
    }
}

/// What the journal lacks of what was acknowledged, in words.
pub(super) fn missing(mark: Newest, newest: Newest) -> Option<String> {
    let entries = mark.entry.saturating_sub(newest.entry).max(0);
    let audit = mark.audit.saturating_sub(newest.audit).max(0);
    (entries > 0 || audit > 0)
        .then(|| format!("{entries} entries and {audit} audit lines that were acknowledged are missing at its end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_whole_or_not_at_all() {
        let newest = Newest { entry: 123, audit: i64::MAX };
        assert_eq!(Newest::parse(&newest.line()), Some(newest));
        for (at, _) in newest.line().char_indices() {
            let mut bytes = newest.line().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(String::from_utf8(bytes).ok().and_then(|line| Newest::parse(&line)), None, "byte {at}");
        }
    }

    #[test]
    fn only_less_than_the_mark_is_missing() {
        let at = |entry, audit| Newest { entry, audit };
        let check =
            |mark, newest, lacks: bool| assert_eq!(missing(mark, newest).is_some(), lacks, "{mark:?} {newest:?}");
        check(at(5, 2), at(5, 2), false);
        check(at(5, 2), at(9, 3), false);
        check(at(5, 2), at(4, 3), true);
        check(at(5, 2), at(6, 1), true);
        check(at(0, 0), at(0, 0), false);
    }
}
