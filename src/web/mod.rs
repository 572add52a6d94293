//! The pages: they show runs and take people's decisions. Server-rendered; without JavaScript everything works, with it
//! pages stay fresh. A page is a handler file here and a template of the same name.
//!
//! Pages read rows through `Views` and write through the journal; they never call a vendor and never move a run themselves.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::clock::Clock;
use crate::health::Health;
use crate::journal::Journal;
use crate::journal::accounts::Accounts;
use crate::journal::views::Views;
use crate::policy::Policy;
use crate::run::cost::PriceTable;
use crate::run::spend::Spend;

mod approval;
mod approvals;
pub mod assets;
mod audit;
mod costs;
mod error;
mod events;
mod evidence;
pub mod format;
mod guard;
mod health;
mod links;
mod overview;
mod parts;
mod pause;
mod run;
mod runs;
mod savings;
pub mod session;
mod sign_in;
mod thread;
mod timeline;
mod why;

pub use links::{demo_sign_in_link, first_run_link};

use error::Error;
use format::Times;
use session::Viewer;
use why::Reason;

/// The largest form that is read, in bytes. The longest field is a note or an answer.
const FORM_MAX_BYTES: usize = 256 * 1_024;

/// What the pages need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Where decisions are appended.
    pub journal: Arc<dyn Journal>,
    /// What pages read.
    pub views: Arc<dyn Views>,
    /// Who may use them.
    pub accounts: Arc<dyn Accounts>,
    /// Tells the time.
    pub clock: Clock,
    /// What is wrong right now.
    pub health: Arc<Health>,
    /// The process ends: streams end with it.
    pub stop: CancellationToken,
    /// What is fixed at the start.
    pub settings: Settings,
}

/// What the pages show and obey that is fixed at the start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The shop's name.
    pub shop: String,
    /// Whether everything around is simulated.
    pub demo: bool,
    /// Whether Claude is the scripted stand-in.
    pub stand_in: bool,
    /// Where a person opens a ticket; its number is appended: `https://shop.zendesk.com/agent/tickets/`. `None`: no links.
    pub ticket_url: Option<String>,
    /// How long a decision can be undone before its effect leaves.
    pub undo_window: Duration,
    /// The shop's time zone, an IANA name; an unknown one means UTC.
    pub time_zone: String,
    /// The limits of refunds in force.
    pub policy: Policy,
    /// How the agent works: `auto`, `shadow`, `draft`.
    pub mode: String,
    /// What tokens cost.
    pub prices: PriceTable,
    /// The model that would do everything if there were one alone.
    pub one_model: String,
    /// What one run may cost, in micro-dollars.
    pub cost_max_micros: i64,
    /// What a day and a month may cost.
    pub spend: Spend,
    /// Whether cookies are for HTTPS only: yes, unless the pages are served on loopback.
    pub secure_cookies: bool,
}

/// The pages' own state.
struct Web {
    app: App,
    zone: TimeZone,
}

impl Web {
    fn times(&self) -> Times {
        Times { zone: self.zone.clone(), now: self.app.clock.now() }
    }
}

/// All routes with their middleware.
pub fn router(app: App) -> Router {
    let zone = TimeZone::get(&app.settings.time_zone).unwrap_or(TimeZone::UTC);
    let web = Arc::new(Web { app, zone });
    Router::new()
        .route("/", get(overview::page))
        .route("/runs", get(runs::page))
        .route("/runs/{run}", get(run::page))
        .route("/runs/{run}/retry", get(pause::retry_page).post(pause::retry))
        .route("/runs/{run}/take-over", get(pause::take_over_page).post(pause::take_over))
        .route("/approvals", get(approvals::page))
        .route("/approvals/{id}", get(approval::page))
        .route("/approvals/{id}/check", post(approval::check).get(approval::back))
        .route("/approvals/{id}/decision", post(approval::decision).get(approval::back))
        .route("/approvals/{id}/undo", post(approval::undo).get(approval::back))
        .route("/costs", get(costs::page))
        .route("/costs.json", get(costs::figures))
        .route("/audit", get(audit::page))
        .route("/pause", get(pause::page).post(pause::set))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/link/{token}", get(sign_in::link).post(sign_in::use_link))
        .route("/events", get(events::stream))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/static/{digest}/{*name}", get(assets::file))
        .fallback(async || Error::NotFound)
        .with_state(web)
        .layer(RequestBodyLimitLayer::new(FORM_MAX_BYTES))
        .layer(axum::middleware::from_fn(guard::around))
        .layer(CompressionLayer::new())
}

/// What stands around every page's content.
#[derive(Debug, Clone)]
struct Shell {
    /// Without the product's name.
    title: String,
    /// Which entry of the navigation is current.
    section: &'static str,
    now: String,
    /// Where its live parts come from; empty for none.
    live: String,
    shop: String,
    mode: String,
    zone: String,
    waiting: u64,
    /// Why something does not move.
    reasons: Vec<Reason>,
    demo: bool,
    stand_in: bool,
    user: String,
    decides: bool,
    csrf: String,
}

impl Shell {
    async fn new(web: &Web, viewer: &Viewer, title: impl Into<String>, section: &'static str) -> Result<Self, Error> {
        let times = web.times();
        let counts = web.app.views.counts(times.days_ago_ms(0)).await?;
        let settings = &web.app.settings;
        Ok(Self {
            title: title.into(),
            section,
            now: times.now_iso(),
            live: String::new(),
            shop: settings.shop.clone(),
            mode: mode_in_words(&settings.mode),
            zone: zone_in_words(&web.zone),
            waiting: counts.waiting_approvals,
            reasons: why::reasons(web, &times, &counts).await?,
            demo: settings.demo,
            stand_in: settings.stand_in,
            user: viewer.user.name.clone(),
            decides: viewer.decides(),
            csrf: viewer.csrf.clone(),
        })
    }

    /// With live parts from this stream.
    fn live(mut self, page: impl Into<String>) -> Self {
        self.live = format!("/events?page={}", page.into());
        self
    }

    /// The brake that is pulled.
    fn brake(&self) -> Option<&Reason> {
        self.reasons.iter().find(|reason| reason.is_brake)
    }

    fn is(&self, section: &str) -> bool {
        self.section == section
    }
}

fn mode_in_words(mode: &str) -> String {
    match mode {
        "auto" => "Autonomous".to_owned(),
        other => format!("{} mode", format::sentence(other)),
    }
}

fn zone_in_words(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some("UTC" | "Etc/UTC") | None => "UTC".to_owned(),
        Some(name) => name.rsplit('/').next().unwrap_or(name).replace('_', " "),
    }
}

/// A page as an answer.
fn show(page: &impl Template) -> Result<Response, Error> {
    Ok(Html(page.render()?).into_response())
}
