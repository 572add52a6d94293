//! One day's work: the product as it is served, on simulated vendors, by a clock that stands still until nothing is left to
//! do and is then moved to the next moment that somebody waits for. So a day takes minutes, nothing waits for real, and
//! every response time is one of the simulated clock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use deskhand::app::{self, App};
use deskhand::clock::Clock;
use deskhand::config::{Config, Layers};
use deskhand::demo::{
    self,
    report::{self, Report},
};
use deskhand::journal::views::{ApprovalFilter, RunFilter};
use deskhand::run::decide;
use deskhand::run::entry::{Decision, Entry};
use deskhand::run::row::RunRow;
use deskhand::sim::{self, Sim, credentials, world_file};
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;

use crate::line::{Line, Way};
use crate::quiet;

/// How long a person takes to decide, where the world says that one does.
const DECIDED_AFTER: SignedDuration = SignedDuration::from_mins(20);
/// An approval that is due so late has nobody who decides it.
const NOBODY_DECIDES: SignedDuration = SignedDuration::from_hours(60 * 24);
/// How many runs move at once: at 100 tickets an hour two are rarely worked at the same time, and an idle worker only wakes to
/// look.
const WORKERS: i64 = 4;
/// How long before a ticket comes a quiet desk is looked at again, in milliseconds, beside a part of the time between two polls
/// that differs from ticket to ticket: intake must not always look in the moment in which a ticket comes.
const BEFORE_ARRIVAL_MS: i64 = 5_000;
/// How often intake reads the ticket list, in milliseconds: the product's default.
const POLL_EVERY_MS: i64 = 5_000;
/// What the simulated model has ready within this time comes together, in milliseconds: spares the clock many small moves.
const BURST_MS: u64 = 1_000;

/// How a day is worked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The way to the model.
    pub way: Way,
    /// One model for everything, or the usual two.
    pub model: Option<&'static str>,
    /// Settings that differ from the defaults.
    pub settings: Vec<(String, toml::Value)>,
    /// The vendors' pace: a profile of `--latency`.
    pub latency: String,
    /// Seed of all that is left to chance.
    pub seed: u64,
}

/// What a day came to.
pub struct Worked {
    /// The runs with their entries.
    pub runs: Vec<(RunRow, Vec<Entry>)>,
    /// The comparison with what the world expects, and the guarantees.
    pub report: Report,
    /// Requests to the model that were refused (rate limits).
    pub refused: u64,
}

