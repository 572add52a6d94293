//! What cannot be read stands alone: one ticket, one run. The others go on, and nobody's words are lost.

use std::time::Duration;

use deskhand::app::App;
use deskhand::ids::{StepNo, TicketId};
use deskhand::journal::Journal;
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::views::ApprovalFilter;
use deskhand::policy::RuleId;
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Entry, Outcome};
use deskhand::sim::world::TicketUpdate;
use serde_json::Value;

use crate::harness::{Desk, PATIENCE_MS, question, refund_ticket, words};

/// Moves the time on until it holds: the lanes of intake go by the clock.
async fn until(desk: &Desk, what: &str, holds: impl AsyncFn() -> bool) {
    let watch = desk.clock.stopwatch();
    while !holds().await {
        assert!(watch.elapsed_ms() < PATIENCE_MS, "it never came that {what}");
        desk.clock.advance(Duration::from_secs(2));
        desk.clock.sleep(Duration::from_millis(50)).await;
    }
}

fn answered(desk: &Desk, id: i64) -> bool {
    !desk.sim.world().public_replies(id).is_empty()
}

async fn aside(app: &App) -> Vec<TicketId> {
    app.journal.set_aside().await.unwrap().into_iter().map(|one| one.ticket).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_cannot_be_read_is_set_aside_and_taken_in_later() {
    for fault in [
        "zendesk.403/GET/tickets/7002/comments=1.0",
        "zendesk.garbage_html/GET/tickets/7002/comments=1.0",
        "zendesk.503/GET/tickets/7002/comments=1.0",
    ] {
        let desk = Desk::new(&[question(7001), question(7002), question(7003)]).await;
        desk.sim.faults().replace(fault.parse().unwrap());
        let app = desk.start(None).await;
        until(&desk, "the others are answered", async || answered(&desk, 7001) && answered(&desk, 7003)).await;
        until(&desk, "it is set aside", async || aside(&app).await == [TicketId(7002)]).await;
        // Also the lane that loses nothing goes past it.
        until(&desk, "the cursor moved", async || app.journal.cursor("incremental").await.unwrap().is_some()).await;
        // And that it is tried again and fails again keeps nothing out either.
        let before = app.journal.cursor("incremental").await.unwrap();
        desk.happens(7001, TicketUpdate { author: 20_001, ..TicketUpdate::default() });
        until(&desk, "the cursor moves on", async || app.journal.cursor("incremental").await.unwrap() != before).await;
        assert!(!answered(&desk, 7002), "{fault}");
        assert_eq!(app.health.intake(), None, "{fault}: the others are read");
        desk.sim.faults().replace("none".parse().unwrap());
        until(&desk, "it is answered", async || answered(&desk, 7002)).await;
        assert!(aside(&app).await.is_empty(), "{fault}");
        assert_eq!(app.views.runs_of_ticket(TicketId(7002)).await.unwrap().len(), 1, "{fault}");
        app.stop(&desk.clock).await;
    }
}

/// However many they are: those that are aside count no more, and what was set aside stays so when the turn ends early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tickets_that_cannot_be_read_keep_no_other_out() {
    let many: Vec<i64> = (7101..=7123).collect();
    let tickets: Vec<Value> = many.iter().copied().chain([7201]).map(question).collect();
    let desk = Desk::new(&tickets).await;
    let faults: Vec<String> = many.iter().map(|id| format!("zendesk.403/GET/tickets/{id}/comments=1.0")).collect();
    desk.sim.faults().replace(faults.join(",").parse().unwrap());
    let app = desk.start(None).await;
    until(&desk, "the one that can be read is answered", async || answered(&desk, 7201)).await;
    until(&desk, "all others are set aside", async || aside(&app).await.len() == many.len()).await;
    until(&desk, "the cursor moved", async || app.journal.cursor("incremental").await.unwrap().is_some()).await;
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_run_keeps_no_other_ticket_out() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000), question(7002)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    until(&desk, "the other is answered", async || answered(&desk, 7002)).await;
    app.stop(&desk.clock).await;
    let file = rusqlite::Connection::open(desk.data.path().join("deskhand.db")).unwrap();
    let triggers: Vec<String> = file
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'entries'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for trigger in triggers {
        file.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    file.execute_batch("UPDATE entries SET body = replace(body, 'run_opened', 'run_opener') WHERE seq = 1").unwrap();
    drop(file);
    let app = desk.start(None).await;
    desk.happens(7001, words(desk.sim.world(), 7001));
    desk.happens(7002, words(desk.sim.world(), 7002));
    until(&desk, "it is set aside", async || aside(&app).await == [TicketId(7001)]).await;
    let runs = async || app.views.runs_of_ticket(TicketId(7002)).await.unwrap().len();
    until(&desk, "the other's new words are taken up", async || runs().await == 2).await;
    assert!(app.journal.entries(&state.run).await.is_err());
    assert_eq!(app.health.intake(), None);
    app.stop(&desk.clock).await;
}

/// A run that nobody can go on with had taken in new words, and waited for an approval: a person gets the words, and the
/// approval and its money do not hang on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_only_a_broken_run_knew_reach_a_person_and_its_approval_is_withdrawn() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    desk.happens(7001, words(desk.sim.world(), 7001));
    let state = desk.until(&app, 7001, "the words", |s| s.ticket.messages.len() > state.ticket.messages.len()).await;
    assert!(app.journal.refunded_since(deskhand::money::Currency::USD, 0).await.unwrap() > 0);
    app.stop(&desk.clock).await;
    // A line that cannot follow, as a mistake of an earlier version might have left.
    let journal = SqliteJournal::open(desk.data.path()).unwrap();
    let (_, _, mut rows) = Draft::new(state.clone()).take();
    rows.row.wake_ms = Some(1);
    let bad = Entry::new(desk.clock.now(), Body::Reminded { step: StepNo(99) });
    journal.interject(&state.run, state.len, vec![bad], rows).await.unwrap();
    journal.close().await;

    let app = desk.start(None).await;
    until(&desk, "the words are handed over", async || {
        let runs = app.views.runs_of_ticket(TicketId(7001)).await.unwrap();
        runs.len() == 2 && runs.iter().all(|run| run.closed_ms.is_some())
    })
    .await;
    let next = desk.settled(&app, 7001).await;
    assert_eq!(next.outcome, Some(Outcome::Escalated { rule: RuleId::AgentBroke }), "{:?}", next.failures);
    assert!(desk.notes(7001)[0].contains("not known what it did"), "{:?}", desk.notes(7001));
    assert!(app.views.approvals(ApprovalFilter::Waiting, 9).await.unwrap().is_empty());
    assert_eq!(
        app.journal.refunded_since(deskhand::money::Currency::USD, 0).await.unwrap(),
        0,
        "it was only asked for"
    );
    assert!(aside(&app).await.is_empty() && desk.sim.world().refunds().is_empty());
    app.stop(&desk.clock).await;
}
