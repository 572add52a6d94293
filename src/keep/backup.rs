//! `deskhand backup`: a verified copy of the journal, while the process serves.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::journal::accounts::Accounts;
use crate::journal::sqlite::{SqliteJournal, backup};
use crate::journal::{self};
use crate::keep::{count, entries, size, stamp, when};

/// Where backups go in the data folder.
pub const FOLDER: &str = "backups";

/// So many backups can be made within one second.
const NAMES_MAX: u32 = 99;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal, or the copy.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The folder for it.
    #[error("`{path}` cannot be used for backups: {source}\nhint: give another place, or make it writable")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is one of this name.
    #[error("`{0}` is there already\nhint: give another name, or a folder")]
    Exists(String),
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub file: PathBuf,
    /// What it holds.
    pub holds: backup::Holds,
    /// Older ones that were removed.
    pub removed: Vec<PathBuf>,
}

/// Copies the journal of `data` to `to` (a file that is not there yet, or a folder; the data folder's own `backups` when it
/// is not given), verifies the copy, and keeps the newest `keep` backups of that folder, this one included.
pub async fn run(data: &Path, to: Option<&Path>, keep: Option<usize>, clock: &Clock) -> Result<Made, Error> {
    backup::must_be_there(data, "copied")?;
    let place = to.map_or_else(|| data.join(FOLDER), Path::to_owned);
    let named = to.is_some() && !place.is_dir() && place.extension().is_some();
    let (folder, file) = match named {
        true => (place.parent().unwrap_or(Path::new(".")).to_owned(), place),
        false => (place.clone(), free_name(&place, &stamp(clock.now()))),
    };
    let wrong = |path: &Path| {
        let path = path.display().to_string();
        move |source| Error::Folder { path, source }
    };
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(wrong(&folder))?;
    }
    if file.exists() {
        return Err(Error::Exists(file.display().to_string()));
    }
    let copied = {
        let (data, file) = (data.to_owned(), file.clone());
        tokio::task::spawn_blocking(move || backup::copy(&data, &file)).await
    };
    let holds = copied.unwrap_or_else(|broke| std::panic::resume_unwind(broke.into_panic()))?;
    note(data, &file, clock).await;
    let removed = match keep {
        Some(keep) if !named => remove_old(&folder, keep.max(1)).map_err(wrong(&folder))?,
        _ => Vec::new(),
    };
    Ok(Made { file, holds, removed })
}

/// A name that is not taken; of backups within one second, the later ones carry a number.
fn free_name(folder: &Path, stamp: &str) -> PathBuf {
    let first = folder.join(format!("deskhand-{stamp}.db"));
    let later = (2..=NAMES_MAX).map(|n| folder.join(format!("deskhand-{stamp}-{n}.db")));
    std::iter::once(first.clone()).chain(later).find(|file| !file.exists()).unwrap_or(first)
}

/// When a backup of ours was made, by its name: the second, and which of that second.
fn made_at(path: &Path) -> Option<(String, u32)> {
    let name = path.file_name()?.to_str()?;
    let middle = name.strip_prefix("deskhand-")?.strip_suffix(".db")?;
    let (stamp, n) = match middle.split_once('-') {
        Some((stamp, n)) => (stamp, n.parse().ok()?),
        None => (middle, 1),
    };
    let is_stamp = stamp.len() == 16 && stamp.ends_with('Z') && stamp.as_bytes()[8] == b'T';
    is_stamp.then(|| (stamp.to_owned(), n))
}

/// Leaves a line in the audit trail, by which `check` sees how old the newest backup is. The backup is good without it: on a
/// full disk there is all the more need of one.
async fn note(data: &Path, file: &Path, clock: &Clock) {
    let noted = match SqliteJournal::open_beside(data) {
        Ok(journal) => {
            let name = file.display().to_string();
            let noted = journal.append_audit("backup", "backup_made", &name, "", clock.now_ms()).await;
            journal.close().await;
            noted
        }
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::warn!("the backup stands in no audit line: {error}");
    }
}

/// Backups of ours in a folder, oldest first, by the time in their names.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if made_at(&path).is_some() {
            found.push(path);
        }
    }
    found.sort_by_key(|path| made_at(path));
    Ok(found)
}

fn remove_old(folder: &Path, keep: usize) -> Result<Vec<PathBuf>, std::io::Error> {
    let all = list(folder)?;
    let old = all[..all.len().saturating_sub(keep)].to_vec();
    for file in &old {
        std::fs::remove_file(file)?;
    }
    Ok(old)
}

impl Made {
    /// What was done, and what to do next.
    pub fn text(&self) -> String {
        let holds = &self.holds;
        let mut text = format!(
            "backup    {}\nholds     {} of {} ({} not ended, {} waiting for approval), the newest of {}\n\
             verified  whole, {}",
            self.file.display(),
            entries(holds.entries),
            count(holds.runs, "run"),
            holds.open,
            holds.waiting,
            when(holds.newest_ms),
            size(holds.bytes),
        );
        if !self.removed.is_empty() {
            text += &format!("\nremoved   {} older", self.removed.len());
        }
        text + &format!(
            "\nnext      keep a copy on another machine; try it with\n          deskhand restore {} --data DIR --dry-run",
            self.file.display()
        )
    }

    /// The same for a machine.
    pub fn json(&self) -> Value {
        json!({
            "file": self.file,
            "holds": holds_json(&self.holds),
            "removed": self.removed,
        })
    }
}

/// What a file holds, for a machine.
pub(super) fn holds_json(holds: &backup::Holds) -> Value {
    json!({
        "bytes": holds.bytes,
        "entries": holds.entries,
        "runs": holds.runs,
        "runs_open": holds.open,
        "approvals_waiting": holds.waiting,
        "newest_entry": holds.newest_ms.map(|ms| when(Some(ms))),
    })
}
