//! `deskhand check`: the doctor. Each line passes, warns or fails, with what to do. Groups of lines stand beside each other:
//! here are the folder, the disk and the journal; what needs a configuration or a vendor adds a group of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::journal::Error;
use crate::journal::brake::Pulled;
use crate::journal::sqlite::{Room, backup as journal_file, inspect};
use crate::keep::{WORLD_LEDGER, backup, count, size, when};

/// Above this the write-ahead log is worth a word: it is copied into the file every 4 MiB.
const WAL_BYTES_WARN: u64 = 64 << 20;
/// A backup older than this is one that was forgotten, in milliseconds: a day and some hours.
const BACKUP_AGE_WARN_MS: i64 = 26 * 3_600_000;
/// An entry may be this far ahead of the clock, in milliseconds.
const CLOCK_AHEAD_MS: i64 = 60_000;

/// How a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It works; somebody should look.
    Warn,
    /// It does not work, or will not for long.
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub says: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub fix: String,
}

impl Line {
    /// As it should be.
    pub fn pass(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Pass, says: says.into(), fix: String::new() }
    }
    /// Somebody should look.
    pub fn warn(what: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Warn, says: says.into(), fix: fix.into() }
    }
    /// It does not work.
    pub fn fail(what: &'static str, says: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fail, says: says.into(), fix: fix.into() }
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of looking.
    pub lines: Vec<Line>,
}

impl Report {
    /// How the worst line stands.
    pub fn worst(&self) -> Verdict {
        self.lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Pass)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Line { what, verdict, says, fix } in &self.lines {
            let mark = match verdict {
                Verdict::Pass => "pass",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            text += &format!("{mark}  {what:<12}  {}\n", says.replace('\n', "\n                    "));
            if !fix.is_empty() {
                text += &format!("                    fix: {fix}\n");
            }
        }
        let so_many = |verdict| self.lines.iter().filter(|line| line.verdict == verdict).count();
        text + &match (so_many(Verdict::Fail), so_many(Verdict::Warn)) {
            (0, 0) => "everything is as it should be".to_owned(),
            (failed, warned) => format!("{failed} failed, {warned} to look at"),
        }
    }

    /// For a machine.
    pub fn json(&self) -> Value {
        json!({ "worst": self.worst(), "checks": self.lines })
    }
}

/// Looks at a data folder, its disk and its journal. Reads the whole journal; changes nothing. Blocks.
pub fn data(folder: &Path, now: Timestamp) -> Vec<Line> {
    let there = journal_file::must_be_there(folder, "read");
    let Ok(found) = folder.metadata() else {
        return vec![match there {
            Err(error) => failed("folder", &error),
            Ok(()) => Line::fail("folder", format!("`{}` cannot be looked at", folder.display()), "look at its rights"),
        }];
    };
    let looked = inspect::folder(folder);
    let mut lines = Vec::new();
    if let Err(error) = &there {
        // Who may not read it must not be told that there is nothing: a restore would put the journal aside.
        if looked.database_bytes.is_none() && folder.read_dir().is_ok() {
            lines.extend([rights(folder, found.permissions().mode()), process(&looked)]);
            lines.extend(disk(&looked));
            let fix = "check `data_dir` or --data; start `deskhand serve`, or restore a backup";
            lines.push(Line::fail("journal", "there is none in the folder", fix));
        } else {
            lines.push(failed("folder", error));
        }
        return lines;
    }
    lines.extend([rights(folder, found.permissions().mode()), process(&looked)]);
    let of_disk = disk(&looked);
    let is_held =
        looked.read_only || of_disk.iter().any(|line| line.verdict == Verdict::Fail || line.what == "reserve");
    lines.extend(of_disk);
    let is_world = folder.join(WORLD_LEDGER).exists();
    let by = if is_world { inspect::Now::World } else { inspect::Now::Clock { ms: now.as_millisecond() } };
    match inspect::content(folder, by) {
        Ok(content) => {
            let scene = Scene { folder, in_use: looked.in_use, disk_holds: is_held, is_world, now };
            lines.extend(journal(&content, &scene));
        }
        Err(error) => lines.push(failed("journal", &error)),
    }
    lines
}

