//! The simulated Claude Messages API: `POST /v1/messages` (streaming and not), `POST /v1/messages/count_tokens`,
//! `GET /v1/models`, `GET /v1/models/{id}`. As strict as the documentation lets it be. The answers come from the scripted
//! stand-in in [`standin`](super::standin), not from a model; every answer says so in the header `x-simulated-by`.
//!
//! Here stand the settings, the router and the walk of one request; the rules stand in the files below.

mod answer;
mod cache;
mod errors;
mod faults;
mod issued;
mod latency;
mod limits;
mod markers;
mod messages;
mod models;
mod prompt;
mod stream;
mod tools;
mod validate;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Serialize;
use serde_json::{Value, json};

pub use cache::Split;
pub use faults::{Fault, FaultKind};
pub use latency::Latency;
pub(super) use latency::percent;
pub use limits::Limits;
pub use models::{MODELS, Model, Tokenizer};

use super::faults::{Caller, Strikes};
use super::standin::{self, Scripts, Source};
use crate::clock::Clock;
use answer::{Answer, Event, Ids};
use errors::ApiError;
use stream::{Ending, at_once, body_of, paced};
use validate::{Accepted, Endpoint, Head, Version};

/// The largest body, in bytes.
const BODY_MAX: usize = 32 * 1024 * 1024;
/// Warnings kept for `GET /_world`.
const WARNINGS_MAX: usize = 200;

/// How the simulator is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The keys that are accepted; empty: any key that is not empty.
    pub keys: Vec<String>,
    /// Makes ids and signatures.
    pub seed: u64,
    /// Cache floors that differ from the documented ones, by model id.
    pub floors: BTreeMap<String, u64>,
    /// Whether the hidden tool preamble counts toward the floor.
    pub preamble_counts: bool,
    /// Whether answers cost as much thinking as a model's would, by effort, and not only the few words of the stand-in.
    pub thinks: bool,
    /// How long answers take; `None`: no time at all.
    pub latency: Option<Latency>,
    /// Rate limits, per model class.
    pub limits: Limits,
    /// Faults armed from the start.
    pub faults: Vec<Fault>,
}

/// What happened at one request, for whoever counts.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Note {
    /// A message was answered.
    Answered {
        /// The ticket, if the conversation names one.
        ticket: Option<i64>,
        /// The model.
        model: &'static str,
        /// Whether the router asked.
        router: bool,
        /// Whether the answer streamed.
        stream: bool,
        /// Where the answer came from.
        source: Source,
        /// Plain input tokens.
        input_tokens: u64,
        /// Tokens read from the cache.
        cache_read_tokens: u64,
        /// Tokens written to the cache.
        cache_write_tokens: u64,
        /// Output tokens.
        output_tokens: u64,
    },
    /// The last byte of an answered message was handed to the connection.
    Finished {
        /// The model.
        model: &'static str,
    },
    /// Tokens were counted.
    Counted {
        /// The model.
        model: &'static str,
    },
    /// A request was refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// `error.type`.
        kind: &'static str,
        /// `error.message`.
        message: String,
    },
    /// A fault struck.
    Fault {
        /// Which.
        kind: FaultKind,
        /// The ticket, if the conversation names one.
        ticket: Option<i64>,
    },
    /// The stand-in met something odd in a script.
    Warning {
        /// The ticket, if the conversation names one.
        ticket: Option<i64>,
        /// What.
        text: String,
    },
}

/// Called for every [`Note`].
pub type Recorder = Arc<dyn Fn(&Note) + Send + Sync>;

/// Sums since the start, for `GET /_world`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Requests of any kind.
    pub requests: u64,
    /// Answered messages by model.
    pub answered: BTreeMap<&'static str, u64>,
    /// Answers that were sent to their end, by model.
    pub finished: BTreeMap<&'static str, u64>,
    /// Counted prompts.
    pub counted: u64,
    /// Refusals by status.
    pub refused: BTreeMap<u16, u64>,
    /// Faults that struck.
    pub faults: u64,
    /// Plain input tokens by model.
    pub input_tokens: BTreeMap<&'static str, u64>,
    /// Tokens read from the cache by model.
    pub cache_read_tokens: BTreeMap<&'static str, u64>,
    /// Tokens written to the cache by model.
    pub cache_write_tokens: BTreeMap<&'static str, u64>,
    /// Output tokens by model.
    pub output_tokens: BTreeMap<&'static str, u64>,
    /// The latest refusals and warnings, oldest first.
    pub warnings: VecDeque<String>,
}

