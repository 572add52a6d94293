//! What holds the agent back: brakes between two steps, a stop within ten seconds, vendors that are away, money that is used up,
//! a journal that cannot be written, runs that nobody can move.

use std::sync::atomic::Ordering;
use std::time::Duration;

use deskhand::app::App;
use deskhand::ids::{CommentId, RunId, StepNo, TicketId};
use deskhand::intake::poller;
use deskhand::journal::brake::{self, Brake};
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Arrival, Journal, TicketHistory};
use deskhand::money::Currency;
use deskhand::policy::RuleId;
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Entry, Outcome};
use deskhand::run::row::RunStatus;
use deskhand::sim::faults::Faults;
use serde_json::json;

use crate::harness::{Desk, PATIENCE_MS, refund_ticket, state};

const MS: Duration = Duration::from_millis(1);

/// Looks again and again until it holds.
async fn until(desk: &Desk, what: &str, holds: impl AsyncFn() -> bool) {
    let watch = desk.clock.stopwatch();
    while !holds().await {
        assert!(watch.elapsed_ms() < PATIENCE_MS, "it never came that {what}");
        desk.clock.sleep(10 * MS).await;
    }
}

fn run_of(ticket: i64) -> impl AsyncFn(&App) -> Option<RunId> {
    async move |app: &App| {
        let rows = app.views.runs_of_ticket(TicketId(ticket)).await.unwrap();
        rows.into_iter().next().map(|row| row.run)
    }
}

async fn entries(app: &App, ticket: i64) -> Vec<Entry> {
    match run_of(ticket)(app).await {
        Some(run) => app.journal.entries(&run).await.unwrap(),
        None => Vec::new(),
    }
}

/// Nobody moves a run, and everybody has looked since.
async fn at_rest(desk: &Desk, app: &App) {
    until(desk, "nobody moves a run", async || app.activity.moving.load(Ordering::Acquire) == 0).await;
    let turns = app.activity.list_turns.load(Ordering::Acquire);
    desk.clock.advance(Duration::from_secs(5));
    until(desk, "intake has looked twice", async || app.activity.list_turns.load(Ordering::Acquire) >= turns + 2).await;
    until(desk, "nobody moves a run", async || app.activity.moving.load(Ordering::Acquire) == 0).await;
}

