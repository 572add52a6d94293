//! The rules that hold whatever the model says. Pure: facts and an intent in, a verdict out; no IO, no clock, no async.
//!
//! `facts` is what the rules may look at, `rules` the table, `signals` what the words of a ticket give away, `answer` what an
//! answer must not say.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::money::Currency;

pub mod answer;
pub mod facts;
pub mod rules;
pub mod signals;
mod words;

/// The version of the rules as they are written here; goes up with every change of their meaning and stands in each
/// judgement.
pub const RULES_VERSION: u32 = 1;

/// Which rule spoke. The ids are shown to people and stored: add, never rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleId {
    /// Nothing speaks against it.
    None,
    /// A refund above the limit per refund.
    RefundLimit,
    /// Refunds that pass the limit together: per order, or per customer in the window.
    RefundSum,
    /// The shop's refunds of a day passed their ceiling.
    RefundDay,
    /// A refund in a currency without a limit.
    CurrencyWithoutLimit,
    /// More than what can still go back, a payment of someone else, and the like.
    NotRefundable,
    /// The customer wants to leave or have less.
    Churn,
    /// It is not certain whose account this is, or it is not in order.
    AmbiguousAccount,
    /// The customer asks for a person.
    AsksForPerson,
    /// Legal threat, safety, data protection.
    Legal,
    /// No article answers the question.
    NoGrounding,
    /// An answer claims what did not happen, or says what must not be said.
    ProofOfEffect,
    /// An equal effect is done or unknown.
    Repeated,
    /// Steps, tokens, cost, time or runs per ticket are used up.
    Limits,
    /// The model gave no usable answer.
    ModelFailed,
    /// An effect's outcome could not be found out.
    EffectUnknown,
    /// A vendor could not be read.
    VendorFailed,
    /// The agent broke on it again and again.
    AgentBroke,
    /// The model handed over by itself.
    ModelChoice,
    /// A person took the ticket.
    TakenOver,
    /// Nothing is to be answered.
    Quiet,
}

impl RuleId {
    /// The id as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            RuleId::None => "none",
            RuleId::RefundLimit => "refund_limit",
            RuleId::RefundSum => "refund_sum",
            RuleId::RefundDay => "refund_day",
            RuleId::CurrencyWithoutLimit => "currency_without_limit",
            RuleId::NotRefundable => "not_refundable",
            RuleId::Churn => "churn",
            RuleId::AmbiguousAccount => "ambiguous_account",
            RuleId::AsksForPerson => "asks_for_person",
            RuleId::Legal => "legal",
            RuleId::NoGrounding => "no_grounding",
            RuleId::ProofOfEffect => "proof_of_effect",
            RuleId::Repeated => "repeated",
            RuleId::Limits => "limits",
            RuleId::ModelFailed => "model_failed",
            RuleId::EffectUnknown => "effect_unknown",
            RuleId::VendorFailed => "vendor_failed",
            RuleId::AgentBroke => "agent_broke",
            RuleId::ModelChoice => "model_choice",
            RuleId::TakenOver => "taken_over",
            RuleId::Quiet => "quiet",
        }
    }

    /// What it says, for people: a short name in sentence case.
    pub fn title(self) -> &'static str {
        match self {
            RuleId::None => "No rule",
            RuleId::RefundLimit => "Refund above the limit",
            RuleId::RefundSum => "Refunds above the limit together",
            RuleId::RefundDay => "The day's refunds are used up",
            RuleId::CurrencyWithoutLimit => "Currency without a limit",
            RuleId::NotRefundable => "Not refundable",
            RuleId::Churn => "Customer may leave",
            RuleId::AmbiguousAccount => "Account not certain",
            RuleId::AsksForPerson => "Asks for a person",
            RuleId::Legal => "Legal, safety or data protection",
            RuleId::NoGrounding => "No article answers this",
            RuleId::ProofOfEffect => "Answer without proof",
            RuleId::Repeated => "Same effect twice",
            RuleId::Limits => "Limit of the run reached",
            RuleId::ModelFailed => "Model gave no usable answer",
            RuleId::EffectUnknown => "Outcome unknown",
            RuleId::VendorFailed => "A system could not be read",
            RuleId::AgentBroke => "The agent broke on it",
            RuleId::ModelChoice => "Handed over by the agent",
            RuleId::TakenOver => "Taken over by a person",
            RuleId::Quiet => "Nothing to answer",
        }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the policy says of an intent or a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// A person must agree first; the run waits.
    NeedsApproval,
    /// The ticket goes to a person for good.
    Escalate,
    /// Not like this; the reason goes back to the model, which may try something else.
    Refuse {
        /// What the model reads: why, and what it can do next.
        reason: String,
    },
    /// The ticket is not answered at all.
    Quiet {
        /// The skip reason, as stored and shown: `spam` and the like.
        reason: String,
    },
}

