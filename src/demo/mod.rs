//! `deskhand demo`: simulators, agent and pages in one process. Stands apart like the simulators, which only this, `sim` and
//! the tests start.

pub mod report;

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::app::{self, App};
use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, Layers, Mistakes};
use crate::ids::{RunId, TicketId};
use crate::journal::brake::{self, Brake, Pulled};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::views::{ApprovalFilter, RunFilter, Views};
use crate::journal::{self, Journal};
use crate::keep::WORLD_LEDGER;
use crate::money::Money;
use crate::run::decide;
use crate::run::entry::Decision;
use crate::run::row::{ApprovalRow, RunRow, RunStatus};
use crate::sim::world::World;
use crate::sim::world_file::{self, BadWorld, WorldFiles};
use crate::sim::{self, Sim, credentials, faults};
use crate::web;
use report::Report;

/// How a demo is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder with a world; absent: the shipped one.
    pub world: Option<PathBuf>,
    /// Only the first so many tickets.
    pub tickets: Option<usize>,
    /// Seed of everything that is left to chance.
    pub seed: u64,
    /// Tickets per minute, instead of the world's own times.
    pub rate: Option<f64>,
    /// Where the pages listen.
    pub listen: SocketAddr,
    /// Where journal and world are kept; absent: a folder that is removed at the end.
    pub data: Option<PathBuf>,
    /// What goes wrong on purpose.
    pub faults: String,
    /// How long the simulated vendors take.
    pub latency: sim::latency::Latency,
    /// A server that speaks the Messages API.
    pub model_url: Option<String>,
    /// Key of the real Messages API; used without `model_url`.
    pub api_key: Option<String>,
    /// Stop when every ticket has come to rest.
    pub exit: bool,
    /// Print the summary as JSON.
    pub json: bool,
}

impl Default for Options {
    /// The shipped world without faults, its pages on a free port, nothing kept.
    fn default() -> Self {
        Self {
            world: None,
            tickets: None,
            seed: 1,
            rate: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: None,
            faults: String::new(),
            latency: Default::default(),
            model_url: None,
            api_key: None,
            exit: false,
            json: false,
        }
    }
}

