//! Each phase of handing a mail over, and what it means when it goes wrong there.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::clients::script;
use crate::clients::script::said;
use crate::ids::{CommentId, RunId, StepNo, TicketId};

/// What the server does when it is this phase's turn.
#[derive(Debug, Clone, Copy)]
enum Does {
    Says(&'static str),
    Closes,
    Hangs,
}

/// A server that is well-behaved but in one phase.
async fn server(phase: &'static str, does: Does) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.ok()?;
        let mut stream = BufReader::new(stream);
        let (mut turn, mut in_text) = ("greeting".to_owned(), false);
        loop {
            if turn == phase {
                match does {
                    Does::Says(words) => stream.write_all(format!("{words}\r\n").as_bytes()).await.ok()?,
                    Does::Closes => return None,
                    Does::Hangs => {
                        let mut rest = String::new();
                        while stream.read_line(&mut rest).await.ok()? > 0 {}
                        return Some(());
                    }
                }
            } else {
                let words = match turn.as_str() {
                    "greeting" => "220 here",
                    "DATA" => "354 go on",
                    _ => "250 fine",
                };
                in_text = turn == "DATA";
                stream.write_all(format!("{words}\r\n").as_bytes()).await.ok()?;
            }
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.ok()? == 0 {
                    return Some(());
                }
                match (in_text, line.trim_end()) {
                    (true, ".") => {
                        (turn, in_text) = (".".to_owned(), false);
                        break;
                    }
                    (true, _) => {}
                    (false, command) => {
                        turn = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
                        break;
                    }
                }
            }
        }
    });
    port
}

async fn send(port: u16) -> Result<String, Error> {
    send_under(port, &script::acting()).await
}

async fn send_under(port: u16, acting: &Acting) -> Result<String, Error> {
    let mut settings = Settings::new("127.0.0.1", "Shop <support@shop.example>");
    settings.port = port;
    settings.security = Security::Plain;
    settings.timeout = Duration::from_millis(300);
    settings.after_dot = Duration::from_millis(300);
    let run = RunId::for_trigger(TicketId(1), CommentId(2));
    let mail = Mail {
        to: "ada@low.example".into(),
        subject: "Hello".into(),
        text: "Hello".into(),
        message_id: IdempotencyKey::for_step(&run, StepNo(3)),
        reply_to: None,
        in_reply_to: None,
        date: "2026-11-22T10:00:00Z".parse().unwrap(),
    };
    Email::new(settings)?.send(acting, &mail).await
}

#[tokio::test]
async fn only_behind_the_text_is_the_outcome_unknown() {
    use Does::*;
    for phase in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let silent = if phase == "." { "unknown" } else { "retry" };
        // A server that hangs up after the text may have kept it, however politely it does.
        let table = [
            (Closes, silent),
            (Hangs, silent),
            (Says("451 4.3.0 not now"), "retry"),
            (Says("421 4.3.2 closing"), silent),
            (Says("550 5.7.1 no"), "refused rejected"),
        ];
        for (does, expected) in table {
            let error = send(server(phase, does).await).await.expect_err("no mail");
            assert_eq!(said(&error), expected, "{phase} {does:?}: {error}");
        }
    }
    assert!(send(server("never", Closes).await).await.is_ok());
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(said(&send(nobody).await.unwrap_err()), "retry");
}

#[tokio::test]
async fn nothing_is_sent_under_a_lease_that_is_over() {
    let refused = send_under(server("never", Does::Closes).await, &script::lease_over()).await;
    assert!(matches!(refused, Err(Error::Retry { vendor: "deskhand", .. })), "{refused:?}");
}
