//! Answers that were lost in mid-stream: asked again once, both counted, the waste shown.

use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::views::Views;
use deskhand::policy::RuleId;
use deskhand::run::entry::{Body, Entry, LostCall, Outcome, StepResult};
use deskhand::run::state::RunState;
use deskhand::usage::Usage;

use crate::harness::{Desk, refund_ticket};
use crate::walk::journal_cut_after;

fn lost(entries: &[Entry]) -> Vec<&LostCall> {
    let calls = entries.iter().filter_map(|entry| match &entry.body {
        Body::CallLost { call, .. } => Some(call),
        _ => None,
    });
    calls.collect()
}

/// What the finished calls of these entries used.
fn finished(entries: &[Entry]) -> Usage {
    let calls = entries.iter().filter_map(|entry| match &entry.body {
        Body::StepFinished { result: StepResult::Routed { call, .. } | StepResult::Model { call, .. }, .. } => {
            Some(call)
        }
        _ => None,
    });
    calls.fold(Usage::default(), |sum, call| sum + call.usage)
}

async fn in_the_ledger(views: &dyn Views, state: &RunState, calls: u64) {
    let ledger = views.lost_calls(0).await.unwrap();
    let tokens = state.lost.usage.prompt() + state.lost.usage.output;
    assert_eq!((ledger.calls, ledger.tokens, ledger.cost_micros), (calls, tokens, state.lost.cost.micros()));
    let totals = views.cost_totals(0).await.unwrap();
    assert_eq!((totals.usage, totals.cost_micros), (state.usage, state.cost.micros()), "both calls are in the sums");
    assert_eq!(totals.unpriced_calls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_asked_again_once_and_both_calls_are_counted() {
    for fault in ["claude.cut_stream@agent=1x", "claude.cut_stream@router=1x"] {
        let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
        desk.sim.faults().replace(fault.parse().unwrap());
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{fault}: {:?}", state.failures);
        let entries = app.journal.entries(&state.run).await.unwrap();
        let found = lost(&entries);
        assert_eq!(found.len(), 1, "{fault}");
        assert!(!found[0].by_death && found[0].request_id.is_some(), "{fault}: {found:?}");
        let usage = found[0].usage.expect("the stream told what the prompt used before it broke");
        assert!(usage.prompt() > 0, "{fault}: {usage:?}");
        assert_eq!(state.usage, finished(&entries) + usage, "{fault}");
        assert_eq!((state.lost.calls, state.lost.unknown, state.lost.usage), (1, 0, usage), "{fault}");
        assert!(state.lost.cost.micros() > 0 && state.lost.cost.micros() < state.cost.micros(), "{fault}");
        // What the vendor billed for prompts is what the journal holds.
        let counts = ["input_tokens", "cache_read_tokens", "cache_write_tokens"];
        let of = |model: &str| counts.map(|what| desk.sim.world().counter("claude", model, what)).iter().sum::<u64>();
        assert_eq!(of("claude-sonnet-4-6") + of("claude-opus-4-7"), state.usage.prompt(), "{fault}");
        in_the_ledger(&*app.views, &state, 1).await;
        app.stop(&desk.clock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_which_the_process_died_is_counted_as_its_repetition_shows_it() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk.start(None).await;
    let whole = desk.settled(&app, 7001).await;
    let entries = app.journal.entries(&whole.run).await.unwrap();
    app.stop(&desk.clock).await;
    assert!(lost(&entries).is_empty() && whole.lost.calls == 0);
    let asks = |entry: &Entry| matches!(&entry.body, Body::StepStarted { work, .. } if work.model().is_some());
    let cuts: Vec<usize> = (0..entries.len()).filter(|at| asks(&entries[*at])).collect();
    assert!(cuts.len() >= 3, "{cuts:?}");
    for at in cuts {
        let folder = journal_cut_after(&entries, at + 1).await;
        let app = desk.start(Some(folder.path().to_owned())).await;
        let resumed = desk.settled(&app, 7001).await;
        assert_eq!(resumed.outcome, whole.outcome, "cut after {at}");
        let entries = app.journal.entries(&whole.run).await.unwrap();
        let found = lost(&entries);
        assert_eq!(found.len(), 1, "cut after {at}");
        assert!(found[0].by_death && found[0].usage.is_some_and(|usage| usage.prompt() > 0 && usage.output == 0));
        assert_eq!(resumed.usage, finished(&entries) + resumed.lost.usage, "cut after {at}");
        app.stop(&desk.clock).await;
        // Once more from what is on disk: the row says what the entries say.
        let journal = SqliteJournal::open(folder.path()).unwrap();
        let row = journal.run(&whole.run).await.unwrap().unwrap();
        assert_eq!((row.usage, row.cost_micros), (resumed.usage, resumed.cost.micros()), "cut after {at}");
        journal.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_always_lost_end_at_the_runs_limit_of_cost_and_not_at_two_hundred_tries() {
    let mut desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    desk.settings.push(("limits.cost_max_micros", 60_000));
    desk.settings.push(("limits.model_retries_max", 200));
    desk.sim.faults().replace("claude.cut_stream@agent=1.0".parse().unwrap());
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Escalated { rule: RuleId::Limits }), "{:?}", state.failures);
    assert!(state.cost.micros() < 120_000, "{} was spent", state.cost);
    assert!(state.lost.calls < 100, "{} answers were lost", state.lost.calls);
    app.stop(&desk.clock).await;
}
