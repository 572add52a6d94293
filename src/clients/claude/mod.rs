//! The Messages API: one call, streamed, its answer kept as received. What to ask and what to make of the answer is the
//! agent's; repeating a call is the journal's. There is no idempotency: a repeated call is a new answer, billed again.
//!
//! Source of the wire facts: <https://platform.claude.com/docs/en/api/>, read 2026-11-22.

mod assemble;
mod sse;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use self::assemble::{Assembly, Step};
use super::{ANSWER_MAX_BYTES, Error, Http, Kind, Reply, Sent, Transport, encode, heard, retry_after, safe_text};
use crate::clock::{Clock, Stopwatch};
use crate::crash;
use crate::usage::Usage;

const VENDOR: &str = "claude";

/// How long to wait once a spending cap is reached: it may be raised at any time, and asking costs nothing.
const SPEND_CAP_WAIT: Duration = Duration::from_secs(3_600);

/// What the client needs to know.
#[derive(Clone)]
pub struct Settings {
    /// `https://api.anthropic.com`, or any server that speaks the Messages API.
    pub base_url: String,
    /// The key, sent as `x-api-key`.
    pub key: SecretString,
    /// The value of `anthropic-version`.
    pub version: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the first byte of the answer.
    pub first_byte_timeout: Duration,
    /// Longest silence within the answer. Pings count as life.
    pub silence_timeout: Duration,
    /// Longest call.
    pub total_timeout: Duration,
    /// How requests leave the machine.
    pub transport: Transport,
}

impl Settings {
    /// The vendor's own address, version `2026-10-21`, 5 s to connect, 120 s of silence, 600 s in all.
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: "https://api.anthropic.com".to_owned(),
            key,
            version: "2026-10-21".to_owned(),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(120),
            silence_timeout: Duration::from_secs(120),
            total_timeout: Duration::from_secs(600),
            transport: Transport::default(),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &self.base_url)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The model's vendor.
pub struct Claude {
    http: Http,
    settings: Settings,
    clock: Clock,
}

impl std::fmt::Debug for Claude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claude").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The assistant message's content as a JSON array, to be echoed unchanged.
    pub content: String,
    /// Why the model stopped, as received.
    pub stop_reason: String,
    /// Tokens by kind.
    pub usage: Usage,
    /// Which model answered.
    pub model: String,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
    /// From sending to the first byte of the answer, in milliseconds.
    pub first_byte_ms: u64,
}

/// What the rate-limit headers say; absent where they said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Requests left, of how many, and when the bucket is full again.
    pub requests: Limit,
    /// Input tokens (cache reads do not count).
    pub input_tokens: Limit,
    /// Output tokens.
    pub output_tokens: Limit,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Its size.
    pub limit: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// When it is full again.
    pub reset: Option<Timestamp>,
}

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// What happened: `Retry` or `Refused`. A lost answer is asked again: a call changes nothing at the vendor.
    #[source]
    pub error: Error,
    /// What it may cost all the same, as far as the stream told.
    pub usage: Usage,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
    /// A monthly cap is reached: no call will succeed until the month ends or somebody raises it.
    pub spend_cap: bool,
    /// A rate limit is reached; other runs had better wait as well.
    pub rate_limited: bool,
    /// The vendor is overloaded as a whole; another model may answer.
    pub overloaded: bool,
    /// How long the vendor asks us to wait.
    pub retry_after: Option<Duration>,
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let retry_after = error.retry_after();
        Self {
            error,
            usage: Usage::default(),
            request_id: None,
            spend_cap: false,
            rate_limited: false,
            overloaded: false,
            retry_after,
        }
    }
}

/// What the vendor says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its id.
    pub id: String,
    /// The longest prompt, in tokens.
    pub max_input_tokens: Option<u64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u64>,
    /// `active`, `deprecated` or `retired`.
    pub lifecycle: Option<String>,
    /// When it is retired.
    pub retires_at: Option<Timestamp>,
}

