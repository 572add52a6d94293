//! What becomes of a change's request and of the question after it, by everything that may come back.

use std::time::Duration;

use super::*;
use crate::clients::script;
use crate::clients::script::{Act, said, server};
use crate::ids::{CommentId, RunId, StepNo, TicketId};

async fn client(script: Vec<Act>) -> Billing {
    let mut settings = Settings::new(server(script).await, "token".to_owned().into());
    settings.timeout = Duration::from_millis(300);
    Billing::new(settings, Clock::system()).unwrap()
}

fn key() -> IdempotencyKey {
    IdempotencyKey::for_step(&RunId::for_trigger(TicketId(1), CommentId(2)), StepNo(3))
}

async fn change(billing: &Billing) -> Result<Operation, Error> {
    change_under(billing, &script::acting()).await
}

async fn change_under(billing: &Billing, acting: &Acting) -> Result<Operation, Error> {
    let change = serde_json::from_value(json!({"subscription": "s_7", "quantity": 3, "explanation": "x"})).unwrap();
    billing.act(acting, &key(), Some("12"), &change).await
}

const DONE: &str = r#"{"operation":{"id":"op_1","idempotency_key":"k","state":"succeeded","replayed":true}}"#;
const PENDING: &str = r#"{"operation":{"id":"op_1","idempotency_key":"k","state":"pending"}}"#;
const FAILED: &str = r#"{"operation":{"id":"op_1","idempotency_key":"k","state":"failed"}}"#;
const RUNNING: &str = r#"{"title":"x","status":409,"code":"operation_in_progress"}"#;
const MISMATCH: &str = r#"{"title":"x","status":422,"code":"idempotency_mismatch"}"#;
const VERSION: &str = r#"{"title":"x","status":412,"code":"version_conflict"}"#;
const NOT_NOW: &str = r#"{"title":"x","status":422,"code":"action_not_allowed","retryable":false}"#;
const LATER: &str = r#"{"title":"x","status":423,"code":"locked","retryable":true}"#;

#[tokio::test]
async fn each_answer_has_its_class() {
    use Act::*;
    // What came back; what it means for a change; what it means for a read.
    let table: &[(Act, &str, &str)] = &[
        (Away, "retry", "retry"),
        (Cut(""), "unknown", "retry"),
        (Cut("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"), "unknown", "retry"),
        (Hang(""), "unknown", "retry"),
        (Hang("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"), "unknown", "retry"),
        // An answer outside the contract: asking again would bring the same, and a write may have happened.
        (Say(200, "", "<html>"), "unknown", "refused bad_answer"),
        (Say(200, "", "{}"), "unknown", "refused bad_answer"),
        (Say(500, "", ""), "unknown", "retry"),
        (Say(503, "retry-after: 7\r\n", ""), "unknown 7", "retry 7"),
        (Say(429, "retry-after: 7\r\n", "{}"), "retry 7", "retry 7"),
        (Say(429, "", "{}"), "retry", "retry"),
        (Say(409, "", RUNNING), "unknown", "refused operation_in_progress"),
        (Say(422, "", MISMATCH), "unknown", "refused idempotency_mismatch"),
        (Say(412, "", VERSION), "refused version_conflict", "refused version_conflict"),
        (Say(422, "", NOT_NOW), "refused action_not_allowed", "refused action_not_allowed"),
        (Say(423, "", LATER), "retry", "retry"),
        (Say(401, "", "{}"), "refused", "refused"),
    ];
    for (act, as_effect, as_read) in table {
        let error = change(&client(vec![act.clone()]).await).await.expect_err("no change");
        assert_eq!(said(&error), *as_effect, "change: {act:?}: {error}");
        let error = client(vec![act.clone()]).await.operation(&key()).await.expect_err("no operation");
        assert_eq!(said(&error), *as_read, "read: {act:?}: {error}");
    }
    assert!(change(&client(vec![Say(200, "", DONE)]).await).await.unwrap().replayed);
    let pending = change(&client(vec![Say(202, "", PENDING)]).await).await.unwrap();
    assert_eq!(pending.state, OperationState::Pending);
    let failed = change(&client(vec![Say(200, "", FAILED)]).await).await.unwrap_err();
    assert_eq!(said(&failed), "refused operation_failed");
    // Never seen: safe to send.
    assert_eq!(client(vec![Say(404, "", "{}")]).await.operation(&key()).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_sent_under_a_lease_that_is_over() {
    let billing = client(vec![Act::Say(200, "", DONE)]).await;
    let refused = change_under(&billing, &script::lease_over()).await;
    assert!(matches!(refused, Err(Error::Retry { vendor: "deskhand", .. })), "{refused:?}");
}
