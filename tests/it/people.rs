//! People and newcomers: whoever takes a ticket, at whatever point, ends the agent's part there; what was done by then is
//! told; new words of the customer are never passed over.

use deskhand::policy::RuleId;
use deskhand::run::entry::{Body, Decision, Outcome};
use deskhand::run::row::{ApprovalState, RunStatus};
use deskhand::sim::world::{Event, NewComment, TicketUpdate, World};
use deskhand::sim::world_file::TicketStatus;
use serde_json::json;

use crate::harness::{Desk, refund_ticket, words};
use crate::line::Wrong;

const PAT: i64 = 20001;

fn by_pat() -> TicketUpdate {
    TicketUpdate { author: PAT, ..TicketUpdate::default() }
}

fn reply() -> TicketUpdate {
    let comment = NewComment { author: PAT, public: true, body: "I am on it.".into(), ..NewComment::default() };
    TicketUpdate { comment: Some(comment), ..by_pat() }
}

/// What a person may do to a ticket, by name, and how the run calls it.
fn acts() -> Vec<(&'static str, TicketUpdate, &'static str)> {
    let status = |word: &str| TicketUpdate { status: Some(word.to_owned()), ..by_pat() };
    vec![
        ("replied", reply(), "replied"),
        ("assigned to themselves", TicketUpdate { assignee: Some(Some(PAT)), ..by_pat() }, "assigned"),
        ("solved without a word", status("solved"), "solved"),
        ("closed", status("closed"), "closed"),
        ("merged", TicketUpdate { tags: Some(vec!["closed_by_merge".to_owned()]), ..status("closed") }, "merged"),
    ]
}

fn act_on(world: &World, ticket: i64, update: TicketUpdate) {
    world.lock().apply(Event::TicketUpdated { ticket, update: TicketUpdate { channel: "web".to_owned(), ..update } });
}

