//! What the simulators do wrong on purpose: late, lost, refused and broken answers, by vendor and by name, at a rate or a
//! number of times, the same for the same seed and order of requests. The vendors' code does not know of it: HTTP faults are
//! a layer around each vendor's router, mail faults are asked for by the SMTP sink.
//!
//! A specification is a list with commas: `zendesk.lost_after=0.05,stripe.500=2x,claude.late:1500=0.1,zendesk.409/PUT=1x`.
//! Each part is `vendor.name[:number][/METHOD]=how`, where `how` is a rate from 0 to 1 or a number of times (`2x`).

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::connection::Connection;
use super::world_file::nearest;
use crate::clock::Clock;

/// The simulators that can go wrong.
pub const VENDORS: &[&str] = &["zendesk", "stripe", "billing", "claude", "smtp"];

/// Every fault's name, what it does, and whether it takes a number.
pub const NAMES: &[(&str, &str)] = &[
    ("late", "the answer comes late (`late:1500` says how many milliseconds; 800 unless said)"),
    ("lost_before", "the connection breaks before anything was done"),
    ("lost_after", "the deed is done, then the connection breaks"),
    ("429", "refused as too many, with `retry-after` (`429:5` says how many seconds; 1 unless said)"),
    ("429_bare", "refused as too many, without `retry-after`"),
    ("500", "refused with a server error; nothing was done"),
    ("500_after", "the deed is done, then a server error is answered"),
    ("503", "refused with `retry-after` (`503:5` says how many seconds; 1 unless said)"),
    ("529", "refused as overloaded (claude only)"),
    ("409", "refused as a conflict; nothing was done (only requests that write)"),
    ("cut_stream", "the answer breaks off in the middle (claude only)"),
    ("421", "the mail server hangs up politely (smtp only)"),
    ("451", "the mail server refuses for now (smtp only)"),
    ("550", "the mail server refuses for good (smtp only)"),
];

/// A specification that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is no fault: {why}\nhint: {hint}")]
pub struct BadFaults {
    /// The part that is wrong.
    pub part: String,
    /// What is wrong about it.
    pub why: String,
    /// What to write.
    pub hint: String,
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// With this chance, from 0 to 1.
    Rate(f64),
    /// The next so many requests.
    Times(u32),
}

/// One fault of a specification.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    vendor: &'static str,
    name: &'static str,
    /// Milliseconds or seconds, as the name says.
    number: Option<u64>,
    method: Option<String>,
    how: How,
    /// How often it was asked, and how often it struck.
    asked: u64,
    struck: u64,
}

/// A list of faults, parsed. Empty is no fault at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl FromStr for Faults {
    type Err = BadFaults;

    fn from_str(spec: &str) -> Result<Self, BadFaults> {
        let parts = spec.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty() && *part != "none");
        parts.map(rule).collect::<Result<_, _>>().map(|rules| Self { rules })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}.{}", rule.vendor, rule.name)?;
            if let Some(number) = rule.number {
                write!(f, ":{number}")?;
            }
            if let Some(method) = &rule.method {
                write!(f, "/{method}")?;
            }
            match rule.how {
                How::Rate(rate) => write!(f, "={rate}")?,
                How::Times(times) => write!(f, "={times}x")?,
            }
        }
        Ok(())
    }
}

fn rule(part: &str) -> Result<Rule, BadFaults> {
    let bad = |why: String, hint: String| BadFaults { part: part.to_owned(), why, hint };
    let form = "write vendor.name=how, such as zendesk.lost_after=0.05 or stripe.500=2x";
    let (what, how) = part.split_once('=').ok_or_else(|| bad("it has no `=`".into(), form.into()))?;
    let (vendor, name) = what.split_once('.').ok_or_else(|| bad("it names no vendor".into(), form.into()))?;
    let (name, method) = match name.split_once('/') {
        Some((name, method)) => (name, Some(method.to_ascii_uppercase())),
        None => (name, None),
    };
    if let Some(method) = method.as_deref().filter(|m| !matches!(*m, "GET" | "PUT" | "POST" | "DELETE" | "PATCH")) {
        return Err(bad(format!("`{method}` is no method"), "after `/` stands GET, POST, PUT, PATCH or DELETE".into()));
    }
    let (name, number) = match name.split_once(':') {
        Some((name, text)) => match text.parse() {
            Ok(number) => (name, Some(number)),
            Err(_) => return Err(bad(format!("`{text}` is no whole number"), "after `:` stands a number".into())),
        },
        None => (name, None),
    };
    let all = |words: Vec<&str>| words.join(", ");
    let known = VENDORS.iter().copied().find(|known| *known == vendor).ok_or_else(|| {
        let near = nearest(vendor, VENDORS.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        bad(
            format!("no vendor `{vendor}`"),
            format!("{}vendors are {}", near.unwrap_or_default(), all(VENDORS.to_vec())),
        )
    })?;
    let names = || NAMES.iter().map(|(name, _)| *name).filter(|name| serves(known, name));
    let name = names().find(|one| *one == name).ok_or_else(|| {
        let near = nearest(name, names()).map(|near| format!("did you mean `{near}`? "));
        let hint = format!("{}faults of {known} are {}", near.unwrap_or_default(), all(names().collect()));
        bad(format!("{known} has no fault `{name}`"), hint)
    })?;
    let wrong = || {
        bad(format!("`{how}` says not how often"), "write a rate from 0 to 1 (0.05) or a number of times (2x)".into())
    };
    let how = match how.strip_suffix('x') {
        Some(times) => How::Times(times.parse().map_err(|_| wrong())?),
        None => match how.parse::<f64>() {
            Ok(rate) if (0.0..=1.0).contains(&rate) => How::Rate(rate),
            _ => return Err(wrong()),
        },
    };
    if number.is_some() && !matches!(name, "late" | "429" | "503") {
        return Err(bad(format!("`{name}` takes no number"), "only late, 429 and 503 take one".into()));
    }
    Ok(Rule { vendor: known, name, number, method, how, asked: 0, struck: 0 })
}

/// Whether a vendor can have a fault.
fn serves(vendor: &str, name: &str) -> bool {
    match name {
        "late" | "lost_before" | "lost_after" => true,
        "421" | "451" | "550" => vendor == "smtp",
        "529" | "cut_stream" => vendor == "claude",
        "409" => vendor != "claude" && vendor != "smtp",
        _ => vendor != "smtp",
    }
}

/// A fault that strikes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// Its number, where it takes one.
    pub number: Option<u64>,
}

