//! Files that this version must not touch: each says what it is and what to do.

use std::path::Path;

use rusqlite::Connection;

use super::*;

fn refusal(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join("deskhand.db")).unwrap();
    let refused = SqliteJournal::open(folder).err().expect("it must be refused").to_string();
    assert!(refused.contains("\nhint: "), "{refused}");
    let _ = std::fs::remove_file(folder.join("deskhand.db-wal"));
    assert_eq!(std::fs::read(folder.join("deskhand.db")).unwrap().len(), bytes.len(), "nothing was changed");
    refused
}

#[tokio::test]
async fn a_schema_that_this_version_did_not_write_is_refused() {
    for (sql, said) in [
        ("DELETE FROM refinery_schema_history WHERE version = 1", "without step 1 before it"),
        ("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1", "has another step 1 of its schema"),
        ("UPDATE refinery_schema_history SET name = 'other' WHERE version = 2", "has another step 2 of its schema"),
        ("INSERT INTO refinery_schema_history VALUES (7000, 'later', '', '1')", "has schema 7000, this version knows"),
        ("DROP TABLE refinery_schema_history", "is a database of another program"),
        ("PRAGMA application_id = 77", "is a database of another program"),
    ] {
        let (folder, journal) = store();
        admit_one(&journal, 1, Some(0)).await;
        journal.close().await;
        Connection::open(folder.path().join("deskhand.db")).unwrap().execute_batch(sql).unwrap();
        let refused = refusal(folder.path());
        assert!(refused.contains(said), "{sql}: {refused}");
        let beside = SqliteJournal::open_beside(folder.path()).err().unwrap().to_string();
        assert!(beside.contains(said), "{sql}: {beside}");
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join("deskhand.db")).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(refusal(folder.path()).contains("is a database of another program"));
}

#[test]
fn an_empty_file_becomes_a_journal_unless_there_was_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deskhand.db"), "").unwrap();
    drop(SqliteJournal::open(folder.path()).unwrap());
    std::fs::write(folder.path().join("deskhand.db"), "").unwrap();
    std::fs::write(folder.path().join("deskhand.db-wal"), [0; 64]).unwrap();
    assert!(refusal(folder.path()).contains("is empty, but it had entries"));
}

#[tokio::test]
async fn a_file_of_the_version_before_is_brought_up_to_date_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(folder.path().join("deskhand.db")).unwrap();
    let first = super::super::schema::embedded::migrations::runner().set_target(refinery::Target::Version(1));
    first.run(&mut connection).unwrap();
    let body = serde_json::to_string(&opened(&run_id(1), 1).body).unwrap();
    connection
        .execute_batch(&format!(
            "INSERT INTO runs (run, ticket, subject, requester, status, asked_ms, opened_ms, steps, input, cache_write_5m,
                 cache_write_1h, cache_read, output, cost_micros, unpriced_calls, len, lease_token)
             VALUES ('{}', 1, 's', 'r', 'open', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3);
             INSERT INTO entries (run, seq, at_ms, kind, body) VALUES (1, 1, {MONDAY_MS}, 'run_opened', '{}')",
            run_id(1),
            body.replace('\'', "''"),
        ))
        .unwrap();
    drop(connection);
    let journal = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(journal.entries(&run_id(1)).await.unwrap(), [opened(&run_id(1), 1)]);
    journal.interject(&run_id(1), 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
    assert_eq!(claim(&journal, 0).await.map(|lease| lease.token), Some(4));
    let outside = Connection::open(folder.path().join("deskhand.db")).unwrap();
    let refused = outside.execute("UPDATE runs SET lease_token = 3", []).unwrap_err();
    assert!(refused.to_string().contains("lease tokens only grow"), "{refused}");
}

#[test]
fn a_folder_without_rights_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteJournal::open(folder.path()).unwrap());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let opened = SqliteJournal::open(folder.path());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    match opened {
        Ok(_) => eprintln!("skipped: this user may do everything"),
        Err(refused) => assert!(refused.to_string().contains("belongs to the user that runs deskhand"), "{refused}"),
    }
}
