//! Backups made, put back and looked over, on journals of real runs.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::check::{Line, Verdict};
use super::*;
use crate::clock::Clock;
use crate::journal::accounts::Accounts;
use crate::journal::sqlite::SqliteJournal;
use crate::journal::tests::{MONDAY_MS, admit_one, claim, database, note, opening, rows, run_id};
use crate::journal::{Error, Journal};
use crate::run::entry::{Body, Entry, Outcome};

fn clock() -> Clock {
    Clock::manual(Timestamp::from_millisecond(MONDAY_MS + 60_000).unwrap())
}

fn store() -> (TempDir, SqliteJournal) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    (folder, journal)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_backup_is_made_beside_the_process_and_holds_one_state() {
    let (folder, journal) = store();
    for ticket in 1..=30 {
        admit_one(&journal, ticket, Some(0)).await;
    }
    let clock = clock();
    let made = backup::run(folder.path(), None, None, &clock).await.unwrap();
    assert_eq!(made.file, folder.path().join("backups/deskhand-20261116T000100Z.db"));
    assert_eq!((made.holds.entries, made.holds.runs, made.holds.open), (30, 30, 30));
    assert_eq!(made.holds.newest_ms, Some(MONDAY_MS));
    assert_eq!((mode(&made.file), mode(&folder.path().join("backups"))), (0o600, 0o700));
    assert!(made.text().contains("holds     30 entries of 30 runs (30 not ended"), "{}", made.text());
    // Nothing but the copy is left in its folder.
    let names: Vec<_> = std::fs::read_dir(folder.path().join("backups")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    // The same second again: the first one is not written over, and the order is known.
    let second = backup::run(folder.path(), None, None, &clock).await.unwrap().file;
    assert_eq!(second, folder.path().join("backups/deskhand-20261116T000100Z-2.db"));
    assert_eq!(backup::list(&folder.path().join("backups")).unwrap(), [made.file.clone(), second]);
    let named = backup::run(folder.path(), Some(&made.file), None, &clock).await;
    assert!(matches!(named, Err(backup::Error::Exists(_))));

    // The journal goes on, and the copy stands for itself.
    admit_one(&journal, 31, Some(0)).await;
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(&made.file, alone.path().join("deskhand.db")).unwrap();
    let copy = SqliteJournal::open(alone.path()).unwrap();
    assert_eq!(copy.entries(&run_id(30)).await.unwrap(), journal.entries(&run_id(30)).await.unwrap());
    assert!(copy.entries(&run_id(31)).await.is_err());

    // Old ones go, what is not ours stays.
    std::fs::write(folder.path().join("backups/mine.db"), "x").unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        backup::run(folder.path(), None, Some(2), &clock).await.unwrap();
    }
    assert_eq!(backup::list(&folder.path().join("backups")).unwrap().len(), 2);
    assert!(folder.path().join("backups/mine.db").exists());
}

#[tokio::test]
async fn a_backup_under_load_is_whole() {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let journal = std::sync::Arc::new(journal);
    let writing = tokio::spawn({
        let journal = journal.clone();
        async move {
            for n in 1..400 {
                journal.interject(&run_id(1), u64::from(n), vec![note(n)], rows(1, Some(0))).await.unwrap();
            }
        }
    });
    let clock = clock();
    let mut seen = 0;
    while !writing.is_finished() {
        clock.advance(Duration::from_secs(1));
        let made = backup::run(folder.path(), None, Some(2), &clock).await.unwrap();
        assert!(made.holds.entries >= seen);
        seen = made.holds.entries;
    }
    writing.await.unwrap();
}

/// A journal with a backup of an earlier moment: run 1 went on, run 2 is new, somebody signed in.
async fn went_on() -> (TempDir, std::path::PathBuf) {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    admit_one(&journal, 3, Some(0)).await;
    let backup = folder.path().join("old.db");
    backup::run(folder.path(), Some(&backup), None, &clock()).await.unwrap();
    let lease = claim(&journal, 0).await.unwrap();
    journal.append(&lease, 1, vec![note(1), note(2)], rows(1, Some(0))).await.unwrap();
    admit_one(&journal, 2, Some(0)).await;
    journal.close().await;
    (folder, backup)
}