/// Why a demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world's files.
    #[error(transparent)]
    World(#[from] BadWorld),
    /// The faults.
    #[error(transparent)]
    Faults(#[from] faults::BadFaults),
    /// The simulators.
    #[error(transparent)]
    Sim(#[from] sim::Error),
    /// The world's configuration.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The product itself.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The summary.
    #[error(transparent)]
    Report(#[from] report::Error),
    /// The data folder.
    #[error("the data folder `{path}` cannot be used: {source}\nhint: give `--data` a folder that you may write to")]
    Data {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output.
    #[error("the summary cannot be printed: {0}")]
    Print(std::io::Error),
    /// The pages' address.
    #[error(
        "the pages cannot listen on `{address}`: {source}\nhint: give another address with `--listen`, such as 127.0.0.1:0 for any free port"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// What is open is held by people.
    #[error("the demo did not come to rest: the agent is {brake}, by {by} ({reason})\nhint: {hint}")]
    Held {
        /// The brake.
        brake: &'static str,
        /// Who pulled it.
        by: String,
        /// Why.
        reason: String,
        /// How it goes on.
        hint: String,
    },
    /// It did not come to rest.
    #[error("the demo did not come to rest within {0} minutes; the summary shows which tickets are open")]
    Restless(u64),
}

/// How long a demo with `--exit` may take, in minutes of real time.
const REST_WITHIN_MIN: u64 = 30;
/// Approvals of a demo expire late, so that a clock that jumps to the next timer does not outrun them.
const APPROVAL_DUE_S: i64 = 90 * 86_400;

/// How a demo's work ended.
enum End {
    /// Every ticket came to rest, or somebody stopped the demo.
    AtRest,
    /// Not within [`REST_WITHIN_MIN`].
    Restless,
    /// A brake holds whatever is open.
    Held(Pulled),
}

/// Refuses an address that somebody listens on, before a folder is made that would be left behind.
async fn must_be_free(address: SocketAddr) -> Result<(), Error> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Listen { address, source }),
    }
}

/// Runs a demo; returns whether everything held.
pub async fn run(options: Options) -> Result<bool, Error> {
    let files = match &options.world {
        Some(folder) => world_file::load_dir(folder)?,
        None => world_file::shipped()?,
    };
    let faults: faults::Faults = options.faults.parse()?;
    must_be_free(options.listen).await?;
    let scratch;
    let folder: &Path = match &options.data {
        Some(folder) => folder,
        None => {
            scratch = tempfile::tempdir()
                .map_err(|source| Error::Data { path: "the temporary folder".to_owned(), source })?;
            scratch.path()
        }
    };
    // What customers write stands in it, even if they are not real.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Error::Data { path: folder.display().to_string(), source })?;
    // The folder is ours before anything in it is touched: a second demo must not play tickets into the first one's world.
    let store = Arc::new(SqliteJournal::open(folder)?);
    let before = all_rows(&*store).await?;
    let ledger = folder.join(WORLD_LEDGER);
    let clock = Clock::starting_at(World::resume_time_of(&files, Some(&ledger)).map_err(sim::Error::from)?);
    let mut sim_options = sim::Options::new(files.clone(), clock.clone());
    sim_options.seed = options.seed;
    sim_options.faults = faults;
    sim_options.latency = options.latency;
    sim_options.ledger = Some(ledger);
    sim_options.rate = options.rate;
    sim_options.tickets = options.tickets;
    let sim = Sim::start(sim_options).await?;

    let stand_in = options.model_url.is_none() && options.api_key.is_none();
    let config = Config::read(layers(&files, &sim, folder, &options))?;
    let app_options =
        app::Options { demo: true, stand_in, first_start_at: Some(sim.world().started() - Duration::from_secs(3_600)) };
    let app = App::start_on(store, config, clock.clone(), app_options).await.map_err(|failed| match failed {
        app::Error::Listen { source, .. } => Error::Listen { address: options.listen, source },
        other => Error::App(other),
    })?;
    let model = match (&options.model_url, stand_in) {
        (Some(url), _) => url.clone(),
        (None, true) => "scripted stand-in".to_owned(),
        (None, false) => "Claude".to_owned(),
    };
    greet(&app, &sim, &options, &clock, stand_in).await?;
    tell_what_is_kept(&app, &before, &options).await?;

    let end = if options.exit { rest(&app, &sim, &clock).await? } else { watch(&app, &sim, &clock).await };
    let report = report::report(&*app.journal, &*app.views, sim.world(), options.seed, model).await?;
    app.stop(&clock).await;
    sim.shutdown().await;
    print(&report, options.json)?;
    match end {
        End::AtRest => {}
        End::Restless => return Err(Error::Restless(REST_WITHIN_MIN)),
        End::Held(pulled) => {
            let hint = how_to_resume(&options);
            return Err(Error::Held { brake: pulled.brake.as_str(), by: pulled.by, reason: pulled.reason, hint });
        }
    }
    Ok(!report.broken() && (!options.exit || report.mismatches.is_empty()))
}

/// A desk on these simulators that acts: their addresses and credentials, and what the world says of the shop. Which model it asks,
/// and what a demo, a test or a benchmark sets besides, comes on top.
pub fn addresses(files: &WorldFiles, sim: &Sim, folder: &Path) -> Layers {
    let mut layers = Layers::default();
    for (key, value) in [
        ("data_dir", folder.display().to_string()),
        ("mode", "auto".to_owned()),
        ("shop.name", files.shop.name.clone()),
        ("shop.support_address", files.shop.support_address.clone()),
        ("zendesk.base_url", sim.zendesk_url()),
        ("zendesk.client_id", credentials::ZENDESK_CLIENT_ID.to_owned()),
        ("zendesk.client_secret", credentials::ZENDESK_CLIENT_SECRET.to_owned()),
        ("stripe.base_url", sim.stripe_url()),
        ("stripe.api_key", credentials::STRIPE_KEY.to_owned()),
        ("billing.base_url", sim.billing_url()),
        ("billing.token", credentials::BILLING_TOKEN.to_owned()),
        ("email.host", sim.smtp_address().ip().to_string()),
        ("email.security", "none".to_owned()),
        ("email.from", files.shop.support_address.clone()),
        ("web.listen", "127.0.0.1:0".to_owned()),
    ] {
        layers.set(key, value);
    }
    layers.set("email.port", i64::from(sim.smtp_address().port()));
    layers
}

/// The configuration of a demo: the simulators' addresses and credentials, then what the world overrides.
pub(crate) fn layers(files: &WorldFiles, sim: &Sim, folder: &Path, options: &Options) -> Layers {
    let mut layers = addresses(files, sim, folder);
    let text = |key: &str, value: String, layers: &mut Layers| layers.set(key, value);
    layers.set("shop.link_domains", files.shop.link_domains.clone());
    layers.set("zendesk.poll_every_ms", if options.exit { 650_i64 } else { 1_000 });
    for rule in ["default", "churn", "legal", "refund_limit", "refund_sum", "currency_without_limit"] {
        let group = report::group_for(files, rule).and_then(|name| sim.world().lock().group_named(name));
        if let Some(id) = group {
            layers.set(&format!("zendesk.groups.{rule}"), id);
        }
    }
    match (&options.model_url, &options.api_key) {
        (Some(url), key) => {
            text("claude.base_url", url.clone(), &mut layers);
            text("claude.api_key", key.clone().unwrap_or_else(|| "none".to_owned()), &mut layers);
            layers.set("limits.model_retries_max", 4_i64);
        }
        (None, Some(key)) => text("claude.api_key", key.clone(), &mut layers),
        (None, None) => {
            text("claude.base_url", sim.claude_url(), &mut layers);
            text("claude.api_key", credentials::CLAUDE_KEY.to_owned(), &mut layers);
        }
    }
    text("web.listen", options.listen.to_string(), &mut layers);
    text("web.time_zone", files.shop.time_zone.clone(), &mut layers);
    layers.set("web.undo_window_s", if options.exit { 0_i64 } else { 10 });
    layers.set("limits.approval_due_s", APPROVAL_DUE_S);
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(&files.config) {
        layers.add_table(&table);
    }
    layers
}

async fn greet(app: &App, sim: &Sim, options: &Options, clock: &Clock, stand_in: bool) -> Result<(), Error> {
    let link = web::demo_sign_in_link(&*app.accounts, &app.url, clock).await?;
    let mut out = std::io::stderr().lock();
    let who = match (stand_in, &options.model_url) {
        (true, _) => {
            "Claude is a scripted stand-in here, and every vendor is simulated: no account, no key, no network."
                .to_owned()
        }
        (false, Some(url)) => format!("Claude is served by {url}; every other vendor is simulated."),
        (false, None) => "Claude is the real one, on your key; every other vendor is simulated.".to_owned(),
    };
    // Nothing is lost when this cannot be shown: the pages work all the same.
    let _ = writeln!(out, "\nDeskhand demo: the support desk of {}\n{who}", sim.world().files().shop.name);
    let _ = writeln!(out, "\n  pages     {}\n  sign in   {link}\n  world     {}/_world", app.url, sim.base_url());
    if !options.exit {
        let _ = writeln!(out, "  stop      Ctrl-C\n");
    }
    Ok(())
}

/// What the folder holds from before, and the brake that keeps it from going on.
async fn tell_what_is_kept(app: &App, before: &[RunRow], options: &Options) -> Result<(), Error> {
    let mut out = std::io::stderr().lock();
    if !before.is_empty() {
        let tickets = before.iter().map(|row| row.ticket).collect::<BTreeSet<_>>().len();
        let open = before.iter().filter(|row| row.status != RunStatus::Closed).count();
        let _ = writeln!(out, "  goes on   with {}, {} open", so_many(tickets, "ticket"), so_many(open, "run"));
    }
    drop(out);
    if let Some(Pulled { brake, by, reason, .. }) = brake::pulled(&*app.journal).await? {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "  {:<9} by {by} ({reason}): {}", brake.as_str(), how_to_resume(options));
    }
    Ok(())
}