impl Claude {
    /// Checks the settings; sends nothing yet.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let http = Http::new(
            VENDOR,
            &settings.base_url,
            &settings.transport,
            settings.connect_timeout,
            Some(settings.total_timeout),
        )?;
        Ok(Self { http, settings, clock })
    }

    /// One call. `body` is the whole request, with `"stream": true`; it is sent as it stands, so that its digest can be kept.
    /// `told` hears what is left of the rate limits as soon as the answer's head is there, whatever its status.
    pub async fn send(&self, body: String, told: impl FnOnce(&Limits)) -> Result<Answer, CallError> {
        let watch = self.clock.stopwatch();
        let request = self.request(Method::POST, "/v1/messages").header("content-type", "application/json").body(body);
        let patience = self.settings.first_byte_timeout;
        let place = crash::at(|| "claude POST /v1/messages".to_owned());
        place.passes("model.before");
        let mut response = match tokio::time::timeout(patience, request.send()).await {
            Ok(sent) => sent.map_err(|e| self.http.failed(e, Kind::Read))?,
            Err(_) => return Err(Error::retry(VENDOR, None, "no answer in time").into()),
        };
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        told(&limits(&headers));
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = text("request-id").map(str::to_owned);
        let streamed = text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut call = Call { request_id, first_byte_ms: None, watch, silence: self.settings.silence_timeout };

        if status == 200 && streamed {
            let assembly = match self.read_stream(&mut response, &mut call, &place).await {
                Ok(assembly) => assembly,
                Err(mut failed) => {
                    failed.request_id = call.request_id;
                    return Err(failed);
                }
            };
            let failed = |error: Error| CallError {
                usage: assembly.usage,
                request_id: call.request_id.clone(),
                ..CallError::from(error)
            };
            place.passes("model.after");
            let content = assembly.content().map_err(|what| failed(Error::retry(VENDOR, None, what)))?;
            let Some(stop_reason) = assembly.stop_reason.clone() else {
                return Err(failed(Error::retry(VENDOR, None, "the answer named no reason for its end")));
            };
            heard(VENDOR);
            return Ok(Answer {
                content,
                stop_reason,
                usage: assembly.usage,
                model: assembly.model,
                request_id: call.request_id,
                first_byte_ms: call.first_byte_ms.unwrap_or_default(),
            });
        }

        let mut body = Vec::new();
        loop {
            let chunk = match self.chunk(&mut response, &mut call).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(CallError { request_id: call.request_id, ..error.into() }),
            };
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX_BYTES {
                return Err(Error::refused(VENDOR, Some(status), Some("not_an_answer"), "the answer never ends").into());
            }
        }
        let reply = Reply { status, headers, body: Bytes::from(body) };
        if status != 200 {
            return Err(self.refusal(&reply, call.request_id));
        }
        heard(VENDOR);
        match assemble::whole_message(&reply.body) {
            Some((model, content, stop_reason, usage)) => Ok(Answer {
                content,
                stop_reason,
                usage,
                model,
                request_id: call.request_id,
                first_byte_ms: call.first_byte_ms.unwrap_or_default(),
            }),
            None => Err(CallError { request_id: call.request_id, ..not_an_answer().into() }),
        }
    }

    /// How many tokens a prompt has, by the vendor's estimate: the body of a call without `max_tokens` and `stream`. Free.
    pub async fn count_tokens(&self, body: String) -> Result<u64, CallError> {
        let request =
            self.request(Method::POST, "/v1/messages/count_tokens").header("content-type", "application/json");
        let answer = self.small(request.body(body)).await?;
        answer["input_tokens"].as_u64().ok_or_else(|| not_an_answer().into())
    }

    /// What the vendor says of a model. For a start-up check, never on the way of a ticket.
    pub async fn model(&self, id: &str) -> Result<ModelInfo, CallError> {
        let answer = self.small(self.request(Method::GET, &format!("/v1/models/{}", encode(id)))).await?;
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        // The lifecycle came as a word in one version of the documentation and as an object in another.
        let lifecycle = text("lifecycle").or_else(|| answer["lifecycle"]["status"].as_str().map(str::to_owned));
        let retires_at = text("retires_at").or_else(|| answer["lifecycle"]["retires_at"].as_str().map(str::to_owned));
        Ok(ModelInfo {
            id: text("id").ok_or_else(not_an_answer)?,
            max_input_tokens: answer["max_input_tokens"].as_u64(),
            max_tokens: answer["max_tokens"].as_u64(),
            lifecycle,
            retires_at: retires_at.and_then(|t| t.parse().ok()),
        })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut key = reqwest::header::HeaderValue::from_str(self.settings.key.expose_secret())
            .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static("unusable"));
        key.set_sensitive(true);
        self.http.request(method, path).header("x-api-key", key).header("anthropic-version", &self.settings.version)
    }

    async fn small(&self, request: reqwest::RequestBuilder) -> Result<Value, CallError> {
        let reply = self.http.send(request.timeout(Duration::from_secs(30)), Sent::Read).await?;
        let request_id = reply.header("request-id").map(str::to_owned);
        if reply.status != 200 {
            return Err(self.refusal(&reply, request_id));
        }
        serde_json::from_slice(&reply.body).map_err(|_| not_an_answer().into())
    }

    /// Reads events until the message has ended. The connection's own end is not waited for.
    async fn read_stream(
        &self,
        response: &mut reqwest::Response,
        call: &mut Call,
        place: &crash::Place,
    ) -> Result<Assembly, CallError> {
        let mut parser = sse::Parser::default();
        let mut assembly = Assembly::default();
        let mut strangers = 0;
        let failed = |error: Error, usage: Usage| CallError { usage, ..CallError::from(error) };
        loop {
            let chunk = match self.chunk(response, call).await {
                Ok(chunk) => chunk,
                Err(error) => return Err(failed(error, assembly.usage)),
            };
            let Some(chunk) = chunk else {
                // Events that are none of this API's: another kind of server answers at this address.
                let error = match (assembly.started, strangers) {
                    (false, 1..) => not_an_answer(),
                    _ => Error::retry(VENDOR, None, "the stream ended before the message did"),
                };
                return Err(failed(error, assembly.usage));
            };
            let Ok(events) = parser.feed(&chunk) else {
                return Err(failed(not_an_answer(), assembly.usage));
            };
            for event in events {
                if event.data == "[DONE]" {
                    continue;
                }
                let begun = assembly.started;
                let step = assembly.take(&event.data);
                if !begun {
                    place.passes("model.stream");
                }
                match step {
                    Step::More if assembly.stopped => return Ok(assembly),
                    Step::More => strangers += usize::from(!assembly.started && event.name != "ping"),
                    Step::Broken(_) if !assembly.started => return Err(failed(not_an_answer(), assembly.usage)),
                    Step::Broken(what) => return Err(failed(Error::retry(VENDOR, None, what), assembly.usage)),
                    Step::Failed(said) => {
                        let mut error = self.streamed_error(&said);
                        error.usage = assembly.usage;
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn chunk(&self, response: &mut reqwest::Response, call: &mut Call) -> Result<Option<Bytes>, Error> {
        let patience = match call.first_byte_ms {
            // What the headers took of the patience for the first byte is not given again.
            None => self.settings.first_byte_timeout.saturating_sub(Duration::from_millis(call.watch.elapsed_ms())),
            Some(_) => call.silence,
        };
        let chunk = match tokio::time::timeout(patience, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|e| self.http.failed(e, Kind::Read))?,
            Err(_) => return Err(Error::retry(VENDOR, None, "the answer fell silent")),
        };
        if chunk.is_some() && call.first_byte_ms.is_none() {
            call.first_byte_ms = Some(call.watch.elapsed_ms());
        }
        Ok(chunk)
    }

    /// An error that the stream reports after a status of 200: as its type.
    fn streamed_error(&self, said: &Value) -> CallError {
        let kind = said["error"]["type"].as_str().unwrap_or_default();
        let text = safe_text(said["error"]["message"].as_str().unwrap_or_default());
        let reason = format!("`{kind}` within the answer: {text}");
        let error = match kind {
            "invalid_request_error"
            | "authentication_error"
            | "permission_error"
            | "not_found_error"
            | "billing_error"
            | "request_too_large" => Error::refused(VENDOR, Some(200), Some(kind), reason),
            _ => Error::retry(VENDOR, None, reason),
        };
        let (overloaded, rate_limited) = (kind == "overloaded_error", kind == "rate_limit_error");
        CallError { overloaded, rate_limited, ..error.into() }
    }

    /// What an answer outside 200 means: by status, then type, then code; never by its words.
    fn refusal(&self, reply: &Reply, request_id: Option<String>) -> CallError {
        let status = reply.status;
        let said: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let kind = said["error"]["type"].as_str().unwrap_or_default();
        let code = said["error"]["details"]["error_code"].as_str();
        let message = said["error"]["message"].as_str().unwrap_or_default();
        let request_id = request_id.or_else(|| said["request_id"].as_str().map(str::to_owned));
        let after = retry_after(&reply.headers, self.clock.now());
        let should_retry = reply.header("x-should-retry");
        let spend_cap = matches!(code, Some("enforced_spend_limit_reached" | "contract_spend_limit_reached"))
            // The one refusal without a code of its own; missing it would only cost a clearer word.
            || (status == 400 && message.starts_with("You have reached your specified API usage limits"));
        let reason = match (kind, safe_text(message).as_str()) {
            ("", _) => format!("status {status}"),
            (kind, "") => format!("`{kind}` (status {status})"),
            (kind, text) => format!("`{kind}` (status {status}): {text}"),
        };
        let hint = match status {
            401 | 403 => "\nhint: check the API key",
            402 => "\nhint: see to the payment at the vendor's console",
            404 => "\nhint: the model's id is not known or retired",
            300..=399 => "\nhint: set `base_url` to where the API really is",
            _ if spend_cap => "\nhint: a spending limit is reached; raise it at the vendor's console",
            _ => "",
        };
        let guess = matches!(status, 408 | 409 | 429 | 500..=599);
        let again = match should_retry {
            Some("true") => true,
            Some("false") => false,
            _ => guess,
        };
        let error = if spend_cap {
            // Nothing is wrong with the call: it waits until the month ends or somebody raises the cap.
            Error::retry(VENDOR, Some(after.unwrap_or(SPEND_CAP_WAIT)), format!("{reason}{hint}"))
        } else if again {
            Error::retry(VENDOR, after, reason)
        } else {
            let code = code.or(Some(kind)).filter(|code| !code.is_empty());
            Error::refused(VENDOR, Some(status), code, format!("{reason}{hint}"))
        };
        CallError {
            spend_cap,
            rate_limited: status == 429 && !spend_cap && again,
            overloaded: status == 529 || kind == "overloaded_error",
            request_id,
            retry_after: after,
            ..error.into()
        }
    }
}

/// What is measured while one call runs.
struct Call {
    request_id: Option<String>,
    first_byte_ms: Option<u64>,
    watch: Stopwatch,
    silence: Duration,
}

fn not_an_answer() -> Error {
    Error::refused(
        VENDOR,
        Some(200),
        Some("not_an_answer"),
        "not a Messages API answer\nhint: check the model's `base_url`",
    )
}

fn limits(headers: &reqwest::header::HeaderMap) -> Limits {
    let bucket = |name: &str| {
        let text = |what: &str| headers.get(format!("anthropic-ratelimit-{name}-{what}")).and_then(|v| v.to_str().ok());
        Limit {
            limit: text("limit").and_then(|t| t.parse().ok()),
            remaining: text("remaining").and_then(|t| t.parse().ok()),
            reset: text("reset").and_then(|t| t.parse().ok()),
        }
    };
    Limits {
        requests: bucket("requests"),
        input_tokens: bucket("input-tokens"),
        output_tokens: bucket("output-tokens"),
    }
}

#[cfg(test)]
mod tests;
