//! The vendors at zero latency: a process of its own that answers over HTTP on loopback with texts made beforehand, so that
//! what the desk's process uses is the desk's alone. It keeps no state about tickets: every id holds the ticket's number.
//!
//! All vendors share one address, told apart by the first part of the path: `/z` helpdesk, `/s` payments, `/b` billing,
//! `/a` model; `/_…` is for the benchmark itself.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::answers::{Answers, FIRST_TICKET};

/// Tickets on one page of the export, as the helpdesk gives them.
const PAGE: u64 = 1_000;

/// A running child.
pub struct Vendors {
    child: Child,
    address: SocketAddr,
    client: reqwest::Client,
}

/// What the child counted.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Requests of the desk.
    pub requests: u64,
    /// Tickets that were answered.
    pub answered: u64,
    /// Since the newest ticket was first shown to the desk, in seconds.
    pub shown_s: f64,
}

impl Vendors {
    /// Starts this very program as vendors. Refunds are of so many cents.
    pub fn start(refund_minor: i64) -> Vendors {
        let program = std::env::current_exe().expect("a program that knows where it is");
        let mut child = Command::new(program)
            .args(["--vendors", &refund_minor.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process");
        let mut line = String::new();
        let said = child.stdout.take().expect("a child whose output is piped");
        BufReader::new(said).read_line(&mut line).expect("the child's first line");
        let address = line.trim().parse().expect("the child's address");
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        Vendors { child, address, client }
    }

    /// The base URL of one of them.
    pub fn url(&self, part: &str) -> String {
        format!("http://{}/{part}", self.address)
    }

    /// Lets the export show so many tickets in all.
    pub async fn show(&self, tickets: u64) {
        self.ask(&format!("_show?{tickets}")).await;
    }

    /// What the vendors counted.
    pub async fn seen(&self) -> Seen {
        let seen = self.ask("_seen").await;
        Seen {
            requests: seen["requests"].as_u64().unwrap_or(0),
            answered: seen["answered"].as_u64().unwrap_or(0),
            shown_s: seen["shown_s"].as_f64().unwrap_or(0.0),
        }
    }

    /// What the desk sent for the first ticket, in order: method, path and body.
    pub async fn recorded(&self) -> Vec<(String, String, String)> {
        serde_json::from_value(self.ask("_recorded").await).expect("a list of requests")
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.expect("vendors that answer");
        serde_json::from_slice(&answer.bytes().await.expect("a whole answer")).expect("JSON")
    }
}

impl Drop for Vendors {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct State {
    answers: Answers,
    tickets: Cell<u64>,
    shown: Cell<(u64, Instant)>,
    requests: Cell<u64>,
    answered: Cell<u64>,
    recorded: RefCell<Vec<(String, String, String)>>,
}

/// What the child does, until its standard input ends.
pub fn serve(refund_minor: i64) {
    // Whoever started it is gone when standard input ends.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        let state = Rc::new(State {
            answers: Answers::new(refund_minor),
            tickets: Cell::new(0),
            shown: Cell::new((0, Instant::now())),
            requests: Cell::new(0),
            answered: Cell::new(0),
            recorded: RefCell::new(Vec::new()),
        });
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(connection(stream, state.clone()));
        }
    });
}

async fn connection(mut stream: TcpStream, state: Rc<State>) {
    let _ = stream.set_nodelay(true);
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    let mut out: Vec<u8> = Vec::with_capacity(16 * 1024);
    loop {
        let (head, length) = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
                let length = content_length(&head);
                break (head, (end + 4, length));
            }
            match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        };
        let (start, length) = length;
        while buffer.len() < start + length {
            match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        let body = std::str::from_utf8(&buffer[start..start + length]).unwrap_or_default();
        out.clear();
        state.answer(&head, body, &mut out);
        if stream.write_all(&out).await.is_err() {
            return;
        }
        buffer.drain(..start + length);
    }
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

impl State {
    fn answer(&self, head: &str, body: &str, out: &mut Vec<u8>) {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if let Some(own) = path.strip_prefix("/_") {
            let said = self.own(own).to_string();
            return respond(out, "application/json", &[said.as_bytes()], "");
        }
        self.requests.set(self.requests.get() + 1);
        let first = FIRST_TICKET.to_string();
        if path.contains(&first) || body.contains(&first) {
            self.recorded.borrow_mut().push((method.to_owned(), path.to_owned(), body.to_owned()));
        }
        if path.starts_with("/z/api/v2/incremental") {
            let page = self.page(path).to_string();
            return respond(out, "application/json", &[page.as_bytes()], "");
        }
        if method == "PUT" {
            self.answered.set(self.answered.get() + 1);
        }
        let (template, number) = self.answers.find(method, path, body);
        let kind = if path.starts_with("/a/") { "text/event-stream" } else { "application/json" };
        let parts: Vec<&[u8]> = template.parts.iter().map(Vec::as_slice).collect();
        respond(out, kind, &parts, number);
    }

    fn own(&self, path: &str) -> Value {
        match path.split_once('?') {
            Some(("show", count)) => self.tickets.set(count.parse().unwrap_or(0)),
            _ if path == "recorded" => return json!(*self.recorded.borrow()),
            _ => {}
        }
        let shown_s = self.shown.get().1.elapsed().as_secs_f64();
        json!({ "requests": self.requests.get(), "answered": self.answered.get(), "shown_s": shown_s })
    }

    /// A page of the export. Its cursor is how many tickets came before.
    fn page(&self, path: &str) -> Value {
        let from =
            path.split_once("cursor=after").and_then(|(_, rest)| rest.split('&').next()?.parse().ok()).unwrap_or(0);
        let to = self.tickets.get().min(from + PAGE);
        if to > self.shown.get().0 {
            self.shown.set((to, Instant::now()));
        }
        self.answers.export(from, to, to == self.tickets.get())
    }
}

fn respond(out: &mut Vec<u8>, kind: &str, parts: &[&[u8]], number: &str) {
    let length: usize = parts.iter().map(|part| part.len()).sum::<usize>() + number.len() * (parts.len() - 1);
    out.extend_from_slice(
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nrequest-id: req_bench\r\ncontent-length: {length}\r\n\r\n")
            .as_bytes(),
    );
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(number.as_bytes());
        }
        out.extend_from_slice(part);
    }
}
