//! A plain HTTP client over one TCP connection, for tests: it tells exactly what arrived and how the connection ended.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::sim::{Options, Sim, credentials, world_file};

/// What arrived.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The status; `None` when no head arrived.
    pub status: Option<u16>,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, chunks put together.
    pub body: String,
    /// Whether the body came to its end.
    pub whole: bool,
    /// Whether the connection was reset.
    pub reset: bool,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    pub fn is(&self, status: u16) -> bool {
        self.status == Some(status) && self.whole
    }
    fn read(bytes: &[u8], end: &io::Result<()>) -> Self {
        let reset = end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        let text = String::from_utf8_lossy(bytes);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { return Self { reset, ..Self::default() } };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_lowercase(), value.into())).collect();
        let (body, whole) = match headers.get("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => (rest.to_owned(), rest.len() == length),
            None => unchunked(rest),
        };
        Self { status, headers, body, whole, reset }
    }
}

/// The pieces of a chunked body, and whether the last, empty one came.
fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        if size == 0 {
            return (body, true);
        }
        body.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or("");
    }
    (body, false)
}

/// The simulators over the tiny world, and a clock that tests move.
pub struct Bench {
    pub sim: Sim,
    pub clock: Clock,
    pub token: String,
}

/// How often a deed was done.
pub type Done = u64;

impl Bench {
    pub async fn new(seed: u64) -> Self {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny");
        let files = world_file::load_dir(&folder).unwrap();
        let clock = Clock::manual(files.now);
        let sim = Sim::start(Options { seed, ..Options::new(files, clock.clone()) }).await.unwrap();
        let mut bench = Self { sim, clock, token: String::new() };
        bench.token = bench.new_token().await;
        bench
    }

    /// The simulators with these faults.
    pub async fn with(spec: &str) -> Self {
        let bench = Self::new(7).await;
        bench.set(spec);
        bench
    }

    pub fn set(&self, spec: &str) {
        self.sim.faults().replace(spec.parse().unwrap_or_else(|error| panic!("{error}")));
    }

    pub async fn new_token(&self) -> String {
        let body = json!({ "grant_type": "client_credentials", "client_id": credentials::ZENDESK_CLIENT_ID,
            "client_secret": credentials::ZENDESK_CLIENT_SECRET, "scope": "read write", "expires_in": 7200 });
        let json = "content-type: application/json\r\n";
        let seen = self.send("POST", "/zendesk/oauth/tokens", json, &body.to_string()).await;
        seen.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// One request over a connection of its own.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Seen {
        let mut stream = TcpStream::connect(self.sim.address()).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).await.map(drop);
        Seen::read(&bytes, &end)
    }

    /// The same, while the clock moves on in steps of 10 ms; with the milliseconds that it took.
    pub async fn send_in_time(&self, method: &str, path: &str, headers: &str, body: &str) -> (Seen, i64) {
        let began = self.clock.now_ms();
        let mut sent = std::pin::pin!(self.send(method, path, headers, body));
        loop {
            tokio::select! {
                biased;
                seen = &mut sent => return (seen, self.clock.now_ms() - began),
                () = self.turn() => self.clock.advance(std::time::Duration::from_millis(10)),
            }
        }
    }

    /// Lets the other tasks and the sockets have their turn.
    async fn turn(&self) {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    }

    pub fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token)
    }

    pub async fn get(&self, path: &str) -> Seen {
        self.send("GET", &format!("/zendesk/api/v2/{path}"), &self.bearer(), "").await
    }

    /// The request by which a vendor is asked for something that others can see: path, headers, body.
    pub fn deed(&self, vendor: &str) -> (String, String, String) {
        let form = "content-type: application/x-www-form-urlencoded";
        let json = "content-type: application/json";
        let (path, headers, body) = match vendor {
            "zendesk" => (
                "/zendesk/api/v2/tickets/1.json",
                self.bearer(),
                json!({ "ticket": { "comment": { "body": "Hello", "public": true }, "metadata": { "mark": "eff_1" } } })
                    .to_string(),
            ),
            "stripe" => (
                "/stripe/v1/refunds",
                format!(
                    "authorization: Bearer {}\r\nstripe-version: 2026-10-28.endive\r\n{form}\r\nidempotency-key: eff_1\r\n",
                    credentials::STRIPE_KEY
                ),
                "payment_intent=pay_1&amount=100&metadata[effect_key]=eff_1".to_owned(),
            ),
            "billing" => (
                "/billing/v1/subscriptions/sub_1/actions",
                format!(
                    "authorization: Bearer {}\r\n{json}\r\nidempotency-key: eff_1\r\n",
                    credentials::BILLING_TOKEN
                ),
                json!({ "action": "cancel_at_period_end", "params": {} }).to_string(),
            ),
            _ => (
                "/claude/v1/messages",
                format!("x-api-key: {}\r\nanthropic-version: 2026-10-21\r\n{json}\r\n", credentials::CLAUDE_KEY),
                json!({ "model": "claude-opus-4-7", "max_tokens": 500, "stream": true,
                    "messages": [{ "role": "user", "content": "hello" }] })
                .to_string(),
            ),
        };
        (path.to_owned(), headers, body)
    }

    pub async fn act(&self, vendor: &str) -> Seen {
        let (path, headers, body) = self.deed(vendor);
        self.send(if vendor == "zendesk" { "PUT" } else { "POST" }, &path, &headers, &body).await
    }

    pub async fn act_in_time(&self, vendor: &str) -> (Seen, i64) {
        let (path, headers, body) = self.deed(vendor);
        self.send_in_time(if vendor == "zendesk" { "PUT" } else { "POST" }, &path, &headers, &body).await
    }

    pub fn done(&self, vendor: &str) -> Done {
        let deeds = self.sim.world().deeds();
        if vendor == "claude" { deeds.model.answered } else { deeds.vendors[vendor].done }
    }
}
