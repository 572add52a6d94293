//! A journal that is put back from a backup has forgotten what its runs did since. They must not do it again.

use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Arrival, Journal};
use deskhand::keep;
use deskhand::policy::facts::ConfirmedEffect;
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Decision, Entry, Outcome, StepResult, Work};
use deskhand::sim::world::{Event, Refund};

use crate::harness::{Desk, refund_ticket};
use crate::line::Wrong;

/// A journal that holds these entries alone, backed up and put back, and resumed by a person.
async fn put_back(desk: &Desk, entries: Vec<Entry>) -> tempfile::TempDir {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = SqliteJournal::open(old.path()).unwrap();
    let (_, entries, projection) = Draft::open(entries).unwrap().take();
    journal.admit(vec![Arrival::Open { entries, projection: Box::new(projection) }], None).await.unwrap();
    let made = keep::backup::run(old.path(), None, None, &desk.clock).await.unwrap();
    journal.close().await;
    keep::restore::run(&made.file, new.path(), false, &desk.clock).await.unwrap();
    let journal = SqliteJournal::open(new.path()).unwrap();
    assert!(journal.switch("paused").await.unwrap().is_some_and(|why| why.contains("is not known here")));
    journal.set_switch("paused", "", "Pat", desk.clock.now_ms()).await.unwrap();
    journal.close().await;
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_run_repeats_no_effect_even_under_another_step() {
    let desk = Desk::new(&[refund_ticket(7001, 20_000)]).await;
    let app = desk.start(None).await;
    let whole = desk.settled(&app, 7001).await;
    assert_eq!(whole.outcome, Some(Outcome::Resolved));
    let entries = app.journal.entries(&whole.run).await.unwrap();
    app.stop(&desk.clock).await;
    let answered = |desk: &Desk| desk.sim.world().public_replies(7001).len();
    assert_eq!((desk.sim.world().refunds().len(), answered(&desk)), (1, 1));

    // The backup knows no more than that the run was opened; or it went another way since, a step longer, so that each
    // effect comes under another key than the first time.
    let opened = vec![entries[0].clone()];
    let facts: Vec<Entry> = entries[1..3].to_vec();
    assert!(matches!(facts[0].body, Body::StepStarted { .. }) && matches!(facts[1].body, Body::StepFinished { .. }));
    let mut shifted = [opened.clone(), facts.clone(), facts].concat();
    for entry in &mut shifted[3..] {
        if let Body::StepStarted { step, .. } | Body::StepFinished { step, .. } = &mut entry.body {
            step.0 += 1;
        }
    }
    for (what, known) in [("the same steps", opened), ("other steps", shifted)] {
        let folder = put_back(&desk, known).await;
        let app = desk.start(Some(folder.path().to_owned())).await;
        let state = desk.settled(&app, 7001).await;
        assert!(state.outcome.is_some(), "{what}");
        assert_eq!(desk.sim.world().refunds().len(), 1, "{what}");
        assert_eq!(answered(&desk), 1, "{what}: {:?}", state.outcome);
        app.stop(&desk.clock).await;
    }
}

/// The forgotten run was another one of the ticket: a comment had joined it, which opens a run of its own after the restore.
/// The vendor's clock is an hour behind ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_of_a_forgotten_run_of_the_ticket_is_not_followed_by_another() {
    let tickets = [refund_ticket(7001, 6_000)];
    let first = Desk::new(&tickets).await;
    let app = first.start(None).await;
    let whole = first.settled(&app, 7001).await;
    let opened = app.journal.entries(&whole.run).await.unwrap()[..1].to_vec();
    app.stop(&first.clock).await;

    let desk = Desk::new(&tickets).await;
    let metadata = serde_json::json!({ "effect_key": "eff_7001_1_5", "ticket_id": "7001", "run_id": "run_7001_1" });
    let refund = Refund {
        id: "re_forgotten".into(),
        payment: "pay_1".into(),
        amount_minor: 5_000,
        currency: "usd".parse().unwrap(),
        at: opened[0].at() - jiff::SignedDuration::from_hours(1),
        status: "succeeded".into(),
        reason: None,
        idempotency_key: None,
        metadata: metadata.as_object().unwrap().clone(),
        made_here: false,
    };
    desk.sim.world().lock().apply(Event::RefundCreated { refund });
    let folder = put_back(&desk, opened).await;
    let app = desk.start(Some(folder.path().to_owned())).await;
    let state = desk.settled(&app, 7001).await;
    assert!(state.outcome.is_some() && state.effects.is_empty(), "{:?}", state.outcome);
    assert!(desk.sim.world().refunds().is_empty(), "no second one");
    app.stop(&desk.clock).await;
}