struct Inner {
    cache: cache::Cache,
    limiter: limits::Limiter,
    issued: issued::Issued,
    faults: faults::Faults,
    counts: Counts,
    number: u64,
}

/// The simulated API with its state.
pub struct Claude {
    settings: Settings,
    clock: Clock,
    scripts: Scripts,
    recorder: Recorder,
    inner: Mutex<Inner>,
}

impl Claude {
    /// A simulator whose stand-in follows these scripts.
    pub fn new(settings: Settings, clock: Clock, scripts: Scripts, recorder: Recorder) -> Self {
        let inner = Inner {
            cache: cache::Cache::default(),
            limiter: limits::Limiter::new(settings.limits),
            issued: issued::Issued::default(),
            faults: faults::Faults::new(settings.faults.clone()),
            counts: Counts::default(),
            number: 0,
        };
        Self { settings, clock, scripts, recorder, inner: Mutex::new(inner) }
    }

    /// Arms a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The sums so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: Note) {
        {
            let counts = &mut self.lock().counts;
            let mut warn = |text: String| {
                counts.warnings.push_back(text);
                if counts.warnings.len() > WARNINGS_MAX {
                    counts.warnings.pop_front();
                }
            };
            match &note {
                Note::Answered {
                    model, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, ..
                } => {
                    *counts.answered.entry(model).or_default() += 1;
                    *counts.input_tokens.entry(model).or_default() += input_tokens;
                    *counts.cache_read_tokens.entry(model).or_default() += cache_read_tokens;
                    *counts.cache_write_tokens.entry(model).or_default() += cache_write_tokens;
                    *counts.output_tokens.entry(model).or_default() += output_tokens;
                }
                Note::Finished { model } => *counts.finished.entry(model).or_default() += 1,
                Note::Counted { .. } => counts.counted += 1,
                Note::Refused { status, message, .. } => {
                    warn(format!("{status}: {message}"));
                    *counts.refused.entry(*status).or_default() += 1;
                }
                Note::Fault { .. } => counts.faults += 1,
                Note::Warning { ticket, text } => warn(match ticket {
                    Some(ticket) => format!("ticket {ticket}: {text}"),
                    None => text.clone(),
                }),
            }
        }
        (self.recorder)(&note);
    }
}

/// The routes; nest them under the simulator's prefix.
pub fn router(claude: Arc<Claude>) -> Router {
    Router::new()
        .route("/v1/messages", post(create_message))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{id}", get(get_model))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(claude)
}

type BodyResult = Result<Bytes, BytesRejection>;

async fn create_message(
    State(claude): State<Arc<Claude>>,
    strikes: Option<Extension<Strikes>>,
    headers: HeaderMap,
    body: BodyResult,
) -> Response {
    claude.create(strikes.map(|strikes| strikes.0).unwrap_or_default(), &headers, body).await
}

async fn count_tokens(State(claude): State<Arc<Claude>>, headers: HeaderMap, body: BodyResult) -> Response {
    let mut ids = claude.arrive(body.as_deref().unwrap_or_default());
    let request_id = ids.make("req_011");
    let counted = claude.parse(&headers, body, Endpoint::CountTokens).map(|(accepted, body)| {
        claude.note(Note::Counted { model: accepted.model.id });
        json!({"input_tokens": prompt::Prompt::build(accepted.model, &body).total_tokens()})
    });
    claude.reply(&request_id, counted)
}

async fn list_models(State(claude): State<Arc<Claude>>, headers: HeaderMap) -> Response {
    let request_id = claude.arrive(b"").make("req_011");
    let list = claude.check_head(&headers, Endpoint::Create).map(|_| {
        let data: Vec<Value> = MODELS.iter().map(Model::describe).collect();
        json!({"data": data, "has_more": false, "first_id": MODELS[0].id, "last_id": MODELS[MODELS.len() - 1].id})
    });
    claude.reply(&request_id, list)
}