/// Works a day.
pub fn work(world: world_file::WorldFiles, plan: &Plan) -> Worked {
    let data = tempfile::tempdir_in(memory_folder()).expect("a temporary folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let clock = Clock::manual(world.now);
    let mut latency: sim::latency::Latency = plan.latency.parse().unwrap_or_else(|bad| panic!("{bad}"));
    if let Some(claude) = &mut latency.claude {
        claude.burst_ms = BURST_MS;
    }
    let mut options = sim::Options::new(world, clock.clone());
    options.seed = plan.seed;
    options.latency = latency;
    let sim = runtime.block_on(Sim::start(options)).unwrap_or_else(|error| panic!("{error}"));
    let line = runtime.block_on(Line::to(sim.claude_url(), plan.way));
    let config = Config::read(layers(&sim, &line, data.path(), plan)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let options = app::Options { demo: true, stand_in: true, first_start_at: Some(clock.now()) };
    // The start waits for answers of vendors that take their time, so it moves on while the clock is moved.
    let starting = runtime.spawn({
        let clock = clock.clone();
        async move { App::start(config, clock, options).await }
    });
    while !starting.is_finished() {
        step(&clock, None);
    }
    let app = runtime.block_on(starting).expect("a start").unwrap_or_else(|error| panic!("{error}"));

    let mut desk = Desk { runtime, app, sim, clock, decisions: Vec::new(), taken_up: 0 };
    desk.work_to_the_end();
    desk.close(plan.seed, line)
}

/// Moves the clock to the next moment that somebody waits for, at most to `latest`, once nothing is left to do.
fn step(clock: &Clock, latest: Option<Timestamp>) {
    quiet::wait();
    match [clock.next_awaited(), latest].into_iter().flatten().min() {
        Some(next) => clock.advance_to(next),
        None => std::thread::sleep(Duration::from_millis(1)),
    }
}

struct Desk {
    runtime: Runtime,
    app: App,
    sim: Sim,
    clock: Clock,
    /// When which approvals are decided.
    decisions: Vec<(Timestamp, deskhand::ids::ApprovalId)>,
    /// How many tickets had a run when that was looked at last.
    taken_up: usize,
}

impl Desk {
    fn work_to_the_end(&mut self) {
        let watch = self.clock.stopwatch();
        let mut shown_s = 0;
        loop {
            quiet::wait();
            let resting = self.app.activity.moving.load(Ordering::Acquire) == 0;
            if resting && !self.rest() {
                return;
            }
            step(&self.clock, None);
            if watch.elapsed_ms() / 15_000 > shown_s {
                shown_s = watch.elapsed_ms() / 15_000;
                eprintln!(
                    "  {} of {} tickets, {}",
                    self.arrived(),
                    self.sim.world().files().tickets.len(),
                    self.clock.now()
                );
            }
        }
    }

    fn arrived(&self) -> usize {
        self.sim.world().lock().tickets.len()
    }

    /// No worker moves a run: decides what is to be decided, and moves the clock near to the next thing that happens. `false`:
    /// nothing will.
    fn rest(&mut self) -> bool {
        let now = self.clock.now();
        let runtime = self.runtime.handle().clone();
        let wake_ms = runtime.block_on(self.app.journal.next_wake()).expect("a journal that answers");
        if wake_ms.is_some_and(|wake| wake <= now.as_millisecond()) || !runtime.block_on(self.all_taken_up()) {
            return true;
        }
        runtime.block_on(self.decide(now));
        // What waits for a decision that nobody makes is at rest.
        let run = wake_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).filter(|at| *at < now + NOBODY_DECIDES);
        let decision = self.decisions.iter().map(|(at, _)| *at).min();
        let arrival = self.sim.world().next_event_at();
        let Some(next) = [run, decision, arrival].into_iter().flatten().min() else { return false };
        let uneven_ms = next.as_second().rem_euclid(POLL_EVERY_MS / 1_000) * 1_000 + next.as_second() * 37 % 1_000;
        let near = next - SignedDuration::from_millis(BEFORE_ARRIVAL_MS + uneven_ms);
        if near > now {
            self.clock.advance_to(near);
        }
        true
    }

    async fn rows(&self) -> Vec<RunRow> {
        let mut rows: Vec<RunRow> = Vec::new();
        loop {
            let before = rows.last().map(|row| (row.opened_ms, row.run.clone()));
            let page = self.app.views.runs(&RunFilter::default(), before, 500).await.expect("rows");
            let len = page.len();
            rows.extend(page);
            if len < 500 {
                return rows;
            }
        }
    }

    /// Whether every ticket that came has a run. Asked anew only when another one came.
    async fn all_taken_up(&mut self) -> bool {
        let asked: std::collections::BTreeSet<i64> = {
            let world = self.sim.world().lock();
            let asks = |ticket: &i64| world.newest_requester_comment(*ticket).is_some();
            world.tickets.keys().copied().filter(asks).collect()
        };
        if asked.len() != self.taken_up {
            let known: std::collections::BTreeSet<i64> = self.rows().await.iter().map(|row| row.ticket.0).collect();
            if !asked.is_subset(&known) {
                return false;
            }
            self.taken_up = asked.len();
        }
        true
    }

    /// A person decides as the world's file says, a while after being asked.
    async fn decide(&mut self, now: Timestamp) {
        for row in self.app.views.approvals(ApprovalFilter::Waiting, 500).await.expect("approvals") {
            let ticket = row.run.as_str().split('_').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
            let decision = match self.sim.world().decision(ticket) {
                world_file::Decision::None => continue,
                world_file::Decision::Approve => Decision::Approve,
                world_file::Decision::Reject => Decision::Reject,
                world_file::Decision::AmountMinor(minor) => {
                    let mut amount = row.amount.expect("a refund has an amount");
                    amount.minor = minor;
                    Decision::Amount { amount }
                }
            };
            match self.decisions.iter().find(|(_, id)| *id == row.approval) {
                None => self.decisions.push((now + DECIDED_AFTER, row.approval.clone())),
                Some((at, _)) if *at <= now => {
                    let entries = self.app.journal.entries(&row.run).await.expect("entries");
                    let by = "Simulated reviewer";
                    let decided = decide::decide(&entries, &row.approval, decision, by, "as the world says", now, 0);
                    let (len, entries, rows) = decided.expect("an approval that can be decided");
                    // A run that moved meanwhile is decided at the next look.
                    if self.app.journal.interject(&row.run, len, entries, rows).await.is_ok() {
                        self.decisions.retain(|(_, id)| *id != row.approval);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn close(self, seed: u64, line: Line) -> Worked {
        let rows = self.runtime.block_on(self.rows());
        let Desk { runtime, app, sim, clock, .. } = self;
        let worked = runtime.block_on(async {
            let mut runs = Vec::with_capacity(rows.len());
            for row in rows {
                let entries = app.journal.entries(&row.run).await.expect("entries");
                runs.push((row, entries));
            }
            let made = report::report(&*app.journal, &*app.views, sim.world(), seed, "scripted stand-in".to_owned());
            let report = made.await.unwrap_or_else(|error| panic!("{error}"));
            Worked { runs, report, refused: line.refused() }
        });
        let stopping = runtime.spawn({
            let clock = clock.clone();
            async move { app.stop(&clock).await }
        });
        while !stopping.is_finished() {
            step(&clock, None);
        }
        runtime.block_on(sim.shutdown());
        runtime.shutdown_background();
        worked
    }
}

/// A folder in memory where there is one: what the disk costs is another benchmark's question.
fn memory_folder() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The settings of a desk on these simulators: the defaults, but for addresses and what the world and the plan say.
fn layers(sim: &Sim, line: &Line, data: &std::path::Path, plan: &Plan) -> Layers {
    let files = sim.world().files();
    let mut layers = demo::addresses(files, sim, data);
    layers.set("claude.base_url", line.url.clone());
    layers.set("claude.api_key", credentials::CLAUDE_KEY);
    layers.set("web.time_zone", files.shop.time_zone.clone());
    layers.set("shop.link_domains", files.shop.link_domains.clone());
    layers.set("zendesk.poll_every_ms", POLL_EVERY_MS);
    layers.set("web.undo_window_s", 0_i64);
    // 1,000 tickets of a test world hold more refunds than a shop of that size makes in a day.
    layers.set("policy.refund_daily_limit_minor.usd", 100_000_000_i64);
    layers.set("policy.refund_daily_limit_minor.eur", 100_000_000_i64);
    layers.set("policy.refund_daily_limit_minor.gbp", 100_000_000_i64);
    layers.set("limits.cost_day_max_micros", 1_000_000_000_000_i64);
    layers.set("limits.cost_month_max_micros", 1_000_000_000_000_i64);
    layers.set("limits.concurrent_runs", WORKERS);
    layers.set("limits.approval_due_s", 90_i64 * 86_400);
    for key in ["claude.router_model", "claude.simple_model", "claude.complex_model"] {
        if let Some(model) = plan.model {
            layers.set(key, model);
        }
    }
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(&files.config) {
        layers.add_table(&table);
    }
    for (key, value) in &plan.settings {
        layers.set(key, value.clone());
    }
    layers
}
