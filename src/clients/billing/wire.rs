//! The shapes on the billing API's wire. Unknown fields are ignored; whatever the contract calls optional is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, Operation, OperationState, VENDOR};
use crate::account::{self, AccountStatus};
use crate::ids::{CustomerId, OrderId, PaymentId, StripeCustomerId, SubscriptionId};
use crate::money;

#[derive(Deserialize)]
pub struct Page<T> {
    pub data: Vec<T>,
}

/// Money with its scale, so that no table is needed on the other side; ours must agree.
#[derive(Deserialize)]
pub struct Money {
    minor: i64,
    currency: String,
    #[serde(default)]
    scale: Option<u32>,
}

impl Money {
    pub fn into_words(self) -> Result<money::Money, Error> {
        let bad = |reason: &str| Error::refused(VENDOR, None, Some("bad_answer"), reason);
        let currency: money::Currency = self.currency.parse().map_err(|_| bad("an amount names no currency"))?;
        if self.scale.is_some_and(|scale| scale != currency.scale()) {
            return Err(bad(
                "an amount counts its minor units differently than Stripe does\nhint: compare its `scale`",
            ));
        }
        Ok(money::Money::new(self.minor, currency))
    }
}

#[derive(Deserialize)]
pub struct Customer {
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    stripe_customer_id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default)]
    facts: Option<BTreeMap<String, Value>>,
}

impl Customer {
    pub fn into_words(self) -> account::Customer {
        let status = match self.status.as_deref() {
            Some("active" | "trialing") | None => AccountStatus::Active,
            Some("unpaid" | "past_due" | "overdue" | "delinquent") => AccountStatus::Unpaid,
            // A word that we do not know is nothing to act on alone.
            Some(_) => AccountStatus::Locked,
        };
        let mut flags: Vec<String> = Vec::new();
        for flag in self.tags.into_iter().flatten().chain(self.flags.into_iter().flatten()) {
            if !flags.contains(&flag) {
                flags.push(flag);
            }
        }
        let mut facts = self.facts.unwrap_or_default();
        if let Some(organization) = self.organization {
            facts.entry("organization".into()).or_insert_with(|| organization.into());
        }
        account::Customer {
            id: CustomerId::new(self.id),
            name: self.name.unwrap_or_default(),
            address: self.email.unwrap_or_default().to_lowercase(),
            status,
            flags,
            since: self.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
            stripe: self.stripe_customer_id.map(StripeCustomerId::new),
            facts,
        }
    }
}

#[derive(Deserialize)]
pub struct Order {
    id: String,
    #[serde(default)]
    pub number: Option<String>,
    #[serde(default)]
    pub customer_id: Option<String>,
    placed_at: Timestamp,
    #[serde(default)]
    stage: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payment_status: Option<String>,
    #[serde(default)]
    fulfillment_status: Option<String>,
    total: Money,
    #[serde(default)]
    stripe_payment_intent_id: Option<String>,
    #[serde(default)]
    stripe_payment_intent_ids: Option<Vec<String>>,
    #[serde(default)]
    items: Option<Vec<Item>>,
    #[serde(default)]
    shipments: Option<Vec<Shipment>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    sku: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    quantity: Option<i64>,
    total: Money,
}

#[derive(Deserialize)]
struct Shipment {
    #[serde(default)]
    carrier: Option<String>,
    #[serde(default)]
    tracking_number: Option<String>,
    #[serde(default)]
    tracking_url: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    eta: Option<String>,
}

impl Order {
    pub fn into_words(self) -> Result<account::Order, Error> {
        let status = self.stage.clone().unwrap_or_else(|| {
            let axes = (self.status.as_deref(), self.payment_status.as_deref(), self.fulfillment_status.as_deref());
            one_word(axes).to_owned()
        });
        let mut payments: Vec<PaymentId> = Vec::new();
        let named =
            self.stripe_payment_intent_id.into_iter().chain(self.stripe_payment_intent_ids.into_iter().flatten());
        for id in named.map(PaymentId::new) {
            if !payments.contains(&id) {
                payments.push(id);
            }
        }
        let items = self.items.into_iter().flatten().map(|item| {
            Ok(account::OrderItem {
                sku: item.sku.unwrap_or_default(),
                name: item.name.unwrap_or_default(),
                quantity: item.quantity.unwrap_or(1),
                total: item.total.into_words()?,
            })
        });
        let tracking: Vec<String> = self.shipments.into_iter().flatten().filter_map(Shipment::line).collect();
        Ok(account::Order {
            status,
            items: items.collect::<Result<_, Error>>()?,
            total: self.total.into_words()?,
            payments,
            number: self.number.filter(|number| *number != self.id),
            id: OrderId::new(self.id),
            placed_at: self.placed_at,
            tracking: (!tracking.is_empty()).then(|| tracking.join("; ")),
        })
    }
}