fn faults(desk: &Desk, spec: &str) {
    desk.sim.faults().replace(spec.parse::<Faults>().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_between_any_two_steps_nothing_starts_until_somebody_resumes() {
    for reached in [2, 4, 7, 10, 13] {
        let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
        let app = desk.start(None).await;
        until(&desk, "the run is that far", async || entries(&app, 7001).await.len() >= reached).await;
        brake::pull(&*app.journal, Brake::Paused, "looks wrong", "ada", desk.clock.now_ms()).await.unwrap();
        let acknowledged = entries(&app, 7001).await.len();
        at_rest(&desk, &app).await;
        let held = entries(&app, 7001).await;
        let started = held[acknowledged..].iter().filter(|entry| matches!(entry.body, Body::StepStarted { .. }));
        assert_eq!(started.count(), 0, "a step started after the brake, at {reached}");
        let refunds = desk.sim.world().refunds().len();
        desk.clock.advance(Duration::from_secs(60));
        at_rest(&desk, &app).await;
        assert_eq!(entries(&app, 7001).await, held, "at {reached}");
        assert_eq!(desk.sim.world().refunds().len(), refunds);
        assert_eq!(brake::resume(&*app.journal, "ada", desk.clock.now_ms()).await.unwrap(), [Brake::Paused]);
        let state = desk.settled(&app, 7001).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "at {reached}");
        assert_eq!(desk.sim.world().refunds().len(), 1);
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1);
        app.stop(&desk.clock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_drops_what_is_in_flight_and_it_is_looked_for_afterwards() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk.start(None).await;
    // The refund is made at once and its answer takes a minute.
    faults(&desk, "stripe.late:60000/POST=1x");
    until(&desk, "the refund is in flight", async || !desk.sim.world().refunds().is_empty() || {
        let entries = entries(&app, 7001).await;
        entries.iter().any(|entry| matches!(&entry.body, Body::StepStarted { work, .. } if format!("{work:?}").contains("CreateRefund")))
    })
    .await;
    let watch = desk.clock.stopwatch();
    // From another process: no bell rings here.
    let beside = SqliteJournal::open_beside(desk.data.path()).unwrap();
    brake::pull(&beside, Brake::Stopped, "", "command line", desk.clock.now_ms()).await.unwrap();
    until(&desk, "the step was dropped", async || app.activity.moving.load(Ordering::Acquire) == 0).await;
    assert!(watch.elapsed_ms() < 5_000, "dropped after {} ms", watch.elapsed_ms());
    let held = entries(&app, 7001).await;
    desk.clock.advance(Duration::from_secs(30));
    assert_eq!(entries(&app, 7001).await, held);
    brake::resume(&beside, "command line", desk.clock.now_ms()).await.unwrap();
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!(desk.sim.world().refunds().len(), 1);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_lets_no_new_run_in_and_loses_none() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    // Pulled while nobody serves.
    let journal = SqliteJournal::open(desk.data.path()).unwrap();
    brake::pull(&journal, Brake::Draining, "upgrade", "command line", desk.clock.now_ms()).await.unwrap();
    journal.close().await;
    let app = desk.start(None).await;
    until(&desk, "intake has looked", async || app.activity.list_turns.load(Ordering::Acquire) >= 3).await;
    assert_eq!(run_of(7001)(&app).await, None);
    // The lane that loses nothing lags by a minute; the ticket is in it now.
    let before = app.journal.cursor("incremental").await.unwrap();
    for _ in 0..4 {
        desk.clock.advance(Duration::from_secs(60));
        at_rest(&desk, &app).await;
    }
    assert_eq!(app.journal.cursor("incremental").await.unwrap(), before, "the cursor stays before it");
    assert_eq!(run_of(7001)(&app).await, None);
    brake::resume(&*app.journal, "ada", desk.clock.now_ms()).await.unwrap();
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved));
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_takes_less_than_ten_seconds_though_a_vendor_hangs() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk.start(None).await;
    until(&desk, "the run is under way", async || entries(&app, 7001).await.len() >= 4).await;
    faults(&desk, "zendesk.late:60000=1.0,claude.late:60000=1.0,stripe.late:60000=1.0");
    let turns = app.activity.list_turns.load(Ordering::Acquire);
    desk.clock.sleep(700 * MS).await;
    assert!(app.activity.list_turns.load(Ordering::Acquire) <= turns + 1, "the helpdesk hangs");
    let watch = desk.clock.stopwatch();
    app.stop(&desk.clock).await;
    assert!(watch.elapsed_ms() < 10_000, "{} ms", watch.elapsed_ms());
    faults(&desk, "");
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!(desk.sim.world().refunds().len(), 1);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_pauses_and_resumes_a_process_that_serves() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk.start(None).await;
    let said = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_deskhand"));
        command.args(arguments).arg("--data").arg(desk.data.path());
        let output = command.output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    let text = said(&["pause", "--reason", "a test"]).await;
    assert!(text.contains("paused") && text.contains("deskhand resume"), "{text}");
    let pulled = brake::pulled(&*app.journal).await.unwrap().unwrap();
    assert_eq!((pulled.brake, pulled.reason.as_str(), pulled.by.as_str()), (Brake::Paused, "a test", "command line"));
    let text = said(&["pause", "--reason", "another"]).await;
    assert!(text.contains("It was paused before, by command line (a test); that reason stays"), "{text}");
    let text = said(&["pause", "--now"]).await;
    assert!(text.contains("stopped"), "{text}");
    let text = said(&["pause", "--drain"]).await;
    assert!(!text.contains("go on to their end"), "that is not what happens: {text}");
    assert!(text.contains("stronger"), "a weaker brake beside a stronger one changes nothing: {text}");
    let text = said(&["resume"]).await;
    assert!(text.contains("stopped") && text.contains("draining"), "{text}");
    assert!(said(&["resume"]).await.contains("no brake"));
    assert_eq!(brake::pulled(&*app.journal).await.unwrap(), None);
    let audit = app.views.audit(None, 50).await.unwrap();
    assert_eq!(audit.iter().filter(|line| line.what == "switch_set").count(), 6);
    assert_eq!(desk.settled(&app, 7001).await.outcome, Some(Outcome::Resolved));
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_model_is_away_runs_wait_as_rows_and_one_probe_goes_at_a_time() {
    let tickets: Vec<_> = (0..6).map(|n| refund_ticket(7001 + n, 100 + n)).collect();
    let desk = Desk::new(&tickets).await;
    faults(&desk, "claude.529=1.0");
    let app = desk.start_with(|config| config.limits.model_retries_max = 200).await;
    until(&desk, "the model counts as away", async || app.health.is_away("claude")).await;
    until(&desk, "all runs wait", async || {
        app.views.counts(0).await.unwrap().waiting_vendor == 6 && app.activity.moving.load(Ordering::Acquire) == 0
    })
    .await;
    let asked = || desk.sim.faults().report()["struck"].as_u64().unwrap_or_else(|| struck(&desk));
    // Ten minutes of outage. Without a breaker each run would try by itself.
    let before = asked();
    for _ in 0..120 {
        // Not while a worker holds a run: so much time at once outlasts its lease.
        until(&desk, "the workers rest", async || app.activity.moving.load(Ordering::Acquire) == 0).await;
        desk.clock.advance(Duration::from_secs(5));
        desk.clock.sleep(15 * MS).await;
    }
    let probes = asked() - before;
    assert!(probes <= 20, "{probes} requests in ten minutes");
    let away = app.health.away();
    assert_eq!(away.len(), 1, "{away:?}");
    faults(&desk, "");
    for ticket in 7001..7007 {
        let state = desk.settled(&app, ticket).await;
        assert_eq!(state.outcome, Some(Outcome::Resolved), "{ticket}: {:?}", state.failures);
    }
    assert_eq!(desk.sim.world().refunds().len(), 6);
    assert!(app.health.away().is_empty());
    app.stop(&desk.clock).await;
}

/// How often faults struck.
fn struck(desk: &Desk) -> u64 {
    fn sum(value: &serde_json::Value) -> u64 {
        match value {
            serde_json::Value::Object(map) => map
                .iter()
                .map(|(name, value)| if name == "struck" { value.as_u64().unwrap_or(0) } else { sum(value) })
                .sum(),
            serde_json::Value::Array(items) => items.iter().map(sum).sum(),
            _ => 0,
        }
    }
    sum(&desk.sim.faults().report())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_days_refunds_have_a_ceiling_and_the_next_one_waits_for_a_person() {
    let tickets: Vec<_> = (0..4).map(|n| refund_ticket(7001 + n, 300 + n)).collect();
    let desk = Desk::new(&tickets).await;
    let app = desk
        .start_with(|config| {
            config.policy.refund_daily_limit_minor.insert(Currency::USD, 1_000);
        })
        .await;
    let mut waiting = Vec::new();
    for ticket in 7001..7005 {
        let state = desk.settled(&app, ticket).await;
        match state.pending_approval() {
            Some(approval) => waiting.push((approval.judgement.rule, approval.judgement.why.clone())),
            None => assert_eq!(state.outcome, Some(Outcome::Resolved), "{ticket}: {:?}", state.failures),
        }
    }
    assert!(matches!(&waiting[..], [(RuleId::RefundDay, why)] if why.contains("$10.00")), "{waiting:?}");
    let refunds = desk.sim.world().refunds();
    assert_eq!(refunds.len(), 3);
    assert!(refunds.iter().map(|refund| refund.amount_minor).sum::<i64>() <= 1_000);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_money_for_model_calls_is_used_up_runs_wait_and_old_ones_go_to_a_person() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk
        .start_with(|config| {
            config.spend.day_max_micros = 0;
            config.limits.spend_wait_max_s = 3_600;
        })
        .await;
    until(&desk, "the run waits", async || app.views.counts(0).await.unwrap().waiting_vendor == 1).await;
    let row = app.views.runs_of_ticket(TicketId(7001)).await.unwrap().remove(0);
    assert!(row.reason.as_deref().unwrap_or_default().contains("model calls"), "{row:?}");
    assert!(app.health.spend().is_some());
    assert_eq!(desk.sim.world().counter("claude", "POST /v1/messages", "requests"), 0);
    desk.clock.advance(Duration::from_secs(1_800));
    at_rest(&desk, &app).await;
    let row = app.views.runs_of_ticket(TicketId(7001)).await.unwrap().remove(0);
    assert_eq!(row.status, RunStatus::WaitingVendor);
    desk.clock.advance(Duration::from_secs(1_700));
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Escalated { rule: RuleId::Limits }), "{:?}", state.failures);
    assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "the holding message");
    assert_eq!(row.usage.prompt(), 0);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_step_is_kept_while_the_journal_cannot_be_written() {
    let undisturbed = {
        let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        app.stop(&desk.clock).await;
        state.turns.len()
    };
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let app = desk.start_with(|config| config.concurrent_runs = 1).await;
    faults(&desk, "claude.late:1500=1.0");
    until(&desk, "a model call is in flight", async || {
        let entries = entries(&app, 7001).await;
        matches!(entries.last().map(|last| &last.body), Some(Body::StepStarted { work, .. }) if format!("{work:?}").starts_with("Model"))
    })
    .await;
    faults(&desk, "");
    // Another program holds the file: every write fails after five seconds, as it would on a full disk.
    let database = desk.data.path().join("deskhand.db");
    let (held, free) = (tokio::sync::oneshot::channel::<()>(), std::sync::mpsc::channel::<()>());
    let locker = std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(database).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        held.0.send(()).unwrap();
        free.1.recv().unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
    });
    held.1.await.unwrap();
    until(&desk, "the page says that the journal cannot be written", async || app.health.journal().is_some()).await;
    free.0.send(()).unwrap();
    locker.join().unwrap();
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    assert_eq!(state.turns.len(), undisturbed);
    // The router, and each turn once: what was paid for was not asked for again.
    assert_eq!(desk.sim.world().counter("claude", "POST /v1/messages", "requests"), undisturbed as u64 + 1);
    assert_eq!(app.health.journal(), None);
    app.stop(&desk.clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_can_read_is_parked_where_people_see_it() {
    let desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let journal = SqliteJournal::open(desk.data.path()).unwrap();
    let opened = opened_run(&desk, 6001);
    let (_, mut entries, projection) = Draft::open(vec![opened]).unwrap().take();
    entries.push(Entry::new(desk.clock.now(), Body::Reminded { step: StepNo(99) }));
    let run = projection.row.run.clone();
    journal
        .admit(vec![Arrival::Open { entries: entries.clone(), projection: Box::new(projection) }], None)
        .await
        .unwrap();
    journal.close().await;
    let app = desk.start(None).await;
    until(&desk, "it is parked", async || app.views.run(&run).await.unwrap().unwrap().closed_ms.is_some()).await;
    let row = app.views.run(&run).await.unwrap().unwrap();
    assert_eq!((row.outcome.as_deref(), row.wake_ms), (Some("failed"), None));
    assert!(row.reason.as_deref().unwrap_or_default().contains("no such turn"), "{:?}", row.reason);
    assert_eq!(app.journal.entries(&run).await.unwrap(), entries, "its entries stay as they are");
    assert_eq!(desk.settled(&app, 7001).await.outcome, Some(Outcome::Resolved), "the others go on");
    app.stop(&desk.clock).await;
}

fn opened_run(desk: &Desk, ticket: i64) -> Entry {
    let run = RunId::for_trigger(TicketId(ticket), CommentId(1));
    let ticket = serde_json::from_value(json!({
        "id": ticket, "subject": "x", "status": "open", "channel": "email",
        "requester": {"id": 5, "name": "Ada", "address": null, "verified": false},
        "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "messages": [],
    }));
    let ticket = Box::new(ticket.unwrap());
    Entry::new(desk.clock.now(), Body::RunOpened { run, ticket, trigger: CommentId(1), prompts: "p".to_owned() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_row_says_now_though_nothing_can_be_done_does_not_spin() {
    let desk = Desk::new(&[refund_ticket(7001, 50_001)]).await;
    let app = desk.start(None).await;
    let waiting = desk.settled(&app, 7001).await;
    app.stop(&desk.clock).await;
    let journal = SqliteJournal::open(desk.data.path()).unwrap();
    let (_, _, mut projection) = Draft::new(waiting.clone()).take();
    let due_ms = projection.row.wake_ms.unwrap();
    projection.row.wake_ms = Some(1);
    journal.interject(&waiting.run, waiting.len, Vec::new(), projection).await.unwrap();
    assert_eq!(journal.next_wake().await.unwrap(), Some(1));
    journal.close().await;
    let app = desk.start(None).await;
    until(&desk, "its row says when it is due", async || app.journal.next_wake().await.unwrap() == Some(due_ms)).await;
    assert_eq!(state(&*app.journal, &waiting.run).await.len, waiting.len, "nothing was added");
    app.stop(&desk.clock).await;
}

#[test]
fn runs_of_a_ticket_in_a_day_are_limited() {
    let ticket = serde_json::from_value(json!({
        "id": 1, "subject": "x", "status": "open", "channel": "email",
        "requester": {"id": 5, "name": "Ada", "address": "ada@low.example", "verified": true},
        "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
        "messages": [{"id": 3, "author": "requester", "author_id": 5, "at": "2026-11-20T08:00:00Z", "public": true,
                      "text": "Where is my parcel?", "attachments": []}],
    }))
    .unwrap();
    let settings = poller::Settings {
        me: deskhand::ids::UserId(9),
        runs_per_ticket_per_day_max: 5,
        channels: Vec::new(),
        first_start_at: "2026-11-20T08:00:00Z".parse().unwrap(),
        prompts: String::new(),
    };
    let check = |recent: u32, skipped: Option<&str>| {
        let history = TicketHistory { recent, ..TicketHistory::default() };
        assert_eq!(poller::skip_reason(&ticket, &history, &settings), skipped, "{recent}");
    };
    check(0, None);
    check(4, None);
    check(5, Some("too_many_runs"));
}
