//! The house over a small world: simulators on loopback, a fresh data folder, the real agent. The same path as the demo's.

use std::path::PathBuf;
use std::time::Duration;

use deskhand::app::{App, Options};
use deskhand::clock::Clock;
use deskhand::config::{Config, Layers};
use deskhand::demo;
use deskhand::ids::{RunId, TicketId};
use deskhand::journal::Journal;
use deskhand::run::decide;
use deskhand::run::entry::{Body, Decision, Entry};
use deskhand::run::row::RunStatus;
use deskhand::run::state::RunState;
use deskhand::sim::world::{Event, NewComment, TicketUpdate, World};
use deskhand::sim::{self, Sim, credentials, world_file};
use serde_json::{Value, json};

use crate::line::Line;

/// What has not come after so many milliseconds of real time never will. Far above what it takes, for a machine under load.
pub const PATIENCE_MS: u64 = 300_000;

/// A world of one customer with a paid order, and the given tickets.
pub fn write_world(tickets: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a writable folder");
    write(
        "world.json",
        json!({
            "name": "tiny", "now": "2026-11-20T09:00:00Z",
            "shop": {"name": "Tiny", "support_address": "support@tiny.example", "currency": "usd",
                     "time_zone": "UTC", "languages": ["en"], "link_domains": ["tiny.example"]},
            "plans": [{"id": "basic", "name": "Basic", "amount_minor": 1000, "currency": "usd", "interval": "month"}],
            "people": [{"id": 20001, "name": "Pat", "address": "pat@tiny.example", "role": "agent", "group": "Support"}],
            "groups": ["Support"],
        })
        .to_string(),
    );
    write(
        "customers.jsonl",
        json!({"id": "c_1", "name": "Ada Low", "addresses": [{"address": "ada@low.example", "verified": true}],
               "created": "2024-01-01T00:00:00Z", "status": "active", "flags": []})
        .to_string(),
    );
    write(
        "orders.jsonl",
        json!({"id": "T-1", "customer": "c_1", "created": "2026-11-10T10:00:00Z", "status": "delivered",
               "items": [{"sku": "X", "name": "Reader", "quantity": 1, "amount_minor": 120000}],
               "currency": "usd", "total_minor": 120000, "payments": ["pay_1"]})
        .to_string(),
    );
    write(
        "payments.jsonl",
        json!({"id": "pay_1", "customer": "c_1", "amount_minor": 120000, "currency": "usd",
               "created": "2026-11-10T10:00:00Z", "status": "succeeded",
               "method": {"kind": "card", "brand": "visa", "last4": "4242"}, "refunds": [], "order": "T-1"})
        .to_string(),
    );
    let subscription = |n: usize| {
        json!({"id": format!("sub_{n}"), "customer": "c_1", "plan": "basic", "quantity": 2, "status": "active",
               "started": "2024-01-01T00:00:00Z", "period_end": "2026-12-01T00:00:00Z"})
        .to_string()
    };
    // One for each ticket, so that changes do not meet.
    let subscriptions: Vec<String> = (1..=tickets.len().max(1)).map(subscription).collect();
    write("subscriptions.jsonl", subscriptions.join("\n"));
    let lines: Vec<String> = tickets.iter().map(Value::to_string).collect();
    write("tickets.jsonl", lines.join("\n"));
    folder
}

/// A ticket of the tiny world's customer that asks for a refund of so many cents, with a script that makes it.
pub fn refund_ticket(id: i64, cents: i64) -> Value {
    json!({
        "id": id, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
        "subject": "Refund for T-1", "body": "Hello, please refund part of my order T-1. The reader was scratched.",
        "script": [
            {"tools": [{"name": "get_order_status", "input": {"order": "T-1"}}, {"name": "get_customer", "input": {}}]},
            {"tools": [{"name": "create_refund", "input": {"payment": "pay_1", "amount_minor": cents, "currency": "usd",
                "reason": "requested_by_customer", "explanation": "The reader was scratched."}}]},
            {"tools": [{"name": "log_resolution", "input": {"answer": "Hello Ada,\n\nthe refund has been issued to your card.",
                "outcome": "solved", "category": "refund", "summary": "Refund made.", "articles": [],
                "actions_claimed": ["refund"]}}]},
        ],
    })
}

/// The product's configuration over these simulators, the model perhaps elsewhere.
pub fn config_for(sim: &Sim, model_url: Option<&str>, data: PathBuf) -> Config {
    Config::read(layers_for(sim, model_url, data)).expect("a configuration without mistakes")
}

