//! The vendors' clients: their wire in, our words out. This file holds the one way a request leaves the process ([`Http::send`]),
//! the classes of failure, and the forms in which vendors ask us to wait. No policy, no retries: whoever calls decides from
//! the class whether and when to try again, because only the journal knows what was tried before.

mod acting;
pub mod billing;
pub mod claude;
pub mod email;
#[cfg(test)]
mod script;
pub mod stripe;
pub mod zendesk;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderMap;

pub use self::acting::{Acting, LEASE_LEFT_MIN, OURSELVES};
use crate::crash;
use crate::failure::{Failure, FailureClass};

/// The largest answer that is read, in bytes. An incremental page of 1,000 tickets with users is about 5 MB.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How much of a vendor's own error text goes into a reason, in characters.
const REASON_MAX_CHARS: usize = 300;

/// What went wrong at a vendor, named by what the caller may do. No variant holds a secret, an address or a message's text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was done; try again later.
    #[error("{vendor} is busy or away; nothing was done: {reason}")]
    Retry {
        /// Who.
        vendor: &'static str,
        /// How long the vendor asks us to wait.
        after: Option<Duration>,
        /// The vendor answers, and we ask too often: it is about us, not about what was asked for.
        too_often: bool,
        /// What happened.
        reason: String,
    },
    /// It will not be done; do not try again.
    #[error("{vendor} refused: {reason}")]
    Refused {
        /// Who.
        vendor: &'static str,
        /// The HTTP or SMTP status; absent when we refused before sending.
        status: Option<u16>,
        /// The vendor's code for the refusal, or ours.
        code: Option<String>,
        /// What happened.
        reason: String,
    },
    /// It may have been done; repeat only under the same key, or look.
    #[error("{vendor} did not answer; it may have acted: {reason}")]
    Unknown {
        /// Who.
        vendor: &'static str,
        /// How long the vendor asks us to wait, or how long we had better.
        after: Option<Duration>,
        /// What happened.
        reason: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// The class by which the caller acts.
    pub fn class(&self) -> FailureClass {
        match self {
            Error::Retry { .. } => FailureClass::Retry,
            Error::Refused { .. } => FailureClass::Refused,
            Error::Unknown { .. } => FailureClass::Unknown,
        }
    }

    /// Who failed.
    pub fn vendor(&self) -> &'static str {
        match self {
            Error::Retry { vendor, .. } | Error::Refused { vendor, .. } | Error::Unknown { vendor, .. } => vendor,
        }
    }

    /// The vendor's code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => *status,
            _ => None,
        }
    }

    /// How long to wait before the next try, if the vendor or the failure says.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Retry { after, .. } | Error::Unknown { after, .. } => *after,
            Error::Refused { .. } => None,
        }
    }

    /// It may have been done, and is looked for again after a while.
    pub fn unsure(vendor: &'static str, after: Option<Duration>, reason: impl Into<String>) -> Self {
        Error::Unknown { vendor, after, reason: reason.into(), source: None }
    }

    /// The same as the journal keeps it.
    pub fn failure(&self) -> Failure {
        Failure { class: self.class(), vendor: self.vendor().to_owned(), message: self.to_string() }
    }

    pub(crate) fn retry(vendor: &'static str, after: Option<Duration>, reason: impl Into<String>) -> Self {
        Error::Retry { vendor, after, too_often: false, reason: reason.into() }
    }

    /// Whether the vendor answered that we ask too often.
    pub fn is_too_often(&self) -> bool {
        matches!(self, Error::Retry { too_often: true, .. })
    }

    fn refused(vendor: &'static str, status: Option<u16>, code: Option<&str>, reason: impl Into<String>) -> Self {
        Error::Refused { vendor, status, code: code.map(str::to_owned), reason: reason.into() }
    }

    fn unknown(vendor: &'static str, reason: impl Into<String>) -> Self {
        Error::unsure(vendor, None, reason)
    }
}

/// What a request does at the vendor; a lost answer means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Asking again harms nothing (a model call too: it costs, but changes nothing).
    Read,
    /// Others can see what it does.
    Effect,
}

/// What a request does at the vendor, with the permission for what others can see: without one no effect can be sent.
#[derive(Debug, Clone, Copy)]
enum Sent<'a> {
    /// See [`Kind::Read`].
    Read,
    /// See [`Kind::Effect`].
    Effect(&'a Acting),
}

impl Sent<'_> {
    fn kind(self) -> Kind {
        match self {
            Sent::Read => Kind::Read,
            Sent::Effect(_) => Kind::Effect,
        }
    }
}

