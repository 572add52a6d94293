//! A disk that fills up, really: on a file system of a few megabytes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::journal::sqlite::Room;
use crate::run::entry::{Body, StepResult, Work};

const MIB: u64 = 1 << 20;
/// Set in the process that may mount.
const MAY_MOUNT: &str = "DESKHAND_TEST_MAY_MOUNT";

/// Runs a test again in a process that may mount a file system of its own; there it goes on. `None`: this is not it, or the
/// system does not allow it.
fn small_disk(test: &str, megabytes: u32) -> Option<TempDir> {
    if std::env::var_os(MAY_MOUNT).is_none() {
        if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|done| done.success()) {
            assert!(
                std::env::var_os("DESKHAND_TEST_NO_SKIP").is_none(),
                "mounting is needed here, and may not be left out"
            );
            eprintln!("skipped: this user may not mount (`unshare -rm true` fails)");
            return None;
        }
        let name = format!("journal::sqlite::tests::room::{test}");
        let done = Command::new("unshare")
            .arg("-rm")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &name])
            .env(MAY_MOUNT, "1")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let size = format!("size={megabytes}m");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status().unwrap();
    assert!(mounted.success());
    Some(folder)
}

/// Takes up room until so much is left; nothing to take: until nothing is left.
fn fill(folder: &Path, name: &str, leave: u64) {
    let mut file = File::create(folder.join(name)).unwrap();
    while super::super::space::free_bytes(folder).unwrap() > leave {
        if file.write_all(&[7; 4096]).is_err() {
            return;
        }
    }
}

fn started(step: u32) -> Entry {
    Entry { at_ms: MONDAY_MS, body: Body::StepStarted { step: StepNo(step), work: Work::ReadFacts } }
}

/// The end of a step with a long answer.
fn finished(step: u32, bytes: usize) -> Entry {
    let result = StepResult::Tool {
        output: "x".repeat(bytes).into(),
        is_error: false,
        effect: None,
        reference: None,
        stamp: None,
    };
    Entry { at_ms: MONDAY_MS, body: Body::StepFinished { step: StepNo(step), result, took_ms: 1 } }
}

