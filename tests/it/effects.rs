//! Every effect, and everything that can happen to its request and its answer: one deed in the world, the run ends as it
//! should, the customer is answered.

use deskhand::policy::RuleId;
use deskhand::run::entry::{Body, Decision, Outcome};
use deskhand::sim::world::{TicketUpdate, World};
use serde_json::{Value, json};

use crate::harness::{Desk, refund_ticket};
use crate::line::Wrong;

const HTML: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";
const IN_USE: &str =
    r#"{"error":{"type":"idempotency_error","code":"idempotency_key_in_use","message":"In progress."}}"#;
const LOCKED: &str = r#"{"error":{"type":"invalid_request_error","code":"lock_timeout","message":"Locked."}}"#;
const COLLISION: &str = r#"{"error":"DatabaseConflict","description":"Database collision"}"#;
const RUNNING: &str = r#"{"type":"about:blank","title":"In progress","status":409,"code":"operation_in_progress"}"#;

/// What may happen to a request under a key or a mark: by name, the mishaps of its tries in order.
fn mishaps() -> Vec<(&'static str, Vec<Wrong>)> {
    use Wrong::*;
    vec![
        ("lost before the deed", vec![LostBefore]),
        ("lost after the deed", vec![LostAfter]),
        ("lost before the deed, then after it", vec![LostBefore, LostAfter]),
        ("reset after the deed", vec![ResetAfter]),
        ("cut within the head of the answer", vec![CutInHead]),
        ("cut within the body of the answer", vec![CutInBody]),
        ("500 after the deed", vec![AnswerAfter(500, "", "oops")]),
        ("502 in HTML after the deed", vec![AnswerAfter(502, "content-type: text/html\r\n", HTML)]),
        ("503 with a wait after the deed", vec![AnswerAfter(503, "retry-after: 3\r\n", "")]),
        ("nothing in the answer, after the deed", vec![AnswerAfter(200, "", "")]),
        ("HTML with status 200, after the deed", vec![AnswerAfter(200, "", HTML)]),
        ("half of some JSON, after the deed", vec![AnswerAfter(200, "", "{\"id\":\"re_1")]),
        ("JSON of something else, after the deed", vec![AnswerAfter(200, "", "{}")]),
        ("500 before the deed", vec![AnswerBefore(500, "", "oops")]),
        ("504 before the deed, twice", vec![AnswerBefore(504, "", HTML), AnswerBefore(504, "", HTML)]),
        ("too many, with a wait", vec![AnswerBefore(429, "retry-after: 2\r\n", "{}")]),
        ("too many, without one", vec![AnswerBefore(429, "", "{}"), AnswerBefore(429, "", "{}")]),
        ("delivered twice", vec![Twice]),
        ("still running while it is sent again", vec![StillRunning]),
        ("still running while it is sent again, which is lost too", vec![StillRunningLong, LostBefore]),
    ]
}

fn ticket(id: i64, words: &str, calls: &[Value]) -> Value {
    let turns: Vec<Value> = calls.iter().map(|call| json!({ "tools": [call] })).collect();
    json!({ "id": id, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
            "subject": format!("Question {id}"), "body": words, "script": turns })
}

fn closing(answer: &str, claimed: &[&str]) -> Value {
    json!({ "name": "log_resolution", "input": { "answer": answer, "outcome": "solved", "category": "account",
            "summary": "Done.", "articles": [], "actions_claimed": claimed } })
}

/// A ticket for each row, so that one house serves a whole table.
fn numbered<T>(rows: &[T]) -> impl Iterator<Item = (i64, &T)> {
    (7001..).zip(rows)
}

