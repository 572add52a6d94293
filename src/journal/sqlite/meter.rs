//! How much of the write-ahead log is in use, and what a commit wrote to it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rusqlite::Connection;

/// A page of the write-ahead log carries a header of this many bytes, the log itself one of 32.
const FRAME_HEADER_BYTES: u64 = 24;

/// Measures what a commit wrote to the write-ahead log.
pub(super) struct Meter {
    pub(super) wal: PathBuf,
    pub(super) file: Option<File>,
    /// Changes whenever the log starts over.
    pub(super) salt: [u8; 8],
    pub(super) frames: u64,
    pub(super) page_bytes: u64,
}

impl Meter {
    /// How much of the log's file is in use.
    pub(super) fn used_bytes(&self) -> u64 {
        self.frames * (self.page_bytes + FRAME_HEADER_BYTES)
    }

    /// Bytes since the last call, and whether the log started over in between.
    pub(super) fn written(&mut self, connection: &Connection) -> (u64, bool) {
        let log: u64 = connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut statement| statement.query_row([], |row| row.get(1)))
            .unwrap_or(self.frames);
        if self.file.is_none() {
            self.file = File::open(&self.wal).ok();
        }
        let mut salt = self.salt;
        if let Some(file) = &self.file {
            // Bytes 16 to 24 of the header. Source: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
            let _ = file.read_exact_at(&mut salt, 16);
        }
        let restarted = salt != self.salt;
        let frames = if restarted { log } else { log.saturating_sub(self.frames) };
        self.salt = salt;
        self.frames = log;
        (frames * (self.page_bytes + FRAME_HEADER_BYTES) + if restarted { 32 } else { 0 }, restarted)
    }
}