#[tokio::test]
async fn a_restore_says_what_is_lost_pauses_and_remembers_what_it_forgot() {
    let (folder, backup) = went_on().await;
    let data = folder.path();
    let dry = restore::run(&backup, data, true, &clock()).await.unwrap();
    let lost = dry.put_back.lost.clone().unwrap().unwrap();
    assert_eq!((lost.entries, lost.runs, lost.went_on), (3, 1, 1));
    assert_eq!(lost.named, [run_id(2).to_string(), run_id(1).to_string()]);
    assert!(dry.text().contains("nothing was changed"), "{}", dry.text());
    let untouched = SqliteJournal::open(data).unwrap();
    assert_eq!(untouched.entries(&run_id(1)).await.unwrap().len(), 3);
    // Beside a process it can be said what would be lost.
    let beside = restore::run(&backup, data, true, &clock()).await.unwrap();
    assert_eq!(beside.put_back.lost.clone().unwrap().unwrap(), lost);
    assert!(beside.text().contains("a process uses the folder: stop it"), "{}", beside.text());
    // Not while a process has the folder.
    assert!(matches!(restore::run(&backup, data, false, &clock()).await, Err(Error::InUse { .. })));
    untouched.close().await;
    drop(untouched);

    let done = restore::run(&backup, data, false, &clock()).await.unwrap();
    assert!(done.text().contains("paused    "), "{}", done.text());
    let replaced = done.put_back.replaced.unwrap();
    let journal = SqliteJournal::open(data).unwrap();
    assert_eq!(journal.entries(&run_id(1)).await.unwrap().len(), 1);
    let why = journal.switch("paused").await.unwrap().unwrap();
    assert!(why.contains("Restored from old.db") && why.contains("is not known here"), "{why}");
    assert_eq!(journal.verify_audit().await.unwrap(), None);

    // Runs whose customer had written by then must look before they act; later ones need not. The customer's time is the
    // helpdesk's, which may be ahead of ours.
    let claimed = journal.claim("worker", MONDAY_MS, Duration::from_secs(1)).await.unwrap().unwrap();
    assert_eq!(claimed.forgot_since_ms, Some(MONDAY_MS));
    journal.claim("worker", MONDAY_MS, Duration::from_secs(1)).await.unwrap().unwrap();
    let mut ahead = rows(5, Some(0));
    ahead.row.asked_ms = MONDAY_MS + 60_000 + 2 * 3_600_000;
    let entries = vec![crate::journal::tests::opened(&run_id(5), 5)];
    journal.admit(vec![crate::journal::Arrival::Open { entries, projection: Box::new(ahead) }], None).await.unwrap();
    let claimed = journal.claim("worker", MONDAY_MS, Duration::from_secs(1)).await.unwrap().unwrap();
    assert_eq!((claimed.lease.run, claimed.forgot_since_ms), (run_id(5), Some(MONDAY_MS)));
    let mut later = rows(4, Some(0));
    later.row.asked_ms = MONDAY_MS + 60_000 + 4 * 3_600_000;
    let entries = vec![crate::journal::tests::opened(&run_id(4), 4)];
    journal.admit(vec![crate::journal::Arrival::Open { entries, projection: Box::new(later) }], None).await.unwrap();
    let claimed = journal.claim("worker", MONDAY_MS, Duration::from_secs(1)).await.unwrap().unwrap();
    assert_eq!((claimed.lease.run, claimed.forgot_since_ms), (run_id(4), None));
    journal.close().await;
    drop(journal);

    // What was replaced is whole, and can be put back in its turn.
    let back = restore::run(&replaced, data, false, &clock()).await.unwrap();
    assert_eq!(back.put_back.holds.entries, 5);
}

