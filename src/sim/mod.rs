//! Simulators of the vendors, over HTTP on loopback, written from the vendors' documentation. Only `demo`, `sim` and the tests start them.
//!
//! One listener serves all vendors under a prefix each, and one more takes mail; behind them stands one [`world::World`].
//! What a vendor's wire is like stands in the file of its name; what goes wrong on purpose in `faults.rs`.

pub mod billing;
pub mod claude;
mod connection;
pub mod credentials;
pub mod faults;
pub mod latency;
pub mod ledger;
pub mod smtp;
pub mod standin;
pub mod stripe;
pub mod world;
pub mod world_file;
pub mod zendesk;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::DATE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use connection::{Connection, CuttableListener};
use faults::{Ask, FaultBox, Faults};
use latency::Latency;
use world::{Arrivals, World};
use world_file::WorldFiles;

/// Simulators that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world's ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The address is taken or not ours.
    #[error("the simulators cannot listen on `{address}`: {source}\nhint: choose another address or port 0")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address can be reached from other machines.
    #[error(
        "the simulators take known keys and should not listen on `{0}`\nhint: use 127.0.0.1, or say that others may reach them"
    )]
    NotLoopback(SocketAddr),
}

/// How simulators are started.
pub struct Options {
    /// The world.
    pub world: WorldFiles,
    /// Its time; see [`World::resume_time_of`] for where to start it.
    pub clock: Clock,
    /// The seed of the faults.
    pub seed: u64,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// How long answers take.
    pub latency: Latency,
    /// Rate limits of the model, per class of models.
    pub model_limits: claude::Limits,
    /// Where the world's truth is kept over a restart; `None` forgets it.
    pub ledger: Option<PathBuf>,
    /// Tickets per minute, instead of their own times.
    pub rate: Option<f64>,
    /// Only the first so many tickets.
    pub tickets: Option<usize>,
    /// Where HTTP listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where mail is taken; `None` takes a free port on the same host.
    pub listen_smtp: Option<SocketAddr>,
    /// Lets other machines reach the simulators.
    pub beyond_loopback: bool,
}

impl Options {
    /// This world on this clock, without faults, without a ledger, on a free port of loopback.
    pub fn new(world: WorldFiles, clock: Clock) -> Self {
        Self {
            world,
            clock,
            seed: 0,
            faults: Faults::default(),
            latency: Latency::default(),
            model_limits: claude::Limits::default(),
            ledger: None,
            rate: None,
            tickets: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            listen_smtp: None,
            beyond_loopback: false,
        }
    }
}

/// Running simulators. Dropping them stops them.
pub struct Sim {
    world: Arc<World>,
    faults: FaultBox,
    http: SocketAddr,
    smtp: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sim {
    /// Opens the world and starts to listen.
    ///
    /// # Errors
    /// The ledger cannot be used, an address cannot be bound, or an address is not loopback without leave.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let smtp_address = options.listen_smtp.unwrap_or_else(|| SocketAddr::new(options.listen.ip(), 0));
        for address in [options.listen, smtp_address] {
            if !address.ip().is_loopback() && !options.beyond_loopback {
                return Err(Error::NotLoopback(address));
            }
        }
        let arrivals = Arrivals { rate: options.rate, tickets: options.tickets };
        let world = World::open(options.world, options.clock, options.seed, arrivals, options.ledger.as_deref())?;
        let world = Arc::new(world);
        let faults = FaultBox::new(options.faults, options.seed);
        // A clock that is wrong from the start is so before the first ticket comes.
        if let Some(strike) = faults.strike(&Ask { vendor: "clock", ..Ask::default() }).get("jump") {
            world.jump(strike.number.unwrap_or(0));
        }
        let bind = async |address| TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source });
        let http_listener = bind(options.listen).await?;
        let smtp_listener = bind(smtp_address).await?;
        let local =
            |listener: &TcpListener, address| listener.local_addr().map_err(|source| Error::Bind { address, source });
        let http = local(&http_listener, options.listen)?;
        let smtp = local(&smtp_listener, smtp_address)?;

        let stop = CancellationToken::new();
        let app = app(&world, &faults, options.latency, options.model_limits)
            .into_make_service_with_connect_info::<Connection>();
        let stopped = stop.clone().cancelled_owned();
        let serve = async move {
            let server = axum::serve(CuttableListener(http_listener), app).with_graceful_shutdown(stopped);
            if let Err(error) = server.await {
                tracing::error!(%error, "the simulators stopped listening");
            }
        };
        let mail = smtp::serve(smtp_listener, world.clone(), faults.clone(), stop.clone());
        let tasks = vec![tokio::spawn(serve), tokio::spawn(mail)];
        Ok(Self { world, faults, http, smtp, stop, tasks })
    }

    /// The world behind the simulators.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }
    /// What goes wrong on purpose; can be changed while they run.
    pub fn faults(&self) -> &FaultBox {
        &self.faults
    }
    /// Where HTTP listens.
    pub fn address(&self) -> SocketAddr {
        self.http
    }
    /// Where mail is taken: plain SMTP without sign-in.
    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp
    }
    /// `http://127.0.0.1:PORT`, without a prefix.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }
    /// Zendesk's base URL: `{this}/api/v2/tickets.json`.
    pub fn zendesk_url(&self) -> String {
        format!("{}/zendesk", self.base_url())
    }
    /// Stripe's base URL: `{this}/v1/refunds`.
    pub fn stripe_url(&self) -> String {
        format!("{}/stripe", self.base_url())
    }
    /// The billing API's base URL: `{this}/v1/customers`.
    pub fn billing_url(&self) -> String {
        format!("{}/billing", self.base_url())
    }
    /// The Messages API's base URL: `{this}/v1/messages`.
    pub fn claude_url(&self) -> String {
        format!("{}/claude", self.base_url())
    }

    /// Stops listening; waits a moment for answers that are under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let abort = task.abort_handle();
            if tokio::time::timeout(Duration::from_secs(2), task).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// All vendors and the world's own pages.