/// How the run's journal says that it ended for a person.
fn how_it_ended(entries: &[deskhand::run::entry::Entry]) -> Vec<String> {
    let how = |body: &Body| match body {
        Body::TakenOver { how, .. } => Some(how.clone()),
        Body::StepFinished { result: deskhand::run::entry::StepResult::PersonFirst { how, .. }, .. } => {
            Some(how.clone())
        }
        _ => None,
    };
    let mut hows: Vec<String> = entries.iter().filter_map(|entry| how(&entry.body)).collect();
    hows.dedup(); // Intake may have noticed the same in the same moment.
    hows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_effect_a_persons_act_ends_the_agents_part() {
    let acts = acts();
    // Of one payment, so no two of the same amount.
    let tickets: Vec<_> = (7001..).zip(&acts).map(|(id, _)| refund_ticket(id, id - 6_900)).collect();
    let (desk, line) = Desk::on_a_line(&tickets).await;
    let now: [fn(&World); 5] = [
        |world| act_on(world, 7001, acts_of(0)),
        |world| act_on(world, 7002, acts_of(1)),
        |world| act_on(world, 7003, acts_of(2)),
        |world| act_on(world, 7004, acts_of(3)),
        |world| act_on(world, 7005, acts_of(4)),
    ];
    for (id, act) in (7001..).zip(now) {
        // The look before the refund is the run's first at the ticket alone.
        line.plan("GET", &format!("/tickets/{id}.json"), "", &[Wrong::First(act)]);
    }
    let app = desk.start(None).await;
    for (id, (name, _, how)) in (7001..).zip(&acts) {
        let state = desk.settled(&app, id).await;
        assert_eq!(state.outcome, Some(Outcome::TakenOver), "{name}: {:?}", state.failures);
        let entries = app.journal.entries(&state.run).await.unwrap();
        assert_eq!(how_it_ended(&entries), [(*how).to_owned()], "{name}");
        assert!(desk.sim.world().public_replies(id).is_empty(), "{name}: nothing is said any more");
        assert!(desk.notes(id).is_empty(), "{name}: nothing was done, so nothing is told");
    }
    assert!(desk.sim.world().refunds().is_empty());
    app.stop(&desk.clock).await;
}

fn acts_of(index: usize) -> TicketUpdate {
    acts().remove(index).1
}

/// The refund is made, then a person takes the ticket before the answer: no answer, and the person learns of the refund.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_refund_and_the_answer_the_person_learns_what_was_done() {
    let acts = acts();
    let tickets: Vec<_> = (7001..).zip(&acts).map(|(id, _)| refund_ticket(id, id - 6_900)).collect();
    let (desk, line) = Desk::on_a_line(&tickets).await;
    let now: [fn(&World); 5] = [
        |world| act_on(world, 7001, acts_of(0)),
        |world| act_on(world, 7002, acts_of(1)),
        |world| act_on(world, 7003, acts_of(2)),
        |world| act_on(world, 7004, acts_of(3)),
        |world| act_on(world, 7005, acts_of(4)),
    ];
    for (id, act) in (7001..).zip(now) {
        line.plan("PUT", &format!("/tickets/{id}.json"), "\"public\":true", &[Wrong::First(act)]);
        // And the note's own answer is lost: it is there once all the same.
        line.plan("PUT", &format!("/tickets/{id}.json"), ".note\"", &[Wrong::LostAfter]);
    }
    let app = desk.start(None).await;
    for (id, (name, _, how)) in (7001..).zip(&acts) {
        let state = desk.settled(&app, id).await;
        let made = desk.sim.world().refunds().iter().filter(|refund| refund.amount_minor == id - 6_900).count();
        assert_eq!(made, 1, "{name}");
        assert!(desk.sim.world().public_replies(id).is_empty(), "{name}: no answer");
        let entries = app.journal.entries(&state.run).await.unwrap();
        // A refused write says that the ticket is closed, and not by what.
        let said = if *how == "merged" { "closed" } else { *how };
        assert_eq!(how_it_ended(&entries), [said.to_owned()], "{name}");
        let notes = desk.notes(id);
        if matches!(*how, "closed" | "merged") {
            let Some(Outcome::Failed { message }) = &state.outcome else { panic!("{name}: {:?}", state.outcome) };
            assert!(message.contains("refunded $1."), "{name}: a page shows what nobody could be told: {message}");
            assert!(notes.is_empty(), "{name}");
        } else {
            assert_eq!(state.outcome, Some(Outcome::TakenOver), "{name}: {:?}", state.failures);
            assert_eq!(notes.len(), 1, "{name}: {notes:?}");
            assert!(notes[0].contains("refunded $1.") && notes[0].contains("has not been told"), "{notes:?}");
        }
    }
    app.stop(&desk.clock).await;
}

/// Between the note and the sentence of a hand-over: the person has the note, the sentence is not needed any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_note_and_sentence_a_persons_act_stops_the_sentence_and_the_customers_words_do_not() {
    let escalation = json!({ "name": "escalate_to_human", "input": { "reason": "out_of_scope", "asked": "a", "found": "b",
        "done": "c", "suggested_answer": "d", "holding_message": "A colleague takes over.", "priority": "normal" } });
    let ticket = |id: i64| {
        json!({ "id": id, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email", "subject": "T-1",
                "body": "Hello, where is my order T-1?", "script": [{"tools": [escalation.clone()]}] })
    };
    let (desk, line) = Desk::on_a_line(&[ticket(7001), ticket(7002)]).await;
    let person: fn(&World) = |world| act_on(world, 7001, reply());
    let customer: fn(&World) = |world| act_on(world, 7002, words(world, 7002));
    line.plan("PUT", "/tickets/7001.json", "\"public\":true", &[Wrong::First(person)]);
    line.plan("PUT", "/tickets/7002.json", "\"public\":true", &[Wrong::First(customer)]);
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::TakenOver), "{:?}", state.failures);
    assert_eq!(desk.notes(7001).len(), 1);
    assert!(desk.sim.world().public_replies(7001).is_empty());
    let state = desk.settled(&app, 7002).await;
    assert_eq!(state.outcome, Some(Outcome::Escalated { rule: RuleId::ModelChoice }), "{:?}", state.failures);
    assert_eq!(desk.notes(7002).len(), 1);
    assert_eq!(desk.sim.world().public_replies(7002).len(), 1);
    app.stop(&desk.clock).await;
}