/// How a brake is loosened here.
fn how_to_resume(options: &Options) -> String {
    match &options.data {
        Some(folder) => format!("`deskhand resume --data {}` lets it go on", folder.display()),
        None => "resume in the pages".to_owned(),
    }
}

/// So many of something, in words.
fn so_many(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

fn progress(json_or_quiet: bool, length: u64) -> ProgressBar {
    let target = if json_or_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template("{bar:28} {pos}/{len} tickets at rest  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Shows how the tickets fare until somebody stops the demo.
async fn watch(app: &App, sim: &Sim, clock: &Clock) -> End {
    let bar = progress(false, sim.world().files().tickets.len() as u64);
    loop {
        if let Ok(rows) = all_rows(&*app.views).await {
            show(&bar, &rows);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                return End::AtRest;
            }
            () = clock.sleep(Duration::from_millis(500)) => {}
        }
    }
}

fn show(bar: &ProgressBar, rows: &[RunRow]) {
    let waiting = rows.iter().filter(|row| row.status == RunStatus::WaitingApproval).count();
    let closed = rows.iter().filter(|row| row.status == RunStatus::Closed).count();
    bar.set_position((closed + waiting) as u64);
    bar.set_message(match waiting {
        0 => String::new(),
        1 => "1 decision waits for a person".to_owned(),
        many => format!("{many} decisions wait for a person"),
    });
}

pub(crate) async fn all_rows(views: &dyn Views) -> Result<Vec<RunRow>, journal::Error> {
    let mut rows: Vec<RunRow> = Vec::new();
    loop {
        let before = rows.last().map(|row| (row.opened_ms, row.run.clone()));
        let page = views.runs(&RunFilter::default(), before, 500).await?;
        let len = page.len();
        rows.extend(page);
        if len < 500 {
            return Ok(rows);
        }
    }
}

/// Intake reads a ticket only when the second of its stamp has passed; so long nothing must happen at the end, in milliseconds.
const QUIET_AT_THE_END_MS: u64 = 4_000;

/// Waits until every ticket has come to rest. Decides approvals as the world says, and moves the clock to the next timer
/// whenever nothing else is left to do.
async fn rest(app: &App, sim: &Sim, clock: &Clock) -> Result<End, Error> {
    let watch = clock.stopwatch();
    let bar = progress(false, sim.world().files().tickets.len() as u64);
    let mut quiet_since: Option<(u64, u64, Stopwatch)> = None;
    let mut held_since: Option<Stopwatch> = None;
    loop {
        if watch.elapsed_ms() > REST_WITHIN_MIN * 60_000 {
            bar.finish_and_clear();
            return Ok(End::Restless);
        }
        let turns = app.activity.list_turns.load(Ordering::Acquire);
        let arrived = app.activity.arrived.load(Ordering::Acquire);
        let rows = all_rows(&*app.views).await?;
        show(&bar, &rows);
        let brake = brake::pulled(&*app.journal).await?.filter(|pulled| holds_what_is_open(pulled.brake, sim, &rows));
        match (brake, held_since) {
            (Some(pulled), Some(since)) if since.elapsed_ms() > QUIET_AT_THE_END_MS => {
                bar.finish_and_clear();
                return Ok(End::Held(pulled));
            }
            (Some(_), since) => held_since = since.or_else(|| Some(clock.stopwatch())),
            (None, _) => held_since = None,
        }
        let decided = decide_as_the_world_says(app, sim, clock).await?;
        let now_ms = clock.now_ms();
        let runnable = |row: &&RunRow| row.wake_ms.is_some_and(|wake| wake <= now_ms);
        let busy = decided
            || app.activity.moving.load(Ordering::Acquire) > 0 && rows.iter().any(|row| runnable(&row))
            || rows.iter().any(|row| runnable(&row))
            || !everything_taken_up(sim, &rows);
        // Quiet means: nothing to do, and intake has looked twice since and found nothing.
        match (busy, quiet_since) {
            (true, _) => quiet_since = None,
            (false, Some((since, then, quiet))) if then == arrived && turns >= since + 2 => {
                match next_timer(sim, &rows) {
                    Some(due) => {
                        info!("nothing to do until {due}; the clock moves there");
                        clock.advance_to(due + Duration::from_millis(1));
                        quiet_since = None;
                    }
                    None if quiet.elapsed_ms() < QUIET_AT_THE_END_MS => {}
                    None => {
                        bar.finish_and_clear();
                        return Ok(End::AtRest);
                    }
                }
            }
            (false, Some((_, then, _))) if then == arrived => {}
            (false, _) => quiet_since = Some((turns, arrived, clock.stopwatch())),
        }
        if busy
            && stuck_on_timers(&rows, now_ms)
            && let Some(due) = next_timer(sim, &rows)
        {
            clock.advance_to(due);
        }
        clock.sleep(Duration::from_millis(40)).await;
    }
}

/// Whether something is open that goes on only when somebody loosens this brake.
fn holds_what_is_open(brake: Brake, sim: &Sim, rows: &[RunRow]) -> bool {
    let is_at_rest = |row: &RunRow| match row.status {
        RunStatus::Closed => row.wake_ms.is_none(), // A mail may be due.
        status => status == RunStatus::WaitingApproval,
    };
    let all_at_rest = rows.iter().all(is_at_rest);
    match brake {
        Brake::Stopped => true,
        Brake::Paused => !all_at_rest || !everything_taken_up(sim, rows),
        Brake::Draining => all_at_rest && !everything_taken_up(sim, rows),
    }
}

/// Nothing is runnable, and something waits for a vendor.
fn stuck_on_timers(rows: &[RunRow], now_ms: i64) -> bool {
    rows.iter().any(|row| row.status == RunStatus::WaitingVendor)
        && !rows.iter().any(|row| row.wake_ms.is_some_and(|wake| wake <= now_ms))
}

/// Whether every ticket that arrived has a run for its newest customer comment (or one that it can join).
fn everything_taken_up(sim: &Sim, rows: &[RunRow]) -> bool {
    let world = sim.world().lock();
    world.tickets.keys().all(|ticket| {
        world.newest_requester_comment(*ticket).is_none() || rows.iter().any(|row| row.ticket == TicketId(*ticket))
    })
}

/// The next moment at which something happens by itself: an arrival, a mail that is due, the end of an undo window, a retry.
/// Approvals' expiry does not count: who waits for a person is at rest.
pub(crate) fn next_timer(sim: &Sim, rows: &[RunRow]) -> Option<Timestamp> {
    let timers = rows.iter().filter(|row| row.status != RunStatus::WaitingApproval).filter_map(|row| row.wake_ms);
    let run = timers.min().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    [run, sim.world().next_event_at()].into_iter().flatten().min()
}

async fn decide_as_the_world_says(app: &App, sim: &Sim, clock: &Clock) -> Result<bool, Error> {
    let mut decided = false;
    for approval in app.views.approvals(ApprovalFilter::Waiting, 200).await? {
        if let Some(decision) = decision_of(sim.world(), &approval) {
            decided |= record_decision(&*app.journal, &approval, decision, clock).await?;
        }
    }
    Ok(decided)
}

/// What the world's file says that the reviewing person answers; `None`: nobody answers.
pub(crate) fn decision_of(world: &World, approval: &ApprovalRow) -> Option<Decision> {
    match world.decision(ticket_of(&approval.run)?) {
        world_file::Decision::None => None,
        world_file::Decision::Approve => Some(Decision::Approve),
        world_file::Decision::Reject => Some(Decision::Reject),
        world_file::Decision::AmountMinor(minor) => {
            let currency = approval.amount.map_or(crate::money::Currency::USD, |amount| amount.currency);
            Some(Decision::Amount { amount: Money::new(minor, currency) })
        }
    }
}

/// Records a person's decision; `false`: the run moved meanwhile, or the decision was refused.
pub(crate) async fn record_decision(
    journal: &dyn Journal,
    approval: &ApprovalRow,
    decision: Decision,
    clock: &Clock,
) -> Result<bool, journal::Error> {
    let entries = journal.entries(&approval.run).await?;
    let by = report::SIMULATED_REVIEWER;
    let note = "decided as the world's file says";
    match decide::decide(&entries, &approval.approval, decision, by, note, clock.now(), 0) {
        Ok((expected_len, entries, projection)) => {
            match journal.interject(&approval.run, expected_len, entries, projection).await {
                Ok(()) => Ok(true),
                Err(journal::Error::Moved { .. }) => Ok(false), // Seen again at the next turn.
                Err(failed) => Err(failed),
            }
        }
        Err(refused) => {
            warn!(run.id = %approval.run, "the world's decision was refused: {refused}");
            Ok(false)
        }
    }
}

/// The ticket of a run, from its id.
pub(crate) fn ticket_of(run: &RunId) -> Option<i64> {
    run.as_str().strip_prefix("run_")?.split('_').next()?.parse().ok()
}

fn print(report: &Report, json: bool) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        return writeln!(out, "{text}").map_err(Error::Print);
    }
    summary(&mut out, report).map_err(Error::Print)
}

