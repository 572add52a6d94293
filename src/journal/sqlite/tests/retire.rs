//! Retention: what leaves, what stays, what is never touched.

use super::*;
use crate::journal::accounts::Accounts;
use crate::journal::tests::outside;
use crate::journal::views::{RunFilter, Views};
use crate::run::entry::{Body, Failure, FailureClass, StepResult};
use crate::run::row::{CallRow, RunRow};

const DAY_MS: i64 = 86_400_000;

/// A run that ended at this time, with one model call.
async fn ended(journal: &SqliteJournal, ticket: i64, closed_ms: i64, change: impl FnOnce(&mut RunRow)) {
    let mut projection = closed(ticket, "resolved");
    projection.row.closed_ms = Some(closed_ms);
    projection.row.reason = Some("what Zoë wrote".to_owned());
    change(&mut projection.row);
    projection.calls.push(CallRow {
        step: StepNo(1),
        at_ms: closed_ms,
        kind: "turn".to_owned(),
        model: "claude-sonnet-4-6".to_owned(),
        usage: Usage::default(),
        cost_micros: Some(5),
        first_byte_ms: 1,
        took_ms: 2,
    });
    let entries = vec![opened(&run_id(ticket), ticket), note(1)];
    journal.admit(vec![Arrival::Open { entries, projection: Box::new(projection) }], None).await.unwrap();
}

#[tokio::test]
async fn what_ended_long_ago_leaves_and_nothing_else_does() {
    let (folder, journal) = store();
    let old = MONDAY_MS - 40 * DAY_MS;
    let before_ms = MONDAY_MS - 30 * DAY_MS;
    for ticket in 1..=45 {
        ended(&journal, ticket, old, |_| {}).await;
    }
    ended(&journal, 102, old, |row| row.wake_ms = Some(MONDAY_MS)).await; // A mail is due.
    ended(&journal, 103, old, |row| row.outcome = Some("failed".to_owned())).await; // A person must look.
    ended(&journal, 104, old, |_| {}).await;
    let failure = Failure { class: FailureClass::Unknown, vendor: "email".to_owned(), message: "no answer".to_owned() };
    let result = StepResult::Failed { failure, call: None };
    let unknown = Entry { at_ms: old, body: Body::StepFinished { step: StepNo(2), result, took_ms: 1 } };
    let mut row = closed(104, "resolved");
    row.row.closed_ms = Some(old);
    journal.interject(&run_id(104), 2, vec![unknown], row).await.unwrap();
    ended(&journal, 101, before_ms, |_| {}).await; // Kept: not older.
    admit_one(&journal, 105, None).await; // Not ended.
    ended(&journal, 106, old, |_| {}).await; // The newest: its last entry is the journal's end.

    let retired = journal.retire(before_ms, MONDAY_MS).await.unwrap();
    assert_eq!((retired.runs, retired.entries), (45, 90));
    for ticket in [101, 102, 103, 104, 105, 106] {
        assert!(len(&journal, ticket).await > 0, "ticket {ticket} stays");
    }
    assert!(matches!(journal.entries(&run_id(7)).await, Err(Error::NoSuchRun(_))));
    assert_eq!(journal.retired_ms(&run_id(7)).await.unwrap(), Some(MONDAY_MS));
    assert_eq!(journal.retired_ms(&run_id(999_999)).await.unwrap(), None);

    // Answered once is answered: the same trigger opens nothing.
    let history = journal.ticket_history(TicketId(7), 0).await.unwrap();
    assert_eq!(history.runs, [run_id(7)]);
    let again = journal.admit(vec![opening(7, Some(0))], None).await.unwrap();
    assert_eq!(again, [Admitted::Known]);

    // The words are gone, from the rows, the search and the pages of the file; the figures stay.
    let found = journal.run(&run_id(7)).await.unwrap().unwrap();
    assert_eq!((found.subject.as_str(), found.requester.as_str(), found.reason), ("(removed)", "", None));
    let search = RunFilter { text: Some("Zoë".to_owned()), ..RunFilter::default() };
    assert_eq!(journal.runs(&search, None, 100).await.unwrap().len(), 6);
    let totals = journal.cost_totals(0).await.unwrap();
    assert_eq!((totals.runs, totals.calls, totals.cost_micros), (51, 50, 250));
    let outside = outside(folder.path());
    let left = |sql: &str| outside.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(left("SELECT count(*) FROM calls"), 2, "the first one that is kept, and what was written after it");
    let audit: String =
        outside.query_row("SELECT detail FROM audit WHERE what = 'runs_removed'", [], |row| row.get(0)).unwrap();
    assert!(audit.starts_with("45 runs with 90 entries that ended before 2026-10-17T00:00:00Z"), "{audit}");
    assert_eq!(journal.verify_audit().await.unwrap(), None);

    // Nothing more to do, nothing more said; opened again, nothing is missing.
    assert_eq!(journal.retire(before_ms, MONDAY_MS).await.unwrap(), crate::journal::sqlite::Retired::default());
    assert_eq!(left("SELECT count(*) FROM audit"), 1);
    journal.close().await;
    let bytes = std::fs::read(folder.path().join("deskhand.db")).unwrap();
    let words = b"Where is my refund?";
    let copies = bytes.windows(words.len()).filter(|window| window == words).count();
    assert!(copies < 15, "of 51 runs, 45 left: overwritten, but {copies} are in the file");
    SqliteJournal::open(folder.path()).unwrap();
    // By hand nothing leaves.
    let refused = outside.execute("DELETE FROM entries", []).unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
}

#[tokio::test]
async fn a_journal_of_ended_runs_alone_keeps_its_end() {
    let (folder, journal) = store();
    for ticket in 1..=3 {
        ended(&journal, ticket, 1_000, |_| {}).await;
    }
    assert_eq!(journal.retire(MONDAY_MS, MONDAY_MS).await.unwrap().runs, 2);
    journal.close().await;
    let journal = SqliteJournal::open(folder.path()).unwrap();
    assert_eq!(len(&journal, 3).await, 2);
    admit_one(&journal, 4, Some(0)).await;
    assert_eq!(journal.retire(MONDAY_MS, MONDAY_MS).await.unwrap().runs, 1);
}
