//! Intake: every trigger leads to exactly one run, however pages are ordered, doubled or cut, and whenever the process dies.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deskhand::app::App;
use deskhand::clients::zendesk::{Auth, Settings as ZendeskSettings, Zendesk};
use deskhand::ids::TicketId;
use deskhand::intake::poller::{Poller, Settings};
use deskhand::journal::Journal;
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::views::Views;
use deskhand::run::entry::{Body, Outcome};
use deskhand::sim::credentials;
use serde_json::Value;

use crate::harness::{Desk, PATIENCE_MS, question};

const TICKETS: std::ops::Range<i64> = 7001..7007;

fn questions() -> Vec<Value> {
    TICKETS.map(question).collect()
}

/// Moves the time on until every ticket is answered: the export shows a change only after a minute.
async fn all_answered(desk: &Desk, app: &App, name: &str) {
    let watch = desk.clock.stopwatch();
    while TICKETS.into_iter().any(|id| desk.sim.world().public_replies(id).is_empty()) {
        assert!(watch.elapsed_ms() < PATIENCE_MS, "{name}: some tickets were not answered");
        desk.clock.advance(Duration::from_secs(5));
        desk.clock.sleep(Duration::from_millis(50)).await;
    }
    for id in TICKETS {
        desk.settled(app, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_pages_lead_to_one_run_each() {
    for faults in [
        "zendesk.shuffled=1",
        "zendesk.doubled=1",
        "zendesk.shuffled=1,zendesk.doubled=1,zendesk.late_end=5x",
        "zendesk.same_page=4x",
        "zendesk.hidden:7003=1",
        "zendesk.lost_after/GET/tickets=0.3,zendesk.lost_after/GET/incremental=0.3",
    ] {
        let desk = Desk::new(&questions()).await;
        desk.sim.faults().replace(faults.parse().unwrap());
        let app = desk.start(None).await;
        all_answered(&desk, &app, faults).await;
        for id in TICKETS {
            let runs = app.views.runs_of_ticket(TicketId(id)).await.unwrap();
            assert_eq!(runs.len(), 1, "{faults}: ticket {id}");
            assert_eq!(desk.sim.world().public_replies(id).len(), 1, "{faults}: ticket {id}");
        }
        app.stop(&desk.clock).await;
    }
}

fn poller(desk: &Desk, journal: Arc<SqliteJournal>) -> Poller {
    let auth = Auth::OAuth {
        client_id: credentials::ZENDESK_CLIENT_ID.to_owned(),
        client_secret: credentials::ZENDESK_CLIENT_SECRET.to_owned().into(),
    };
    let zendesk = Zendesk::new(ZendeskSettings::new(desk.sim.zendesk_url(), auth), desk.clock.clone()).unwrap();
    let me = deskhand::ids::UserId(desk.sim.world().lock().bot);
    let settings = Settings {
        me,
        runs_per_ticket_per_day_max: 5,
        channels: Vec::new(),
        first_start_at: desk.sim.world().started() - Duration::from_secs(60),
        prompts: "p".to_owned(),
    };
    Poller::new(journal, zendesk, desk.clock.clone(), settings)
}

/// Polls a future at most so often, then drops it where it stands, as a death would. `true`: it came to its end.
async fn dies_after(polls: usize, work: impl Future) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match work.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// However far a turn has come when the process dies: the cursor is never past what is on disk, and the next process finds
/// every ticket, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_in_mid_turn_loses_no_ticket() {
    let desk = Desk::new(&questions()).await;
    desk.clock.advance(Duration::from_secs(300));
    let mut whole = false;
    let mut polls = 1;
    while !whole {
        desk.clock.advance(Duration::from_secs(61)); // The export bears ten calls a minute.
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(SqliteJournal::open(folder.path()).unwrap());
        whole = dies_after(polls, poller(&desk, journal.clone()).tick_incremental()).await;
        // What was asked of the journal may still be written; then it is whole.
        journal.close().await;
        let journal = Arc::new(SqliteJournal::open(folder.path()).unwrap());
        let known = |journal: Arc<SqliteJournal>| async move {
            let mut known = 0;
            for id in TICKETS {
                known += journal.runs_of_ticket(TicketId(id)).await.unwrap().len();
            }
            known
        };
        if journal.cursor("incremental").await.unwrap().is_some() {
            assert_eq!(known(journal.clone()).await, 6, "after {polls} polls the cursor stands past what is on disk");
        }
        let mut next = poller(&desk, journal.clone());
        next.tick_incremental().await.unwrap();
        next.tick_list().await.unwrap();
        next.tick_incremental().await.unwrap();
        assert_eq!(known(journal.clone()).await, 6, "after {polls} polls");
        journal.close().await;
        polls += 1 + polls / 8;
        assert!(polls < 10_000, "the turn never ends");
    }
}

/// What a person does to a ticket that nobody works any more, or that was never ours, opens nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_ticket_ends_its_run_and_opens_none() {
    let desk = Desk::new(&[question(7001), question(7002)]).await;
    // The ticket is gone when its answer is written.
    desk.sim.faults().replace("zendesk.404/PUT/tickets/7001$=1".parse().unwrap());
    let app = desk.start(None).await;
    let state = desk.settled(&app, 7001).await;
    assert_eq!(state.outcome, Some(Outcome::TakenOver), "{:?}", state.failures);
    let entries = app.journal.entries(&state.run).await.unwrap();
    let how =
        |body: &Body| matches!(body, Body::StepFinished { result, .. } if format!("{result:?}").contains("deleted"));
    assert!(entries.iter().any(|entry| how(&entry.body)));
    let state = desk.settled(&app, 7002).await;
    assert_eq!(state.outcome, Some(Outcome::Resolved), "{:?}", state.failures);
    app.stop(&desk.clock).await;
}
