//! The line between the product and the vendors, and what goes wrong on it: a proxy in front of the simulators that loses,
//! doubles, holds back or replaces what passes, for exactly the requests that a test names.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Wrong {
    /// It passes as it should.
    Nothing,
    /// It never arrives; the connection breaks.
    LostBefore,
    /// It is done; the connection breaks before a byte of the answer.
    LostAfter,
    /// It is done; the connection is reset.
    ResetAfter,
    /// It is done; the connection breaks within the answer's head.
    CutInHead,
    /// It is done; the connection breaks within the answer's body.
    CutInBody,
    /// It is done; something else is answered: status, further header lines, body.
    AnswerAfter(u16, &'static str, &'static str),
    /// It never arrives; this is answered.
    AnswerBefore(u16, &'static str, &'static str),
    /// It arrives twice; the second answer is passed on.
    Twice,
    /// The connection breaks at once, and the request is still on its way: it arrives just before the next one that matches.
    StillRunning,
    /// The connection breaks at once, and the request arrives just before the next but one that matches.
    StillRunningLong,
    /// Before it arrives, everything that is still on its way to the same path arrives.
    Overtaken,
    /// Before it arrives, this is done to the world.
    First(fn(&deskhand::sim::world::World)),
    /// It is done, then this is done to the world; the connection breaks before a byte of the answer.
    ThenLost(fn(&deskhand::sim::world::World)),
}

struct Plan {
    method: &'static str,
    path: String,
    /// Stands in the request's body; empty: in any.
    body: String,
    left: Vec<Wrong>,
}

struct Held {
    request: Request,
    plan: usize,
    passes: u32,
}

#[derive(Clone)]
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Inner {
    plans: Mutex<Vec<Plan>>,
    held: Mutex<Vec<Held>>,
    target: String,
    world: Arc<deskhand::sim::world::World>,
    client: reqwest::Client,
}

/// A running line.
#[derive(Clone)]
pub struct Line {
    inner: Arc<Inner>,
    /// Where it listens.
    pub url: String,
}

impl Line {
    /// A line to this server, on which nothing goes wrong yet.
    pub async fn to(target: String, world: Arc<deskhand::sim::world::World>) -> Line {
        deskhand::clients::install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build().unwrap();
        let inner = Arc::new(Inner { plans: Mutex::default(), held: Mutex::default(), target, world, client });
        let line = Line { inner: inner.clone(), url };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = inner.clone();
                tokio::spawn(async move { inner.serve(stream).await });
            }
        });
        line
    }

    /// What happens to the next requests of this method whose path and body hold these words, in order.
    pub fn plan(&self, method: &'static str, path: &str, body: &str, wrong: &[Wrong]) {
        let plan = Plan { method, path: path.to_owned(), body: body.to_owned(), left: wrong.to_vec() };
        self.inner.plans.lock().unwrap().push(plan);
    }

    /// Nothing that was planned and has not happened happens any more.
    pub fn forget(&self) {
        self.inner.plans.lock().unwrap().clear();
    }

    /// The planned mishaps that have not happened, by path.
    pub fn left(&self) -> Vec<String> {
        let plans = self.inner.plans.lock().unwrap();
        plans.iter().filter(|plan| !plan.left.is_empty()).map(|plan| format!("{} {}", plan.path, plan.body)).collect()
    }
}

impl Inner {
    /// One request a connection.
    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let request = read(&mut stream).await?;
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let (wrong, plan) = {
            let mut plans = self.plans.lock().unwrap();
            let fits = |plan: &Plan| {
                plan.method == request.method && request.target.contains(&plan.path) && text.contains(&plan.body)
            };
            match plans.iter().position(fits) {
                None => (Wrong::Nothing, usize::MAX),
                Some(at) => {
                    let left = &mut plans[at].left;
                    (if left.is_empty() { Wrong::Nothing } else { left.remove(0) }, at)
                }
            }
        };
        let due: Vec<Request> = {
            let mut held = self.held.lock().unwrap();
            for one in held.iter_mut().filter(|held| held.plan == plan) {
                one.passes -= 1;
            }
            let (due, kept) = held.drain(..).partition(|one| one.passes == 0);
            *held = kept;
            let due: Vec<Held> = due;
            due.into_iter().map(|held| held.request).collect()
        };
        for late in due {
            self.pass(&late).await;
        }
        match wrong {
            Wrong::LostBefore => return None,
            Wrong::StillRunning | Wrong::StillRunningLong => {
                let passes = if matches!(wrong, Wrong::StillRunning) { 1 } else { 2 };
                self.held.lock().unwrap().push(Held { request, plan, passes });
                return None;
            }
            Wrong::AnswerBefore(status, head, body) => {
                let _ = stream.write_all(answer(status, head, body.as_bytes()).as_slice()).await;
                return Some(());
            }
            Wrong::Twice => drop(self.pass(&request).await),
            Wrong::First(deed) => deed(&self.world),
            Wrong::Overtaken => {
                let path = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
                let here = path(&request.target);
                let (due, kept) = {
                    let mut held = self.held.lock().unwrap();
                    held.drain(..).partition::<Vec<Held>, _>(|late| path(&late.request.target) == here)
                };
                self.held.lock().unwrap().extend(kept);
                for late in due {
                    self.pass(&late.request).await;
                }
            }
            _ => {}
        }
        let (status, head, body) = self.pass(&request).await?;
        let whole = answer(status, &head, &body);
        let kept = match wrong {
            Wrong::LostAfter => return None,
            Wrong::ThenLost(deed) => {
                deed(&self.world);
                return None;
            }
            Wrong::ResetAfter => {
                stream.get_ref().set_zero_linger().ok()?;
                return None;
            }
            Wrong::CutInHead => &whole[..20.min(whole.len())],
            Wrong::CutInBody => &whole[..whole.len() - body.len() / 2 - 1],
            Wrong::AnswerAfter(status, head, body) => {
                let _ = stream.write_all(answer(status, head, body.as_bytes()).as_slice()).await;
                return Some(());
            }
            _ => whole.as_slice(),
        };
        let _ = stream.write_all(kept).await;
        Some(())
    }

    async fn pass(&self, request: &Request) -> Option<(u16, String, Vec<u8>)> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut builder = self.client.request(method, format!("{}{}", self.target, request.target));
        for (name, value) in &request.headers {
            if !matches!(name.to_ascii_lowercase().as_str(), "host" | "content-length" | "connection") {
                builder = builder.header(name, value);
            }
        }
        let builder = builder.timeout(Duration::from_secs(30));
        let response = builder.body(request.body.clone()).send().await.ok()?;
        let status = response.status().as_u16();
        let mut head = String::new();
        for (name, value) in response.headers() {
            if !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding") {
                head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
            }
        }
        let body = response.bytes().await.ok()?.to_vec();
        Some((status, head, body))
    }
}

fn answer(status: u16, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, text)| text.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, headers, body })
}