/// A refund whose answer is lost after the deed, in more than ten different ways, and all else that can happen to it: one
/// refund, and the customer is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_is_made_once_whatever_happens_to_its_request() {
    let mut rows = mishaps();
    rows.extend([
        ("the key is in use", vec![Wrong::StillRunning, Wrong::AnswerBefore(409, "", IN_USE)]),
        ("the key is in use by our own first try", vec![Wrong::AnswerAfter(409, "", IN_USE)]),
        ("a lock in the way", vec![Wrong::AnswerBefore(409, "", LOCKED), Wrong::AnswerBefore(429, "", LOCKED)]),
        ("told to try again", vec![Wrong::AnswerBefore(500, "stripe-should-retry: true\r\n", "{}")]),
        ("told not to, after the deed", vec![Wrong::AnswerAfter(500, "stripe-should-retry: false\r\n", "{}")]),
    ]);
    let tickets: Vec<Value> = numbered(&rows).map(|(id, _)| refund_ticket(id, id - 6_900)).collect();
    let (desk, line) = Desk::on_a_line(&tickets).await;
    for (id, (_, wrong)) in numbered(&rows) {
        line.plan("POST", "/v1/refunds", &format!("eff_{id}_"), wrong);
    }
    // And some of the looks for it fail as well.
    line.plan("GET", "/v1/refunds?", "", &[Wrong::LostBefore, Wrong::Nothing, Wrong::LostBefore, Wrong::LostAfter]);
    let app = desk.start(None).await;
    for (id, (name, _)) in numbered(&rows) {
        let state = desk.settled(&app, id).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{name}: {:?}", state.failures);
        let refunds = desk.sim.world().refunds();
        let made = refunds.iter().filter(|refund| refund.amount_minor == id - 6_900).count();
        assert_eq!(made, 1, "{name}: refunds");
        assert_eq!(desk.sim.world().public_replies(id).len(), 1, "{name}: answers");
        assert_eq!(state.effects.len(), 1, "{name}: what the journal knows");
    }
    assert!(line.left().is_empty(), "did not happen: {:?}", line.left());
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_once_whatever_happens_to_its_request() {
    let mut rows = mishaps();
    rows.push(("in progress", vec![Wrong::StillRunning, Wrong::AnswerBefore(409, "", RUNNING)]));
    rows.push(("in progress by our own first try", vec![Wrong::AnswerAfter(409, "", RUNNING)]));
    let one = |n: i64| {
        let change = json!({ "name": "update_subscription", "input": { "subscription": format!("sub_{}", n - 7000),
            "quantity": 5, "explanation": "three more seats" } });
        let answer = closing("Hello Ada,\n\nthe seats have been added.", &["subscription_change"]);
        ticket(n, "Hello, please raise my subscription from 2 to 5 seats. Thank you!", &[change, answer])
    };
    let tickets: Vec<Value> = numbered(&rows).map(|(id, _)| one(id)).collect();
    let (desk, line) = Desk::on_a_line(&tickets).await;
    for (id, (_, wrong)) in numbered(&rows) {
        line.plan("POST", &format!("/v1/subscriptions/sub_{}/", id - 7000), "", wrong);
    }
    let app = desk.start(None).await;
    for (id, (name, _)) in numbered(&rows) {
        let state = desk.settled(&app, id).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{name}: {:?} {:?}", state.failures, state.ticket_judgement);
        let changes = desk.sim.world().subscription_changes();
        let made = changes.iter().filter(|change| change.subscription == format!("sub_{}", id - 7000)).count();
        assert_eq!(made, 1, "{name}: changes");
        assert_eq!(desk.sim.world().public_replies(id).len(), 1, "{name}: answers");
    }
    app.stop(&desk.clock).await;
}