fn summary(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    let totals = &report.totals;
    writeln!(out, "\n{} · {} · Claude: {}", report.world, so_many(totals.tickets, "ticket"), report.model)?;
    let outcomes: Vec<String> =
        totals.outcomes.iter().map(|(name, n)| format!("{n} {}", name.replace('_', " "))).collect();
    writeln!(out, "  outcomes       {}", outcomes.join(", "))?;
    let effects: Vec<String> = totals.effects.iter().map(|(name, n)| format!("{n} {name}")).collect();
    writeln!(out, "  effects        {}", if effects.is_empty() { "none".to_owned() } else { effects.join(", ") })?;
    let tokens = &totals.tokens;
    writeln!(
        out,
        "  tokens         {} in ({}.{} % read from the cache), {} out",
        crate::money::group(tokens.prompt()),
        totals.cache_read_per_mille / 10,
        totals.cache_read_per_mille % 10,
        crate::money::group(tokens.output)
    )?;
    let cost = crate::money::Cost(totals.cost_micros);
    let each = crate::money::Cost(totals.cost_per_worked_ticket_micros);
    writeln!(out, "  cost           {cost} at list prices, {each} per worked ticket")?;
    if let (Some(median), Some(p95)) = (totals.first_response_median_ms, totals.first_response_p95_ms) {
        writeln!(out, "  first answer   median {median} ms, 95th percentile {p95} ms (simulated vendors)")?;
    }
    for guarantee in &report.guarantees {
        let held = if guarantee.held { "held" } else { "BROKEN" };
        writeln!(out, "  {}             {held}: {}", guarantee.id, guarantee.checked)?;
        for line in &guarantee.broken_by {
            writeln!(out, "                 {line}")?;
        }
    }
    let by_people = match report.by_people.len() {
        0 => String::new(),
        some => format!(", {some} set by people in the pages and not compared"),
    };
    writeln!(out, "  expectations   {} checked, {} differ{by_people}", report.expectations, report.mismatches.len())?;
    for line in &report.mismatches {
        writeln!(out, "                 {line}")?;
    }
    Ok(())
}
