//! What the rules may look at. Built from the journal alone (by `run/state.rs`), so that a judgement can be made again from
//! the same entries.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::AccountRead;
use crate::ids::{ArticleId, OrderId, PaymentId, RunId, SubscriptionId};
use crate::money::Money;
use crate::ticket::Ticket;

/// What the router read in a ticket: the model's view, in the words of its structured answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// One word for reports.
    pub category: String,
    /// Two letters, lower case: the language to answer in.
    pub language: String,
    /// Which model works the ticket.
    pub complexity: Complexity,
    /// The customer wants to leave or have less.
    pub churn: bool,
    /// The customer asks for a person.
    pub wants_person: bool,
    /// Legal threat, safety, data protection.
    pub legal: bool,
    /// Money is asked back.
    pub asks_refund: bool,
    /// Nothing to answer.
    pub spam: bool,
    /// What is asked, in one sentence of English.
    pub summary: String,
    /// What to look for in the help center; empty when no article is needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub search: String,
}

/// How hard a ticket looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Complexity {
    /// Sonnet takes it.
    Simple,
    /// Opus takes it.
    Complex,
}

/// An effect of this run that is known to have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum ConfirmedEffect {
    /// Money went back.
    Refund {
        /// Of which payment.
        payment: PaymentId,
        /// The order that payment settled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// How much.
        amount: Money,
        /// As the vendor answered.
        status: String,
    },
    /// A subscription was changed.
    SubscriptionChange {
        /// Which.
        subscription: SubscriptionId,
        /// What changed, as `name: value`.
        change: serde_json::Value,
    },
    /// A mail was sent, or is scheduled.
    Mail {
        /// Seconds from the call until it is due.
        after_s: i64,
        /// Whether it has left.
        sent: bool,
    },
}

/// Everything that a rule may look at, at one moment of a run.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Whose facts they are.
    pub run: &'a RunId,
    /// The ticket, with what came in since.
    pub ticket: &'a Ticket,
    /// What the vendors' records say; `None` before they were read.
    pub account: Option<&'a AccountRead>,
    /// What the router read; `None` before.
    pub route: Option<&'a Route>,
    /// The effects of this run that are known to have happened, in order.
    pub effects: &'a [ConfirmedEffect],
    /// The articles that this run's searches returned.
    pub articles_seen: &'a BTreeSet<ArticleId>,
    /// The links that this run's searches returned.
    pub links_seen: &'a BTreeSet<String>,
    /// How often an answer of this run was refused.
    pub answer_refusals: u32,
    /// The time of the newest entry: "now", as far as the journal knows.
    pub now: Timestamp,
}
