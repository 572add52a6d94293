//! What every store must hold, written against `&dyn Journal` so that a second store runs the same set: it calls
//! `every_store!` with a function that makes an empty one.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::ids::{CommentId, RunId, StepNo, TicketId, UserId};
use crate::journal::{Admitted, Arrival, Cursor, Error, Journal, Lease};
use crate::run::cost::Usage;
use crate::run::entry::{Body, Entry, Outcome};
use crate::run::row::{Projection, RunRow, RunStatus};
use crate::ticket::{Requester, Ticket, TicketStatus};

/// Monday, 2026-11-16, 00:00 UTC.
pub(crate) const MONDAY_MS: i64 = 1_794_787_200_000;
pub(crate) const TTL: Duration = Duration::from_secs(10);

pub(crate) fn run_id(ticket: i64) -> RunId {
    RunId::for_trigger(TicketId(ticket), CommentId(ticket * 10))
}

/// A run of this ticket that can be claimed at `wake_ms`.
pub(crate) fn row(run: &RunId, ticket: i64, wake_ms: Option<i64>) -> RunRow {
    RunRow {
        run: run.clone(),
        ticket: TicketId(ticket),
        subject: format!("Refund for order {ticket}"),
        requester: "Zoë Müller".to_owned(),
        status: if wake_ms.is_some() { RunStatus::Open } else { RunStatus::WaitingApproval },
        outcome: None,
        rule: None,
        reason: None,
        category: None,
        language: None,
        model: None,
        asked_ms: MONDAY_MS,
        opened_ms: MONDAY_MS,
        first_answer_ms: None,
        closed_ms: None,
        attention: None,
        wake_ms,
        steps: 0,
        usage: Usage::default(),
        cost_micros: 0,
        unpriced_calls: 0,
    }
}

pub(crate) fn beside(row: RunRow) -> Projection {
    Projection { row, approvals: Vec::new(), calls: Vec::new(), tools: Vec::new() }
}

/// The rows of [`run_id`]'s run.
pub(crate) fn rows(ticket: i64, wake_ms: Option<i64>) -> Projection {
    beside(row(&run_id(ticket), ticket, wake_ms))
}

pub(crate) fn closed(ticket: i64, outcome: &str) -> Projection {
    let row = row(&run_id(ticket), ticket, None);
    beside(RunRow {
        status: RunStatus::Closed,
        outcome: Some(outcome.to_owned()),
        closed_ms: Some(MONDAY_MS + 60_000),
        ..row
    })
}

pub(crate) fn opened(run: &RunId, ticket: i64) -> Entry {
    let at = jiff::Timestamp::from_millisecond(MONDAY_MS).unwrap();
    let ticket = Ticket {
        id: TicketId(ticket),
        subject: "Where is my refund? „Bitte“".to_owned(),
        status: TicketStatus::New,
        channel: "email".to_owned(),
        requester: Requester {
            id: UserId(5),
            name: "Zoë".to_owned(),
            address: Some("zoe@example.com".to_owned()),
            verified: true,
            external_id: None,
        },
        cc: Vec::new(),
        assignee: None,
        group: None,
        tags: Vec::new(),
        created_at: at,
        updated_at: at,
        follows: None,
        messages: Vec::new(),
    };
    let body =
        Body::RunOpened { run: run.clone(), ticket: Box::new(ticket), trigger: CommentId(1), prompts: "p1".to_owned() };
    Entry::new(at, body)
}

/// Some entry; `n` tells it from others.
pub(crate) fn note(n: u32) -> Entry {
    Entry { at_ms: MONDAY_MS + i64::from(n), body: Body::Reminded { step: StepNo(n) } }
}

pub(crate) fn opening(ticket: i64, wake_ms: Option<i64>) -> Arrival {
    let entries = vec![opened(&run_id(ticket), ticket)];
    Arrival::Open { entries, projection: Box::new(rows(ticket, wake_ms)) }
}

pub(crate) async fn admit_one(journal: &dyn Journal, ticket: i64, wake_ms: Option<i64>) {
    assert_eq!(journal.admit(vec![opening(ticket, wake_ms)], None).await.unwrap(), [Admitted::Opened]);
}

pub(crate) async fn claim(journal: &dyn Journal, now_ms: i64) -> Option<Lease> {
    journal.claim("worker", now_ms, TTL).await.unwrap().map(|claimed| claimed.lease)
}

pub(crate) async fn len(journal: &dyn Journal, ticket: i64) -> usize {
    journal.entries(&run_id(ticket)).await.unwrap().len()
}

