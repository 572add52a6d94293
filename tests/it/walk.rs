//! A ticket walks through the whole house: picked up, refunded, answered; stopped and gone on at every point.

use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Admitted, Arrival, Journal};
use deskhand::policy::RuleId;
use deskhand::run::decide;
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Decision, Entry, Outcome};
use deskhand::run::state::RunState;

use crate::harness::{Desk, refund_ticket, shape};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_within_the_limit_is_made_and_answered() {
    let desk = Desk::new(&[refund_ticket(7001, 50_000)]).await;
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    let refunds = desk.sim.world().refunds();
    assert_eq!(refunds.len(), 1);
    assert_eq!((refunds[0].payment.as_str(), refunds[0].amount_minor), ("pay_1", 50_000));
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_above_the_limit_waits_and_is_made_once_approved() {
    let desk = Desk::new(&[refund_ticket(7001, 50_001)]).await;
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    let approval = state.pending_approval().expect("an approval").clone();
    assert_eq!(approval.judgement.rule, RuleId::RefundLimit);
    assert!(desk.sim.world().refunds().is_empty(), "nothing is sent before a person agrees");

    let entries = app.journal.entries(&state.run).await.unwrap();
    let now = desk.clock.now();
    let (len, new, rows) = decide::decide(&entries, &approval.id, Decision::Approve, "Pat", "", now, 0).unwrap();
    app.journal.interject(&state.run, len, new.clone(), rows.clone()).await.unwrap();
    let again = app.journal.interject(&state.run, len, new, rows).await;
    assert!(again.is_err(), "a second click finds the run moved");

    let watch = desk.clock.stopwatch();
    while desk.sim.world().public_replies(7001).is_empty() {
        assert!(watch.elapsed_ms() < 30_000, "the customer was not answered");
        desk.clock.sleep(std::time::Duration::from_millis(20)).await;
    }
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved));
    assert_eq!(desk.sim.world().refunds().len(), 1);
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1);
    app.stop(&desk.clock).await;
}

/// The journal as it stood after its first `kept` entries, in a folder of its own.
pub async fn journal_cut_after(entries: &[Entry], kept: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path()).unwrap();
    let (_, opened, rows) = Draft::open(entries[..1].to_vec()).unwrap().take();
    let admitted =
        journal.admit(vec![Arrival::Open { entries: opened, projection: Box::new(rows) }], None).await.unwrap();
    assert_eq!(admitted, [Admitted::Opened]);
    if kept > 1 {
        let mut draft = Draft::new(RunState::fold(&entries[..1]).unwrap());
        for entry in &entries[1..kept] {
            draft.push(entry.clone()).unwrap();
        }
        let run = draft.state.run.clone();
        let (len, rest, rows) = draft.take();
        journal.interject(&run, len, rest, rows).await.unwrap();
    }
    journal.close().await;
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_after_every_entry_and_resumed_it_ends_the_same_with_one_refund_and_one_answer() {
    let desk = Desk::new(&[refund_ticket(7001, 20_000)]).await;
    let app = desk.start(None).await;
    let whole = desk.settled(&app, 7001).await;
    assert_eq!(whole.outcome, Some(Outcome::Resolved));
    let entries = app.journal.entries(&whole.run).await.unwrap();
    app.stop(&desk.clock).await;
    assert!(entries.len() >= 14, "{} entries", entries.len());
    assert!(matches!(entries.last().unwrap().body, Body::RunClosed { .. }));

    for kept in 1..entries.len() {
        let folder = journal_cut_after(&entries, kept).await;
        let app = desk.start(Some(folder.path().to_owned())).await;
        let state = desk.settled(&app, 7001).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "cut after entry {kept}: {:?}", state.failures);
        let resumed = app.journal.entries(&whole.run).await.unwrap();
        // The same lines; reads that ran side by side may have ended in another order.
        let sorted = |entries: &[Entry]| {
            let mut lines = shape(entries);
            lines.sort();
            lines
        };
        assert_eq!(sorted(&resumed), sorted(&entries), "cut after entry {kept}");
        assert_eq!(desk.sim.world().refunds().len(), 1, "cut after entry {kept}");
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "cut after entry {kept}");
        app.stop(&desk.clock).await;
    }
}
