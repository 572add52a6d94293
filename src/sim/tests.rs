//! The simulators over real sockets: prefixes, counters, lost answers, mail, a restart.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::sim::world_file::load_dir;

fn options() -> Options {
    let files = load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny")).unwrap();
    let clock = Clock::manual(files.now);
    Options { seed: 7, ..Options::new(files, clock) }
}

/// Sends one request over a connection of its own; `None` when it broke before an answer came.
async fn http(sim: &Sim, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    if text.is_empty() || end.is_err() {
        return None;
    }
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text))
}

async fn token(sim: &Sim) -> String {
    let body = json!({ "grant_type": "client_credentials", "client_id": credentials::ZENDESK_CLIENT_ID,
        "client_secret": credentials::ZENDESK_CLIENT_SECRET, "scope": "read write", "expires_in": 3600 });
    let json = "content-type: application/json\r\n";
    let (_, text) = http(sim, "POST", "/zendesk/oauth/tokens", json, &body.to_string()).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(text.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn vendors_answer_under_their_prefix_and_are_counted() {
    let sim = Sim::start(options()).await.unwrap();
    let auth = format!("authorization: Bearer {}\r\n", token(&sim).await);
    let (status, text) = http(&sim, "GET", "/zendesk/api/v2/tickets/1.json", &auth, "").await.unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("date: Fri, 20 Nov 2026 09:00:00 GMT"), "{text}");
    assert!(text.contains("\"subject\":\"Broken pin\""));
    assert_eq!(http(&sim, "GET", "/zendesk/api/v2/tickets/9.json", &auth, "").await.unwrap().0, 404);
    assert_eq!(http(&sim, "GET", "/claude/v1/models", "", "").await.unwrap().0, 401);
    assert_eq!(sim.world().counter("zendesk", "GET /tickets/{id}", "requests"), 2);
    assert_eq!(sim.world().counter("zendesk", "GET /tickets/{id}", "404"), 1);
    assert_eq!(sim.world().counter("claude", "GET /v1/models", "401"), 1);
    let (_, text) = http(&sim, "GET", "/_world", "", "").await.unwrap();
    assert!(text.contains("\"subject\":\"Broken pin\""));
    sim.shutdown().await;
}

#[tokio::test]
async fn lost_answers_are_lost_and_the_deed_is_done_or_not() {
    let sim = Sim::start(options()).await.unwrap();
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", token(&sim).await);
    let put = async |tag: &str| {
        let body = json!({ "ticket": { "tags": [tag] } }).to_string();
        http(&sim, "PUT", "/zendesk/api/v2/tickets/1.json", &headers, &body).await
    };
    let set = async |spec: &str| http(&sim, "POST", "/_faults", "", spec).await.unwrap();
    assert_eq!(set("zendesk.lost_after/PUT=1x").await.0, 200);
    assert_eq!(put("done").await, None, "no status reaches the client");
    assert_eq!(sim.world().ticket(1).unwrap().tags, ["done"]);
    assert_eq!(put("again").await.unwrap().0, 200, "one time only");

    set("zendesk.lost_before=1x").await;
    assert_eq!(put("lost").await, None);
    assert_eq!(sim.world().ticket(1).unwrap().tags, ["again"]);

    set("zendesk.429:7=1x,zendesk.409=1x").await;
    let (status, text) = put("x").await.unwrap();
    assert_eq!((status, text.contains("retry-after: 7")), (429, true));
    set("zendesk.409=1x").await;
    assert_eq!(http(&sim, "GET", "/zendesk/api/v2/tickets/1", &headers, "").await.unwrap().0, 200, "only writes");
    assert!(put("x").await.unwrap().1.contains("DatabaseConflict"));
    set("zendesk.500_after=1x").await;
    assert_eq!(put("deed").await.unwrap().0, 500);
    assert_eq!(sim.world().ticket(1).unwrap().tags, ["deed"]);

    let (status, text) = set("zendesk.lost=1x").await;
    assert_eq!(status, 400);
    assert!(text.contains("zendesk has no fault `lost`"), "{text}");
    assert_eq!(set("none").await.0, 200);
    assert!(sim.faults().report()["faults"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn other_machines_need_leave_and_a_taken_port_is_said() {
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = Sim::start(Options { listen, ..options() }).await.err().unwrap();
    assert!(error.to_string().contains("should not listen on `0.0.0.0:0`"), "{error}");
    let sim = Sim::start(options()).await.unwrap();
    let error = Sim::start(Options { listen: sim.address(), ..options() }).await.err().unwrap();
    assert!(error.to_string().contains("cannot listen on"), "{error}");
}

/// Speaks to the sink; each line is sent, then one reply (all of its lines) is read.
async fn smtp(sim: &Sim, lines: &[&str]) -> Vec<String> {
    let mut stream = tokio::io::BufReader::new(TcpStream::connect(sim.smtp_address()).await.unwrap());
    let mut replies = Vec::new();
    let mut read = async |stream: &mut tokio::io::BufReader<TcpStream>| {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            // A connection that was reset says nothing.
            let _ = tokio::io::AsyncBufReadExt::read_line(stream, &mut line).await;
            text.push_str(line.trim_end());
            if line.get(3..4) != Some("-") {
                break;
            }
        }
        replies.push(text);
    };
    read(&mut stream).await;
    for line in lines {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        read(&mut stream).await;
    }
    replies.split_off(1)
}

#[tokio::test]
async fn mail_is_taken_strictly_and_kept() {
    let sim = Sim::start(options()).await.unwrap();
    let mail = "From: help@pinbox.example\r\nTo: ada@brook.example\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\n\
                Message-ID: <eff_1@pinbox.example>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nAuto-Submitted: auto-generated\r\n\
                \r\nHello\r\n..dot\r\n.";
    let envelope = ["EHLO test", "MAIL FROM:<bounce@pinbox.example>", "RCPT TO:<ada@brook.example>", "DATA", mail];
    let replies = smtp(&sim, &envelope).await;
    assert!(replies[0].contains("8BITMIME") && replies[0].contains("SMTPUTF8"), "{replies:?}");
    assert!(replies[4].starts_with("250 "), "{replies:?}");
    smtp(&sim, &envelope).await;
    let mails = sim.world().mails();
    assert_eq!(mails.len(), 2, "duplicates are kept");
    assert_eq!((mails[0].subject.as_str(), mails[0].header("auto-submitted")), ("Grüße", Some("auto-generated")));
    assert!(mails[0].raw.contains("\r\n.dot\r\n"), "{}", mails[0].raw);
    assert_eq!(
        sim.world().snapshot()["duplicate_mails"],
        json!([{ "message_id": "<eff_1@pinbox.example>", "count": 2 }])
    );

    let codes = async |lines: &[&str]| -> Vec<String> {
        smtp(&sim, lines).await.iter().map(|reply| reply[..3.min(reply.len())].to_owned()).collect()
    };
    assert_eq!(codes(&["MAIL FROM:<a@b.example>"]).await, ["503"]);
    assert_eq!(
        codes(&["EHLO x", "DATA", "RCPT TO:<a@b.example>", "MAIL FROM: a", "WHAT"]).await,
        ["250", "503", "503", "501", "500"]
    );
    assert_eq!(codes(&["EHLO x", "MAIL FROM:<a@b.example> SIZE=99999999"]).await, ["250", "552"]);
    assert_eq!(codes(&["EHLO x", "MAIL FROM:<>", "DATA", "RCPT TO:<nobody>"]).await, ["250", "250", "503", "553"]);
    sim.faults().replace("smtp.550=1x,smtp.lost_after=1x".parse().unwrap());
    assert_eq!(codes(&envelope[..3]).await[2], "550");
    sim.faults().replace("smtp.lost_after=1x".parse().unwrap());
    assert_eq!(codes(&envelope).await[4], "", "the line broke");
    assert_eq!(sim.world().mails().len(), 3, "but the mail was taken");
    for (fault, at, code, kept) in [
        ("lost_before", 4, "", 3),
        ("421", 1, "421", 3),
        ("421_after", 4, "421", 4),
        ("451", 2, "451", 4),
        ("late:0", 4, "250", 5),
        ("late_after:0", 4, "250", 6),
    ] {
        sim.faults().replace(format!("smtp.{fault}=1x").parse().unwrap());
        assert_eq!(codes(&envelope[..=at]).await[at], code, "{fault}");
        assert_eq!(sim.world().mails().len(), kept, "{fault}");
    }
    assert_eq!(sim.world().deeds().mails["<eff_1@pinbox.example>"], 6);
}

#[tokio::test]
async fn a_restart_keeps_token_and_truth() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Some(folder.path().join("world.jsonl"));
    let sim = Sim::start(Options { ledger: ledger.clone(), ..options() }).await.unwrap();
    let auth = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", token(&sim).await);
    let body = json!({ "ticket": { "comment": { "body": "Done", "public": true } } }).to_string();
    http(&sim, "PUT", "/zendesk/api/v2/tickets/1", &auth, &body).await.unwrap();
    sim.shutdown().await;
    let sim = Sim::start(Options { ledger, ..options() }).await.unwrap();
    assert_eq!(sim.world().public_replies(1).len(), 1);
    assert_eq!(
        http(&sim, "GET", "/zendesk/api/v2/tickets/1", &auth, "").await.unwrap().0,
        200,
        "the token still holds"
    );
}

/// A disk that is full: what cannot be written down is not answered, and is written in order when there is room again.
#[tokio::test]
async fn while_the_ledger_cannot_be_written_no_vendor_answers_and_nothing_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.jsonl");
    let mut with_ledger = options();
    with_ledger.ledger = Some(path.clone());
    let clock = with_ledger.clock.clone();
    let sim = Sim::start(with_ledger).await.unwrap();
    let auth = format!("authorization: Bearer {}\r\n", token(&sim).await);
    let ask = async || http(&sim, "GET", "/zendesk/api/v2/tickets/1.json", &auth, "").await.unwrap().0;
    let asked = || sim.world().counter("zendesk", "GET /tickets/{id}", "requests");
    assert_eq!((ask().await, asked()), (200, 1));

    // Open to be read alone: every write fails.
    sim.world().swap_ledger(std::fs::File::open(&path).unwrap());
    let before = std::fs::read_to_string(&path).unwrap();
    assert_eq!((ask().await, asked()), (503, 2), "it happened, and nobody is told");
    assert_eq!((ask().await, asked()), (503, 2), "it is refused before it happens");
    clock.advance(Duration::from_secs(600)); // Tickets arrive all the same.
    assert_eq!(http(&sim, "POST", "/stripe/v1/refunds", "", "").await.unwrap().0, 503);
    let mut mail = TcpStream::connect(sim.smtp_address()).await.unwrap();
    mail.write_all(b"EHLO desk\r\nMAIL FROM:<a@tiny.example>\r\nQUIT\r\n").await.unwrap();
    let mut said = String::new();
    mail.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("451 4.3.1 no room"), "{said}");

    // The first write was cut off in its middle.
    std::fs::write(&path, format!("{before}{{\"at\":")).unwrap();
    sim.world().swap_ledger(std::fs::OpenOptions::new().append(true).open(&path).unwrap());
    assert_eq!((ask().await, asked()), (200, 3));
    let lived = sim.world().snapshot();
    sim.shutdown().await;
    let files = options().world;
    let again = World::open(files, clock, 7, Arrivals::default(), Some(&path)).unwrap();
    assert_eq!(again.snapshot(), lived);
    assert_eq!(again.lock().tickets.len(), 3);
}
