//! Zendesk: who we are there, how a request is signed, and what its refusals mean. Reading is `read.rs`, writing `write.rs`,
//! the shapes on the wire `wire.rs`, the text of a comment `text.rs` and `quoted.rs`. No rule about tickets lives here.
//!
//! Source of the wire facts: <https://developer.zendesk.com/api-reference/>, read 2026-11-22.

mod quoted;
mod read;
mod style;
mod text;
mod wire;
mod write;

pub use quoted::own_words;
pub use read::{Group, IncrementalFrom, IncrementalPage, Me, TicketHead, TicketPage};
pub use text::from_html;
pub use write::{Assignee, COMMENT_MAX_BYTES, TicketUpdate, Updated, neutralise};

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Acting, Error, Http, Kind, Reply, Sent, Transport, safe_text};
use crate::clock::Clock;

const VENDOR: &str = "zendesk";

/// The code of a write that `safe_update` stopped: the ticket changed since it was read.
pub const UPDATE_CONFLICT: &str = "UpdateConflict";
/// The code of a write to a closed ticket.
pub const CLOSED: &str = "TicketClosed";
/// The code of a write that would solve a ticket whose required fields are empty; nothing of it was done.
pub const SOLVE_INVALID: &str = "SolveInvalid";
/// The code for a ticket or user that is gone or out of our sight.
pub const NOT_FOUND: &str = "RecordNotFound";

/// How we sign in.
#[derive(Clone)]
pub enum Auth {
    /// OAuth client credentials: the way that stays.
    OAuth {
        /// The client's unique identifier.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// An API token with the address of the user it acts as. All tokens end on 2027-04-30.
    ApiToken {
        /// A verified agent's address.
        email: String,
        /// The token.
        token: SecretString,
    },
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Auth::OAuth { .. } => "OAuth",
            Auth::ApiToken { .. } => "ApiToken",
        })
    }
}

/// What the client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://acme.zendesk.com`, without `/api/v2`.
    pub base_url: String,
    /// How we sign in.
    pub auth: Auth,
    /// The scopes asked for with OAuth, apart by spaces.
    pub scope: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer. A write that runs many triggers takes seconds.
    pub timeout: Duration,
    /// How requests leave the machine.
    pub transport: Transport,
}

impl Settings {
    /// Settings with the usual scopes and timeouts (5 s to connect, 60 s for an answer).
    pub fn new(base_url: impl Into<String>, auth: Auth) -> Self {
        Self {
            base_url: base_url.into(),
            auth,
            scope: "read write".to_owned(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            transport: Transport::default(),
        }
    }
}

/// The helpdesk.
pub struct Zendesk {
    http: Http,
    auth: Auth,
    scope: String,
    clock: Clock,
    token: Mutex<Option<Token>>,
    /// How far the helpdesk's clock is ahead of ours, by the newest answer, in milliseconds.
    ahead_ms: AtomicI64,
}

impl std::fmt::Debug for Zendesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zendesk").field("http", &self.http).field("auth", &self.auth).finish_non_exhaustive()
    }
}

struct Token {
    bearer: SecretString,
    /// `None`: the vendor did not say; renew when a call is answered with 401.
    expires: Option<Timestamp>,
}

/// How long a token is asked for, in seconds (the vendor allows 300 to 172,800).
const TOKEN_LIFE_S: i64 = 7_200;
/// A token is renewed so long before it ends, in seconds.
const TOKEN_MARGIN_S: i64 = 60;
/// The wait after a 429 that names none, in seconds (what the vendor's own client waits).
const BUSY_WAIT_S: u64 = 10;

