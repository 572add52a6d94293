//! A tiny server for the clients' tests: each request gets the next line of a script, well-formed or not.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a request gets.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A whole answer: status, further header lines (each with its line end), body.
    Say(u16, &'static str, &'static str),
    /// The same, and the lease is over by then.
    Over(super::Acting, u16, &'static str),
    /// These bytes and no more; the connection closes.
    Cut(&'static str),
    /// These bytes, then silence for as long as the client waits.
    Hang(&'static str),
    /// Nobody listens.
    Away,
}

/// The permission to act, for as long as a test takes.
pub(super) fn acting() -> super::Acting {
    super::Acting::until(crate::clock::Clock::system(), i64::MAX)
}

/// The same of a worker that stood still past its lease.
pub(super) fn lease_over() -> super::Acting {
    super::Acting::until(crate::clock::Clock::system(), 0)
}

/// Starts a server that plays a script, one line a request; its last line is repeated.
pub(super) async fn server(script: Vec<Act>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    if matches!(script.first(), Some(Act::Away)) {
        return url; // The listener closes here.
    }
    let left = Arc::new(Mutex::new(script));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let left = left.clone();
            tokio::spawn(async move { play(stream, &left).await });
        }
    });
    url
}

async fn play(mut stream: TcpStream, left: &Mutex<Vec<Act>>) -> Option<()> {
    read_request(&mut stream).await?;
    let act = {
        let mut left = left.lock().unwrap();
        if left.len() > 1 { left.remove(0) } else { left.first()?.clone() }
    };
    let act = match act {
        Act::Over(acting, status, body) => {
            acting.extend(0);
            Act::Say(status, "", body)
        }
        act => act,
    };
    match act {
        Act::Over(..) => unreachable!("it is said above"),
        Act::Say(status, head, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Said\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
        }
        Act::Cut(bytes) => stream.write_all(bytes.as_bytes()).await.ok()?,
        Act::Hang(bytes) => {
            stream.write_all(bytes.as_bytes()).await.ok()?;
            let mut rest = [0; 64];
            while stream.read(&mut rest).await.ok()? > 0 {}
        }
        Act::Away => {}
    }
    Some(())
}

async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if seen.len() >= end + 4 + length.unwrap_or(0) {
                return Some(());
            }
        }
        match stream.read(&mut chunk).await.ok()? {
            0 => return None,
            read => seen.extend_from_slice(&chunk[..read]),
        }
    }
}

/// A failure as the tables write it: `retry`, `retry 7` (seconds to wait), `unknown`, `refused`, with the code if there is one.
pub(super) fn said(error: &super::Error) -> String {
    let class = format!("{:?}", error.class()).to_lowercase();
    let wait = error.retry_after().map_or_else(String::new, |after| format!(" {}", after.as_secs()));
    let code = error.code().map_or_else(String::new, |code| format!(" {code}"));
    format!("{class}{wait}{code}")
}