fn app(world: &Arc<World>, faults: &FaultBox, latency: Latency, model_limits: claude::Limits) -> Router {
    // Each vendor is one line: its prefix and its router.
    let vendors: [(&'static str, Router); 4] = [
        ("zendesk", zendesk::router(world.clone())),
        ("stripe", stripe::router(world.clone())),
        ("billing", billing::router(world.clone())),
        ("claude", claude::router(stand_in(world, latency, model_limits))),
    ];
    let mut app = Router::new();
    for (vendor, router) in vendors {
        let layer = faults::Layer { vendor, faults: faults.clone(), world: world.clone() };
        let mut counted = router.layer(from_fn_with_state((world.clone(), vendor), count));
        if vendor != "claude" && latency.records_ms > 0 {
            let pause = latency::Pause::new(latency, world.clock().clone(), world.seed());
            counted = counted.layer(from_fn_with_state(pause, latency::pause));
        }
        let faulty = counted.layer(from_fn_with_state(layer, faults::around));
        app = app.nest(&format!("/{vendor}"), faulty.layer(from_fn_with_state(world.clone(), on_file)));
    }
    let own = Router::new()
        .route("/_world", get(show_world))
        .route("/_faults", get(show_faults).post(set_faults))
        .with_state((world.clone(), faults.clone()));
    let dated = world.clone();
    app.merge(own).layer(axum::middleware::map_response(move |mut response: Response| {
        // The vendors live in the world's time: their `Date` is its, not the machine's.
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&dated.now());
        if let Some(value) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
            response.headers_mut().insert(DATE, value);
        }
        std::future::ready(response)
    }))
}

/// The Messages API over the world: the tickets' scripts, and its counters in the world's.
fn stand_in(world: &Arc<World>, latency: Latency, limits: claude::Limits) -> Arc<claude::Claude> {
    let settings = claude::Settings {
        keys: vec![credentials::CLAUDE_KEY.to_owned()],
        seed: world.seed(),
        thinks: true,
        latency: latency.claude,
        limits,
        ..claude::Settings::default()
    };
    let (for_scripts, for_counts) = (world.clone(), world.clone());
    let scripts = standin::Scripts::new(move |ticket| script_of(&for_scripts, ticket));
    let recorder: claude::Recorder = Arc::new(move |note| count_model(&for_counts, note));
    Arc::new(claude::Claude::new(settings, world.clock().clone(), scripts, recorder))
}

