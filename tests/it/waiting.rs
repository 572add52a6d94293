//! Waiting: for people, for days, over restarts; a row with a time, and one timer for all.

use std::time::Duration;

use deskhand::clock::Clock;
use deskhand::ids::{CommentId, RunId, TicketId, UserId};
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Arrival, Journal};
use deskhand::policy::RuleId;
use deskhand::run::decide::{self, Refused};
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Decision, Entry, Failure, FailureClass, Outcome, Work};
use deskhand::run::row::ApprovalState;
use deskhand::run::state::RunState;
use deskhand::sim::world::{Event, Refund};
use deskhand::ticket::{Author, Message, Requester, Ticket, TicketStatus};

use crate::harness::{Desk, refund_ticket};

const DAY: Duration = Duration::from_secs(86_400);

/// Asked, then nothing for thirty days and ten restarts; then approved: carried out once, and everything that the decision
/// rests on is read again first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_decided_thirty_days_after_it_was_asked_is_carried_out_once() {
    let mut desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    desk.settings.push(("limits.approval_due_s", 40 * 86_400));
    let mut app = desk.start(None).await;
    let asked = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    for _ in 0..10 {
        app.stop(&desk.clock).await;
        desk.clock.advance(3 * DAY);
        app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        assert_eq!(state.len, asked.len, "waiting writes nothing");
        assert_eq!(state.approvals[0].state, ApprovalState::Waiting);
    }
    desk.decide(&app, &asked, Decision::Approve, 60_000).await;
    // Stopped once more within the undo window: the decision is on disk, and so is the time until which it rests.
    app.stop(&desk.clock).await;
    assert!(desk.sim.world().refunds().is_empty());
    app = desk.start(None).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!(desk.sim.world().refunds().len(), 1);
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1);
    let (_, read_at) = state.fresh.expect("the records were read again");
    assert!(read_at.duration_since(asked.now) >= jiff::SignedDuration::from_hours(24 * 30));
    app.stop(&desk.clock).await;
}

/// What changed meanwhile: the approval is not used up, a person is asked anew and told why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_it_was_asked_is_not_carried_out_but_asked_anew() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    // A person may lower what was asked for, and not raise it, although the payment would have room.
    let amount = |minor| Decision::Amount { amount: deskhand::money::Money::new(minor, "usd".parse().unwrap()) };
    let entries = app.journal.entries(&state.run).await.unwrap();
    let decide =
        |minor| decide::decide(&entries, &state.approvals[0].id, amount(minor), "Pat", "", desk.clock.now(), 0);
    assert!(matches!(decide(60_001), Err(Refused::BadAmount(_))));
    assert!(decide(59_999).is_ok());
    // A colleague refunds most of it in the vendor's own pages.
    let refund = Refund {
        id: "re_by_hand".into(),
        payment: "pay_1".into(),
        amount_minor: 100_000,
        currency: "usd".parse().unwrap(),
        at: desk.clock.now(),
        status: "succeeded".into(),
        reason: None,
        idempotency_key: None,
        metadata: serde_json::Map::new(),
        made_here: false,
    };
    desk.sim.world().lock().apply(Event::RefundCreated { refund });
    desk.decide(&app, &state, Decision::Approve, 0).await;
    let asked_anew =
        |state: &RunState| state.approvals.len() == 1 && state.approvals[0].judgement.why.contains("asked again");
    let state = desk.until(&app, 7001, "to be asked anew", asked_anew).await;
    assert_eq!(state.approvals[0].state, ApprovalState::Waiting);
    assert!(
        state.approvals[0].judgement.why.contains("$200.00 can still go back"),
        "{}",
        state.approvals[0].judgement.why
    );
    assert!(desk.sim.world().refunds().is_empty(), "not used up, and nothing sent");

    // More than what is left cannot be agreed to any more; what is left can.
    let entries = app.journal.entries(&state.run).await.unwrap();
    let decide =
        |minor| decide::decide(&entries, &state.approvals[0].id, amount(minor), "Pat", "less", desk.clock.now(), 0);
    assert!(matches!(decide(20_001), Err(Refused::BadAmount(_))));
    // What is judged at the second of execution is what will be sent.
    desk.decide(&app, &state, amount(20_000), 0).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    let made: Vec<i64> = desk.sim.world().refunds().iter().map(|refund| refund.amount_minor).collect();
    assert_eq!(made, [20_000]);
    app.stop(&desk.clock).await;
}

/// Overdue by days while nobody was running: expired, not carried out; the ticket goes to a person as a whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_nobody_decided_in_time_expires_once() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    let entries = app.journal.entries(&state.run).await.unwrap();
    app.stop(&desk.clock).await;
    desk.clock.advance(11 * DAY);
    // A click that comes too late finds it expired, even before that is written down.
    let (approval, now) = (&state.approvals[0].id, desk.clock.now());
    let late = decide::decide(&entries, approval, Decision::Approve, "Pat", "", now, 0);
    assert_eq!(late, Err(Refused::NotWaiting(ApprovalState::Expired)));
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Escalated { rule: RuleId::RefundLimit }), "{:?}", state.failures);
    assert_eq!(state.approvals[0].state, ApprovalState::Expired);
    assert!(desk.sim.world().refunds().is_empty());
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "the holding message");
    app.stop(&desk.clock).await;
}

