//! A power cut: what was not synchronised is gone, in part or whole, in any order. Every state that one may leave is built from
//! the files as they were at two moments, and opened.
//!
//! What is taken for granted: what a disk has said to be synchronised stays, and a write harms no byte outside of it (SQLite's
//! "powersafe overwrite").

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::*;

/// What a disk writes at once.
const SECTOR: usize = 512;
const PAGE: usize = 1024;
const FRAME: usize = PAGE + 24;
const WAL_HEAD: usize = 32;

/// The files at one moment.
#[derive(Clone, Default)]
struct Files {
    database: Vec<u8>,
    wal: Option<Vec<u8>>,
    mark: Option<Vec<u8>>,
}

impl Files {
    fn of(folder: &Path) -> Self {
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        Self { database: read("deskhand.db").unwrap(), wal: read("deskhand.db-wal"), mark: read("deskhand.mark") }
    }

    fn wal(&self) -> &[u8] {
        self.wal.as_deref().unwrap_or_default()
    }

    /// Puts them into a folder of their own, in memory where there is one: nothing here depends on a real disk.
    fn lay_down(&self) -> TempDir {
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("deskhand.db", &self.database);
        self.wal.as_deref().into_iter().for_each(|bytes| write("deskhand.db-wal", bytes));
        self.mark.as_deref().into_iter().for_each(|bytes| write("deskhand.mark", bytes));
        folder
    }
}

/// Seeded, so that a failure can be seen again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// A journal at work: its files after each acknowledged commit, and how many entries its three runs had then.
async fn history(journal: &SqliteJournal, folder: &Path, commits: u32) -> Vec<(Files, [usize; 3])> {
    journal.admit((1..=3).map(|ticket| opening(ticket, Some(0))).collect(), None).await.unwrap();
    let mut lens = [1; 3];
    let mut states = vec![(Files::of(folder), lens)];
    for n in 0..commits {
        let at = usize::try_from(n % 3).unwrap();
        let ticket = i64::from(n % 3) + 1;
        let lines: Vec<Entry> = (0..=n % 4).map(|k| note(100 * n + k)).collect();
        lens[at] += lines.len();
        let before = (lens[at] - lines.len()) as u64;
        journal.interject(&run_id(ticket), before, lines, rows(ticket, Some(0))).await.unwrap();
        states.push((Files::of(folder), lens));
    }
    states
}

/// Opens the files as a process does that starts after the cut: everything that was acknowledged is there, the next commit
/// wholly or not at all, and the file is whole.
async fn check(files: &Files, acknowledged: [usize; 3], next: [usize; 3], what: &str) {
    let folder = files.lay_down();
    let journal = match SqliteJournal::open(folder.path()) {
        Ok(journal) => journal,
        Err(refused) => panic!("{what}: {refused}"),
    };
    let mut lens = [0; 3];
    for (at, ticket) in (1..=3).enumerate() {
        lens[at] = len(&journal, ticket).await;
    }
    assert!(lens == acknowledged || lens == next, "{what}: {lens:?}, acknowledged {acknowledged:?}, next {next:?}");
    journal.close().await;
    assert_whole(folder.path(), what);
}

