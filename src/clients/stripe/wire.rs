//! The shapes on Stripe's wire, as far as we read them. Ids are opaque; whatever may be absent in some version is optional.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Error, StripeCustomer, VENDOR};
use crate::account::{Payment, Refund as RefundWords};
use crate::ids::{OrderId, PaymentId, RefundId, StripeCustomerId, SubscriptionId};
use crate::money::{Currency, Money};

/// Rows that a list can go on after.
pub trait HasId {
    fn id(&self) -> &str;
}

#[derive(Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Deserialize)]
pub struct Customer {
    pub id: String,
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    delinquent: Option<bool>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl Customer {
    pub fn into_words(self) -> StripeCustomer {
        StripeCustomer {
            id: StripeCustomerId::new(self.id),
            email: self.email,
            name: self.name,
            created_at: seconds(self.created),
            delinquent: self.delinquent.unwrap_or(false),
            metadata: self.metadata.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub struct Intent {
    pub id: String,
    /// An id, or the whole object where it is expanded.
    #[serde(default)]
    customer: Value,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl Intent {
    pub fn customer(&self) -> Option<&str> {
        id_of(&self.customer)
    }
}

impl HasId for Intent {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
pub struct Charge {
    id: String,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    amount_captured: Option<i64>,
    #[serde(default)]
    pub amount_refunded: i64,
    #[serde(default)]
    captured: Option<bool>,
    #[serde(default)]
    paid: Option<bool>,
    #[serde(default)]
    status: Option<String>,
    currency: String,
    #[serde(default)]
    pub created: i64,
    #[serde(default)]
    customer: Value,
    #[serde(default)]
    payment_intent: Value,
    #[serde(default)]
    disputed: Option<bool>,
    #[serde(default)]
    payment_method_details: Value,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub livemode: Option<bool>,
}

impl HasId for Charge {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Charge {
    pub fn customer(&self) -> Option<&str> {
        id_of(&self.customer)
    }

    pub fn payment_intent(&self) -> Option<&str> {
        id_of(&self.payment_intent)
    }

    /// What a refund hangs on: the PaymentIntent where there is one.
    pub fn payment_id(&self) -> PaymentId {
        PaymentId::new(self.payment_intent().unwrap_or(&self.id))
    }

    /// Money came in.
    pub fn is_good(&self) -> bool {
        self.paid != Some(false)
            && self.captured != Some(false)
            && self.status.as_deref().unwrap_or("succeeded") == "succeeded"
    }

    pub fn into_payment(self, intent: Option<&Intent>, refunds: Vec<RefundWords>) -> Result<Payment, Error> {
        let currency = currency(&self.currency)?;
        let captured = self.amount_captured.unwrap_or(self.amount);
        let refundable = if self.is_good() { (captured - self.amount_refunded).max(0) } else { 0 };
        let note = |key: &str| {
            let ours = self.metadata.as_ref().and_then(|m| m.get(key));
            let theirs = intent.and_then(|i| i.metadata.as_ref()).and_then(|m| m.get(key));
            ours.or(theirs).filter(|value| !value.is_empty()).cloned()
        };
        let (order, subscription) = (note("order"), note("subscription"));
        let method = method(&self.payment_method_details);
        let status = match self.status.as_deref() {
            Some("succeeded") | None if self.captured == Some(false) => "uncaptured".to_owned(),
            Some(status) => status.to_owned(),
            None => "succeeded".to_owned(),
        };
        let mut refunds = refunds;
        refunds.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(Payment {
            id: self.payment_id(),
            amount: Money::new(captured, currency),
            refundable: Money::new(refundable, currency),
            created_at: seconds(self.created),
            status,
            method,
            order: order.map(OrderId::new),
            subscription: subscription.map(SubscriptionId::new),
            disputed: self.disputed.unwrap_or(false),
            refunds,
        })
    }
}

#[derive(Deserialize)]
pub struct Refund {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl HasId for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Refund {
    pub fn into_words(self) -> Result<RefundWords, Error> {
        let currency = currency(&self.currency)?;
        Ok(RefundWords {
            id: RefundId::new(self.id),
            amount: Money::new(self.amount, currency),
            created_at: seconds(self.created),
            // A refund without a status may well be on its way.
            status: self.status.unwrap_or_else(|| "pending".to_owned()),
            effect_key: self.metadata.get("effect_key").cloned(),
        })
    }
}

/// An id that may come as the whole object.
fn id_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("id")?.as_str())
}

fn currency(code: &str) -> Result<Currency, Error> {
    code.parse().map_err(|_| Error::retry(VENDOR, None, "a record names no currency"))
}

fn seconds(unix: i64) -> Timestamp {
    Timestamp::from_second(unix).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `visa 4242`, `sepa_debit`.
fn method(details: &Value) -> String {
    let kind = details["type"].as_str().unwrap_or("unknown");
    let inner = &details[kind];
    let brand = inner["brand"].as_str().unwrap_or(kind);
    match inner["last4"].as_str() {
        Some(last) => format!("{brand} {last}"),
        None => brand.to_owned(),
    }
}
