//! What becomes of a refund's request and of a read, by everything that may come back.

use std::time::Duration;

use super::*;
use crate::clients::script;
use crate::clients::script::{Act, said, server};
use crate::ids::{CommentId, StepNo};

async fn client(script: Vec<Act>) -> Stripe {
    let mut settings = Settings::new("rk_test_1".to_owned().into());
    settings.base_url = server(script).await;
    settings.timeout = Duration::from_millis(300);
    Stripe::new(settings, Clock::system()).unwrap()
}

async fn refund(stripe: &Stripe) -> Result<Refunded, Error> {
    refund_under(stripe, &script::acting()).await
}

async fn refund_under(stripe: &Stripe, acting: &Acting) -> Result<Refunded, Error> {
    let run = RunId::for_trigger(TicketId(1), CommentId(2));
    let key = IdempotencyKey::for_step(&run, StepNo(3));
    let amount = Money::new(2_900, "usd".parse().unwrap());
    let reason = RefundReason::RequestedByCustomer;
    stripe.refund(acting, &key, &PaymentId::new("pi_1"), amount, reason, (TicketId(1), &run)).await
}

const MADE: &str = r#"{"id":"re_1","object":"refund","amount":2900,"currency":"usd","status":"succeeded",
    "payment_intent":"pi_1","created":1793000100,"metadata":{}}"#;
const OTHER: &str = r#"{"id":"re_1","object":"refund","amount":2800,"currency":"usd","status":"succeeded",
    "payment_intent":"pi_1","created":1793000100,"metadata":{}}"#;
const IN_USE: &str = r#"{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}"#;
const MISMATCH: &str = r#"{"error":{"type":"idempotency_error"}}"#;
const LOCK: &str = r#"{"error":{"type":"invalid_request_error","code":"lock_timeout"}}"#;
const GONE: &str = r#"{"error":{"type":"invalid_request_error","code":"charge_already_refunded"}}"#;
const MUCH: &str = r#"{"error":{"type":"invalid_request_error","param":"amount"}}"#;
const DISPUTE: &str = r#"{"error":{"type":"invalid_request_error","code":"refund_disputed_payment"}}"#;

#[tokio::test]
async fn each_answer_has_its_class() {
    use Act::*;
    // What came back; what it means for a refund; what it means for a read.
    let table: &[(Act, &str, &str)] = &[
        (Away, "retry", "retry"),
        (Cut(""), "unknown", "retry"),
        (Cut("HTTP/1.1 200 OK\r\ncontent-le"), "unknown", "retry"),
        (Cut("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"id\":"), "unknown", "retry"),
        (Hang(""), "unknown", "retry"),
        (Hang("HTTP/1.1 200 OK\r\n"), "unknown", "retry"),
        (Hang("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"id\":"), "unknown", "retry"),
        (Say(200, "", ""), "unknown", "retry"),
        (Say(200, "", "<html>"), "unknown", "retry"),
        (Say(200, "", "{\"id\":\"re_1\""), "unknown", "retry"),
        (Say(200, "", "{}"), "unknown", "retry"),
        (Say(500, "", "oops"), "unknown", "retry"),
        (Say(500, "stripe-should-retry: true\r\n", "{}"), "unknown", "retry"),
        (Say(500, "stripe-should-retry: false\r\n", "{}"), "unknown", "refused"),
        (Say(503, "retry-after: 7\r\n", ""), "unknown 7", "retry 7"),
        (Say(504, "", "<html>"), "unknown", "retry"),
        (Say(408, "", ""), "unknown", "retry"),
        (Say(424, "", "{}"), "unknown", "retry"),
        (Say(429, "retry-after: 7\r\n", "{}"), "retry 7", "retry 7"),
        (Say(429, "retry-after-ms: 3000\r\nretry-after: 7\r\n", "{}"), "retry 3", "retry 3"),
        (Say(429, "", "{}"), "retry", "retry"),
        (Say(429, "stripe-should-retry: false\r\n", "{}"), "refused", "refused"),
        (Say(429, "", LOCK), "retry", "retry"),
        (Say(409, "", LOCK), "retry", "retry"),
        (Say(409, "", IN_USE), "unknown", "retry"),
        (Say(400, "", MISMATCH), "unknown", "refused idempotency_error"),
        (Say(400, "stripe-should-retry: true\r\n", "{}"), "retry", "retry"),
        (Say(400, "", GONE), "refused charge_already_refunded", "refused charge_already_refunded"),
        (Say(400, "", MUCH), "refused amount_too_large", "refused amount_too_large"),
        (Say(400, "", DISPUTE), "refused charge_disputed", "refused charge_disputed"),
        (Say(401, "", "{}"), "refused", "refused"),
        (Say(403, "", "{}"), "refused", "refused"),
        (Say(302, "location: http://elsewhere/\r\n", ""), "refused", "refused"),
    ];
    for (act, as_effect, as_read) in table {
        let stripe = client(vec![act.clone()]).await;
        let error = refund(&stripe).await.map(|done| done.refund).expect_err("no refund");
        assert_eq!(said(&error), *as_effect, "refund: {act:?}: {error}");
        let stripe = client(vec![act.clone()]).await;
        let error = stripe.payment(&PaymentId::new("ch_1")).await.expect_err("no payment");
        assert_eq!(said(&error), *as_read, "read: {act:?}: {error}");
    }
    let other = refund(&client(vec![Say(200, "", OTHER)]).await).await.unwrap_err();
    assert_eq!(said(&other), "unknown", "a refund, but of another amount");
    assert!(!refund(&client(vec![Say(200, "", MADE)]).await).await.unwrap().replayed);
    let again = Say(200, "idempotent-replayed: true\r\n", MADE);
    assert!(refund(&client(vec![again]).await).await.unwrap().replayed);
    assert_eq!(client(vec![Say(404, "", "{}")]).await.payment(&PaymentId::new("ch_1")).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_sent_under_a_lease_that_is_over() {
    let stripe = client(vec![Act::Say(200, "", MADE)]).await;
    let refused = refund_under(&stripe, &script::lease_over()).await;
    assert!(matches!(refused, Err(Error::Retry { vendor: "deskhand", .. })), "{refused:?}");
}