impl Kind {
    /// The error for an answer that was lost or says nothing, after the request had left.
    fn lost(self, vendor: &'static str, reason: String, source: Option<reqwest::Error>) -> Error {
        match self {
            Kind::Read => Error::retry(vendor, None, reason),
            Kind::Effect => Error::Unknown { vendor, after: None, reason, source: source.map(|e| Box::new(e) as _) },
        }
    }
}

tokio::task_local! {
    /// The vendors that answered in a piece of work.
    static HEARD: RefCell<BTreeSet<&'static str>>;
}

/// Does a piece of work and says which vendors answered meanwhile, if only to refuse. One that was not asked, because what is
/// known was enough, is not among them.
pub async fn hearing<T>(work: impl Future<Output = T>) -> (T, BTreeSet<&'static str>) {
    let listened = async {
        let done = work.await;
        (done, HEARD.with(RefCell::take))
    };
    HEARD.scope(RefCell::default(), listened).await
}

fn heard(vendor: &'static str) {
    // An error says that nobody listens: a look-up outside of a step.
    let _ = HEARD.try_with(|all| all.borrow_mut().insert(vendor));
}

/// How requests leave the machine. The same for all vendors of an installation.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// A proxy for all vendors; `None` follows the environment (`HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<String>,
    /// Further certificate authorities, PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Allows `http://` to hosts other than loopback.
    pub allow_plain_http: bool,
}

/// Installs the TLS provider for the whole process; later calls do nothing. Called by every client, and harmless in `main`.
pub fn install_tls() {
    // An error says that one is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// One vendor's connection pool and base URL.
#[derive(Clone)]
struct Http {
    vendor: &'static str,
    /// Without a slash at the end.
    base: String,
    client: reqwest::Client,
}

/// An answer, whatever its status, read whole.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    /// Checks the base URL and builds the pool. `total` bounds a whole request, body included; `None` leaves that to the
    /// caller.
    fn new(
        vendor: &'static str,
        base_url: &str,
        transport: &Transport,
        connect: Duration,
        total: Option<Duration>,
    ) -> Result<Self, Error> {
        install_tls();
        let bad = |reason: String| Error::refused(vendor, None, Some("bad_settings"), reason);
        let url = reqwest::Url::parse(base_url)
            .map_err(|e| bad(format!("`base_url` is not a URL: {e}\nhint: write it as https://host")))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if loopback || transport.allow_plain_http => {}
            _ => return Err(bad("`base_url` must start with https://\nhint: plain http is for loopback only".into())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("`base_url` must not hold credentials".into()));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("deskhand/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(connect)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_keepalive(Duration::from_secs(60));
        if let Some(total) = total {
            builder = builder.timeout(total);
        }
        if url.scheme() == "http" {
            // No certificate will ever be looked at: reading the system's takes longer than everything else at a start.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        if loopback {
            builder = builder.no_proxy();
        } else if let Some(proxy) = &transport.proxy {
            builder =
                builder.proxy(reqwest::Proxy::all(proxy).map_err(|e| bad(format!("`proxy`: {}", e.without_url())))?);
        }
        if url.scheme() == "http" {
            // Nothing is private here, so the system's certificates are not read: they take 10 ms and more a client.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &transport.extra_ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| bad(format!("extra CA: {e}")))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|e| bad(format!("cannot set up the connection: {e}")))?;
        Ok(Self { vendor, base: base_url.trim_end_matches('/').to_owned(), client })
    }

    /// A request to a path below the base URL; the path starts with a slash and is percent-encoded already.
    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends, and reads the answer whole. Any status is an answer; only what never answered is an error here. The permission
    /// for an effect is asked in the last moment: whatever had to be fetched before has taken its time.
    async fn send(&self, request: reqwest::RequestBuilder, sent: Sent<'_>) -> Result<Reply, Error> {
        let kind = sent.kind();
        let (client, request) = request.build_split();
        let request = request.map_err(|e| self.failed(e, kind))?;
        let place = crash::at(|| format!("{} {} {}", self.vendor, request.method(), request.url().path()));
        place.passes("request.before");
        if let Sent::Effect(acting) = sent {
            acting.may_leave()?;
        }
        let mut response = client.execute(request).await.map_err(|e| self.failed(e, kind))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(e, kind))? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(kind.lost(self.vendor, "the answer is larger than 64 MB".into(), None));
            }
            body.extend_from_slice(&chunk);
        }
        place.passes("request.after");
        if !matches!(status, 408 | 425 | 429 | 500..) {
            heard(self.vendor);
        }
        Ok(Reply { status, headers, body: body.into() })
    }

    /// Sorts what the HTTP library says. Its text never holds the URL here, because a query may hold an address.
    fn failed(&self, error: reqwest::Error, kind: Kind) -> Error {
        let error = error.without_url();
        if error.is_builder() {
            return Error::refused(
                self.vendor,
                None,
                Some("bad_request"),
                format!("the request cannot be built: {error}"),
            );
        }
        if error.is_connect() {
            let how = if error.is_timeout() { "connecting took too long" } else { "cannot connect" };
            return Error::retry(self.vendor, None, how);
        }
        let how = if error.is_timeout() {
            "no answer in time"
        } else if error.is_body() || error.is_decode() {
            "the answer broke off"
        } else {
            "the connection was lost"
        };
        kind.lost(self.vendor, how.into(), Some(error))
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("vendor", &self.vendor).field("base", &self.base).finish_non_exhaustive()
    }
}