/// The entries up to the last one that is so, that one included.
fn until(entries: &[Entry], is_so: impl Fn(&Body) -> bool) -> Vec<Entry> {
    let last = entries.iter().rposition(|entry| is_so(&entry.body)).expect("such an entry");
    entries[..=last].to_vec()
}

/// A refund of the whole payment was approved and made; the backup is from before it was made. Nothing of the payment can go
/// back any more, and yet nobody is asked again: the run finds what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_refund_that_was_made_and_forgotten_is_found_and_the_customer_answered() {
    for what in ["decided", "read again", "asked"] {
        let (desk, line) = Desk::on_a_line(&[refund_ticket(7001, 120_000)]).await;
        // The answer to the customer is held back until the process has ended.
        line.plan("PUT", "/tickets/7001.json", "", &[Wrong::AnswerBefore(429, "retry-after: 600\r\n", "")]);
        let app = desk.start(None).await;
        let waits = desk.settled(&app, 7001).await;
        desk.decide(&app, &waits, Decision::Approve, 0).await;
        let made = desk.until(&app, 7001, "the refund", |state| !state.effects.is_empty()).await;
        let entries = app.journal.entries(&made.run).await.unwrap();
        // The process ends before the customer is answered, so that it is the restored run that has to.
        app.stop(&desk.clock).await;
        assert!(desk.sim.world().public_replies(7001).is_empty(), "{what}");
        // It may have ended before it asked at all; the restored run is not held back.
        line.forget();
        let turns = |entries: &[Entry]| {
            let is_turn = |body: &Body| matches!(body, Body::StepStarted { work: Work::Model { .. }, .. });
            entries.iter().filter(|entry| is_turn(&entry.body)).count()
        };
        let known = match what {
            "decided" => until(&entries, |body| matches!(body, Body::ApprovalDecided { .. })),
            "read again" => {
                until(&entries, |body| matches!(body, Body::StepFinished { result: StepResult::Facts { .. }, .. }))
            }
            _ => until(&entries, |body| matches!(body, Body::ApprovalRequested { .. })),
        };
        // What was read before is too old by then: it is read once more, and the refund comes under another step.
        desk.clock.advance(std::time::Duration::from_secs(900));
        let turns_known = turns(&known);
        let folder = put_back(&desk, known).await;
        let app = desk.start(Some(folder.path().to_owned())).await;
        if what == "asked" {
            let waits = desk.settled(&app, 7001).await;
            desk.decide(&app, &waits, Decision::Approve, 0).await;
            desk.until(&app, 7001, "the refund", |state| !state.effects.is_empty()).await;
        }
        let state = desk.settled(&app, 7001).await;
        assert_eq!(desk.sim.world().refunds().len(), 1, "{what}");
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{what}: {:?}", state.outcome);
        let entries = app.journal.entries(&state.run).await.unwrap();
        let asked_again = entries.iter().any(|entry| matches!(entry.body, Body::ApprovalReopened { .. }));
        assert!(!asked_again, "{what}");
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{what}");
        assert_eq!(turns(&entries), turns_known + 1, "{what}: the turn that answers, and no other");
        assert!(
            matches!(&state.effects[..], [ConfirmedEffect::Refund { amount, .. }] if amount.minor == 120_000),
            "{what}"
        );
        app.stop(&desk.clock).await;
    }
}

