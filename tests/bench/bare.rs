//! The same requests without durability: a loop that sends what the desk sent for one ticket, reads each answer, and keeps
//! nothing. What it uses is the price of talking to the vendors at all.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::answers::FIRST_TICKET;
use crate::process;
use crate::vendors::Vendors;

/// What was measured.
pub struct Measured {
    /// Runs.
    pub runs: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Processor time of the process, in milliseconds.
    pub cpu_ms: f64,
}

/// One request, cut where the ticket's number stands.
struct Request {
    method: reqwest::Method,
    path: Vec<String>,
    body: Vec<String>,
}

/// Sends the recorded requests for so many tickets, so many tickets at once.
pub async fn measure(recorded: &[(String, String, String)], at_once: usize, runs: u64) -> Measured {
    let vendors = Vendors::start(100);
    let first = FIRST_TICKET.to_string();
    let cut = |text: &str| text.split(&first).map(str::to_owned).collect();
    let requests: Arc<Vec<Request>> = Arc::new(
        recorded
            .iter()
            .map(|(method, path, body)| Request {
                method: method.parse().expect("a method"),
                path: cut(path),
                body: cut(body),
            })
            .collect(),
    );
    let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let base: Arc<str> = vendors.url("").trim_end_matches('/').into();
    let share = runs.div_ceil(at_once as u64);
    let work = |from: u64, to: u64| tokio::spawn(several(client.clone(), base.clone(), requests.clone(), from, to));

    work(0, 20).await.expect("a warm-up that ends well");
    let (began, cpu) = (Instant::now(), process::cpu_ms());
    let loops: Vec<_> = (0..at_once as u64).map(|number| work(number * share, (number + 1) * share)).collect();
    for one in loops {
        one.await.expect("a loop that ends well");
    }
    Measured { runs: share * at_once as u64, seconds: began.elapsed().as_secs_f64(), cpu_ms: process::cpu_ms() - cpu }
}

async fn several(client: reqwest::Client, base: Arc<str>, requests: Arc<Vec<Request>>, from: u64, to: u64) {
    for ticket in from..to {
        let number = (FIRST_TICKET + ticket).to_string();
        for request in requests.iter() {
            let url = format!("{base}{}", request.path.join(&number));
            let sent = client
                .request(request.method.clone(), url)
                .header("content-type", "application/json")
                .body(request.body.join(&number))
                .send()
                .await
                .expect("an answer");
            read(&sent.bytes().await.expect("a whole answer"));
        }
    }
}

/// Reads an answer: JSON, or a stream of events with JSON in them.
fn read(answer: &[u8]) {
    if answer.starts_with(b"event:") {
        let text = std::str::from_utf8(answer).expect("text");
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: Value = serde_json::from_str(data).expect("JSON");
            std::hint::black_box(event);
        }
    } else {
        let whole: Value = serde_json::from_slice(answer).expect("JSON");
        std::hint::black_box(whole);
    }
}