#[tokio::test]
async fn a_restore_of_what_is_no_backup_changes_nothing() {
    let (folder, backup) = went_on().await;
    let data = folder.path();
    let whole = std::fs::read(&backup).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2 / 1024 * 1024;
    torn[middle..middle + 2048].fill(0x77);
    let made = |sql: &str| {
        let file = data.join("made.db");
        let _ = std::fs::remove_file(&file);
        database(&file).execute_batch(sql).unwrap();
        std::fs::read(&file).unwrap()
    };
    let newer = {
        std::fs::copy(&backup, data.join("newer.db")).unwrap();
        let newer = database(&data.join("newer.db"));
        newer.execute("INSERT INTO refinery_schema_history VALUES (99, 'later', '', '1')", []).unwrap();
        drop(newer);
        std::fs::read(data.join("newer.db")).unwrap()
    };
    let log = [0x37_u8, 0x7f, 0x06, 0x82].repeat(30);
    for (bytes, said) in [
        (torn, "hint: this backup is damaged, and nothing was changed"),
        (whole[..whole.len() / 2].to_vec(), "hint: this backup is damaged, and nothing was changed"),
        (
            b"not a database, though it is long enough to look like one".repeat(30),
            "is no SQLite database\nhint: give a file",
        ),
        (Vec::new(), "is empty\nhint: give a file"),
        (log, "is a write-ahead log, which holds only the newest changes\nhint: give the database"),
        (b"\x1f\x8b\x08\0packed".to_vec(), "is compressed\nhint: unpack it first"),
        (
            made("CREATE TABLE songs (name)"),
            "is a database of another program\nhint: give a file that `deskhand backup` made",
        ),
        (made("PRAGMA application_id = 7; CREATE TABLE t (a)"), "another program\nhint: give a file"),
        (newer, "has schema 99, this version knows"),
    ] {
        let file = data.join("bad.db");
        std::fs::write(&file, bytes).unwrap();
        for dry in [true, false] {
            let refused = restore::run(&file, data, dry, &clock()).await.unwrap_err().to_string();
            assert!(refused.contains(said), "{said}: {refused}");
            assert!(refused.contains("bad.db") && !refused.contains(".restoring"), "{refused}");
        }
        // What was made for it goes again.
        let new = data.join("new");
        restore::run(&file, &new, false, &clock()).await.unwrap_err();
        assert!(!new.exists(), "{said}");
    }
    let refused = |file: std::path::PathBuf| async move {
        restore::run(&file, data, false, &clock()).await.unwrap_err().to_string()
    };
    let said = refused(data.join("nowhere.db")).await;
    assert!(said.contains("there is no file"), "{said}");
    let said = refused(data.to_owned()).await;
    assert!(said.contains("is a folder\nhint: give the database in it, `deskhand.db`"), "{said}");
    let journal = SqliteJournal::open(data).unwrap();
    assert_eq!(journal.entries(&run_id(1)).await.unwrap().len(), 3);
    assert!(!data.join("deskhand.db.restoring").exists());
}

#[tokio::test]
async fn a_journal_that_ends_too_early_is_taken_as_it_is_by_restoring_itself() {
    let (folder, _) = went_on().await;
    let data = folder.path();
    let mark = std::fs::read(data.join("deskhand.mark")).unwrap();
    std::fs::copy(data.join("old.db"), data.join("deskhand.db")).unwrap();
    let refused = SqliteJournal::open(data).err().unwrap().to_string();
    assert!(refused.contains("3 entries and 1 audit lines that were acknowledged are missing"), "{refused}");
    assert_eq!(std::fs::read(data.join("deskhand.mark")).unwrap(), mark);
    let failed = check::data(data, clock().now());
    assert_eq!(verdict(&failed, "acknowledged"), Verdict::Fail);
    restore::run(&data.join("deskhand.db"), data, false, &clock()).await.unwrap();
    let journal = SqliteJournal::open(data).unwrap();
    assert!(journal.switch("paused").await.unwrap().is_some());
}

fn verdict(lines: &[Line], what: &str) -> Verdict {
    lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("no line `{what}` in {lines:?}")).verdict
}

/// A run that folds and whose rows say what its entries say.
async fn whole_run(journal: &SqliteJournal, ticket: i64, ended: bool) {
    let crate::journal::Arrival::Open { mut entries, .. } = opening(ticket, None) else { unreachable!() };
    if ended {
        let outcome = Outcome::Skipped { reason: "spam".to_owned() };
        entries.push(Entry { at_ms: MONDAY_MS, body: Body::RunClosed { outcome } });
    }
    let (_, entries, projection) = crate::run::draft::Draft::open(entries).unwrap().take();
    let open = crate::journal::Arrival::Open { entries, projection: Box::new(projection) };
    journal.admit(vec![open], None).await.unwrap();
}