/// A second refund of the payment was asked for before the backup, and is allowed with the amount of the first one after it.
/// The first one is known: it is not what was allowed, and the customer is not told of a refund that was never made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_is_allowed_with_the_amount_of_a_known_one_is_made() {
    let mut ticket = refund_ticket(7001, 10_000);
    let mut second = ticket["script"][1].clone();
    second["tools"][0]["input"]["amount_minor"] = serde_json::json!(45_000);
    ticket["script"].as_array_mut().unwrap().insert(2, second);
    let desk = Desk::new(&[ticket]).await;
    let app = desk.start(None).await;
    let waits = desk.settled(&app, 7001).await;
    assert_eq!((waits.effects.len(), desk.sim.world().refunds().len()), (1, 1), "the second one waits");
    let entries = app.journal.entries(&waits.run).await.unwrap();
    app.stop(&desk.clock).await;

    let folder = put_back(&desk, entries).await;
    let app = desk.start(Some(folder.path().to_owned())).await;
    let waits = desk.settled(&app, 7001).await;
    let amount = deskhand::money::Money::new(10_000, deskhand::money::Currency::USD);
    desk.decide(&app, &waits, Decision::Amount { amount }, 0).await;
    let state = desk.until(&app, 7001, "the end", |state| state.outcome.is_some()).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!((state.effects.len(), desk.sim.world().refunds().len()), (2, 2));
    assert_eq!(state.refunds_known.len(), 2, "each has its own id");
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_made_and_forgotten_is_found_under_whatever_step() {
    let tickets = [serde_json::json!({
        "id": 7001, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email", "subject": "Seats",
        "body": "Hello, please raise my subscription from 2 to 5 seats. Thank you!",
        "script": [
            {"tools": [{"name": "update_subscription", "input": {"subscription": "sub_1", "quantity": 5,
                "explanation": "three more seats"}}]},
            {"tools": [{"name": "log_resolution", "input": {"answer": "Hello Ada,\n\nthe seats have been added.",
                "outcome": "solved", "category": "account", "summary": "Done.", "articles": [],
                "actions_claimed": ["subscription_change"]}}]},
        ],
    })];
    for shifted in [false, true] {
        let desk = Desk::new(&tickets).await;
        let app = desk.start(None).await;
        let whole = desk.settled(&app, 7001).await;
        assert_eq!(whole.outcome, Some(Outcome::Resolved));
        let entries = app.journal.entries(&whole.run).await.unwrap();
        app.stop(&desk.clock).await;
        // The records were read before the change; with a step more, the change comes under another key.
        let (opened, facts) = (entries[..1].to_vec(), entries[1..3].to_vec());
        let mut again = facts.clone();
        for entry in &mut again {
            if let Body::StepStarted { step, .. } | Body::StepFinished { step, .. } = &mut entry.body {
                step.0 += 1;
            }
        }
        let known = if shifted { [opened, facts, again].concat() } else { [opened, facts].concat() };
        let folder = put_back(&desk, known).await;
        let app = desk.start(Some(folder.path().to_owned())).await;
        let state = desk.settled(&app, 7001).await;
        assert!(!state.effects.is_empty(), "{shifted}: found: {:?}", state.outcome);
        assert_eq!(desk.sim.world().subscription_changes().len(), 1, "{shifted}");
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{shifted}");
        // Under another key the answer that was forgotten cannot be told from another one: a person sees how it ended.
        let expected = if shifted { Outcome::TakenOver } else { Outcome::Resolved };
        assert_eq!(state.outcome, Some(expected), "{shifted}");
        app.stop(&desk.clock).await;
    }
}
