//! The file: who may open it, what is in it after a crash, how few commits it takes, what happens when it cannot be written.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::Connection;

use super::*;

/// What is on disk at this moment, in a folder of its own: what a process finds that starts after a crash now.
fn after_crash(folder: &Path) -> (TempDir, SqliteJournal) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["deskhand.db", "deskhand.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let journal = SqliteJournal::open(copy.path()).unwrap();
    (copy, journal)
}

#[tokio::test]
async fn what_was_answered_ok_survives_a_crash() {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let lease = claim(&journal, 0).await.unwrap();
    for n in 1..=20 {
        journal.append(&lease, u64::from(n), vec![note(n)], rows(1, Some(0))).await.unwrap();
        if n % 5 == 0 {
            let (_copy, found) = after_crash(folder.path());
            assert_eq!(found.entries(&run_id(1)).await.unwrap(), journal.entries(&run_id(1)).await.unwrap());
            // The process that died held a lease. Its runs go on at once, under a token that outdates its own.
            assert_eq!(claim(&found, 1).await.map(|lease| lease.token), Some(2));
        }
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (folder, journal) = store();
    let second = SqliteJournal::open(folder.path());
    assert!(matches!(&second, Err(Error::InUse { path }) if path == &folder.path().display().to_string()));
    admit_one(&journal, 1, Some(0)).await;
    journal.close().await;
    assert!(!folder.path().join("deskhand.db-wal").exists(), "closed in good order");
    let third = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(len(&third, 1).await, 1);
}

#[tokio::test]
async fn a_command_can_work_beside_the_process_that_has_the_folder() {
    let (folder, journal) = store();
    assert!(SqliteJournal::open_beside(folder.path().join("nowhere")).is_err());
    admit_one(&journal, 1, Some(0)).await;
    let lease = claim(&journal, 0).await.unwrap();
    let beside = SqliteJournal::open_beside(folder.path()).unwrap();
    assert_eq!(len(&beside, 1).await, 1);
    beside.set_switch("paused", "by command", "command line", MONDAY_MS).await.unwrap();
    assert_eq!(journal.switch("paused").await.unwrap().as_deref(), Some("by command"));
    journal.append(&lease, 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
    let moved = beside.interject(&run_id(1), 1, vec![note(2)], rows(1, Some(0))).await;
    assert!(matches!(moved, Err(Error::Moved { found: 2, .. })));
    beside.interject(&run_id(1), 2, vec![note(2)], rows(1, Some(0))).await.unwrap();
    beside.close().await;
    assert_eq!(len(&journal, 1).await, 3);
    assert!(SqliteJournal::open(folder.path()).is_err(), "the folder is still the first one's");
}

#[tokio::test]
async fn a_closed_journal_says_so() {
    let (_folder, journal) = store();
    journal.close().await;
    journal.close().await;
    assert!(matches!(journal.admit(vec![opening(1, None)], None).await, Err(Error::Closed)));
    assert!(matches!(journal.cursor("list").await, Err(Error::Closed)));
}

#[test]
fn a_new_folder_is_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/data");
    drop(SqliteJournal::open(&folder).unwrap());
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_cannot_be_used_says_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("data");
    std::fs::write(&file, "not a folder").unwrap();
    let refused = SqliteJournal::open(&file).err().unwrap();
    assert!(refused.to_string().contains("\nhint: check that the data folder exists"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("deskhand.db"),
        "no database at all, but long enough to have a header ".repeat(40),
    )
    .unwrap();
    let refused = SqliteJournal::open(folder.path()).err().unwrap();
    assert!(refused.to_string().contains("restore the newest backup"), "{refused}");
}

#[tokio::test]
async fn damage_is_found_after_a_crash() {
    let (folder, journal) = store();
    for ticket in 1..=200 {
        admit_one(&journal, ticket, Some(0)).await;
    }
    assert_eq!(journal.first_damage().await.unwrap(), None);
    journal.close().await;
    let database = folder.path().join("deskhand.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let (page, from) = (4096, bytes.len() / 4096 / 2 * 4096);
    bytes[from..from + page].fill(0x5a);
    std::fs::write(&database, bytes).unwrap();
    // Closed in good order, it is not read through; left open by a crash, it is.
    std::fs::write(folder.path().join("deskhand.db-wal"), [0; 64]).unwrap();
    let refused = SqliteJournal::open(folder.path()).err().unwrap();
    assert!(refused.to_string().contains("restore the newest backup"), "{refused}");
}

#[tokio::test]
async fn appends_at_once_share_a_commit() {
    let (_folder, journal) = store();
    let tickets = 1..=50;
    journal.admit(tickets.clone().map(|ticket| opening(ticket, Some(0))).collect(), None).await.unwrap();
    let mut leases = Vec::new();
    while let Some(lease) = claim(&journal, 0).await {
        leases.push(lease);
    }
    let before = journal.stats();
    for lease in &leases[..10] {
        journal.append(lease, 1, vec![note(1)], rows(lease_ticket(lease), Some(0))).await.unwrap();
    }
    let alone = journal.stats();
    assert_eq!((alone.jobs - before.jobs, alone.commits - before.commits), (10, 10));

    // The thread is kept busy until all fifty wait.
    let (open, gate) = mpsc::channel::<()>();
    let busy = journal.write(move |_| {
        gate.recv().unwrap();
        Ok(())
    });
    let appends = join_all(leases.iter().enumerate().map(|(n, lease)| {
        let expected = if n < 10 { 2 } else { 1 };
        journal.append(lease, expected, vec![note(2)], rows(lease_ticket(lease), Some(0)))
    }));
    let (busy, appends, ()) = tokio::join!(busy, appends, async move { open.send(()).unwrap() });
    busy.unwrap();
    assert!(appends.iter().all(Result::is_ok));
    let together = journal.stats();
    assert_eq!(together.jobs - alone.jobs, 51);
    assert!(together.commits - alone.commits <= 2, "{together:?}");
    assert!(together.wal_bytes > alone.wal_bytes && together.fsyncs >= together.commits);
}

#[tokio::test]
async fn giving_back_what_went_with_the_last_lines_is_no_commit() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let lease = claim(&journal, 0).await.unwrap();
    journal.append(&lease, 1, vec![note(1)], rows(1, None)).await.unwrap();
    let before = journal.stats();
    journal.release(lease).await.unwrap();
    assert_eq!(journal.stats(), before);
}

fn lease_ticket(lease: &Lease) -> i64 {
    lease.run.as_str().split('_').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_job_that_fails_or_panics_harms_no_other() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let before = journal.stats();
    let (open, gate) = mpsc::channel::<()>();
    let busy = journal.write(move |_| {
        gate.recv().unwrap();
        Ok(())
    });
    let panics = journal.write(|connection| {
        connection.execute("INSERT INTO cursors VALUES ('half', 'done')", [])?;
        assert!(connection.is_autocommit(), "a planted panic");
        Ok(())
    });
    let run = run_id(1);
    let (busy, one, panicked, moved, two, ()) = tokio::join!(
        busy,
        journal.interject(&run, 1, vec![note(1)], rows(1, Some(0))),
        panics,
        journal.interject(&run, 1, vec![note(2)], rows(1, Some(0))),
        journal.interject(&run, 2, vec![note(3)], rows(1, Some(0))),
        async move { open.send(()).unwrap() },
    );
    busy.unwrap();
    one.unwrap();
    two.unwrap();
    assert!(matches!(panicked, Err(Error::Storage { .. })), "{panicked:?}");
    assert!(matches!(moved, Err(Error::Moved { expected: 1, found: 2, .. })), "{moved:?}");
    assert_eq!(journal.stats().commits - before.commits, 1);
    assert_eq!(journal.cursor("half").await.unwrap(), None);
    assert_eq!(journal.entries(&run_id(1)).await.unwrap()[1..], [note(1), note(3)]);
}

#[tokio::test]
async fn a_commit_that_fails_writes_nothing_of_its_group() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let (open, gate) = mpsc::channel::<()>();
    let busy = journal.write(move |_| {
        gate.recv().unwrap();
        Ok(())
    });
    let breaks = journal.write(|connection| {
        connection.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        connection.execute("INSERT INTO tools VALUES (1, 777, 1, 1, 'x', 0, 1, 1)", [])?;
        Ok(())
    });
    let run = run_id(1);
    let (busy, append, breaks, ()) =
        tokio::join!(busy, journal.interject(&run, 1, vec![note(1)], rows(1, Some(0))), breaks, async move {
            open.send(()).unwrap()
        },);
    for result in [busy, append, breaks] {
        assert!(matches!(result, Err(Error::Storage { doing: "written", .. })), "{result:?}");
    }
    assert_eq!(len(&journal, 1).await, 1);
    journal.interject(&run_id(1), 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
    assert_eq!(len(&journal, 1).await, 2);
}

#[tokio::test]
async fn a_full_disk_stops_writes_until_there_is_space() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let limit = |pages: u64| {
        journal.write(move |connection| {
            Ok(connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u64>(0))?)
        })
    };
    limit(1).await.unwrap(); // SQLite makes it what the file has.
    let much: Vec<Entry> = (1..3_000).map(note).collect();
    let cursor = Cursor { lane: "list".to_owned(), position: "a".to_owned() };
    let projection = Box::new(rows(2, Some(0)));
    let full = journal
        .admit(vec![Arrival::Open { entries: much.clone(), projection: projection.clone() }], Some(cursor))
        .await;
    let Err(Error::Storage { hint, .. }) = &full else { panic!("{full:?}") };
    assert!(hint.starts_with("free space"), "{hint}");
    assert!(matches!(journal.entries(&run_id(2)).await, Err(Error::NoSuchRun(_))));
    assert_eq!(journal.cursor("list").await.unwrap(), None);

    limit(1_000_000).await.unwrap();
    journal.admit(vec![Arrival::Open { entries: much, projection }], None).await.unwrap();
    assert_eq!(len(&journal, 2).await, 2_999);
}