/// A verdict with what it rests on; journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which rule spoke.
    pub rule: RuleId,
    /// [`RULES_VERSION`] at the time.
    pub version: u32,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// One sentence for people: what was seen, with the numbers.
    pub why: String,
    /// What the rule looked at, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, serde_json::Value>,
}

impl Judgement {
    /// A judgement of the rules in force.
    pub fn new(rule: RuleId, verdict: Verdict, why: impl Into<String>) -> Self {
        Self { rule, version: RULES_VERSION, verdict, why: why.into(), inputs: BTreeMap::new() }
    }
    /// Nothing speaks against it.
    pub fn allow() -> Self {
        Self::new(RuleId::None, Verdict::Allow, "no rule speaks against it")
    }
    /// Adds something that the rule looked at.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.inputs.insert(name.to_owned(), value.into());
        self
    }
}

/// The limits and lists that the rules compare with: configuration, read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The highest refund that needs no approval, in minor units, by currency; exactly this much is allowed. It counts per
    /// refund, per order and per customer in the window. A currency that is not named goes to a person.
    pub refund_limit_minor: BTreeMap<Currency, i64>,
    /// What the whole shop may give back in a day without approval, in minor units, by currency: done, in flight, of unknown
    /// outcome and awaiting a person, all together. See [`Policy::refund_daily_limit`] for a currency that is not named.
    pub refund_daily_limit_minor: BTreeMap<Currency, i64>,
    /// How far back a customer's refunds count, in days.
    pub refund_window_days: u32,
    /// How often an answer may be refused before the ticket goes to a person.
    pub answer_refusals_max: u32,
    /// Domains that an answer may link to.
    pub link_domains: Vec<String>,
    /// The shop's name, for the lexicon of churn.
    pub shop_name: String,
}

impl Default for Policy {
    /// $500.00, the same number in euro and pound, 30 days, two refusals.
    fn default() -> Self {
        let limits = ["usd", "eur", "gbp"].map(|code| (code.parse().expect("a currency code"), 50_000));
        Self {
            refund_limit_minor: BTreeMap::from(limits),
            refund_daily_limit_minor: BTreeMap::new(),
            refund_window_days: 30,
            answer_refusals_max: 2,
            link_domains: Vec::new(),
            shop_name: String::new(),
        }
    }
}

/// A currency without a daily limit of its own has that of so many refunds at the limit per refund: $10,000.00 as shipped. A
/// brake that nobody has set protects nobody; one that is too low only asks a person.
const REFUNDS_AT_THE_LIMIT_A_DAY: i64 = 20;

impl Policy {
    /// What the whole shop may give back in a day in this currency without approval, in minor units; exactly this much is
    /// allowed. `None` for a currency that has no limit at all: those go to a person anyway.
    pub fn refund_daily_limit(&self, currency: Currency) -> Option<i64> {
        let set = self.refund_daily_limit_minor.get(&currency).copied();
        set.or_else(|| Some(self.refund_limit_minor.get(&currency)?.saturating_mul(REFUNDS_AT_THE_LIMIT_A_DAY)))
    }
}