/// The faults in force; shared by all layers, changed by `POST /_faults`.
#[derive(Debug, Clone)]
pub struct FaultBox {
    faults: Arc<Mutex<Faults>>,
    seed: u64,
}

impl FaultBox {
    /// These faults under this seed.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self { faults: Arc::new(Mutex::new(faults)), seed }
    }

    /// Puts other faults in force; counts start again.
    pub fn replace(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// The faults in force with how often each was asked and struck.
    pub fn report(&self) -> Value {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |rule: &Rule| {
            let only = Faults { rules: vec![rule.clone()] };
            json!({ "fault": only.to_string(), "asked": rule.asked, "struck": rule.struck })
        };
        json!({ "spec": faults.to_string(), "faults": faults.rules.iter().map(one).collect::<Vec<_>>() })
    }

    /// The faults that strike the next request of a vendor, at most one of each name. `method` is empty for mail.
    pub fn strike(&self, vendor: &str, method: &str) -> Vec<Strike> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out: Vec<Strike> = Vec::new();
        for (place, rule) in faults.rules.iter_mut().enumerate().filter(|(_, rule)| rule.vendor == vendor) {
            let writes = !matches!(method, "GET" | "HEAD" | "OPTIONS");
            let other_method = rule.method.as_deref().is_some_and(|only| only != method);
            if other_method || (rule.name == "409" && !writes) || out.iter().any(|one| one.name == rule.name) {
                continue;
            }
            rule.asked += 1;
            let strikes = match rule.how {
                How::Times(times) => rule.struck < u64::from(times),
                How::Rate(rate) => fraction(self.seed, place as u64, rule.asked) < rate,
            };
            if strikes {
                rule.struck += 1;
                out.push(Strike { name: rule.name, number: rule.number });
            }
        }
        out
    }
}