fn layers_for(sim: &Sim, model_url: Option<&str>, data: PathBuf) -> Layers {
    let mut layers = demo::addresses(sim.world().files(), sim, &data);
    layers.set("claude.base_url", model_url.map_or_else(|| sim.claude_url(), str::to_owned));
    layers.set("claude.api_key", credentials::CLAUDE_KEY);
    layers.set("zendesk.poll_every_ms", 650_i64);
    layers.set("web.undo_window_s", 0_i64);
    layers.set("limits.model_retries_max", 2_i64);
    layers
}

/// A running house.
pub struct Desk {
    /// The simulators; they outlive restarts of the product.
    pub sim: Sim,
    /// The time that both go by.
    pub clock: Clock,
    /// Where the product keeps its journal.
    pub data: tempfile::TempDir,
    /// Another server for the model.
    pub model_url: Option<String>,
    /// The line to the vendors, where something goes wrong on it.
    pub line: Option<Line>,
    /// Settings that differ from the usual ones.
    pub settings: Vec<(&'static str, i64)>,
    _world: tempfile::TempDir,
}

impl Desk {
    /// Simulators over these tickets; the product is not started yet.
    pub async fn new(tickets: &[Value]) -> Desk {
        Desk::with_model_limits(tickets, sim::claude::Limits::default()).await
    }

    /// The same, with a model that takes no more than this in a minute.
    pub async fn with_model_limits(tickets: &[Value], model_limits: sim::claude::Limits) -> Desk {
        let world = write_world(tickets);
        let files = world_file::load_dir(world.path()).expect("a world without mistakes");
        let clock = Clock::starting_at(files.now);
        let options = sim::Options { model_limits, ..sim::Options::new(files, clock.clone()) };
        let sim = Sim::start(options).await.expect("simulators that start");
        let data = tempfile::tempdir().expect("a temporary folder");
        Desk { sim, clock, data, model_url: None, line: None, settings: Vec::new(), _world: world }
    }

    /// The same, with a line to the vendors on which things can go wrong.
    pub async fn on_a_line(tickets: &[Value]) -> (Desk, Line) {
        let mut desk = Desk::new(tickets).await;
        let line = Line::to(desk.sim.base_url(), desk.sim.world().clone()).await;
        desk.line = Some(line.clone());
        (desk, line)
    }

    /// Starts the product on its own data folder, or on another.
    pub async fn start(&self, data: Option<PathBuf>) -> App {
        self.start_as(self.config(data.unwrap_or_else(|| self.data.path().to_owned()))).await
    }

    /// Starts the product on its own data folder with a changed configuration.
    pub async fn start_with(&self, change: impl FnOnce(&mut Config)) -> App {
        let mut config = self.config(self.data.path().to_owned());
        change(&mut config);
        self.start_as(config).await
    }

    fn config(&self, data: PathBuf) -> Config {
        let mut layers = layers_for(&self.sim, self.model_url.as_deref(), data);
        for (vendor, line) in ["zendesk", "stripe", "billing"].into_iter().zip(std::iter::repeat(&self.line)) {
            if let Some(line) = line {
                layers.set(&format!("{vendor}.base_url"), format!("{}/{vendor}", line.url));
            }
        }
        for (key, value) in &self.settings {
            layers.set(key, *value);
        }
        Config::read(layers).expect("a configuration without mistakes")
    }

    async fn start_as(&self, config: Config) -> App {
        let options = Options {
            demo: true,
            stand_in: true,
            first_start_at: Some(self.sim.world().started() - Duration::from_secs(60)),
        };
        App::start(config, self.clock.clone(), options).await.expect("a product that starts")
    }

