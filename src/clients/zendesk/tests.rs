//! What becomes of a write's request and of a read, by everything that may come back.

use std::time::Duration;

use super::*;
use crate::clients::script;
use crate::clients::script::{Act, said, server};
use crate::ids::{CommentId, IdempotencyKey, RunId, StepNo, TicketId, UserId};

async fn client(script: Vec<Act>) -> Zendesk {
    let auth = Auth::ApiToken { email: "bot@shop.example".to_owned(), token: "token".to_owned().into() };
    let mut settings = Settings::new(server(script).await, auth);
    settings.timeout = Duration::from_millis(300);
    Zendesk::new(settings, Clock::manual("2026-11-22T10:00:00Z".parse().unwrap())).unwrap()
}

async fn write(zendesk: &Zendesk) -> Result<Updated, Error> {
    write_under(zendesk, &script::acting()).await
}

async fn write_under(zendesk: &Zendesk, acting: &Acting) -> Result<Updated, Error> {
    let update = TicketUpdate {
        ticket: TicketId(35),
        requester: UserId(9),
        comment: Some(("<p>Hi</p>".into(), true)),
        status: Some(crate::ticket::TicketStatus::Solved),
        assignee: Assignee::Keep,
        group: None,
        priority: None,
        tags: None,
        marker: IdempotencyKey::for_step(&RunId::for_trigger(TicketId(35), CommentId(7)), StepNo(4)),
        part: None,
        stamp: "2026-11-22T10:00:07Z".parse().unwrap(),
    };
    zendesk.update(acting, &update).await
}

const CONFLICT: &str = r#"{"error":"UpdateConflict","description":"Safe Update prevented the update"}"#;
const COLLISION: &str = r#"{"error":"DatabaseConflict","description":"Database collision"}"#;
const SHUT: &str =
    r#"{"error":"RecordInvalid","details":{"status":[{"description":"closed prevents ticket update"}]}}"#;
const UNSOLVED: &str = r#"{"error":"RecordInvalid","details":{"base":[{"description":"Category: is required"}]}}"#;
const GONE: &str = r#"{"error":"RecordNotFound","description":"Not found"}"#;

#[tokio::test]
async fn each_answer_has_its_class() {
    use Act::*;
    // What came back; what it means for a write; what it means for a read.
    let table: &[(Act, &str, &str)] = &[
        (Away, "retry", "retry"),
        (Cut(""), "unknown", "retry"),
        (Cut("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"), "unknown", "retry"),
        (Hang(""), "unknown", "retry"),
        (Hang("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"), "unknown", "retry"),
        (Say(200, "", ""), "unknown", "retry"),
        (Say(200, "", "<html>"), "unknown", "retry"),
        (Say(200, "", "{}"), "unknown", "retry"),
        (Say(500, "", "<html>"), "unknown", "retry"),
        (Say(503, "retry-after: 7\r\n", ""), "unknown 7", "retry 7"),
        (Say(503, "", ""), "unknown", "retry"),
        (Say(520, "", "<html>"), "unknown", "retry"),
        (Say(409, "", COLLISION), "unknown", "retry"),
        (Say(409, "", ""), "unknown", "retry"),
        (Say(409, "", CONFLICT), "refused UpdateConflict", "refused UpdateConflict"),
        (Say(429, "retry-after: 7\r\n", "Number of allowed API requests exceeded"), "retry 7", "retry 7"),
        (Say(429, "", ""), "retry 10", "retry 10"),
        (Say(422, "", SHUT), "refused TicketClosed", "refused TicketClosed"),
        (Say(422, "", UNSOLVED), "refused SolveInvalid", "refused SolveInvalid"),
        (Say(404, "", GONE), "refused RecordNotFound", "refused RecordNotFound"),
        (Say(401, "", "{}"), "refused unauthorized", "refused unauthorized"),
        (Say(403, "", "{}"), "refused Forbidden", "refused Forbidden"),
        (Say(302, "location: http://elsewhere/\r\n", ""), "refused redirect", "refused redirect"),
    ];
    for (act, as_effect, as_read) in table {
        let error = write(&client(vec![act.clone()]).await).await.expect_err("no write");
        assert_eq!(said(&error), *as_effect, "write: {act:?}: {error}");
        let error = client(vec![act.clone()]).await.head(TicketId(35)).await.expect_err("no ticket");
        assert_eq!(said(&error), *as_read, "read: {act:?}: {error}");
    }
}

/// Stamps are compared with the helpdesk's own time, whatever our clock says.
#[tokio::test]
async fn the_helpdesks_time_is_told_by_its_answers() {
    let ahead = "date: Sun, 22 Nov 2026 11:00:05 GMT\r\n";
    let zendesk = client(vec![Act::Say(429, ahead, "")]).await;
    assert_eq!(zendesk.now().to_string(), "2026-11-22T10:00:00Z");
    let _ = zendesk.head(TicketId(35)).await;
    assert_eq!(zendesk.now().to_string(), "2026-11-22T11:00:05Z");
}

#[tokio::test]
async fn nothing_is_sent_under_a_lease_that_is_over() {
    let zendesk = client(vec![Act::Say(200, "", "{}")]).await;
    let refused = write_under(&zendesk, &script::lease_over()).await;
    assert!(matches!(refused, Err(Error::Retry { vendor: "deskhand", .. })), "{refused:?}");
}

/// Whatever the time goes by with before a write: fetching a token, or a first try that was refused for an old one.
#[tokio::test]
async fn nothing_is_sent_when_the_lease_ends_while_we_sign_in() {
    const TOKEN: &str = r#"{"access_token":"a","token_type":"bearer","scope":"read write"}"#;
    const WRITTEN: &str = r#"{"ticket":{"id":35},"audit":{"id":1}}"#;
    let acting = script::acting();
    let says = |status, body| Act::Say(status, "", body);
    for (script, sent) in [
        (vec![says(200, TOKEN), says(401, "{}"), says(200, TOKEN), says(200, WRITTEN)], true),
        (vec![Act::Over(acting.clone(), 200, TOKEN), says(200, WRITTEN)], false),
        (vec![says(200, TOKEN), Act::Over(acting.clone(), 401, "{}"), says(200, TOKEN), says(200, WRITTEN)], false),
    ] {
        acting.extend(i64::MAX);
        let auth = Auth::OAuth { client_id: "desk".to_owned(), client_secret: "secret".to_owned().into() };
        let settings = Settings::new(server(script.clone()).await, auth);
        let zendesk = Zendesk::new(settings, Clock::manual("2026-11-22T10:00:00Z".parse().unwrap())).unwrap();
        let said = write_under(&zendesk, &acting).await;
        let held = matches!(said, Err(Error::Retry { vendor: "deskhand", .. }));
        assert_eq!(held, !sent, "{script:?}: {said:?}");
    }
}

#[tokio::test]
async fn only_who_answered_is_heard() {
    let heard = async |act: Act| {
        let zendesk = client(vec![act]).await;
        crate::clients::hearing(zendesk.head(TicketId(35))).await.1
    };
    assert!(heard(Act::Say(404, "", GONE)).await.contains("zendesk"), "a refusal is an answer");
    for act in [Act::Say(503, "", ""), Act::Say(429, "", ""), Act::Cut(""), Act::Away] {
        assert!(heard(act.clone()).await.is_empty(), "{act:?}");
    }
    assert!(crate::clients::hearing(async {}).await.1.is_empty(), "nobody was asked");
}