/// The three axes of an order as one word.
fn one_word(axes: (Option<&str>, Option<&str>, Option<&str>)) -> &'static str {
    match axes {
        (Some("canceled" | "cancelled"), _, _) => "cancelled",
        (_, _, Some("returned")) => "returned",
        (_, _, Some("delivered")) => "delivered",
        (_, _, Some("shipped" | "partial")) => "shipped",
        (Some("completed"), _, _) => "delivered",
        (_, Some("unpaid" | "authorized"), _) => "pending",
        _ => "processing",
    }
}

impl Shipment {
    /// `ups 1Z999, in transit, expected 2026-11-24, https://…`
    fn line(self) -> Option<String> {
        let name: Vec<String> = [self.carrier, self.tracking_number].into_iter().flatten().collect();
        let mut parts: Vec<String> = Vec::new();
        if !name.is_empty() {
            parts.push(name.join(" "));
        }
        parts.extend(self.status.map(|status| status.replace('_', " ")));
        parts.extend(self.eta.map(|eta| format!("expected {eta}")));
        parts.extend(self.tracking_url);
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[derive(Deserialize)]
pub struct Plan {
    #[serde(alias = "code")]
    id: String,
    #[serde(default)]
    name: Option<String>,
    price: Money,
    #[serde(default)]
    interval: Option<String>,
    #[serde(default)]
    interval_count: Option<u32>,
}

impl Plan {
    pub fn into_words(self) -> Result<account::Plan, Error> {
        let interval = self.interval.unwrap_or_else(|| "month".to_owned());
        Ok(account::Plan {
            name: self.name.unwrap_or_else(|| self.id.clone()),
            id: self.id,
            price: self.price.into_words()?,
            interval: match self.interval_count {
                Some(count) if count > 1 => format!("{count} {interval}s"),
                _ => interval,
            },
        })
    }
}

#[derive(Deserialize)]
pub struct Subscription {
    id: String,
    #[serde(default)]
    pub customer_id: Option<String>,
    plan: Plan,
    #[serde(default)]
    quantity: Option<i64>,
    #[serde(default)]
    status: Option<String>,
    current_period: Period,
    #[serde(default)]
    cancel_at: Option<String>,
    #[serde(default)]
    paused_until: Option<String>,
    #[serde(default)]
    version: Option<Value>,
}

#[derive(Deserialize)]
struct Period {
    end: Timestamp,
}

impl Subscription {
    pub fn into_words(self) -> Result<account::Subscription, Error> {
        let status = self.status.unwrap_or_else(|| "active".to_owned());
        Ok(account::Subscription {
            id: SubscriptionId::new(self.id),
            plan: self.plan.into_words()?,
            quantity: self.quantity.unwrap_or(1),
            period_end: self.current_period.end,
            cancel_at_period_end: self.cancel_at.is_some() || status == "canceling",
            paused: status == "paused" || self.paused_until.is_some(),
            status,
            version: self.version.and_then(|version| match version {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }),
        })
    }
}

#[derive(Deserialize)]
pub struct Entitlements {
    #[serde(alias = "data")]
    entitlements: Vec<Map<String, Value>>,
}

impl Entitlements {
    /// `feature` → its value; a metered one → `{"limit", "used", "resets_at"}`.
    pub fn into_facts(self) -> BTreeMap<String, Value> {
        let mut facts = BTreeMap::new();
        for mut entry in self.entitlements {
            let Some(Value::String(feature)) = entry.shift_remove("feature") else { continue };
            entry.shift_remove("type");
            let value = match entry.shift_remove("value") {
                Some(value) => value,
                None => Value::Object(entry),
            };
            facts.insert(feature, value);
        }
        facts
    }
}

/// `{"operation": {…}, "subscription": {…}}`, or the operation alone.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum OperationAnswer {
    Both {
        operation: Box<OperationBody>,
        #[serde(default)]
        subscription: Option<Box<Subscription>>,
    },
    Alone(Box<OperationBody>),
}

#[derive(Deserialize)]
pub struct OperationBody {
    #[serde(default)]
    id: Option<String>,
    state: String,
    #[serde(default)]
    effect: Option<Effect>,
    #[serde(default)]
    replayed: Option<bool>,
    #[serde(default)]
    subscription: Option<Box<Subscription>>,
}

#[derive(Deserialize)]
struct Effect {
    #[serde(default)]
    charge_now: Option<Money>,
    #[serde(default)]
    credit: Option<Money>,
}

impl OperationAnswer {
    pub fn into_words(self) -> Result<Operation, Error> {
        let (operation, beside) = match self {
            OperationAnswer::Both { operation, subscription } => (operation, subscription),
            OperationAnswer::Alone(operation) => (operation, None),
        };
        let (charge_now, credit) = operation.effect.map_or((None, None), |effect| (effect.charge_now, effect.credit));
        Ok(Operation {
            id: operation.id.unwrap_or_default(),
            state: match operation.state.as_str() {
                "succeeded" => OperationState::Succeeded,
                "failed" => OperationState::Failed,
                _ => OperationState::Pending,
            },
            charge_now: charge_now.map(Money::into_words).transpose()?,
            credit: credit.map(Money::into_words).transpose()?,
            subscription: beside.or(operation.subscription).map(|s| s.into_words()).transpose()?,
            replayed: operation.replayed.unwrap_or(false),
        })
    }
}