/// While an approval waits, or is decided and rests: a person's act withdraws it, and nothing is refunded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_approval_waits_or_rests_a_persons_act_withdraws_it() {
    let acts = acts();
    let tickets: Vec<_> = (7001..).zip(acts.iter().chain(&acts)).map(|(id, _)| refund_ticket(id, 60_000)).collect();
    let desk = Desk::new(&tickets).await;
    let app = desk.start(None).await;
    let all = (7001..).zip(acts.iter().map(|act| (false, act)).chain(acts.iter().map(|act| (true, act))));
    for (id, (held, (name, update, how))) in all {
        let state = desk.until(&app, id, "an approval", |state| state.pending_approval().is_some()).await;
        if held {
            desk.decide(&app, &state, Decision::Approve, 3_600_000).await;
        }
        desk.happens(id, update.clone());
        let ended = |state: &deskhand::run::state::RunState| state.outcome.is_some();
        // The poller sees it by itself; the undo window is not waited for.
        let watch = desk.clock.stopwatch();
        let state = loop {
            let state = crate::harness::state(&*app.journal, &state.run).await;
            if ended(&state) {
                break state;
            }
            assert!(watch.elapsed_ms() < 30_000, "{name}: the run did not end");
            desk.clock.sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(state.outcome, Some(Outcome::TakenOver), "{name}");
        assert_eq!(state.approvals[0].state, ApprovalState::Withdrawn, "{name}");
        assert_eq!(how_it_ended(&app.journal.entries(&state.run).await.unwrap()), [(*how).to_owned()], "{name}");
        assert!(desk.notes(id).is_empty() && desk.sim.world().public_replies(id).is_empty(), "{name}");
    }
    assert!(desk.sim.world().refunds().is_empty());
    app.stop(&desk.clock).await;
}

/// New words beside a waiting approval are shown; a decision made before them is not carried out, and is asked anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_words_join_a_run_that_waits_and_undo_a_decision_made_before_them() {
    let desk = Desk::new(&[refund_ticket(7001, 60_000)]).await;
    let app = desk.start(None).await;
    let state = desk.until(&app, 7001, "an approval", |state| state.pending_approval().is_some()).await;
    desk.happens(7001, words(desk.sim.world(), 7001));
    let state =
        desk.until(&app, 7001, "the news", |s| s.ticket.messages.len() == state.ticket.messages.len() + 1).await;
    assert_eq!(state.approvals[0].state, ApprovalState::Waiting, "it waits on, with the new words beside it");

    desk.decide(&app, &state, Decision::Approve, 3_600_000).await;
    desk.happens(7001, words(desk.sim.world(), 7001));
    let asked_anew = |state: &deskhand::run::state::RunState| {
        state.approvals.len() == 1 && state.approvals[0].judgement.why.contains("asked again")
    };
    let state = desk.until(&app, 7001, "to be asked anew", asked_anew).await;
    assert_eq!(state.approvals[0].state, ApprovalState::Waiting);
    assert!(
        state.approvals[0].judgement.why.contains("the customer wrote again"),
        "{:?}",
        state.approvals[0].judgement
    );
    assert!(desk.sim.world().refunds().is_empty(), "nothing is carried out blindly");

    desk.decide(&app, &state, Decision::Approve, 0).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!(desk.sim.world().refunds().len(), 1);
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1);
    app.stop(&desk.clock).await;
}