/// What stands around a journal.
struct Scene<'a> {
    folder: &'a Path,
    in_use: bool,
    disk_holds: bool,
    /// A demo's: its journal keeps a simulated world's time.
    is_world: bool,
    now: Timestamp,
}

/// An error, with its hint as the fix.
fn failed(what: &'static str, error: &Error) -> Line {
    let text = error.to_string();
    let (says, fix) = text.split_once("\nhint: ").unwrap_or((&text, "see the words above"));
    Line::fail(what, says, fix)
}

fn rights(folder: &Path, mode: u32) -> Line {
    let shown = folder.display();
    match mode & 0o077 {
        0 => Line::pass("folder", format!("`{shown}` is its owner's alone")),
        _ => Line::warn(
            "folder",
            format!("`{shown}` is open to others ({:03o}): it holds what customers wrote", mode & 0o777),
            format!("chmod 700 {shown}"),
        ),
    }
}

fn process(looked: &inspect::Folder) -> Line {
    Line::pass("process", if looked.in_use { "one works on the folder" } else { "none works on the folder" })
}

fn disk(looked: &inspect::Folder) -> Vec<Line> {
    let room = Room::default();
    let mut lines = Vec::new();
    let fix = "free space on the disk of the data folder, or move the folder";
    lines.push(match looked.free_bytes {
        _ if looked.read_only => Line::fail(
            "disk",
            "it is read-only: nothing can be written down, and nothing is started",
            "look at the kernel's log for why, and mount it writable; `deskhand backup DEST` copies to another disk",
        ),
        None => Line::warn("disk", "the system does not say how much is free", "look with `df`"),
        Some(free) if free < room.needed_bytes(looked.reserve) => {
            let needed = size(room.needed_bytes(looked.reserve));
            Line::fail("disk", format!("{} are free, {needed} are needed: nothing new is started", size(free)), fix)
        }
        Some(free) if free < 16 * room.free_bytes_min => Line::warn("disk", format!("{} are free", size(free)), fix),
        Some(free) => Line::pass("disk", format!("{} are free", size(free))),
    });
    if looked.in_use && !looked.reserve {
        lines.push(Line::warn("reserve", "it is spent: nothing new is started", fix));
    }
    let fix = "end programs that keep the file open; look at the log for why it cannot be copied into the file";
    let bytes = looked.wal_bytes;
    lines.push(match bytes {
        _ if bytes > room.wal_bytes_max => {
            Line::fail("log", format!("it has grown to {}: nothing new is started", size(bytes)), fix)
        }
        _ if bytes > WAL_BYTES_WARN => Line::warn("log", format!("it has grown to {}", size(bytes)), fix),
        _ => Line::pass("log", format!("{} wait to be copied into the file", size(bytes))),
    });
    lines
}

fn journal(content: &inspect::Content, scene: &Scene<'_>) -> Vec<Line> {
    let restore = "stop deskhand, keep a copy of the data folder, restore the newest backup";
    let or_pass = |what, found: &Option<String>, fine: String, fix: &str| match found {
        None => Line::pass(what, fine),
        Some(found) => Line::fail(what, found.clone(), fix),
    };
    let (found, known) = content.schema;
    let difference = content.difference.as_ref().map(|name| format!("`{name}` is not as this version makes it"));
    let audit = content.audit_broken.map(|line| format!("line {line} does not fit the one before it"));
    let mut lines = vec![
        or_pass("schema", &difference, format!("{found}, this version writes {known}"), restore),
        or_pass("integrity", &content.damage, "every page and index is whole".to_owned(), restore),
        or_pass("acknowledged", &content.missing, "nothing is missing at the end".to_owned(), restore),
        or_pass("audit", &audit, "the chain is whole".to_owned(), "somebody changed the trail outside of deskhand"),
        list(
            "runs",
            &content.broken,
            format!("{} hold together, {} not ended", count(content.runs.0, "run"), content.runs.1),
            &format!(
                "{restore}. Rows beside the entries alone are written anew by restoring the journal itself:\n\
                 \x20                        deskhand restore {0}/deskhand.db --data {0}",
                scene.folder.display()
            ),
        ),
    ];
    lines.push(stuck(content, scene));
    lines.extend(content.brakes.iter().map(of_brake));
    lines.push(backup_age(scene.folder, content.backup_ms, scene.now));
    lines.push(clock(content.newest_ms, scene));
    lines
}