/// A number from 0 to 1 (1 excluded) that depends on the seed, the rule and the count alone (splitmix64).
fn fraction(seed: u64, place: u64, count: u64) -> f64 {
    let mut z = seed
        .wrapping_add(place.wrapping_mul(0x632b_e59b_d9b4_e019))
        .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// What the layer around one vendor's router needs.
#[derive(Clone)]
pub struct Layer {
    /// The vendor.
    pub vendor: &'static str,
    /// The faults in force.
    pub faults: FaultBox,
    /// Waits for late answers.
    pub clock: Clock,
}

/// The layer: `router.layer(axum::middleware::from_fn_with_state(layer, faults::around))`.
pub async fn around(State(layer): State<Layer>, request: Request, next: Next) -> Response {
    let strikes = layer.faults.strike(layer.vendor, request.method().as_str());
    if strikes.is_empty() {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    let has = |name: &str| strikes.iter().find(|strike| strike.name == name);
    if let Some(strike) = has("late") {
        layer.clock.sleep(Duration::from_millis(strike.number.unwrap_or(800))).await;
    }
    if has("lost_before").is_some() {
        return lost(connection);
    }
    for name in ["429", "429_bare", "500", "503", "529", "409"] {
        if let Some(strike) = has(name) {
            return refusal(layer.vendor, strike);
        }
    }
    let response = next.run(request).await;
    if has("lost_after").is_some() {
        return lost(connection);
    }
    if has("500_after").is_some() {
        return refusal(layer.vendor, &Strike { name: "500", number: None });
    }
    if has("cut_stream").is_some() {
        return broken_off(response).await;
    }
    response
}

/// No answer at all. Without a connection to cut (a router called directly) the body breaks instead.
fn lost(connection: Option<Connection>) -> Response {
    if let Some(connection) = connection {
        connection.cut();
    }
    let broken = futures_util::stream::once(async { Err::<bytes::Bytes, _>(std::io::Error::other("lost on purpose")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.extensions_mut().insert(Lost);
    response
}

/// Marks an answer that never arrives, for tests that call a router directly.
#[derive(Debug, Clone, Copy)]
pub struct Lost;

/// The first half of the answer, then the line breaks.
async fn broken_off(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut half = Some(whole.slice(..whole.len() / 2));
    let mut flushed = false;
    let pieces = futures_util::stream::poll_fn(move |cx| match half.take() {
        Some(half) => Poll::Ready(Some(Ok(half))),
        None if !flushed => {
            // One turn of rest lets the server send the half.
            flushed = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        None => Poll::Ready(Some(Err(std::io::Error::other("broken off on purpose")))),
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// A refusal in the vendor's own shape.
fn refusal(vendor: &str, strike: &Strike) -> Response {
    let (status, retry_after) = match strike.name {
        "429" => (429, Some(strike.number.unwrap_or(1))),
        "429_bare" => (429, None),
        "503" => (503, Some(strike.number.unwrap_or(1))),
        "529" => (529, None),
        "409" => (409, None),
        _ => (500, None),
    };
    let body = match (vendor, status) {
        ("zendesk", 429) => "Number of allowed API requests per minute exceeded".into(),
        ("zendesk", 409) => json!({ "error": "DatabaseConflict", "description": "Database collision" }),
        ("zendesk", _) => Value::from("<html><body><h1>We're sorry, but something went wrong.</h1></body></html>"),
        ("stripe", 429) => {
            stripe("invalid_request_error", Some("rate_limit"), "Too many requests hit the API too quickly.")
        }
        ("stripe", 409) => stripe(
            "idempotency_error",
            Some("idempotency_key_in_use"),
            "There is another request in progress with this key.",
        ),
        ("stripe", _) => stripe("api_error", None, "Sorry! There was an error while talking to one of our backends."),
        ("billing", status) => {
            let (code, title) = match status {
                429 => ("rate_limited", "Too many requests"),
                409 => ("operation_in_progress", "Operation in progress"),
                503 => ("internal", "Service unavailable"),
                _ => ("internal", "Internal error"),
            };
            json!({ "type": "about:blank", "title": title, "status": status, "code": code, "detail": "fault on purpose",
                "retryable": true })
        }
        (_, status) => {
            let (kind, message) = match status {
                429 => ("rate_limit_error", "This request would exceed your rate limit."),
                529 => ("overloaded_error", "Overloaded"),
                _ => ("api_error", "Internal server error"),
            };
            json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_fault" })
        }
    };
    let status = StatusCode::from_u16(status).expect("the statuses above are valid");
    let mut response = match body {
        Value::String(text) => (status, text).into_response(),
        json => (status, axum::Json(json)).into_response(),
    };
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if vendor == "billing" {
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
    }
    response
}

fn stripe(kind: &str, code: Option<&str>, message: &str) -> Value {
    json!({ "error": { "type": kind, "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_parse_and_print() {
        let check = |spec: &str, printed: &str| assert_eq!(spec.parse::<Faults>().unwrap().to_string(), printed);
        check("", "");
        check("none", "");
        check("zendesk.lost_after=0.05, stripe.500=2x", "zendesk.lost_after=0.05,stripe.500=2x");
        check("claude.late:1500=0.1,zendesk.409/put=1x", "claude.late:1500=0.1,zendesk.409/PUT=1x");
        check("stripe.429_bare=1", "stripe.429_bare=1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |spec: &str, error: &str| assert_eq!(spec.parse::<Faults>().unwrap_err().to_string(), error);
        check(
            "zendesc.500=1x",
            "`zendesc.500=1x` is no fault: no vendor `zendesc`\nhint: did you mean `zendesk`? vendors are zendesk, stripe, billing, claude, smtp",
        );
        check(
            "smtp.500=1x",
            "`smtp.500=1x` is no fault: smtp has no fault `500`\nhint: did you mean `550`? faults of smtp are late, lost_before, lost_after, 421, 451, 550",
        );
        check(
            "stripe.500=often",
            "`stripe.500=often` is no fault: `often` says not how often\nhint: write a rate from 0 to 1 (0.05) or a number of times (2x)",
        );
        for bad in ["stripe.500", "500=1x", "stripe.500=1.5", "stripe.500:3=1x", "stripe.late:x=1", "stripe.500/DO=1x"]
        {
            assert!(bad.parse::<Faults>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_seed_strikes_alike_and_a_rate_is_kept() {
        let run = |seed: u64| -> Vec<bool> {
            let faults = FaultBox::new("stripe.500=0.2,stripe.late=0.5".parse().unwrap(), seed);
            (0..1000).map(|_| faults.strike("stripe", "POST").iter().any(|strike| strike.name == "500")).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let struck = run(7).iter().filter(|struck| **struck).count();
        assert!((150..250).contains(&struck), "{struck} of 1000");
        let faults = FaultBox::new("stripe.500=0.2".parse().unwrap(), 7);
        assert!(faults.strike("zendesk", "POST").is_empty());
    }
}