/// Words that arrive while the answer is on its way are answered as well, and a reopened ticket is a run of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_words_of_the_customer_are_passed_over() {
    let tickets = [refund_ticket(7001, 100), refund_ticket(7002, 101), refund_ticket(7003, 102)];
    let (desk, line) = Desk::on_a_line(&tickets).await;
    let behind: fn(&World) = |world| act_on(world, 7003, words(world, 7003));
    line.plan("PUT", "/tickets/7003.json", "\"public\":true", &[Wrong::ThenLost(behind)]);
    let before: fn(&World) = |world| act_on(world, 7001, words(world, 7001));
    line.plan("PUT", "/tickets/7001.json", "\"public\":true", &[Wrong::First(before)]);
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.ticket.messages.len(), 2, "the words joined the run");
    assert!(state.outcome.is_some() && !desk.sim.world().public_replies(7001).is_empty(), "{:?}", state.outcome);
    assert_eq!(desk.sim.world().refunds().iter().filter(|refund| refund.amount_minor == 100).count(), 1);

    let first = desk.settled(&app, 7002).await;
    assert_eq!(first.outcome, Some(Outcome::Resolved), "{:?}", first.failures);
    desk.happens(7002, words(desk.sim.world(), 7002));
    let watch = desk.clock.stopwatch();
    loop {
        let runs = app.views.runs_of_ticket(deskhand::ids::TicketId(7002)).await.unwrap();
        // It asks for the same refund again, so a person is asked.
        if runs.len() == 2 && runs.iter().all(|run| run.outcome.is_some() || run.status == RunStatus::WaitingApproval) {
            break;
        }
        assert!(watch.elapsed_ms() < 30_000, "a reopened ticket is a new trigger: {runs:?}");
        desk.clock.sleep(std::time::Duration::from_millis(20)).await;
    }

    // Words behind the answer, while its own answer is lost: they are answered too.
    let watch = desk.clock.stopwatch();
    desk.settled(&app, 7003).await;
    let asked = async || {
        let runs = app.views.runs_of_ticket(deskhand::ids::TicketId(7003)).await.unwrap();
        runs.iter().any(|run| run.status == RunStatus::WaitingApproval)
    };
    while desk.sim.world().public_replies(7003).len() < 2 && !asked().await {
        assert!(watch.elapsed_ms() < 30_000, "words behind an answer were passed over");
        desk.settled(&app, 7003).await;
        desk.clock.sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(desk.sim.world().ticket(7002).map(|t| t.status == TicketStatus::New), Some(false));
    app.stop(&desk.clock).await;
}

/// A refund whose answer was lost is still on its way when somebody comes in between: the step does not end without it, so
/// that no second one is asked for under another key, and whoever has the ticket learns of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_is_still_on_its_way_is_waited_for_before_anybody_takes_its_place() {
    let customer: fn(&World) = |world| act_on(world, 7001, words(world, 7001));
    let person: fn(&World) = |world| act_on(world, 7001, acts_of(1));
    for (who, act) in [("customer", customer), ("person", person)] {
        let (desk, line) = Desk::on_a_line(&[refund_ticket(7001, 101)]).await;
        line.plan("POST", "/v1/refunds", "", &[Wrong::StillRunning]);
        line.plan("GET", "/tickets/7001.json", "", &[Wrong::Nothing, Wrong::First(act)]);
        // Two looks for it find nothing; it lands before the third.
        line.plan("GET", "/v1/refunds?", "", &[Wrong::Nothing, Wrong::Nothing, Wrong::Overtaken]);
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        assert_eq!(desk.sim.world().refunds().len(), 1, "{who}: {:?}", state.failures);
        assert_eq!(state.effects.len(), 1, "{who}: what the journal knows");
        if who == "customer" {
            assert!(!desk.sim.world().public_replies(7001).is_empty(), "the customer is answered");
        } else {
            assert_eq!(state.outcome, Some(Outcome::TakenOver), "{:?}", state.failures);
            assert!(desk.notes(7001).iter().any(|note| note.contains("refunded $1.01")), "{:?}", desk.notes(7001));
        }
        app.stop(&desk.clock).await;
    }
}