/// Any database, as somebody else would open it or make it.
pub(crate) fn database(file: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(file).unwrap()
}

/// The file of a folder, as another program sees it.
pub(crate) fn outside(folder: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("deskhand.db")).unwrap()
}

/// Runs every check on stores that `$store` makes: a guard that keeps what the store needs alive, and the store.
macro_rules! every_store {
    ($store:path) => {
        crate::journal::tests::every_store! { $store =>
            a_run_is_admitted_once,
            a_ticket_has_one_open_run,
            a_batch_fails_as_a_whole,
            news_join_a_run_that_stands_as_seen,
            a_claim_takes_the_run_that_waits_longest,
            a_stale_lease_is_refused,
            a_lease_that_ran_out_is_good_until_taken,
            claims_without_progress_are_counted,
            an_append_that_saw_less_is_refused,
            a_lease_is_renewed_and_given_back,
            a_lease_goes_with_the_last_lines,
            the_next_wake_counts_leases,
            a_switch_is_set_with_its_audit_line,
            the_bell_rings_after_commits_alone,
            entries_come_back_as_they_went_in,
            an_open_run_has_a_time_or_a_person,
            ten_workers_never_share_a_run,
        }
    };
    ($store:path => $($check:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $check() {
            let (_guard, journal) = $store();
            crate::journal::tests::checks::$check(&journal).await;
        }
    )* };
}
pub(crate) use every_store;

pub(crate) mod checks {
    use super::*;

    pub(crate) async fn a_run_is_admitted_once(journal: &dyn Journal) {
        let cursor = |position: &str| Some(Cursor { lane: "list".to_owned(), position: position.to_owned() });
        assert_eq!(journal.cursor("list").await.unwrap(), None);
        let first = journal.admit(vec![opening(1, Some(5)), opening(2, Some(5))], cursor("a")).await.unwrap();
        assert_eq!(first, [Admitted::Opened, Admitted::Opened]);
        let again = journal.admit(vec![opening(1, Some(9)), opening(3, Some(5))], cursor("b")).await.unwrap();
        assert_eq!(again, [Admitted::Known, Admitted::Opened]);
        assert_eq!(len(journal, 1).await, 1);
        assert_eq!(journal.cursor("list").await.unwrap().as_deref(), Some("b"));
        assert_eq!(journal.cursor("incremental").await.unwrap(), None);
    }

    pub(crate) async fn a_ticket_has_one_open_run(journal: &dyn Journal) {
        admit_one(journal, 1, Some(5)).await;
        let second = RunId::for_trigger(TicketId(1), CommentId(99));
        let open = |status: RunStatus, outcome: Option<&str>| Arrival::Open {
            entries: vec![opened(&second, 1)],
            projection: Box::new(beside(RunRow {
                status,
                outcome: outcome.map(str::to_owned),
                opened_ms: MONDAY_MS + 1,
                ..row(&second, 1, (status != RunStatus::Closed).then_some(0))
            })),
        };
        let refused = journal.admit(vec![open(RunStatus::Open, None)], None).await;
        assert!(matches!(refused, Err(Error::Moved { expected: 0, found: 1, .. })), "{refused:?}");
        // One that is skipped at once is in nobody's way.
        let skipped = journal.admit(vec![open(RunStatus::Closed, Some("skipped"))], None).await.unwrap();
        assert_eq!(skipped, [Admitted::Opened]);

        let history = journal.ticket_history(TicketId(1), MONDAY_MS).await.unwrap();
        assert_eq!(history.open.map(|open| (open.run, open.len, open.status)), Some((run_id(1), 1, RunStatus::Open)));
        assert_eq!(history.runs, [run_id(1), second]);
        assert_eq!(history.recent, 1);
        assert_eq!(journal.ticket_history(TicketId(1), MONDAY_MS + 1).await.unwrap().recent, 0);
        assert_eq!(journal.ticket_history(TicketId(2), 0).await.unwrap(), Default::default());
    }

    pub(crate) async fn a_batch_fails_as_a_whole(journal: &dyn Journal) {
        admit_one(journal, 1, Some(5)).await;
        let cursor = Cursor { lane: "list".to_owned(), position: "a".to_owned() };
        let join = Arrival::Join {
            run: run_id(1),
            expected_len: 7,
            entries: vec![note(1)],
            projection: Box::new(rows(1, Some(5))),
        };
        let refused = journal.admit(vec![opening(2, Some(5)), join], Some(cursor)).await;
        assert!(matches!(refused, Err(Error::Moved { expected: 7, found: 1, .. })), "{refused:?}");
        assert!(matches!(journal.entries(&run_id(2)).await, Err(Error::NoSuchRun(_))));
        assert_eq!(journal.cursor("list").await.unwrap(), None);
    }

