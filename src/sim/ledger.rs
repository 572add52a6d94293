//! The world's ledger: a JSON Lines file of events, written line by line before an answer leaves, read back at start.
//! It does not sync to disk: a killed process loses nothing, a power cut may.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::world::Event;

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("the world's ledger `{path}` cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line, other than a torn last one, is no event.
    #[error(
        "the world's ledger `{path}`, line {line}, is no event: {source}\nhint: delete the file to start a fresh world"
    )]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The ledger belongs to another world.
    #[error("the ledger `{path}` belongs to the world `{found}` and not to `{wanted}`\nhint: use another data folder")]
    OtherWorld {
        /// The file.
        path: PathBuf,
        /// The world in the ledger.
        found: String,
        /// The world that was asked for.
        wanted: String,
    },
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The world's time when it happened.
    pub(super) at: Timestamp,
    /// What happened.
    pub(super) event: Event,
}

/// An open ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    path: PathBuf,
    /// Up to here it holds whole lines, in bytes.
    len: u64,
    /// Half a line stands behind that: a write that did not end.
    is_torn: bool,
}

impl Ledger {
    /// Opens or creates the file and returns the events in it. A torn last line (the process was killed while it wrote) is
    /// cut off: its answer never left.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Line>), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
        }
        let mut lines = Vec::new();
        for (index, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let bad = |source| Error::BadLine { path: path.to_owned(), line: index + 1, source };
            lines.push(serde_json::from_slice(line).map_err(bad)?);
        }
        Ok((Self { file, path: path.to_owned(), len: whole as u64, is_torn: false }, lines))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Appends one event in one write. One that fails, on a full disk, can be given again: nothing of it stays.
    pub(super) fn append(&mut self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_vec(line).expect("events hold only texts, numbers and JSON");
        text.push(b'\n');
        let written = self.cut().and_then(|()| {
            self.is_torn = true;
            self.file.write_all(&text)
        });
        if let Err(source) = written {
            let _ = self.cut(); // Tried again before the next line.
            return Err(Error::Io { path: self.path.clone(), source });
        }
        self.is_torn = false;
        self.len += text.len() as u64;
        Ok(())
    }

    /// Puts another open file in the place of this one's.
    #[cfg(test)]
    pub(super) fn swap(&mut self, file: File) {
        self.file = file;
    }

    /// Takes half a line off the end.
    fn cut(&mut self) -> std::io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.len)?;
            self.is_torn = false;
        }
        Ok(())
    }
}