    /// Waits until every run of a ticket has ended or waits for a person; returns the newest one's state. The clock is moved
    /// over pauses, so that a back-off takes no time.
    pub async fn settled(&self, app: &App, ticket: i64) -> RunState {
        let watch = self.clock.stopwatch();
        loop {
            assert!(watch.elapsed_ms() < PATIENCE_MS, "ticket {ticket} did not come to rest");
            let rows = app.views.runs_of_ticket(TicketId(ticket)).await.expect("rows");
            if let Some(row) = rows.iter().max_by_key(|row| row.opened_ms) {
                match row.status {
                    RunStatus::Closed | RunStatus::WaitingApproval => return state(&*app.journal, &row.run).await,
                    RunStatus::WaitingVendor | RunStatus::WaitingTime => self.clock.advance(Duration::from_secs(1)),
                    RunStatus::Open => {}
                }
            }
            self.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this holds of the ticket's newest run; the clock is moved over pauses.
    pub async fn until(&self, app: &App, ticket: i64, what: &str, holds: impl Fn(&RunState) -> bool) -> RunState {
        let watch = self.clock.stopwatch();
        loop {
            assert!(watch.elapsed_ms() < PATIENCE_MS, "ticket {ticket}: {what} did not come");
            let rows = app.views.runs_of_ticket(TicketId(ticket)).await.expect("rows");
            if let Some(row) = rows.iter().max_by_key(|row| row.opened_ms) {
                let state = state(&*app.journal, &row.run).await;
                if holds(&state) {
                    return state;
                }
                if matches!(row.status, RunStatus::WaitingVendor | RunStatus::WaitingTime) {
                    self.clock.advance(Duration::from_secs(1));
                }
            }
            self.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// A person answers the approval that a ticket's run waits for.
    pub async fn decide(&self, app: &App, state: &RunState, decision: Decision, hold_ms: i64) {
        let approval = state.pending_approval().expect("an approval that waits").id.clone();
        let entries = app.journal.entries(&state.run).await.expect("entries");
        let decided = decide::decide(&entries, &approval, decision, "Pat", "", self.clock.now(), hold_ms);
        let (len, entries, rows) = decided.expect("an approval that can be decided");
        app.journal.interject(&state.run, len, entries, rows).await.expect("a run that did not move");
    }

    /// Something happens to a ticket at the helpdesk.
    pub fn happens(&self, ticket: i64, update: TicketUpdate) {
        let update = TicketUpdate { channel: "web".to_owned(), ..update };
        self.sim.world().lock().apply(Event::TicketUpdated { ticket, update });
    }

    /// The notes among colleagues that Deskhand wrote on a ticket.
    pub fn notes(&self, ticket: i64) -> Vec<String> {
        let world = self.sim.world().lock();
        let comments = world.tickets.get(&ticket).map(|ticket| ticket.comments.clone()).unwrap_or_default();
        let ours = comments.into_iter().filter(|comment| !comment.public && comment.author == world.bot);
        ours.map(|comment| comment.body).collect()
    }
}

/// A run, folded.
pub async fn state(journal: &dyn Journal, run: &RunId) -> RunState {
    RunState::fold(&journal.entries(run).await.expect("entries")).expect("entries that fold")
}

/// What entries say, without what differs from one time to the next: times, ids of calls and requests, and what the vendors'
/// records say (the world goes on where it was: a resumed run reads the refund that it made itself before the cut). A call
/// that was lost in the cut is only in the one that was cut.
pub fn shape(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .filter(|entry| !matches!(entry.body, Body::CallLost { .. }))
        .map(|entry| {
            let mut value = serde_json::to_value(entry).expect("an entry serialises");
            scrub(&mut value);
            value.to_string()
        })
        .collect()
}

fn scrub(value: &mut Value) {
    const VARIES: [&str; 16] = [
        "at_ms",
        "took_ms",
        "first_byte_ms",
        "request_id",
        "request_digest",
        "call",
        "content",
        "digest",
        "due_ms",
        "stamp",
        "usage",
        "account",
        "output",
        "inputs",
        "why",
        "reference",
    ];
    match value {
        Value::Object(map) => {
            for name in VARIES {
                map.shift_remove(name);
            }
            map.shift_remove("cost");
            map.values_mut().for_each(scrub);
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}

/// A ticket that asks where an order is, and is answered.
pub fn question(id: i64) -> Value {
    json!({ "id": id, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
            "subject": format!("Order {id}"), "body": "Hello, where is my order T-1? Thank you!",
            "script": [{"tools": [{"name": "log_resolution", "input": {
                "answer": "Hello Ada,\n\nyour order T-1 was delivered.", "outcome": "solved", "category": "order",
                "summary": "Told.", "articles": [], "actions_claimed": []}}]}] })
}

/// The customer's next words on a ticket.
pub fn words(world: &World, ticket: i64) -> TicketUpdate {
    let requester = world.ticket(ticket).expect("a ticket").requester;
    let comment =
        NewComment { author: requester, public: true, body: "One more thing.".into(), ..NewComment::default() };
    TicketUpdate {
        author: requester,
        comment: Some(comment),
        status: Some("open".to_owned()),
        ..TicketUpdate::default()
    }
}