async fn get_model(State(claude): State<Arc<Claude>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let request_id = claude.arrive(b"").make("req_011");
    let model = claude.check_head(&headers, Endpoint::Create).and_then(|_| {
        models::find(&id).map(Model::describe).ok_or_else(|| ApiError::not_found(format!("model: {id}")))
    });
    claude.reply(&request_id, model)
}

async fn no_such_path(State(claude): State<Arc<Claude>>) -> Response {
    let request_id = claude.arrive(b"").make("req_011");
    claude.reply(&request_id, Err(ApiError::not_found("Not Found")))
}

impl Claude {
    /// Numbers a request, so that the same one sent twice gets different ids.
    fn arrive(&self, body: &[u8]) -> Ids {
        let mut inner = self.lock();
        inner.number += 1;
        inner.counts.requests += 1;
        Ids::new(self.settings.seed, inner.number, body)
    }

    fn check_head(&self, headers: &HeaderMap, endpoint: Endpoint) -> Result<Head, ApiError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        // When both are present, `x-api-key` wins.
        let key = text("x-api-key").or(bearer).unwrap_or("");
        if key.is_empty() {
            return Err(ApiError::authentication("x-api-key header is required"));
        }
        if !self.settings.keys.is_empty() && !self.settings.keys.iter().any(|known| known == key) {
            return Err(ApiError::authentication("invalid x-api-key"));
        }
        let version = Version::parse(text("anthropic-version"))?;
        let betas = headers
            .get_all("anthropic-beta")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|beta| beta.trim().to_owned())
            .collect();
        Ok(Head { version, betas, endpoint })
    }

    fn parse(&self, headers: &HeaderMap, body: BodyResult, endpoint: Endpoint) -> Result<(Accepted, Value), ApiError> {
        let head = self.check_head(headers, endpoint)?;
        let bytes = body.map_err(|_| ApiError::too_large())?;
        let body: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::invalid(format!("The request body is not valid JSON: {error}")))?;
        let accepted = validate::validate(&head, &body, &self.lock().issued)?;
        Ok((accepted, body))
    }

    fn reply(&self, request_id: &str, result: Result<Value, ApiError>) -> Response {
        let response = match result {
            Ok(value) => (StatusCode::OK, axum::Json(value)).into_response(),
            Err(error) => self.refuse(request_id, &error),
        };
        self.with_headers(response, request_id, &[])
    }

    fn refuse(&self, request_id: &str, error: &ApiError) -> Response {
        self.note(Note::Refused { status: error.status, kind: error.kind, message: error.message.clone() });
        error.response(request_id)
    }

    fn with_headers(&self, mut response: Response, request_id: &str, more: &[(&'static str, String)]) -> Response {
        let fixed = [
            ("request-id", request_id.to_owned()),
            ("anthropic-organization-id", "00000000-0000-4000-8000-000000000001".to_owned()),
            ("anthropic-workspace-id", "wrkspc_simulated".to_owned()),
            ("x-simulated-by", "deskhand scripted stand-in".to_owned()),
        ];
        for (name, value) in fixed.iter().chain(more) {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    async fn create(self: &Arc<Self>, strikes: Strikes, headers: &HeaderMap, body: BodyResult) -> Response {
        let mut ids = self.arrive(body.as_deref().unwrap_or_default());
        let request_id = ids.make("req_011");
        let (accepted, body) = match self.parse(headers, body, Endpoint::Create) {
            Ok(parsed) => parsed,
            Err(error) => return self.reply(&request_id, Err(error)),
        };
        let model = accepted.model;
        let call = standin::identify(&body);
        let call = faults::Call { ticket: call.ticket, turn: call.turn, router: call.router };
        let from_outside = strikes.0.iter().find_map(|strike| FaultKind::named(strike.name, strike.number));
        let fault = from_outside.or_else(|| self.lock().faults.strike(call));
        if let Some(kind) = &fault {
            self.note(Note::Fault { kind: kind.clone(), ticket: call.ticket });
            if let Some(refusal) = kind.refusal() {
                return self.refuse_with_limits(&request_id, &refusal, model);
            }
            let instead = match kind {
                FaultKind::StreamError(_) => Some(ApiError::overloaded()),
                FaultKind::StreamApiError(_) => Some(ApiError::internal()),
                _ => None,
            };
            if let Some(error) = instead.filter(|_| !accepted.stream) {
                return self.refuse_with_limits(&request_id, &error, model);
            }
        }

        let prompt = prompt::Prompt::build(model, &body);
        if prompt.total_tokens() + accepted.max_tokens > model.context {
            let error = ApiError::invalid(format!(
                "prompt is too long: {} tokens > {} maximum",
                prompt.total_tokens(),
                model.context
            ));
            return self.reply(&request_id, Err(error));
        }
        let floor = self.settings.floors.get(model.id).copied().unwrap_or(model.floor);
        let rules = cache::Rules { floor, preamble_counts: self.settings.preamble_counts };
        let now = self.clock.now();
        let plan = {
            let mut inner = self.lock();
            let plan = inner.cache.read(&prompt, rules, now);
            let counted = plan.split.total() - plan.split.read;
            inner.limiter.admit(model.class, counted, now).map(|()| plan)
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => return self.refuse_with_limits(&request_id, &error, model),
        };

        let reply = standin::answer(&body, &self.scripts);
        for text in &reply.warnings {
            self.note(Note::Warning { ticket: call.ticket, text: text.clone() });
        }
        let thinks = if self.settings.thinks { answer::thinking_tokens(&body, call.turn, &ids) } else { 0 };
        let mut answer = Answer::build(&accepted, &body, &reply, plan.split, fault.as_ref(), thinks, &mut ids);
        let pace = self.pace(&plan.split, fault.as_ref(), &ids);
        if !pace.first_byte.is_zero() {
            self.clock.sleep(pace.first_byte).await;
        }

        let began = self.clock.now();
        let limits = {
            let mut inner = self.lock();
            inner.cache.write(&plan, began);
            inner.issued.remember(model.id, &answer.content());
            if let Some(diagnostics) = body.get("diagnostics").filter(|d| !d.is_null()) {
                if let Some(previous) = diagnostics.get("previous_message_id").and_then(Value::as_str) {
                    answer.diagnostics = inner.issued.diagnose(previous, &prompt);
                }
                inner.issued.remember_prompt(answer.id(), &prompt);
            }
            inner.limiter.spend_output(model.class, answer.output_tokens, began);
            inner.limiter.headers(model.class, began)
        };
        self.note(Note::Answered {
            ticket: call.ticket,
            model: model.id,
            router: call.router,
            stream: accepted.stream,
            source: reply.source,
            input_tokens: plan.split.input,
            cache_read_tokens: plan.split.read,
            cache_write_tokens: plan.split.write_5m + plan.split.write_1h,
            output_tokens: answer.output_tokens,
        });
        let response = if accepted.stream {
            self.stream(&answer, fault.as_ref(), &request_id, pace)
        } else {
            if let Some(per_s) = pace.tokens_per_s {
                self.clock.sleep(Duration::from_millis(answer.output_tokens * 1_000 / per_s)).await;
            }
            self.plain(&answer, fault.as_ref())
        };
        self.with_headers(response, &request_id, &limits)
    }

    fn refuse_with_limits(&self, request_id: &str, error: &ApiError, model: &'static Model) -> Response {
        let response = self.refuse(request_id, error);
        let limits = self.lock().limiter.headers(model.class, self.clock.now());
        self.with_headers(response, request_id, &limits)
    }

    /// How fast this answer comes: the profile, spread by seed and request, and what a fault adds.
    fn pace(&self, split: &Split, fault: Option<&FaultKind>, ids: &Ids) -> Pace {
        let slow_ms = match fault {
            Some(FaultKind::SlowFirstByte(ms)) => *ms,
            _ => 0,
        };
        let Some(latency) = self.settings.latency else {
            return Pace { first_byte: Duration::from_millis(slow_ms), ..Pace::default() };
        };
        let percent = latency::percent(latency.spread_percent, ids.chance());
        let usual_ms = latency.first_byte_ms + (split.total() - split.read) * latency.per_kilotoken_ms / 1_000;
        let first_byte = Duration::from_millis(slow_ms + usual_ms * percent / 100);
        let tokens_per_s = latency.tokens_per_s.map(|per_s| (per_s * 100 / percent.max(1)).max(1));
        Pace { first_byte, tokens_per_s, burst_ms: latency.burst_ms }
    }

    fn stream(self: &Arc<Self>, answer: &Answer, fault: Option<&FaultKind>, request_id: &str, pace: Pace) -> Response {
        let mut events = answer.events(fault);
        let deltas: Vec<usize> = (0..events.len()).filter(|n| events[*n].name == "content_block_delta").collect();
        let middle = deltas.get(deltas.len() / 2).map_or(1, |n| n + 1);
        let mut ending = Ending::Whole;
        match fault {
            Some(FaultKind::StreamError(after) | FaultKind::StreamApiError(after)) => {
                events.truncate(after.unwrap_or(middle));
                let error = match fault {
                    Some(FaultKind::StreamApiError(_)) => ApiError::internal(),
                    _ => ApiError::overloaded(),
                };
                let body = error.body(request_id);
                events.push(Event::new("error", json!({"error": body["error"], "request_id": request_id})));
                ending = Ending::Failed;
            }
            Some(FaultKind::CutStream(after)) => {
                events.truncate(after.unwrap_or(middle));
                ending = Ending::Cut;
            }
            Some(FaultKind::Stalled(after)) => {
                events.truncate(after.unwrap_or(middle));
                ending = Ending::Silent;
            }
            _ => {}
        }
        let finish = self.finisher(answer);
        let body = match pace.tokens_per_s {
            None => body_of(futures_util::stream::iter(at_once(&events)), ending, finish),
            Some(per_s) => {
                let pieces = paced(self.clock.clone(), per_s, pace.burst_ms, events, answer.output_tokens);
                body_of(pieces, ending, finish)
            }
        };
        ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], body)
            .into_response()
    }

    fn plain(self: &Arc<Self>, answer: &Answer, fault: Option<&FaultKind>) -> Response {
        let text = Bytes::from(answer.message().to_string());
        let finish = self.finisher(answer);
        let (sent, ending) = match fault {
            Some(FaultKind::CutStream(_)) => (text.slice(..text.len() / 2), Ending::Cut),
            Some(FaultKind::Stalled(_)) => (text.slice(..text.len() / 2), Ending::Silent),
            _ => {
                finish();
                return ([(header::CONTENT_TYPE, "application/json")], text).into_response();
            }
        };
        let body = body_of(futures_util::stream::iter([sent]), ending, finish);
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    /// Notes that an answer went out to its end.
    fn finisher(self: &Arc<Self>, answer: &Answer) -> impl FnOnce() + Send + use<> {
        let (claude, model) = (self.clone(), answer.model());
        move || claude.note(Note::Finished { model })
    }
}

/// How fast one answer comes.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    first_byte: Duration,
    tokens_per_s: Option<u64>,
    burst_ms: u64,
}

/// Who asks, by the body of a request; `None` when it is not JSON.
pub(super) fn caller(body: &[u8]) -> Option<Caller> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let call = standin::identify(&body);
    Some(Caller { ticket: call.ticket, router: call.router })
}

/// The refusal of this name in the list of faults, outside of a call of the model.
pub(super) fn refusal(name: &str, number: Option<i64>) -> Option<Response> {
    const REQUEST_ID: &str = "req_011faultOnPurpose";
    let mut response = FaultKind::named(name, number)?.refusal()?.response(REQUEST_ID);
    response.headers_mut().insert("request-id", HeaderValue::from_static(REQUEST_ID));
    Some(response)
}

/// A recorder that keeps nothing.
pub fn no_recorder() -> Recorder {
    Arc::new(|_| {})
}

#[cfg(test)]
mod tests;
