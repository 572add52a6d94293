//! What the vendors' records say of a customer: account, subscriptions, orders, payments, refunds. Read fresh for every run
//! and never kept as ours. No wire shapes: the clients turn their JSON into these.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CustomerId, OrderId, PaymentId, RefundId, StripeCustomerId, SubscriptionId};
use crate::money::Money;
use crate::ticket::EarlierTicket;

/// Whether an account is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// In order.
    Active,
    /// Locked by the team.
    Locked,
    /// Owes money.
    Unpaid,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The billing API's id; where only Stripe knows the customer, Stripe's.
    pub id: CustomerId,
    /// The account's name.
    pub name: String,
    /// The address on record, lower case.
    pub address: String,
    /// Whether it is in order.
    pub status: AccountStatus,
    /// Marks of the team: `fraud`, `vip` and the like.
    pub flags: Vec<String>,
    /// When the account was opened.
    pub since: Timestamp,
    /// Stripe's id of the same customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe: Option<StripeCustomerId>,
    /// Free facts that the billing API serves (entitlements: seats used, postal address …), by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// What can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id or code.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its price per interval and unit.
    pub price: Money,
    /// `month` or `year`.
    pub interval: String,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What is subscribed to.
    pub plan: Plan,
    /// Seats or units.
    pub quantity: i64,
    /// `active`, `trialing`, `past_due`, `paused`, `canceling`, `canceled` and others.
    pub status: String,
    /// When the paid period ends and the next bill is due.
    pub period_end: Timestamp,
    /// Ends by itself then.
    pub cancel_at_period_end: bool,
    /// Collection is paused.
    pub paused: bool,
    /// The record's version, for a guarded write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The article's code.
    pub sku: String,
    /// What it is.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// The line's total.
    pub total: Money,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its printed number, where it differs from the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// One word for its state: `pending`, `processing`, `shipped`, `delivered`, `cancelled`, `returned`.
    pub status: String,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// What was ordered.
    pub items: Vec<OrderItem>,
    /// What it cost.
    pub total: Money,
    /// The payments that settled it.
    pub payments: Vec<PaymentId>,
    /// Carrier, number, link: as one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<String>,
}

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// How much.
    pub amount: Money,
    /// When.
    pub created_at: Timestamp,
    /// `pending`, `requires_action`, `succeeded`, `failed`, `canceled` and others.
    pub status: String,
    /// The key of our effect, if we made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_key: Option<String>,
}

impl Refund {
    /// Whether the money is back or on its way: all but failed and canceled ones count.
    pub fn counts(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }
}

/// Money that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What was captured.
    pub amount: Money,
    /// What can still go back.
    pub refundable: Money,
    /// When.
    pub created_at: Timestamp,
    /// `succeeded` and others.
    pub status: String,
    /// How it was paid, as one line: `visa 4242`.
    pub method: String,
    /// The order it settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The subscription it renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The cardholder disputes it.
    pub disputed: bool,
    /// What went back of it, newest first.
    pub refunds: Vec<Refund>,
}

/// Everything that was read about a requester at the start of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct AccountRead {
    /// The accounts that the requester's address leads to: none, one, or several.
    pub customers: Vec<Customer>,
    /// Where the vendors' records contradict each other, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<String>,
    /// Addresses in copy that do not belong to the account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers_in_copy: Vec<String>,
    /// Subscriptions of the one account.
    pub subscriptions: Vec<Subscription>,
    /// The plans on offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<Plan>,
    /// Its latest orders, newest first.
    pub orders: Vec<Order>,
    /// Its latest payments, newest first.
    pub payments: Vec<Payment>,
    /// The requester's other tickets, newest first.
    pub earlier: Vec<EarlierTicket>,
}

impl AccountRead {
    /// The account, when there is exactly one.
    pub fn customer(&self) -> Option<&Customer> {
        match self.customers.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// A payment of the account.
    pub fn payment(&self, id: &PaymentId) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.id == *id)
    }

    /// A subscription of the account.
    pub fn subscription(&self, id: &SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.id == *id)
    }
}