fn hint_of<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Storage { doing: "written", hint, .. }) => hint.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_starts_what_was_started_ends_and_room_is_noticed() {
    let Some(folder) = small_disk("on_a_full_disk_nothing_starts_what_was_started_ends_and_room_is_noticed", 6) else {
        return;
    };
    let room = Room { reserve_bytes: MIB, free_bytes_min: MIB, ..Room::default() };
    let data = folder.path().join("data");
    let journal = SqliteJournal::open_with(&data, room).unwrap();
    journal.admit(vec![opening(1, Some(0)), opening(2, Some(0))], None).await.unwrap();
    let lease = claim(&journal, 0).await.unwrap();
    journal.append(&lease, 1, vec![started(1)], rows(1, Some(0))).await.unwrap();
    assert_eq!(journal.health().trouble, None);

    // Little room: nothing starts, what was started ends.
    fill(folder.path(), "filler", MIB / 2);
    let cursor = Cursor { lane: "list".to_owned(), position: "a".to_owned() };
    let full = "free space on the disk";
    assert!(hint_of(journal.admit(vec![opening(3, Some(0))], Some(cursor)).await).starts_with(full));
    assert!(hint_of(journal.claim("worker", 0, TTL).await).starts_with(full));
    let both = vec![finished(1, 10), started(2)];
    assert!(hint_of(journal.append(&lease, 2, both, rows(1, Some(0))).await).starts_with(full));
    assert_eq!(journal.cursor("list").await.unwrap(), None, "intake does not move past what is not on disk");
    let trouble = journal.health().trouble.unwrap();
    assert!(!trouble.writes_fail && trouble.reason.contains("are free on its disk"), "{trouble:?}");
    journal.append(&lease, 2, vec![finished(1, 10)], rows(1, Some(0))).await.unwrap();

    // No room at all: the reserve is for the ends.
    fill(folder.path(), "filler 2", 0);
    journal.interject(&run_id(1), 3, vec![finished(1, 200_000)], rows(1, Some(0))).await.unwrap();
    assert_eq!(len(&journal, 1).await, 4);
    assert!(!data.join("deskhand.reserve").exists());

    // The reserve is spent as well: nothing is written, nothing is half written.
    fill(folder.path(), "filler 3", 0);
    let refused = loop {
        let before = len(&journal, 1).await;
        match journal.interject(&run_id(1), before as u64, vec![finished(1, 300_000)], rows(1, Some(0))).await {
            Ok(()) => fill(folder.path(), "filler 4", 0),
            refused => {
                assert_eq!(len(&journal, 1).await, before);
                break refused;
            }
        }
    };
    assert!(hint_of(refused).starts_with(full));
    let health = journal.health();
    assert!(health.trouble.is_some_and(|trouble| trouble.writes_fail), "{:?}", journal.health());
    assert!(health.free_bytes.unwrap() < MIB / 2 && health.wal_bytes > 0);

    // Room again: it goes on by itself, and rings.
    let mut bell = journal.bell();
    for name in ["filler", "filler 2", "filler 3", "filler 4"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    while journal.health().trouble.is_some() {
        bell.changed().await.unwrap();
    }
    assert!(data.join("deskhand.reserve").exists());
    journal.admit(vec![opening(3, Some(0))], None).await.unwrap();
    let kept = len(&journal, 1).await;
    journal.close().await;
    let journal = SqliteJournal::open_with(&data, room).unwrap();
    assert_eq!(journal.first_damage().await.unwrap(), None);
    assert_eq!((len(&journal, 1).await, len(&journal, 3).await), (kept, 1));
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_at_the_start_says_so() {
    let Some(folder) = small_disk("a_disk_that_is_full_or_read_only_at_the_start_says_so", 2) else { return };
    let room = Room { reserve_bytes: MIB / 4, free_bytes_min: MIB / 4, ..Room::default() };
    let data = folder.path().join("data");
    fill(folder.path(), "filler", 0);
    let refused = SqliteJournal::open_with(&data, room).err().unwrap();
    assert!(refused.to_string().contains("free space on the disk"), "{refused}");
    std::fs::remove_file(folder.path().join("filler")).unwrap();
    let journal = SqliteJournal::open_with(&data, room).unwrap();
    admit_one(&journal, 1, Some(0)).await;
    journal.close().await;
    drop(journal);

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(folder.path()).status().unwrap();
    assert!(remounted.success());
    let refused = SqliteJournal::open_with(&data, room).err().unwrap();
    assert!(refused.to_string().contains("hint: the data folder or its disk is read-only"), "{refused}");
}

#[tokio::test]
async fn a_log_that_cannot_be_copied_does_not_grow_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room { reserve_bytes: 0, free_bytes_min: 0, wal_bytes_max: MIB };
    let journal = SqliteJournal::open_with(folder.path(), room).unwrap();
    admit_one(&journal, 1, Some(0)).await;
    // Somebody reads and never ends: the log cannot start over.
    let reader = rusqlite::Connection::open(folder.path().join("deskhand.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM runs;").unwrap();
    let mut seq = 1;
    while journal.health().wal_bytes <= MIB {
        journal.interject(&run_id(1), seq, vec![finished(1, 100_000)], rows(1, Some(0))).await.unwrap();
        seq += 1;
    }
    let hint = hint_of(journal.admit(vec![opening(2, Some(0))], None).await);
    assert!(hint.contains("keeps the file open"), "{hint}");
    journal.interject(&run_id(1), seq, vec![finished(1, 10)], rows(1, Some(0))).await.unwrap();
    let mut bell = journal.bell();
    drop(reader);
    while journal.health().trouble.is_some() {
        bell.changed().await.unwrap();
    }
    journal.admit(vec![opening(2, Some(0))], None).await.unwrap();
}
