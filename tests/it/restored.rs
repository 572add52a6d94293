//! A journal that is put back from a backup has forgotten what its runs did since. They must not do it again.

use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Arrival, Journal};
use deskhand::keep;
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Entry, Outcome};
use deskhand::sim::world::{Event, Refund};

use crate::harness::{Desk, refund_ticket};

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
