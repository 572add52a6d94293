//! From `auto` to `shadow` in mid-run: what was begun is looked for and never sent, what was promised is held back and shown,
//! and goes on when the mode returns.

use std::time::Duration;

use deskhand::app::App;
use deskhand::ids::TicketId;
use deskhand::intent::Intent;
use deskhand::run::decide;
use deskhand::run::entry::{Body, Outcome, StepResult};
use deskhand::run::next::Mode;
use deskhand::run::row::RunRow;
use deskhand::sim::world::TicketUpdate;
use serde_json::{Value, json};

use crate::harness::{Desk, refund_ticket};
use crate::line::Wrong;

async fn row(app: &App, ticket: i64) -> RunRow {
    app.views.runs_of_ticket(TicketId(ticket)).await.unwrap().remove(0)
}

/// Waits until the ticket's row says so; the clock stands.
async fn row_until(desk: &Desk, app: &App, ticket: i64, what: &str, holds: impl Fn(&RunRow) -> bool) -> RunRow {
    let watch = desk.clock.stopwatch();
    loop {
        let row = row(app, ticket).await;
        if holds(&row) {
            return row;
        }
        assert!(watch.elapsed_ms() < 30_000, "{what} never came: {row:?}");
        desk.clock.sleep(Duration::from_millis(20)).await;
    }
}