#[tokio::test]
async fn entries_and_audit_are_append_only() {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    journal.set_switch("paused", "on", "ada@example.com", MONDAY_MS).await.unwrap();
    let outside = outside(folder.path());
    for sql in [
        "UPDATE entries SET body = '{}'",
        "DELETE FROM entries",
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit WHERE line = 1",
    ] {
        let refused = outside.execute(sql, []).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_named() {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    outside(folder.path())
        .execute("INSERT INTO entries (run, seq, at_ms, kind, body) VALUES (1, 2, 0, 'x', '{\"entry\":\"later\"}')", [])
        .unwrap();
    let refused = journal.entries(&run_id(1)).await;
    assert!(matches!(&refused, Err(Error::Corrupt(what)) if what.contains("entry 2 of `run_1_10`")), "{refused:?}");
}

/// How SQLite means to answer a query.
pub(super) fn plan(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = statement.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
}

#[tokio::test]
async fn ten_thousand_waiting_runs_are_in_nobodys_way() {
    let (folder, journal) = store();
    journal.admit((1..=10_000).map(|ticket| opening(ticket, None)).collect(), None).await.unwrap();
    admit_one(&journal, 20_000, Some(50)).await;
    let outside = outside(folder.path());
    let plan = plan(&outside, super::super::write::CLAIM_SQL, [100]);
    assert!(plan.contains("runs_claimable (claimable_ms>? AND claimable_ms<?)"), "{plan}");
    assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    // The index holds the runs that have a time, and no other.
    let size: i64 =
        outside.query_row("SELECT count(*) FROM runs WHERE claimable_ms IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(size, 1);
    assert_eq!(claim(&journal, 100).await.map(|lease| lease.run), Some(run_id(20_000)));
    assert_eq!(claim(&journal, 100).await, None);
}

#[tokio::test]
async fn a_database_with_rows_is_migrated_and_a_newer_one_refused() {
    let (folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    journal.close().await;

    let mut later = Connection::open(folder.path().join("deskhand.db")).unwrap();
    let mut migrations = super::super::schema::embedded::migrations::runner().get_migrations().clone();
    let next = "ALTER TABLE runs ADD COLUMN extra TEXT; UPDATE runs SET extra = subject;";
    migrations.push(refinery::Migration::unapplied("V99__next", next).unwrap());
    refinery::Runner::new(&migrations).run(&mut later).unwrap();
    let extra: String = later.query_row("SELECT extra FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(extra, "Refund for order 1");
    drop(later);

    let refused = SqliteJournal::open(folder.path()).err().unwrap();
    assert!(matches!(refused, Error::NewerSchema { found: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("hint: use the version that wrote it"), "{refused}");
}