#[tokio::test]
async fn the_check_passes_a_folder_in_order_and_names_what_is_not() {
    let (folder, journal) = store();
    whole_run(&journal, 1, false).await;
    whole_run(&journal, 2, true).await;
    let clock = clock();
    backup::run(folder.path(), None, None, &clock).await.unwrap();
    let look = || check::data(folder.path(), clock.now());
    let lines = look();
    let off: Vec<&Line> = lines.iter().filter(|line| line.verdict != Verdict::Pass && line.what != "disk").collect();
    assert!(off.is_empty(), "{off:?}");
    let report = check::Report { lines };
    assert!(report.text().contains("pass  integrity"), "{}", report.text());
    assert!(report.json()["checks"].as_array().unwrap().len() >= 12);

    // An entry that cannot follow, a row that says something else, a run that nothing moves, a clock that fell back.
    let outside = crate::journal::tests::outside(folder.path());
    for (sql, what) in [
        (
            "INSERT INTO entries (run, seq, at_ms, kind, body) VALUES (2, 3, 0, 'reminded', '{\"entry\":\"reminded\",\"step\":1}')",
            "runs",
        ),
        ("UPDATE runs SET claimable_ms = NULL, wake_ms = NULL WHERE no = 1", "stuck"),
        ("UPDATE runs SET cost_micros = 7 WHERE no = 1", "runs"),
        ("DROP INDEX runs_outcome", "schema"),
        ("INSERT INTO audit VALUES (99, 1, 'x', 'x', 'x', 'x', 'x')", "audit"),
        (
            "INSERT INTO approvals VALUES ('apr_1_10_1', 1, 1, 'done', 'r', 'w', '{}', NULL, NULL, 'c', 's', 1, 1, NULL, NULL,
                 NULL, NULL)",
            "runs",
        ),
    ] {
        outside.execute_batch("SAVEPOINT planted").unwrap();
        outside.execute_batch(sql).unwrap();
        // It is looked at from outside: it must be there for others.
        outside.execute_batch("RELEASE planted").unwrap();
        assert_eq!(verdict(&look(), what), Verdict::Fail, "{sql}");
    }
    clock.advance(Duration::from_secs(3 * 86_400));
    assert_eq!(verdict(&look(), "backup"), Verdict::Warn);
    let earlier = Timestamp::from_millisecond(MONDAY_MS - 3_600_000).unwrap();
    assert_eq!(verdict(&check::data(folder.path(), earlier), "clock"), Verdict::Fail);
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(verdict(&look(), "folder"), Verdict::Warn);
    assert_eq!(verdict(&check::data(Path::new("/nowhere/at/all"), clock.now()), "folder"), Verdict::Fail);
}

#[tokio::test]
async fn a_dry_restore_and_a_backup_of_nothing_leave_nothing_behind() {
    let (folder, backup) = went_on().await;
    let (nowhere, empty) = (folder.path().join("new/data"), tempfile::tempdir().unwrap());
    let dry = restore::run(&backup, &nowhere, true, &clock()).await.unwrap();
    assert_eq!((dry.put_back.holds.entries, dry.put_back.lost.is_none()), (2, true));
    assert!(!nowhere.parent().unwrap().exists());
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let dry = restore::run(&backup, folder.path(), true, &clock()).await.unwrap();
    assert_eq!(dry.put_back.lost.unwrap().unwrap().entries, 3);
    assert_eq!(names(), before);

    for (data, said) in [(nowhere.as_path(), "there is no folder"), (empty.path(), "there is no journal in")] {
        let refused = backup::run(data, None, None, &clock()).await.unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains("hint: check `data_dir` or --data"), "{refused}");
    }
    assert!(!nowhere.parent().unwrap().exists());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