fn assert_whole(folder: &Path, what: &str) {
    let connection = Connection::open(folder.join("deskhand.db")).unwrap();
    let word: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok", "{what}");
    let off: i64 = connection
        .query_row(
            "SELECT count(*) FROM runs AS r WHERE len <> (SELECT count(*) FROM entries AS e WHERE e.run = r.no)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(off, 0, "{what}: rows that do not stand for their entries");
}

/// The bytes of `before` with those of `after` behind `from`, of which the disk got only some sectors.
fn some_sectors(before: &[u8], after: &[u8], from: usize, chance: &mut Chance) -> Vec<u8> {
    let mut mixed = after.to_vec();
    for start in (from / SECTOR * SECTOR..after.len()).step_by(SECTOR) {
        if chance.below(2) == 0 {
            let (first, end) = (start.max(from), (start + SECTOR).min(after.len()));
            for (at, byte) in mixed[first..end].iter_mut().enumerate() {
                *byte = before.get(first + at).copied().unwrap_or(0);
            }
        }
    }
    mixed
}

#[tokio::test]
async fn a_cut_between_two_commits_keeps_what_was_acknowledged() {
    let (folder, journal) = store();
    let states = history(&journal, folder.path(), 9).await;
    let mut chance = Chance(7);
    let mut tried = 0;
    for pair in states.windows(2) {
        let [(old, acknowledged), (new, next)] = pair else { unreachable!() };
        let from = old.wal().len();
        assert_eq!(old.wal(), &new.wal()[..from], "the log only grows here");
        let with = |wal: Vec<u8>| Files { wal: Some(wal), ..old.clone() };
        // Cut at every frame, in its head, in its page, and one byte before its end.
        for frame in (from..new.wal().len()).step_by(FRAME) {
            for cut in [frame, frame + 1, frame + 23, frame + 24, frame + PAGE / 2, frame + FRAME - 1] {
                check(&with(new.wal()[..cut].to_vec()), *acknowledged, *next, &format!("cut at {cut}")).await;
                tried += 1;
            }
        }
        for round in 0..12 {
            // The tail has its length and not its bytes: nothing, noise, or some sectors of it.
            let mut zeros = new.wal().to_vec();
            zeros[from..].fill(0);
            let noise: Vec<u8> =
                old.wal().iter().copied().chain((0..3 * FRAME).map(|_| chance.below(256) as u8)).collect();
            let some = some_sectors(old.wal(), new.wal(), from, &mut chance);
            for (how, wal) in [("zeros", zeros), ("noise", noise), ("some sectors", some)] {
                check(&with(wal), *acknowledged, *next, &format!("{how}, round {round}")).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "{tried}");
}

#[tokio::test]
async fn a_cut_inside_a_checkpoint_loses_nothing() {
    let (folder, journal) = store();
    let states = history(&journal, folder.path(), 30).await;
    let (before, lens) = states.last().unwrap();
    // The file is written while the log stays whole.
    let outside = Connection::open(folder.path().join("deskhand.db")).unwrap();
    outside.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let after = Files::of(folder.path());
    assert_eq!(before.wal(), after.wal());
    assert_ne!(before.database, after.database);
    let mut chance = Chance(11);
    for round in 0..120 {
        let mut database = some_sectors(&before.database, &after.database, 0, &mut chance);
        if round % 3 == 0 {
            let shorter = before.database.len() + chance.below(after.database.len() - before.database.len() + 1);
            database.truncate(shorter);
        }
        if round % 5 == 0 {
            // A page torn in the middle of a sector.
            let at = chance.below(database.len());
            let upto = (at + 1 + chance.below(SECTOR)).min(database.len());
            database[at..upto].fill(0xa5);
        }
        let files = Files { database, ..before.clone() };
        check(&files, *lens, *lens, &format!("checkpoint, round {round}")).await;
    }

    // Copied and synchronised: the next commit writes the log anew from its start, over what is in the file already.
    journal.interject(&run_id(1), lens[0] as u64, vec![note(9_001)], rows(1, Some(0))).await.unwrap();
    let newer = Files::of(folder.path());
    assert_ne!(newer.wal()[..WAL_HEAD], after.wal()[..WAL_HEAD], "it started over");
    let next = [lens[0] + 1, lens[1], lens[2]];
    for round in 0..120 {
        let wal = some_sectors(after.wal(), newer.wal(), 0, &mut chance);
        let files = Files { wal: Some(wal), ..after.clone() };
        check(&files, *lens, next, &format!("log started over, round {round}")).await;
    }
}

#[tokio::test]
async fn a_log_whose_name_was_never_synchronised_held_nothing_that_was_acknowledged() {
    let (folder, journal) = store();
    history(&journal, folder.path(), 3).await;
    journal.close().await;
    // Opened again, before its first commit: the log is made, its name may be lost.
    let whole = Files::of(folder.path());
    assert_eq!(whole.wal, None);
    let lens = [2, 3, 4];
    check(&whole, lens, lens, "no log").await;
    for wal in [vec![], vec![0; WAL_HEAD / 2], vec![0; WAL_HEAD + FRAME]] {
        check(&Files { wal: Some(wal), ..whole.clone() }, lens, lens, "a log with nothing in it").await;
    }
}

/// A disk that says that it has synchronised and has not, a copy without the log, a flipped bit in a commit long since
/// acknowledged: SQLite drops what stands behind it without a word. The mark notices.
#[tokio::test]
async fn a_journal_that_ends_before_what_was_acknowledged_is_refused() {
    let (folder, journal) = store();
    let states = history(&journal, folder.path(), 6).await;
    let (last, lens) = states.last().unwrap();
    check(last, *lens, *lens, "as it is").await;
    let refused = |files: &Files, what: &str| {
        let folder = files.lay_down();
        let refused = SqliteJournal::open(folder.path()).err().unwrap_or_else(|| panic!("{what}: opened"));
        assert!(refused.to_string().contains("acknowledged are missing"), "{what}: {refused}");
        assert!(refused.to_string().contains("deskhand restore"), "{what}: {refused}");
        // Looked at again it says the same: nothing was mended behind anybody's back.
        assert!(SqliteJournal::open(folder.path()).is_err(), "{what}");
    };
    refused(&Files { wal: None, ..last.clone() }, "the log is gone");
    for (files, _) in &states[..states.len() - 1] {
        refused(&Files { mark: last.mark.clone(), ..files.clone() }, "an older state of all files");
    }
    // The frames of the newest commit with entries start where the log ended before it.
    let acknowledged = states[states.len() - 2].0.wal().len() + FRAME;
    let mut chance = Chance(3);
    for _ in 0..60 {
        let mut wal = last.wal().to_vec();
        let at = chance.below(acknowledged);
        wal[at] ^= 1 << chance.below(8);
        refused(&Files { wal: Some(wal), ..last.clone() }, &format!("bit of byte {at} of the log"));
    }
    // Gone altogether, or empty: no new journal is begun in its place.
    let folder = Files { wal: None, database: Vec::new(), ..last.clone() }.lay_down();
    let missing = SqliteJournal::open(folder.path()).err().unwrap().to_string();
    assert!(missing.contains("is empty, but it had entries"), "{missing}");
    std::fs::remove_file(folder.path().join("deskhand.db")).unwrap();
    let missing = SqliteJournal::open(folder.path()).err().unwrap().to_string();
    assert!(missing.contains("is gone, but it had entries"), "{missing}");
}

/// Bytes flipped in the file: the open or the first read says so. What still reads is what was written.
#[tokio::test]
async fn flipped_bytes_in_the_file_are_named_and_never_shorten_a_history() {
    let (folder, journal) = store();
    history(&journal, folder.path(), 40).await;
    let mut whole = Vec::new();
    for ticket in 1..=3 {
        whole.push(journal.entries(&run_id(ticket)).await.unwrap());
    }
    journal.close().await;
    let files = Files::of(folder.path());
    let mut chance = Chance(5);
    let (mut noticed, mut harmless) = (0, 0);
    for round in 0..300 {
        let mut database = files.database.clone();
        let at = chance.below(database.len());
        let bytes = 1 + chance.below(4);
        for byte in database.iter_mut().skip(at).take(bytes) {
            *byte ^= 1 << chance.below(8);
        }
        let folder = Files { database, ..files.clone() }.lay_down();
        match SqliteJournal::open(folder.path()) {
            Err(refused) => {
                assert!(refused.to_string().contains("hint: "), "round {round}, byte {at}: {refused}");
                noticed += 1;
            }
            Ok(journal) => {
                let mut said = journal.first_damage().await.map_or(true, |found| found.is_some());
                for (ticket, whole) in (1..=3).zip(&whole) {
                    match journal.entries(&run_id(ticket)).await {
                        Ok(entries) => assert_eq!(&entries, whole, "round {round}, byte {at}"),
                        Err(Error::NoSuchRun(_)) => {
                            assert!(said, "round {round}, byte {at}: a run is gone without a word")
                        }
                        Err(_) => said = true,
                    }
                }
                if said {
                    noticed += 1;
                } else {
                    harmless += 1;
                }
            }
        }
    }
    // Free space in pages, rows that no history rests on, indexes that still find everything.
    assert!(noticed > 60, "{noticed} noticed, {harmless} harmless");
}

fn copy_of(folder: &Path) -> (TempDir, PathBuf) {
    let copy = Files::of(folder).lay_down();
    let database = copy.path().join("deskhand.db");
    (copy, database)
}

#[tokio::test]
async fn a_migration_that_dies_half_way_leaves_the_schema_before() {
    let (folder, journal) = store();
    history(&journal, folder.path(), 5).await;
    journal.close().await;
    let names = |connection: &Connection| -> Vec<String> {
        let mut statement = connection.prepare("SELECT name || ifnull(sql, '') FROM sqlite_schema ORDER BY 1").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let steps = "ALTER TABLE runs ADD COLUMN extra TEXT;
        UPDATE runs SET extra = subject;
        CREATE TABLE more (a INTEGER) STRICT;";

    // It fails: the whole group of steps is taken back.
    let (_copy, database) = copy_of(folder.path());
    let mut connection = Connection::open(&database).unwrap();
    let before = names(&connection);
    let mut migrations = super::super::schema::embedded::migrations::runner().get_migrations().clone();
    migrations.push(refinery::Migration::unapplied("V98__next", steps).unwrap());
    migrations.push(refinery::Migration::unapplied("V99__broken", "CREATE TABLE runs (a INTEGER);").unwrap());
    assert!(refinery::Runner::new(&migrations).set_grouped(true).run(&mut connection).is_err());
    assert_eq!(names(&connection), before);
    drop(connection);
    let opened = SqliteJournal::open(database.parent().unwrap()).unwrap();
    assert_eq!(len(&opened, 1).await, 6);

    // The process dies in the middle of it, with pages of it in the log already.
    let (_copy, database) = copy_of(folder.path());
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN;").unwrap();
    connection.execute_batch(steps).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO more SELECT i FROM n",
        )
        .unwrap();
    let (died, copied) = copy_of(database.parent().unwrap());
    assert!(
        died.path().join("deskhand.db-wal").metadata().unwrap().len() > 2 * FRAME as u64,
        "something of it was written"
    );
    let opened = SqliteJournal::open(died.path()).unwrap();
    assert_eq!(len(&opened, 1).await, 6);
    opened.close().await;
    assert_eq!(names(&Connection::open(copied).unwrap()), before);
}