/// What the files say of a ticket, or of the one that it follows.
fn script_of(world: &World, ticket: i64) -> Option<standin::TicketScript> {
    let file = world.file_of(ticket)?;
    let turns = |script: &Option<Vec<world_file::Turn>>| {
        let call = |tool: &world_file::ScriptTool| standin::Call::new(tool.name.clone(), tool.input.clone());
        let turn = |turn: &world_file::Turn| standin::Turn {
            text: turn.text.clone(),
            tools: turn.tools.iter().map(call).collect(),
        };
        script.as_ref().map(|turns| turns.iter().map(turn).collect())
    };
    let later = file.then.iter().filter(|then| then.by == world_file::By::Requester);
    let later = later.map(|then| standin::Later {
        body: then.body.clone().unwrap_or_default(),
        script: turns(&then.script),
        route: then.route.clone(),
    });
    let body = match (&file.body, &file.html) {
        (Some(body), _) => body.clone(),
        (None, Some(html)) => world::text::to_plain(html),
        (None, None) => String::new(),
    };
    Some(standin::TicketScript { body, script: turns(&file.script), route: file.route.clone(), then: later.collect() })
}

/// Adds a model's answer to the world's counters, under the model's name.
fn count_model(world: &World, note: &claude::Note) {
    let (route, add) = match note {
        claude::Note::Answered {
            model,
            router,
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            output_tokens,
            ..
        } => {
            let numbers = [
                ("answers", 1),
                (if *router { "router_answers" } else { "agent_answers" }, 1),
                ("input_tokens", *input_tokens),
                ("cache_read_tokens", *cache_read_tokens),
                ("cache_write_tokens", *cache_write_tokens),
                ("output_tokens", *output_tokens),
            ];
            ((*model).to_owned(), numbers.map(|(what, by)| (what.to_owned(), by)).into())
        }
        claude::Note::Refused { kind, message, .. } => {
            tracing::debug!(kind, message, "the simulated Messages API refused a request");
            ("refused".to_owned(), [((*kind).to_owned(), 1)].into())
        }
        claude::Note::Warning { ticket, text } => {
            tracing::warn!(ticket.id = ticket, "the stand-in met something odd in a script: {text}");
            ("warnings".to_owned(), [("count".to_owned(), 1)].into())
        }
        claude::Note::Finished { model } => ((*model).to_owned(), [("finished".to_owned(), 1)].into()),
        claude::Note::Counted { .. } | claude::Note::Fault { .. } => return, // The routes' own counters hold these.
    };
    world.lock().apply(world::Event::Counted { vendor: "claude".to_owned(), route, add });
}

/// The name under which a router wants its answer counted, where its path says it badly.
#[derive(Debug, Clone, Copy)]
pub struct Route(pub &'static str);

/// Counts each request of a vendor by route and by status class.
async fn count(State((world, vendor)): State<(Arc<World>, &'static str)>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().trim_start_matches('/').trim_start_matches(vendor).to_owned(),
        None => "(other)".to_owned(),
    };
    let response = next.run(request).await;
    let path = response.extensions().get::<Route>().map_or(path.as_str(), |route| route.0);
    let add = [("requests".to_owned(), 1), (response.status().as_u16().to_string(), 1)].into();
    let event = world::Event::Counted { vendor: vendor.to_owned(), route: format!("{method} {path}"), add };
    world.lock().apply(event);
    response
}

/// Lets no answer leave whose deed is not on file. Before the deed it is a refusal; after it, an answer that says nothing of it:
/// whoever asks must look whether it happened.
async fn on_file(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let no_room =
        || (StatusCode::SERVICE_UNAVAILABLE, "the simulated world cannot be written down: free space on its disk\n");
    if !world.is_on_file() {
        return no_room().into_response();
    }
    let response = next.run(request).await;
    if world.is_on_file() { response } else { no_room().into_response() }
}

type Own = State<(Arc<World>, FaultBox)>;

async fn show_world(State((world, faults)): Own) -> Response {
    let mut snapshot = world.snapshot();
    snapshot["faults"] = faults.report();
    Json(snapshot).into_response()
}

async fn show_faults(State((_, faults)): Own) -> Response {
    Json(with_list(faults.report())).into_response()
}

/// With every fault that there is and what it does.
fn with_list(mut answer: serde_json::Value) -> serde_json::Value {
    answer["known"] = faults::listed();
    answer
}

/// Takes a specification as text, or as `{"spec": "…"}`; `help` lists all faults and changes nothing.
async fn set_faults(State((_, faults)): Own, body: String) -> Response {
    let json: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let spec = json.as_ref().and_then(|json| json.get("spec")?.as_str()).unwrap_or(&body);
    if spec.trim() == "help" {
        return faults::help().into_response();
    }
    match spec.parse::<Faults>() {
        Ok(parsed) => {
            faults.replace(parsed);
            Json(faults.report()).into_response()
        }
        Err(bad) => (StatusCode::BAD_REQUEST, Json(with_list(json!({ "error": bad.to_string() })))).into_response(),
    }
}
