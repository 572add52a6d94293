//! Room on the disk. What was started must be able to end: its result is written even when the disk is full. So nothing is
//! started when little room is left, and a reserve file holds room that is given back when the disk is full all the same.
//!
//! Both are needed. The limit alone fails when another program fills the disk between a start and its end; the reserve alone
//! is noticed only when it is spent, after effects have left that nobody could write down.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::job::Refusal;

/// The file that holds the reserve.
pub(super) const RESERVE: &str = "deskhand.reserve";

/// How much room is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Size of the reserve file. A result is at most some hundred kilobytes; this is enough for those of all runs that move
    /// at once, written to the log and copied into the file.
    pub reserve_bytes: u64,
    /// With less than this free nothing is started, opened or claimed.
    pub free_bytes_min: u64,
    /// Nor when the write-ahead log is larger than this: then it cannot be copied into the file, and would grow without end.
    pub wal_bytes_max: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { reserve_bytes: 8 << 20, free_bytes_min: 16 << 20, wal_bytes_max: 256 << 20 }
    }
}

impl Room {
    /// How much must be free for anything to be started, in bytes: more where the reserve must still be made.
    pub fn needed_bytes(&self, has_reserve: bool) -> u64 {
        self.free_bytes_min + if has_reserve { 0 } else { self.reserve_bytes }
    }
}

/// The room of one data folder.
pub(super) struct Space {
    folder: PathBuf,
    room: Room,
    /// The reserve is whole.
    whole: bool,
}

impl Space {
    /// Looks after a folder; makes its reserve when there is room for it.
    pub(super) fn new(folder: &Path, room: Room) -> Self {
        let mut space = Self { folder: folder.to_owned(), room, whole: false };
        space.restore();
        space
    }

    /// Gives the reserve back to the disk. `false` when there is none.
    pub(super) fn spend(&mut self) -> bool {
        if !std::mem::take(&mut self.whole) {
            return false;
        }
        let path = self.folder.join(RESERVE);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tracing::warn!("the disk is full; the reserve is given up so that what was started can end");
                true
            }
            Err(error) => {
                tracing::error!("the reserve `{}` cannot be given up: {error}", path.display());
                false
            }
        }
    }

    /// Makes the reserve whole again, when there is room for it beyond what is kept free.
    fn restore(&mut self) {
        let path = self.folder.join(RESERVE);
        if path.metadata().is_ok_and(|found| found.len() == self.room.reserve_bytes) {
            self.whole = true;
            return;
        }
        if free_bytes(&self.folder).is_some_and(|free| free < self.room.needed_bytes(false)) {
            return;
        }
        match fill(&path, self.room.reserve_bytes) {
            Ok(()) => self.whole = true,
            Err(error) => {
                tracing::warn!("the reserve `{}` cannot be made: {error}", path.display());
                let _ = std::fs::remove_file(&path); // Half of it is of no use to anybody.
            }
        }
    }

    /// Why nothing may be started now; `None`: there is room.
    pub(super) fn refusal(&mut self, wal_bytes: u64) -> Option<Refusal> {
        const MIB: u64 = 1 << 20;
        if !self.whole {
            self.restore();
        }
        let Room { reserve_bytes, free_bytes_min, wal_bytes_max } = self.room;
        let free = free_bytes(&self.folder).unwrap_or(u64::MAX);
        let needed = self.room.needed_bytes(self.whole);
        let reason = if free < needed {
            let (kept, reserve) = (free_bytes_min / MIB, reserve_bytes / MIB);
            let what = match self.whole {
                true => "that much is kept for what was started".to_owned(),
                false => format!("{kept} kept for what was started, {reserve} for the reserve, which is not there"),
            };
            format!("{} MiB are free on its disk, {} MiB are needed ({what})", free / MIB, needed / MIB)
        } else if !self.whole {
            format!("its reserve of {} MiB cannot be made, though there is room: see the log", reserve_bytes / MIB)
        } else if wal_bytes > wal_bytes_max {
            let hint = "look at the log for why it cannot be copied: a program that keeps the file open, or a disk with errors";
            let reason =
                format!("its write-ahead log has grown to {} MiB and cannot be copied into it", wal_bytes / MIB);
            return Some(Refusal { reason, hint });
        } else {
            return None;
        };
        Some(Refusal { reason, hint: super::fault::FREE_SPACE })
    }
}

/// Room on the disk of a folder for a user like ours, in bytes; `None` when the system does not say.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether the disk of a folder takes no write at all.
pub(super) fn is_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Makes a file that really takes up its size.
fn fill(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if bytes == 0 || rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).is_ok() {
        return Ok(());
    }
    // A file system without it. Written bytes take their room, unless they are all alike and it squeezes them.
    let mut left = bytes;
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = [0_u8; 4096];
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word.copy_from_slice(&noise.to_le_bytes());
        }
        let now = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(now).unwrap_or(block.len())])?;
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that has room for what is kept free and none for the reserve besides: it was never made there.
    #[test]
    fn a_small_disk_is_told_how_much_is_needed_in_all() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        let mib = 1 << 20;
        let room = Room { reserve_bytes: 8 * mib, free_bytes_min: free - 4 * mib, ..Room::default() };
        let said = Space::new(folder.path(), room).refusal(0).unwrap().reason;
        assert!(said.contains("MiB are needed") && said.contains("8 for the reserve, which is not there"), "{said}");
        assert!(!folder.path().join(RESERVE).exists());
        assert_eq!(Room::default().needed_bytes(false), 24 * mib);
        assert_eq!(Room::default().needed_bytes(true), 16 * mib);
    }
}