impl Zendesk {
    /// Checks the settings; sends nothing yet.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let http = Http::new(
            VENDOR,
            &settings.base_url,
            &settings.transport,
            settings.connect_timeout,
            Some(settings.timeout),
        )?;
        let (token, ahead_ms) = (Mutex::new(None), AtomicI64::new(0));
        Ok(Self { http, auth: settings.auth, scope: settings.scope, clock, token, ahead_ms })
    }

    /// The helpdesk's own time, by its newest answer: never later than it is there, and at most a second earlier. Stamps are
    /// compared with it, because our clock may be wrong by hours.
    pub fn now(&self) -> Timestamp {
        let ahead = jiff::SignedDuration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        self.clock.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    fn note_time(&self, reply: &Reply) {
        let date = reply.header("date").and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        if let Some(date) = date {
            let ahead_ms = date.timestamp().as_millisecond().saturating_sub(self.clock.now_ms());
            self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        }
    }

    /// Asks for a path below `/api/v2`.
    async fn get(&self, path: &str) -> Result<Value, Error> {
        let reply = self.call(Method::GET, path, None, Sent::Read).await?;
        self.json(reply, Kind::Read)
    }

    /// Sends, signed; a 401 renews the token once. Returns successes only.
    async fn call(&self, method: Method, path: &str, body: Option<String>, sent: Sent<'_>) -> Result<Reply, Error> {
        for last in [false, true] {
            let authorization = self.authorization().await?;
            let mut request = self
                .http
                .request(method.clone(), &format!("/api/v2{path}"))
                .header("accept", "application/json")
                .header("authorization", authorization.expose_secret());
            if let Some(body) = &body {
                request = request.header("content-type", "application/json").body(body.clone());
            }
            let reply = self.http.send(request, sent).await?;
            self.note_time(&reply);
            if reply.status == 401 && !last && matches!(self.auth, Auth::OAuth { .. }) {
                self.forget(&authorization).await;
                continue;
            }
            if let Some(warning) = reply.header("x-zendesk-api-warn") {
                tracing::warn!(http.method = %method, "zendesk dropped a part of our request: {}", safe_text(warning));
            }
            return if reply.is_success() { Ok(reply) } else { Err(self.refusal(&reply, sent.kind())) };
        }
        unreachable!("the second turn returns")
    }

    fn json(&self, reply: Reply, kind: Kind) -> Result<Value, Error> {
        match serde_json::from_slice(&reply.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(kind.lost(VENDOR, format!("an answer with status {} was not JSON", reply.status), None)),
        }
    }

    /// The value of the `authorization` header.
    async fn authorization(&self) -> Result<SecretString, Error> {
        match &self.auth {
            Auth::ApiToken { email, token } => {
                use base64::Engine as _;
                let pair = format!("{email}/token:{}", token.expose_secret());
                Ok(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)).into())
            }
            Auth::OAuth { client_id, client_secret } => {
                let mut held = self.token.lock().await;
                let now = self.clock.now();
                if let Some(token) = held.as_ref()
                    && token.expires.is_none_or(|at| now < at)
                {
                    return Ok(token.bearer.clone());
                }
                let token = self.fetch_token(client_id, client_secret).await?;
                let bearer = token.bearer.clone();
                *held = Some(token);
                Ok(bearer)
            }
        }
    }

    async fn fetch_token(&self, client_id: &str, client_secret: &SecretString) -> Result<Token, Error> {
        let body = serde_json::json!({
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret.expose_secret(),
            "scope": self.scope,
            "expires_in": TOKEN_LIFE_S,
        });
        let request = self
            .http
            .request(Method::POST, "/oauth/tokens")
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body.to_string());
        let reply = self.http.send(request, Sent::Read).await?;
        if !reply.is_success() {
            let error = self.refusal(&reply, Kind::Read);
            return Err(match error {
                Error::Refused { status, code, reason, .. } => Error::Refused {
                    vendor: VENDOR,
                    status,
                    code,
                    reason: format!("no token: {reason}\nhint: check the OAuth client's identifier and secret"),
                },
                other => other,
            });
        }
        let answer: wire::TokenAnswer = serde_json::from_slice(&reply.body)
            .map_err(|_| Error::retry(VENDOR, None, "the answer to the token request was not understood"))?;
        if let Some(granted) = &answer.scope {
            let has = |wanted: &str| granted.split_whitespace().any(|scope| scope == wanted);
            let missing: Vec<&str> = self.scope.split_whitespace().filter(|wanted| !has(wanted)).collect();
            if !missing.is_empty() {
                tracing::warn!("zendesk granted a token without the scopes `{}`", missing.join(" "));
            }
        }
        let expires = answer.expires_in.map(|seconds| {
            // A short life keeps half of itself, so that the margin cannot make every token look old.
            let useful = (seconds - TOKEN_MARGIN_S).max(seconds / 2).max(0);
            self.clock.now() + jiff::SignedDuration::from_secs(useful)
        });
        Ok(Token { bearer: format!("Bearer {}", answer.access_token).into(), expires })
    }

    /// Drops the token that was refused, unless somebody has renewed it meanwhile.
    async fn forget(&self, refused: &SecretString) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.bearer.expose_secret() == refused.expose_secret()) {
            *held = None;
        }
    }

    /// What an answer outside 2xx means.
    fn refusal(&self, reply: &Reply, kind: Kind) -> Error {
        let status = reply.status;
        let said = wire::Refusal::read(&reply.body);
        let code = said.code.as_deref();
        let after = reply.retry_after(self.clock.now());
        let reason = |what: &str| match (said.text.as_str(), reply.header("x-request-id")) {
            ("", None) => format!("{what} (status {status})"),
            ("", Some(id)) => format!("{what} (status {status}, request {id})"),
            (text, None) => format!("{what} (status {status}): {text}"),
            (text, Some(id)) => format!("{what} (status {status}, request {id}): {text}"),
        };
        match status {
            429 => Error::Retry {
                vendor: VENDOR,
                after: Some(after.unwrap_or(Duration::from_secs(BUSY_WAIT_S))),
                too_often: true,
                reason: "too many calls (status 429)".to_owned(),
            },
            // Of the conflicts only this one says that nothing was written.
            409 if code == Some(UPDATE_CONFLICT) => Error::refused(
                VENDOR,
                Some(409),
                Some(UPDATE_CONFLICT),
                "the ticket changed since it was read (status 409)",
            ),
            409 if kind == Kind::Read => Error::retry(VENDOR, after, reason("a conflict")),
            409 => Error::unsure(VENDOR, after, reason("two writers at once")),
            408 | 425 | 500..=599 => match kind {
                Kind::Read => Error::retry(VENDOR, after, format!("the server failed (status {status})")),
                Kind::Effect => Error::unsure(VENDOR, after, format!("the server failed (status {status})")),
            },
            300..=399 => Error::refused(
                VENDOR,
                Some(status),
                Some("redirect"),
                format!(
                    "answered with a redirect (status {status})\nhint: set `base_url` to the account's own address"
                ),
            ),
            401 => Error::refused(
                VENDOR,
                Some(401),
                Some("unauthorized"),
                "the credentials are not valid (status 401)\nhint: renew the OAuth client's secret or the token",
            ),
            403 => Error::refused(
                VENDOR,
                Some(403),
                Some(code.unwrap_or("Forbidden")),
                format!("{}\nhint: the role or the scope of our user does not allow this", reason("not allowed")),
            ),
            404 => Error::refused(VENDOR, Some(404), Some(code.unwrap_or(NOT_FOUND)), reason("not found")),
            422 => Error::refused(VENDOR, Some(422), Some(said.write_code()), reason("not valid")),
            _ => Error::refused(VENDOR, Some(status), code, reason("refused")),
        }
    }
}

#[cfg(test)]
mod tests;