    pub(crate) async fn news_join_a_run_that_stands_as_seen(journal: &dyn Journal) {
        admit_one(journal, 1, None).await;
        assert_eq!(claim(journal, MONDAY_MS).await, None);
        let join = |expected_len, ticket| Arrival::Join {
            run: run_id(ticket),
            expected_len,
            entries: vec![note(1)],
            projection: Box::new(rows(ticket, Some(MONDAY_MS))),
        };
        assert_eq!(journal.admit(vec![join(1, 1)], None).await.unwrap(), [Admitted::Joined]);
        assert_eq!(len(journal, 1).await, 2);
        assert!(matches!(journal.admit(vec![join(1, 1)], None).await, Err(Error::Moved { found: 2, .. })));
        assert!(matches!(journal.admit(vec![join(1, 9)], None).await, Err(Error::NoSuchRun(_))));
        assert_eq!(claim(journal, MONDAY_MS).await.map(|lease| lease.run), Some(run_id(1)));
    }

    pub(crate) async fn a_claim_takes_the_run_that_waits_longest(journal: &dyn Journal) {
        for (ticket, wake_ms) in [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200)), (5, Some(9_000))] {
            admit_one(journal, ticket, wake_ms).await;
        }
        let mut claimed = Vec::new();
        while let Some(lease) = claim(journal, 1_000).await {
            assert_eq!((lease.token, lease.until_ms), (1, 11_000));
            claimed.push(lease.run);
        }
        assert_eq!(claimed, [run_id(2), run_id(4), run_id(1)]);
        // Leases that ran out can be claimed; the one that woke later comes after them.
        assert_eq!(claim(journal, 10_999).await.map(|lease| lease.run), Some(run_id(5)));
        assert_eq!(claim(journal, 11_000).await.map(|lease| (lease.run, lease.token)), Some((run_id(1), 2)));
    }

    pub(crate) async fn a_stale_lease_is_refused(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let old = claim(journal, 0).await.unwrap();
        let new = claim(journal, 10_000).await.unwrap();
        assert_eq!((old.token, new.token), (1, 2));
        let append = |lease: &Lease, n: u32, expected| {
            let lease = lease.clone();
            async move { journal.append(&lease, expected, vec![note(n)], rows(1, Some(0))).await }
        };
        assert!(matches!(append(&old, 1, 1).await, Err(Error::StaleLease { token: 1, .. })));
        assert!(matches!(journal.renew(&old, 99_000).await, Err(Error::StaleLease { token: 1, .. })));
        journal.release(old).await.unwrap();
        assert_eq!(claim(journal, 10_001).await, None, "giving back a stale lease leaves the new one alone");
        append(&new, 2, 1).await.unwrap();
        assert_eq!(journal.entries(&run_id(1)).await.unwrap()[1], note(2));
    }

    pub(crate) async fn a_lease_that_ran_out_is_good_until_taken(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let lease = claim(journal, 0).await.unwrap();
        // Its time has passed; nobody came.
        journal.append(&lease, 1, vec![note(1)], rows(1, Some(500_000))).await.unwrap();
        assert_eq!(len(journal, 1).await, 2);
    }

    pub(crate) async fn claims_without_progress_are_counted(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let claim_count = |now_ms| async move {
            let claimed = journal.claim("worker", now_ms, TTL).await.unwrap().unwrap();
            (claimed.claims_without_progress, claimed.lease, claimed.entries.len())
        };
        assert_eq!(claim_count(0).await.0, 1);
        let (count, stale, entries) = claim_count(10_000).await;
        assert_eq!((count, entries), (2, 1));
        // What comes from outside is no progress of a worker.
        journal.interject(&run_id(1), 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
        let (count, lease, entries) = claim_count(20_000).await;
        assert_eq!((count, entries), (3, 2));
        journal.release(stale).await.unwrap();
        // Nor is it that a step is tried again, or that nothing was to be written.
        let again = Entry { at_ms: 1, body: Body::StepRetried { step: StepNo(1), attempt: 2 } };
        journal.append(&lease, 2, vec![again], rows(1, Some(0))).await.unwrap();
        journal.append(&lease, 3, vec![], rows(1, Some(0))).await.unwrap();
        let (count, lease, _) = claim_count(30_000).await;
        assert_eq!(count, 4);
        // The claim under which something new was written is the first.
        journal.append(&lease, 3, vec![note(2)], rows(1, Some(0))).await.unwrap();
        assert_eq!(claim_count(40_000).await.0, 2);
        // A worker that gives its lease back was not killed by the run.
        let (_, lease, _) = claim_count(50_000).await;
        journal.release(lease).await.unwrap();
        assert_eq!(claim_count(50_000).await.0, 1);
    }

    pub(crate) async fn an_append_that_saw_less_is_refused(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let lease = claim(journal, 0).await.unwrap();
        journal.interject(&run_id(1), 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
        let late = journal.append(&lease, 1, vec![note(2)], rows(1, None)).await;
        assert!(matches!(late, Err(Error::Moved { expected: 1, found: 2, .. })), "{late:?}");
        journal.append(&lease, 2, vec![note(2), note(3)], rows(1, Some(0))).await.unwrap();
        let late = journal.interject(&run_id(1), 2, vec![note(9)], rows(1, None)).await;
        assert!(matches!(late, Err(Error::Moved { expected: 2, found: 4, .. })), "{late:?}");
        assert!(matches!(
            journal.interject(&run_id(8), 0, vec![note(9)], rows(8, None)).await,
            Err(Error::NoSuchRun(_))
        ));
        let [_, a, b, c] = &journal.entries(&run_id(1)).await.unwrap()[..] else { panic!("four entries") };
        assert_eq!((a, b, c), (&note(1), &note(2), &note(3)));
    }

    pub(crate) async fn a_lease_is_renewed_and_given_back(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let lease = claim(journal, 0).await.unwrap();
        let longer = journal.renew(&lease, 60_000).await.unwrap();
        assert_eq!(longer, Lease { until_ms: 60_000, ..lease.clone() });
        assert_eq!(claim(journal, 59_999).await, None);
        journal.release(longer).await.unwrap();
        assert!(matches!(journal.renew(&lease, 90_000).await, Err(Error::StaleLease { .. })), "it was given back");
        assert_eq!(claim(journal, 1).await.map(|lease| lease.token), Some(2));
    }

    pub(crate) async fn a_lease_goes_with_the_last_lines(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        let lease = claim(journal, 0).await.unwrap();
        journal.append(&lease, 1, vec![note(1)], rows(1, Some(0))).await.unwrap();
        journal.renew(&lease, 20_000).await.unwrap();
        journal.append(&lease, 2, vec![note(2)], rows(1, None)).await.unwrap();
        assert!(matches!(journal.renew(&lease, 90_000).await, Err(Error::StaleLease { .. })), "it was given back");
        // Nobody has taken the run: what its worker still has to say is heard.
        journal.append(&lease, 3, vec![note(3)], rows(1, Some(5_000))).await.unwrap();
        let next = claim(journal, 5_000).await.unwrap();
        assert_eq!(next.token, 2);
        journal.release(lease).await.unwrap();
        assert_eq!(claim(journal, 5_000).await, None, "giving it back again leaves the new one alone");
    }

    pub(crate) async fn the_next_wake_counts_leases(journal: &dyn Journal) {
        assert_eq!(journal.next_wake().await.unwrap(), None);
        admit_one(journal, 1, Some(1_000)).await;
        admit_one(journal, 2, None).await;
        admit_one(journal, 3, Some(50_000)).await;
        assert_eq!(journal.next_wake().await.unwrap(), Some(1_000));
        let lease = claim(journal, 1_000).await.unwrap();
        assert_eq!(journal.next_wake().await.unwrap(), Some(11_000), "the end of the lease");
        journal.append(&lease, 1, vec![note(1)], rows(1, Some(70_000))).await.unwrap();
        assert_eq!(journal.next_wake().await.unwrap(), Some(50_000));
        let lease = journal.renew(&lease, 90_000).await.unwrap();
        journal.append(&lease, 2, vec![note(2)], rows(1, None)).await.unwrap();
        journal.release(lease).await.unwrap();
        assert_eq!(claim(journal, 60_000).await.map(|lease| lease.run), Some(run_id(3)));
        assert_eq!(claim(journal, 69_999).await, None);
        // A closed run with a mail due is woken too.
        let mail = Projection { row: RunRow { wake_ms: Some(80_000), ..closed(1, "resolved").row }, ..rows(1, None) };
        journal.interject(&run_id(1), 3, vec![note(3)], mail).await.unwrap();
        assert_eq!(journal.next_wake().await.unwrap(), Some(70_000));
        assert_eq!(claim(journal, 80_000).await.map(|lease| lease.run), Some(run_id(3)));
        assert_eq!(claim(journal, 80_000).await.map(|lease| lease.run), Some(run_id(1)));
    }

    pub(crate) async fn a_switch_is_set_with_its_audit_line(journal: &dyn Journal) {
        assert_eq!(journal.switch("paused").await.unwrap(), None);
        journal.set_switch("paused", "on", "ada@example.com", MONDAY_MS).await.unwrap();
        journal.set_switch("paused", "off", "ada@example.com", MONDAY_MS + 1).await.unwrap();
        assert_eq!(journal.switch("paused").await.unwrap().as_deref(), Some("off"));
    }

    pub(crate) async fn the_bell_rings_after_commits_alone(journal: &dyn Journal) {
        let mut bell = journal.bell();
        assert_eq!(claim(journal, 0).await, None);
        assert!(!bell.has_changed().unwrap(), "nothing was written");
        admit_one(journal, 1, Some(0)).await;
        assert!(bell.has_changed().unwrap());
        bell.mark_unchanged();
        assert!(journal.interject(&run_id(1), 9, vec![note(1)], rows(1, None)).await.is_err());
        assert_eq!(journal.admit(vec![opening(1, None)], None).await.unwrap(), [Admitted::Known]);
        assert!(!bell.has_changed().unwrap());
    }

    pub(crate) async fn entries_come_back_as_they_went_in(journal: &dyn Journal) {
        let run = run_id(1);
        let content = "[{\"type\":\"thinking\",\"signature\":\"a\\u0000b==\"},{\"b\":1.50,\"a\":\"\u{1f600}\\n\"}]";
        let bodies = [
            opened(&run, 1).body,
            note(7).body,
            Body::TakenOver { by: None, agent: Some(UserId(3)), how: "assigned".to_owned() },
            Body::StepFinished {
                step: StepNo(1),
                result: crate::run::entry::StepResult::Model {
                    content: content.to_owned(),
                    stop_reason: "tool_use".to_owned(),
                    call: crate::run::entry::ModelCall {
                        model: "claude-sonnet-4-6".to_owned(),
                        request_id: None,
                        usage: Usage { cache_read: u64::from(u32::MAX) * 9, ..Usage::default() },
                        cost: None,
                        first_byte_ms: 3,
                        request_digest: "d".to_owned(),
                    },
                },
                took_ms: 12,
            },
            Body::StepFinished {
                step: StepNo(2),
                result: crate::run::entry::StepResult::Tool {
                    output: serde_json::json!({"z": 1, "a": [1.5, null, {"b": i64::MAX}]}),
                    is_error: false,
                    effect: None,
                    reference: None,
                    stamp: None,
                },
                took_ms: 1,
            },
            Body::RunClosed { outcome: Outcome::Skipped { reason: "spam".to_owned() } },
        ];
        let entries: Vec<Entry> =
            bodies.into_iter().zip(0..).map(|(body, n)| Entry { at_ms: MONDAY_MS + n, body }).collect();
        let projection = Box::new(closed(1, "skipped"));
        journal.admit(vec![Arrival::Open { entries: entries.clone(), projection }], None).await.unwrap();
        let read = journal.entries(&run).await.unwrap();
        assert_eq!(read, entries);
        // Byte for byte, the order of keys included.
        let text = |entries: &[Entry]| entries.iter().map(|e| serde_json::to_string(e).unwrap()).collect::<Vec<_>>();
        assert_eq!(text(&read), text(&entries));
    }

    pub(crate) async fn an_open_run_has_a_time_or_a_person(journal: &dyn Journal) {
        admit_one(journal, 1, Some(0)).await;
        for status in [RunStatus::Open, RunStatus::WaitingTime, RunStatus::WaitingVendor] {
            let stuck = beside(RunRow { status, ..row(&run_id(1), 1, None) });
            let run = run_id(1);
            let append = journal.interject(&run, 1, vec![note(1)], stuck);
            let refused = std::panic::AssertUnwindSafe(append).catch_unwind().await;
            assert!(refused.is_err(), "{status:?}: it would never be moved again");
        }
        assert_eq!(len(journal, 1).await, 1);
    }

    pub(crate) async fn ten_workers_never_share_a_run(journal: &dyn Journal) {
        for ticket in 1..=40 {
            admit_one(journal, ticket, Some(ticket)).await;
        }
        let workers = (0..10).map(|worker| async move {
            let mut runs = Vec::new();
            while let Some(claimed) = journal.claim(&format!("worker {worker}"), 1_000, TTL).await.unwrap() {
                runs.push(claimed.lease.run);
            }
            runs
        });
        let mut runs = join_all(workers).await.concat();
        assert_eq!(runs.len(), 40);
        runs.sort();
        runs.dedup();
        assert_eq!(runs.len(), 40);
    }
}