/// Runs that nothing moves; those that a brake or the disk holds are not stuck.
fn stuck(content: &inspect::Content, scene: &Scene<'_>) -> Line {
    let what = "stuck";
    let held = match content.brakes.last() {
        Some(Pulled { brake, .. }) if brake.holds_steps() => Some((
            format!("the brake `{}` holds them", brake.as_str()),
            "resume in the pages or with `deskhand resume`",
        )),
        _ if scene.disk_holds => {
            Some(("the disk holds them, see above".to_owned(), "they go on when the disk is well again"))
        }
        _ => None,
    };
    let fix = match scene.in_use {
        true => "look at the log for why its worker cannot move it; take the ticket over in the pages",
        false => "start `deskhand serve`; if it stays, take the ticket over in the pages",
    };
    match held {
        Some((why, go_on)) if content.stuck.is_empty() && content.overdue_count > 0 => {
            let (are, wait) = if content.overdue_count == 1 { ("is", "waits") } else { ("are", "wait") };
            let runs = count(content.overdue_count, "open run");
            Line::warn(what, format!("{runs} {are} due and {wait}: {why}"), go_on)
        }
        Some(_) => list(what, &content.stuck, "every open run has a timer, a lease or a person".to_owned(), fix),
        None => {
            let all = [content.stuck.as_slice(), &content.overdue].concat();
            let mut line = list(what, &all, "every open run has a timer, a lease or a person".to_owned(), fix);
            if line.verdict == Verdict::Fail && !scene.in_use {
                line.verdict = Verdict::Warn; // Nobody works: they are due because of that.
            }
            line
        }
    }
}

fn of_brake(pulled: &Pulled) -> Line {
    let Pulled { brake, reason, by, at_ms } = pulled;
    let says = format!("{} (by {by}, since {})", reason.trim_end_matches('.'), when(Some(*at_ms)));
    Line::warn(brake.as_str(), says, "resume in the pages or with `deskhand resume`")
}

fn list(what: &'static str, found: &[String], fine: String, fix: &str) -> Line {
    match found {
        [] => Line::pass(what, fine),
        found => Line::fail(what, found.join("\n"), fix),
    }
}

fn backup_age(folder: &Path, noted_ms: Option<i64>, now: Timestamp) -> Line {
    let fix = "run `deskhand backup --keep 14` every night, and copy it to another machine";
    let newest = backup::list(&folder.join(backup::FOLDER)).ok().and_then(|all| all.last().cloned());
    match (noted_ms, newest) {
        (Some(ms), _) if now.as_millisecond() - ms > BACKUP_AGE_WARN_MS => {
            Line::warn("backup", format!("the newest is of {}", when(Some(ms))), fix)
        }
        (Some(ms), _) => Line::pass("backup", format!("the newest is of {}", when(Some(ms)))),
        (None, Some(file)) => Line::pass("backup", format!("the newest is `{}`", file.display())),
        (None, None) => Line::warn("backup", "there is none", fix),
    }
}

fn clock(newest_ms: Option<i64>, scene: &Scene<'_>) -> Line {
    let now = scene.now;
    match newest_ms {
        ms if scene.is_world => {
            Line::pass("clock", format!("a demo's journal keeps its world's time; the newest entry is of {}", when(ms)))
        }
        Some(ms) if ms > now.as_millisecond() + CLOCK_AHEAD_MS => Line::fail(
            "clock",
            format!("the newest entry is of {}, the clock says {now:.0}", when(Some(ms))),
            "set the clock right (`timedatectl set-ntp true`); due times are compared with it",
        ),
        ms => Line::pass("clock", format!("{now:.0}; the newest entry is of {}", when(ms))),
    }
}