/// Decided twice, contrary: the first one counts, the second is told so. Undone in time: it waits again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contrary_decisions_and_undone_ones() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    let approval = state.approvals[0].id.clone();
    desk.decide(&app, &state, Decision::Reject, 60_000).await;
    let entries = app.journal.entries(&state.run).await.unwrap();
    let contrary = decide::decide(&entries, &approval, Decision::Approve, "Kim", "", desk.clock.now(), 0);
    assert!(matches!(contrary, Err(Refused::AlreadyDecided { by, .. }) if by == "Pat"));
    let (len, undone, rows) = decide::undo(&entries, &approval, "Pat", desk.clock.now()).unwrap();
    app.journal.interject(&state.run, len, undone, rows).await.unwrap();
    let state = crate::harness::state(&*app.journal, &state.run).await;
    assert_eq!(state.approvals[0].state, ApprovalState::Waiting);
    let entries = app.journal.entries(&state.run).await.unwrap();
    let late = decide::undo(&entries, &approval, "Pat", desk.clock.now());
    assert!(late.is_err(), "there is nothing left to undo");
    desk.decide(&app, &state, Decision::Approve, 0).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved));
    assert_eq!(desk.sim.world().refunds().len(), 1);
    app.stop(&desk.clock).await;
}

/// A run whose first step waits for a vendor until then.
fn waiting_run(number: i64, clock: &Clock, until_ms: i64) -> Arrival {
    let now = clock.now();
    let message = Message {
        id: CommentId(number),
        author: Author::Requester,
        author_id: UserId(9),
        public: true,
        at: now,
        text: "Hello".into(),
        cut: false,
        attachments: Vec::new(),
        flags: Vec::new(),
        marker: None,
    };
    let ticket = Ticket {
        id: TicketId(number),
        subject: "Question".into(),
        status: TicketStatus::New,
        channel: "email".into(),
        requester: Requester { id: UserId(9), name: "Ada".into(), address: None, verified: true, external_id: None },
        cc: Vec::new(),
        assignee: None,
        group: None,
        tags: Vec::new(),
        created_at: now,
        updated_at: now,
        follows: None,
        messages: vec![message],
    };
    let run = RunId::for_trigger(TicketId(number), CommentId(number));
    let opened = Body::RunOpened { run, ticket: Box::new(ticket), trigger: CommentId(number), prompts: "p".into() };
    let step = deskhand::ids::StepNo(1);
    let failure = Failure { class: FailureClass::Retry, vendor: "stripe".into(), message: "away".into() };
    let bodies = [
        opened,
        Body::StepStarted { step, work: Work::ReadFacts },
        Body::StepDelayed { step, attempt: 1, failure, retry_at_ms: until_ms },
    ];
    let entries = bodies.into_iter().map(|body| Entry::new(now, body)).collect();
    let (_, entries, projection) = Draft::open(entries).unwrap().take();
    Arrival::Open { entries, projection: Box::new(projection) }
}

/// Ten thousand runs wait, each for its own time: nobody looks at them until the first is due; then only that one is claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_waiting_runs_cost_one_timer() {
    const RUNS: i64 = 10_000;
    let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    let due_ms = |number: i64| clock.now_ms() + 3_600_000 + number * 1_000;
    for batch in 0..RUNS / 500 {
        let numbers = batch * 500..(batch + 1) * 500;
        let arrivals = numbers.map(|number| waiting_run(number, &clock, due_ms(number))).collect();
        journal.admit(arrivals, None).await.unwrap();
    }
    let first_ms = due_ms(0);
    assert_eq!(journal.next_wake().await.unwrap(), Some(first_ms), "one time stands for all");
    for _ in 0..100 {
        assert!(journal.claim("w", clock.now_ms(), Duration::from_secs(9)).await.unwrap().is_none());
    }
    clock.advance_to(jiff::Timestamp::from_millisecond(first_ms).unwrap());
    let claimed = journal.claim("w", clock.now_ms(), Duration::from_secs(9)).await.unwrap().expect("the first one");
    assert_eq!(claimed.lease.run, RunId::for_trigger(TicketId(0), CommentId(0)));
    assert!(journal.claim("w", clock.now_ms(), Duration::from_secs(9)).await.unwrap().is_none(), "and no other");
    // Overdue by days: all of them, the longest due first.
    clock.advance(30 * DAY);
    let claimed = journal.claim("x", clock.now_ms(), Duration::from_secs(9)).await.unwrap().expect("the second one");
    assert_ne!(claimed.lease.run, RunId::for_trigger(TicketId(9_999), CommentId(9_999)));
    journal.close().await;
}