impl Reply {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text, if it is text.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// How long the vendor asks us to wait.
    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, now)
    }
}

/// Reads `retry-after-ms`, then `retry-after` as seconds (fractions too) or as a date. A date is compared with the answer's
/// own `Date` where there is one, so that a wrong clock on either side does not matter. At most a day.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    const AT_MOST: Duration = Duration::from_secs(86_400);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |number: f64| Duration::try_from_secs_f64(number).ok().map(|d| d.min(AT_MOST));
    if let Some(ms) = text("retry-after-ms").and_then(|t| t.parse::<f64>().ok()) {
        return seconds(ms / 1000.0);
    }
    let value = text("retry-after")?;
    if let Ok(number) = value.parse::<f64>() {
        return seconds(number);
    }
    let date = |t: &str| jiff::fmt::rfc2822::parse(t).ok().map(|zoned| zoned.timestamp());
    let base = text("date").and_then(date).unwrap_or(now);
    Duration::try_from(date(value)?.duration_since(base)).ok().map(|d| d.min(AT_MOST))
}

/// A vendor's own words, made safe for a log: one line, at most 300 characters, anything with an `@` taken out.
fn safe_text(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(if word.contains('@') { "[address]" } else { word });
        if out.len() > 4 * REASON_MAX_CHARS {
            break;
        }
    }
    out.chars().take(REASON_MAX_CHARS).collect()
}

/// Percent-encodes one part of a path or one value of a query.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_waiting() {
        let now = "2026-11-20T09:00:00Z".parse().unwrap();
        let check = |headers: &[(&'static str, &str)], expected_ms: Option<u128>| {
            let map: HeaderMap = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
            assert_eq!(retry_after(&map, now).map(|d| d.as_millis()), expected_ms, "{headers:?}");
        };
        check(&[], None);
        check(&[("retry-after", "7")], Some(7_000));
        check(&[("retry-after", "0.5")], Some(500));
        check(&[("retry-after-ms", "250"), ("retry-after", "7")], Some(250));
        check(&[("retry-after", "Fri, 20 Nov 2026 09:00:30 GMT")], Some(30_000));
        check(
            &[("retry-after", "Fri, 20 Nov 2026 09:00:30 GMT"), ("date", "Fri, 20 Nov 2026 09:00:20 GMT")],
            Some(10_000),
        );
        check(&[("retry-after", "Fri, 20 Nov 2026 08:00:00 GMT")], None);
        check(&[("retry-after", "-3")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "9999999999")], Some(86_400_000));
    }

    #[test]
    fn plain_http_is_for_loopback() {
        let check = |base: &str, allow: bool, good: bool| {
            let transport = Transport { allow_plain_http: allow, ..Transport::default() };
            let made = Http::new("zendesk", base, &transport, Duration::from_secs(1), None);
            assert_eq!(made.is_ok(), good, "{base}");
        };
        check("https://acme.zendesk.com", false, true);
        check("http://127.0.0.1:4000/zendesk/", false, true);
        check("http://localhost:4000", false, true);
        check("http://[::1]:4000", false, true);
        check("http://acme.zendesk.com", false, false);
        check("http://10.0.0.4", true, true);
        check("https://user:secret@acme.zendesk.com", false, false);
        check("acme.zendesk.com", false, false);
    }

    #[test]
    fn reasons_hold_no_address() {
        assert_eq!(safe_text("Email: jane@example.com  is\nwrong"), "Email: [address] is wrong");
        assert_eq!(safe_text(&"x".repeat(900)).len(), 300);
    }
}