/// A byte inside an entry is another one: the page reads well, the sum does not fit.
#[tokio::test]
async fn a_changed_byte_or_a_missing_entry_is_no_backup_and_is_not_put_back() {
    for (sql, said) in [
        ("UPDATE entries SET body = replace(body, 'run_opened', 'run_0pened') WHERE run = 2", "entry 1 of `run_3_30`"),
        ("DELETE FROM entries WHERE run = 1 AND seq = 2", "`run_1_10` has 2 entries and its row says 3"),
    ] {
        let (folder, good) = went_on().await;
        let data = folder.path();
        let outside = crate::journal::tests::outside(data);
        // What keeps entries from being changed stands in the way of this as well.
        let triggers: Vec<String> = outside
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'entries'")
            .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
            .unwrap();
        for trigger in triggers {
            outside.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        assert_eq!(outside.execute(sql, []).unwrap(), 1);
        outside.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(outside);

        let to = data.join("copy.db");
        let refused = backup::run(data, Some(&to), None, &clock()).await.unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains("no copy was kept"), "{refused}");
        assert!(!to.exists() && !data.join("copy.db.part").exists());
        let bad = data.join("bad.db");
        std::fs::copy(data.join("deskhand.db"), &bad).unwrap();
        for dry in [true, false] {
            let refused = restore::run(&bad, data, dry, &clock()).await.unwrap_err().to_string();
            assert!(refused.contains(said) && refused.contains("this backup is damaged"), "{refused}");
        }
        restore::run(&good, data, false, &clock()).await.unwrap();
    }
}

/// What holds the runs is said once, with what lets them go on; they are not stuck.
#[tokio::test]
async fn the_check_shows_every_brake_and_calls_no_run_stuck_that_one_holds() {
    use crate::journal::brake::{self, Brake};
    let (folder, journal) = store();
    whole_run(&journal, 1, false).await;
    whole_run(&journal, 2, false).await;
    let later = Timestamp::from_millisecond(MONDAY_MS + 9_000 * 60_000).unwrap();
    let look = || check::data(folder.path(), later);
    let line = |lines: &[Line], what: &str| lines.iter().find(|line| line.what == what).unwrap().clone();
    assert_eq!(verdict(&look(), "stuck"), Verdict::Fail);

    brake::pull(&journal, Brake::Draining, "before the move", "ada@team.example", MONDAY_MS).await.unwrap();
    assert_eq!(verdict(&look(), "stuck"), Verdict::Fail, "open runs go on under it");
    brake::pull(&journal, Brake::Stopped, "wrong answers", "command line", MONDAY_MS).await.unwrap();
    let lines = look();
    let stuck = line(&lines, "stuck");
    assert_eq!(stuck.says, "2 open runs are due and wait: the brake `stopped` holds them");
    assert!(stuck.verdict == Verdict::Warn && stuck.fix.contains("deskhand resume"), "{stuck:?}");
    let brakes = [line(&lines, "draining").says, line(&lines, "stopped").says];
    assert_eq!(brakes[0], "before the move (by ada@team.example, since 2026-11-16T00:00:00Z)");
    assert_eq!(brakes[1], "wrong answers (by command line, since 2026-11-16T00:00:00Z)");

    // A run that nothing at all would move is named under a brake too.
    let outside = crate::journal::tests::outside(folder.path());
    outside.execute("UPDATE runs SET claimable_ms = NULL, wake_ms = NULL WHERE no = 1", []).unwrap();
    assert_eq!(verdict(&look(), "stuck"), Verdict::Fail);
}

/// A demo's journal keeps its world's time: the machine's says nothing about it.
#[tokio::test]
async fn a_demos_journal_is_not_compared_with_the_machines_clock() {
    let (folder, journal) = store();
    whole_run(&journal, 1, false).await;
    std::fs::write(folder.path().join(WORLD_LEDGER), "").unwrap();
    for days in [-900, 900] {
        let now = Timestamp::from_millisecond(MONDAY_MS + days * 86_400_000).unwrap();
        let lines = check::data(folder.path(), now);
        assert_eq!((verdict(&lines, "stuck"), verdict(&lines, "clock")), (Verdict::Pass, Verdict::Pass), "{days}");
    }
}

#[tokio::test]
async fn brakes_of_a_folder_without_a_journal_say_so() {
    let empty = tempfile::tempdir().unwrap();
    for folder in [empty.path().to_owned(), empty.path().join("none")] {
        let said = SqliteJournal::open_beside(&folder).err().unwrap().to_string();
        assert!(said.contains("there is no ") && said.contains("hint: check `data_dir` or --data"), "{said}");
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}