async fn in_shadow(desk: &Desk) -> App {
    desk.start_with(|config| config.mode = Mode::Shadow).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_in_flight_is_looked_for_in_shadow_and_never_sent_again() {
    for (lost, made) in [(Wrong::LostAfter, 1), (Wrong::LostBefore, 0)] {
        let (desk, line) = Desk::on_a_line(&[refund_ticket(7001, 100)]).await;
        line.plan("POST", "/v1/refunds", "", std::slice::from_ref(&lost));
        let app = desk.start(None).await;
        desk.until(&app, 7001, "the lost answer", |state| state.open.values().any(|open| open.unsure)).await;
        app.stop(&desk.clock).await;

        let app = in_shadow(&desk).await;
        let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
        assert_eq!(desk.sim.world().refunds().len(), made, "{lost:?}");
        assert!(desk.sim.world().public_replies(7001).is_empty() && desk.notes(7001).is_empty(), "{lost:?}");
        match &state.outcome {
            Some(Outcome::Failed { message }) => {
                assert!(
                    made == 1 && message.contains("refunded $1.00"),
                    "{lost:?}: half done, for a person: {message}"
                );
            }
            Some(Outcome::Shadowed { would: Intent::CreateRefund(_) }) => assert_eq!(made, 0, "{lost:?}"),
            other => panic!("{lost:?}: {other:?}"),
        }
        app.stop(&desk.clock).await;
        if made == 0 {
            continue;
        }
        // The mode returns, and a person lets the parked run go on.
        let app = desk.start(None).await;
        let entries = app.journal.entries(&state.run).await.unwrap();
        let (len, new, rows) = decide::retry(&entries, "ada", desk.clock.now()).unwrap();
        app.journal.interject(&state.run, len, new, rows).await.unwrap();
        let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
        assert_eq!((desk.sim.world().refunds().len(), desk.sim.world().public_replies(7001).len()), (1, 1));
        app.stop(&desk.clock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_flight_is_looked_for_in_shadow_and_never_sent_again() {
    for (lost, replies) in [(Wrong::LostAfter, 1), (Wrong::LostBefore, 0)] {
        let (desk, line) = Desk::on_a_line(&[promising_ticket(0)]).await;
        line.plan("PUT", "/tickets/7001.json", "", std::slice::from_ref(&lost));
        let app = desk.start(None).await;
        desk.until(&app, 7001, "the lost answer", |state| state.open.values().any(|open| open.unsure)).await;
        app.stop(&desk.clock).await;
        let app = in_shadow(&desk).await;
        let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
        assert_eq!(desk.sim.world().public_replies(7001).len(), replies, "{lost:?}");
        let resolved = state.outcome == Some(Outcome::Resolved);
        assert!(resolved == (replies == 1), "{lost:?}: {:?}", state.outcome);
        let held = |body: &Body| matches!(body, Body::StepFinished { result: StepResult::HeldBack { .. }, .. });
        let entries = app.journal.entries(&state.run).await.unwrap();
        assert_eq!(entries.iter().filter(|entry| held(&entry.body)).count(), 1 - replies, "{lost:?}");
        app.stop(&desk.clock).await;
    }
}

/// A hand-over is two writes. The first landed, the second did not, and the mode changed: that is no run of which nothing left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_was_half_sent_is_shown_and_ends_when_the_mode_returns() {
    let (desk, line) = Desk::on_a_line(&[escalated_ticket()]).await;
    line.plan("PUT", "/tickets/7001.json", "", &[Wrong::Nothing, Wrong::LostBefore]);
    let app = desk.start(None).await;
    desk.until(&app, 7001, "the lost answer", |state| state.open.values().any(|open| open.unsure)).await;
    app.stop(&desk.clock).await;
    assert_eq!((desk.notes(7001).len(), desk.sim.world().public_replies(7001).len()), (1, 0));

    let app = in_shadow(&desk).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    let Some(Outcome::Failed { message }) = &state.outcome else { panic!("{:?}", state.outcome) };
    assert!(message.contains("The note to the colleagues stands on the ticket"), "{message}");
    let shown = row(&app, 7001).await;
    assert!(shown.reason.is_some_and(|reason| reason.contains("the customer was not answered")), "a page says so");
    assert!(desk.sim.world().public_replies(7001).is_empty());
    app.stop(&desk.clock).await;

    // The mode returns, and a person lets the parked run go on: the note is found, the sentence follows.
    let app = desk.start(None).await;
    let entries = app.journal.entries(&state.run).await.unwrap();
    let (len, new, rows) = decide::retry(&entries, "ada", desk.clock.now()).unwrap();
    app.journal.interject(&state.run, len, new, rows).await.unwrap();
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert!(matches!(state.outcome, Some(Outcome::Escalated { .. })), "{:?}", state.outcome);
    assert_eq!((desk.notes(7001).len(), desk.sim.world().public_replies(7001).len()), (1, 1));
    app.stop(&desk.clock).await;
}

fn escalated_ticket() -> Value {
    let input = json!({ "reason": "out_of_scope", "priority": "normal", "asked": "a thing that we do not do",
        "found": "nothing about it", "done": "", "suggested_answer": "",
        "holding_message": "Hello Ada,\n\na colleague looks at it and will write to you." });
    json!({ "id": 7001, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
            "subject": "Engraving", "body": "Hello, can you engrave the reader of order T-1? Thank you!",
            "script": [{ "tools": [{ "name": "escalate_to_human", "input": input }] }] })
}

/// A ticket that is answered, and whose customer is promised a mail for so many seconds later; 0: no mail.
fn promising_ticket(after_s: i64) -> Value {
    let mail = json!({ "name": "send_followup_email", "input": { "after_s": after_s, "subject": "Your question",
        "body": "Hello Ada,\n\ndid it work?" } });
    let (words, claimed) = match after_s {
        0 => ("Hello Ada,\n\nyour order T-1 was delivered.", json!([])),
        _ => {
            ("Hello Ada,\n\nyour order T-1 was delivered. I scheduled a reminder by email.", json!(["followup_email"]))
        }
    };
    let answer = json!({ "name": "log_resolution", "input": { "answer": words, "outcome": "solved", "category": "order",
        "summary": "Told.", "articles": [], "actions_claimed": claimed } });
    let script = if after_s == 0 { vec![answer] } else { vec![mail, answer] };
    let turns: Vec<Value> = script.into_iter().map(|call| json!({ "tools": [call] })).collect();
    json!({ "id": 7001, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
            "subject": "Order T-1", "body": "Hello, where is my order T-1? Thank you!", "script": turns })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promised_mail_is_held_back_and_shown_in_shadow_and_leaves_when_the_mode_returns() {
    let desk = Desk::new(&[promising_ticket(3_600)]).await;
    let app = desk.start(None).await;
    assert_eq!(desk.settled(&app, 7001).await.outcome, Some(Outcome::Resolved));
    app.stop(&desk.clock).await;
    desk.clock.advance(Duration::from_secs(3_601));
    let app = in_shadow(&desk).await;
    let held = row_until(&desk, &app, 7001, "that it is held back", |row| row.attention.is_some()).await;
    assert!(held.attention.unwrap().contains("held back by shadow mode"));
    // It looks again now and then, and says it once.
    desk.clock.advance(Duration::from_secs(3_600));
    let now_ms = desk.clock.now_ms();
    row_until(&desk, &app, 7001, "the next look", |row| row.wake_ms.is_some_and(|wake| wake > now_ms)).await;
    let run = row(&app, 7001).await.run;
    let entries = app.journal.entries(&run).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| matches!(entry.body, Body::HeldBack { .. })).count(), 1);
    assert!(desk.sim.world().mails().is_empty() && desk.notes(7001).is_empty());
    app.stop(&desk.clock).await;

    desk.clock.advance(Duration::from_secs(3_600));
    let app = desk.start(None).await;
    row_until(&desk, &app, 7001, "that it has left", |row| row.attention.is_none()).await;
    desk.until(&app, 7001, "the mail", |state| state.mails.iter().all(|mail| mail.settled)).await;
    assert_eq!(desk.sim.world().mails().len(), 1);
    app.stop(&desk.clock).await;
}

/// A mail that comes due when the helpdesk has closed the ticket, or a colleague has it: somebody learns that it did not leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promised_mail_that_did_not_leave_is_never_dropped_silently() {
    let by = |update: TicketUpdate| TicketUpdate { author: 20_001, ..update };
    let closed = by(TicketUpdate { status: Some("closed".to_owned()), ..TicketUpdate::default() });
    let assigned = by(TicketUpdate { assignee: Some(Some(20_001)), ..TicketUpdate::default() });
    for (update, on_the_page) in [(closed, true), (assigned, false)] {
        let desk = Desk::new(&[promising_ticket(3_600)]).await;
        let app = desk.start(None).await;
        assert_eq!(desk.settled(&app, 7001).await.outcome, Some(Outcome::Resolved));
        desk.happens(7001, update);
        desk.clock.advance(Duration::from_secs(3_601));
        desk.until(&app, 7001, "the mail", |state| state.mails.iter().all(|mail| mail.settled)).await;
        match on_the_page {
            true => {
                let said = row(&app, 7001).await.attention.expect("a page says so");
                assert!(said.contains("follow-up mail") && said.contains("the ticket is closed"), "{said}");
                assert!(desk.notes(7001).is_empty());
            }
            false => {
                desk.until(&app, 7001, "the note", |state| state.told).await;
                assert!(desk.notes(7001)[0].contains("was not sent when it was due"), "{:?}", desk.notes(7001));
                assert_eq!(row(&app, 7001).await.attention, None);
            }
        }
        assert!(desk.sim.world().mails().is_empty());
        app.stop(&desk.clock).await;
    }
}