fn tagged(world: &World, ticket: i64) {
    let tags = world.ticket(ticket).map(|ticket| ticket.tags).unwrap_or_default();
    let tags = Some([tags, vec!["vip".to_owned()]].concat());
    let update = TicketUpdate { author: 20001, tags, ..TicketUpdate::default() };
    world.lock().apply(deskhand::sim::world::Event::TicketUpdated { ticket, update });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_written_once_whatever_happens_to_its_request() {
    let mut rows = mishaps();
    rows.extend([
        ("two writers, before the deed", vec![Wrong::AnswerBefore(409, "", COLLISION)]),
        ("two writers, after the deed", vec![Wrong::AnswerAfter(409, "", COLLISION)]),
        ("a conflict with our own first try", vec![Wrong::Twice]),
    ]);
    let one = |id| {
        ticket(
            id,
            "Hello, where is my order T-1? Thank you!",
            &[closing("Hello Ada,\n\nyour order T-1 was delivered.", &[])],
        )
    };
    let mut tickets: Vec<Value> = numbered(&rows).map(|(id, _)| one(id)).collect();
    tickets.push(one(7900));
    tickets.push(one(7901));
    let (desk, line) = Desk::on_a_line(&tickets).await;
    for (id, (_, wrong)) in numbered(&rows) {
        line.plan("PUT", &format!("/tickets/{id}.json"), "", wrong);
    }
    // A tag of somebody else moves the stamp; then our write under the new stamp is lost and lands late, behind the look for
    // our mark and before the look at the stamp.
    let vip: fn(&World) = |world| tagged(world, 7900);
    line.plan("PUT", "/tickets/7900.json", "", &[Wrong::First(vip), Wrong::StillRunningLong, Wrong::Nothing]);
    line.plan("GET", "/tickets/7900.json", "", &[Wrong::Nothing, Wrong::Overtaken]);
    // Fields that only a person can fill in: the answer goes out, the ticket stays open.
    let fields = r#"{"error":"RecordInvalid","details":{"base":[{"description":"Category: is required"}]}}"#;
    line.plan("PUT", "/tickets/7901.json", "solved", &[Wrong::AnswerBefore(422, "", fields)]);
    let app = desk.start(None).await;
    let all = numbered(&rows).map(|(id, (name, _))| (id, *name));
    for (id, name) in all.chain([(7900, "lands between two looks"), (7901, "cannot be solved")]) {
        let state = desk.settled(&app, id).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{name}: {:?}", state.failures);
        assert_eq!(desk.sim.world().public_replies(id).len(), 1, "{name}: answers");
        assert!(desk.notes(id).is_empty(), "{name}: notes");
    }
    let tags = desk.sim.world().ticket(7900).unwrap().tags;
    assert!(tags.contains(&"vip".to_owned()) && tags.contains(&"deskhand_answered".to_owned()), "{tags:?}");
    assert_eq!(desk.sim.world().ticket(7901).unwrap().status.to_string(), "open");
    let left: Vec<String> = line.left().into_iter().filter(|left| !left.contains("7900")).collect();
    assert!(left.is_empty(), "did not happen: {left:?}");
    app.stop(&desk.clock).await;
}

/// The note and the sentence of a hand-over are two writes: whatever happens to either, each is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_is_written_once_whatever_happens_to_its_two_requests() {
    let rows = mishaps();
    let escalation = json!({ "name": "escalate_to_human", "input": { "reason": "out_of_scope", "asked": "a", "found": "b",
        "done": "c", "suggested_answer": "d", "holding_message": "A colleague takes over.", "priority": "normal" } });
    let one = |id| ticket(id, "Hello, can you see my account? Thank you!", std::slice::from_ref(&escalation));
    let tickets: Vec<Value> = (0..2 * rows.len() as i64).map(|n| one(7001 + n)).collect();
    let (desk, line) = Desk::on_a_line(&tickets).await;
    let all: Vec<(i64, &'static str, bool)> = (7001..)
        .zip(rows.iter().flat_map(|(name, _)| [(*name, true), (*name, false)]))
        .map(|(id, (name, note))| (id, name, note))
        .collect();
    for ((id, _, note), (_, wrong)) in all.iter().zip(rows.iter().flat_map(|row| [row, row])) {
        let part = if *note { ".note\"" } else { "\"public\":true" };
        line.plan("PUT", &format!("/tickets/{id}.json"), part, wrong);
    }
    let app = desk.start(None).await;
    for (id, name, note) in all {
        let which = if note { "note" } else { "sentence" };
        let state = desk.settled(&app, id).await;
        let expected = Some(Outcome::Escalated { rule: RuleId::ModelChoice });
        assert_eq!(state.outcome, expected, "{which} {name}: {:?}", state.failures);
        assert_eq!(desk.notes(id).len(), 1, "{which} {name}: notes");
        assert_eq!(desk.sim.world().public_replies(id).len(), 1, "{which} {name}: sentences");
    }
    app.stop(&desk.clock).await;
}

/// Mail has no key: what surely did not leave is tried again, what may have left never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_sent_once_or_its_outcome_is_unknown() {
    let mail = json!({ "name": "send_followup_email", "input": { "after_s": 0, "subject": "Your question",
        "body": "Hello Ada,\n\nas promised, here is the text again." } });
    let answer = closing("Hello Ada,\n\na mail with the text has been sent.", &["followup_email"]);
    for (faults, retried, mails, resolved) in [
        ("none", false, 1, true),
        ("smtp.451=1x", true, 1, true),
        ("smtp.421=2x", true, 1, true),
        ("smtp.lost_after=1x", false, 1, false),
        ("smtp.lost_before=1x", false, 0, false), // Behind the dot nobody can tell.
    ] {
        let one = ticket(7001, "Hello, please mail me the text again. Thank you!", &[mail.clone(), answer.clone()]);
        let desk = Desk::new(&[one]).await;
        desk.sim.faults().replace(faults.parse().unwrap());
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        let expected = match resolved {
            true => Outcome::Resolved,
            false => Outcome::Escalated { rule: RuleId::EffectUnknown },
        };
        assert_eq!(state.outcome, Some(expected), "{faults}: {:?}", state.failures);
        assert_eq!(desk.sim.world().mails().len(), mails, "{faults}: mails");
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{faults}: the customer is answered");
        let entries = app.journal.entries(&state.run).await.unwrap();
        let further = entries.iter().any(|entry| matches!(entry.body, Body::StepRetried { attempt: 2, .. }));
        assert_eq!(further, retried, "{faults}: a further try is written down before it leaves");
        app.stop(&desk.clock).await;
    }
}

/// A mail that was promised for later and may not have left: a colleague learns of it on the ticket, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_mail_that_may_not_have_left_is_told_to_a_colleague() {
    let mail = json!({ "name": "send_followup_email", "input": { "after_s": 3600, "subject": "Your question",
        "body": "Hello Ada,\n\ndid it work?" } });
    let answer =
        closing("Hello Ada,\n\nyour order T-1 was delivered. I scheduled a reminder by email.", &["followup_email"]);
    let desk = Desk::new(&[ticket(7001, "Hello, where is my order T-1? Thank you!", &[mail, answer])]).await;
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    desk.sim.faults().replace("smtp.lost_after=1x".parse().unwrap());
    desk.clock.advance(std::time::Duration::from_secs(3_601));
    desk.until(&app, 7001, "the note", |state| state.told).await;
    let notes = desk.notes(7001);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("may have been sent"), "{notes:?}");
    assert_eq!(desk.sim.world().mails().len(), 1);
    app.stop(&desk.clock).await;
}

/// Two tickets of one customer, side by side or one after the other, ask for the same refund: the second one waits for a
/// person, who is told why, and is carried out when they agree to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_equal_refund_of_a_payment_waits_for_a_person() {
    let desk = Desk::new(&[refund_ticket(7001, 5_000), refund_ticket(7002, 5_000)]).await;
    let app = desk.start(None).await;
    let (mut resolved, mut waiting) = (0, Vec::new());
    for id in [7001, 7002] {
        let state = desk.settled(&app, id).await;
        match state.pending_approval() {
            Some(approval) => {
                assert_eq!(approval.judgement.rule, RuleId::Repeated, "{}", approval.judgement.why);
                waiting.push(id);
            }
            None => resolved += i32::from(state.outcome == Some(Outcome::Resolved)),
        }
    }
    assert_eq!((resolved, waiting.len(), desk.sim.world().refunds().len()), (1, 1, 1));
    // A person agrees; once more, where they were asked before the first one was known to be done.
    let ended = loop {
        let state = desk.until(&app, waiting[0], "an approval or the end", |state| {
            state.outcome.is_some() || state.pending_approval().is_some_and(|approval| approval.decided.is_none())
        });
        let state = state.await;
        if state.outcome.is_some() {
            break state;
        }
        assert!(state.len < 60, "asked again and again");
        desk.decide(&app, &state, Decision::Approve, 0).await;
    };
    assert_eq!(ended.outcome, Some(Outcome::Resolved), "{:?}", ended.failures);
    assert_eq!(desk.sim.world().refunds().len(), 2);
    app.stop(&desk.clock).await;
}

/// The vendor forgets keys after a day. What was made is found by its mark; what is not found is not made again: a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_whose_key_is_too_old_is_found_or_goes_to_a_person() {
    for (lost, outcome, refunds) in [
        (Wrong::LostAfter, Outcome::Resolved, 1),
        (Wrong::LostBefore, Outcome::Escalated { rule: RuleId::EffectUnknown }, 0),
    ] {
        let (desk, line) = Desk::on_a_line(&[refund_ticket(7001, 100)]).await;
        line.plan("POST", "/v1/refunds", "", std::slice::from_ref(&lost));
        let app = desk.start(None).await;
        desk.until(&app, 7001, "the lost answer", |state| state.open.values().any(|open| open.unsure)).await;
        app.stop(&desk.clock).await;
        desk.clock.advance(std::time::Duration::from_secs(25 * 3_600));
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        assert_eq!(state.outcome, Some(outcome), "{lost:?}: {:?}", state.failures);
        assert_eq!(desk.sim.world().refunds().len(), refunds, "{lost:?}");
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{lost:?}: the customer is answered");
        app.stop(&desk.clock).await;
    }
}

/// The vendors' clocks are an hour off ours, or jump by one in mid-run: nothing is done twice, nobody waits an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_an_hour_change_nothing() {
    for jump in ["clock.jump:3600", "clock.jump:-3600"] {
        for when in ["=1x", "=10+1x", "=20+1x", "=30+1x"] {
            let faults =
                format!("{jump}{when},stripe.lost_after/POST/refunds$=1x,zendesk.lost_after/PUT/tickets/*$=1x");
            let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
            desk.sim.faults().replace(faults.parse().unwrap());
            let app = desk.start(None).await;
            let state = desk.settled(&app, 7001).await;
            assert_eq!(state.outcome, Some(Outcome::Resolved), "{faults}: {:?}", state.failures);
            assert_eq!(desk.sim.world().refunds().len(), 1, "{faults}");
            assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{faults}");
            app.stop(&desk.clock).await;
        }
    }
}
