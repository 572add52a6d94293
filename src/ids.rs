//! Typed ids, and the idempotency key of an effect with its derivation. An id of one kind does not fit where another is
//! asked for; ids of ours print as `run_…` and `eff_…` and parse strictly. Nothing here does IO.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}")]
pub struct BadId {
    /// What was expected, with its article: `a run id`.
    pub kind: &'static str,
    /// The text that was given.
    pub text: String,
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                match text.parse::<i64>() {
                    Ok(n) if n >= 0 => Ok(Self(n)),
                    _ => Err(BadId { kind: $kind, text: text.to_owned() }),
                }
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);
        impl $name {
            /// Wraps a vendor's text as this id.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

number_id!(
    /// A ticket's number at the helpdesk.
    TicketId, "a ticket number"
);
number_id!(
    /// A comment's number at the helpdesk (13 to 14 digits are usual).
    CommentId, "a comment number"
);
number_id!(
    /// A user's number at the helpdesk: a requester, an agent, ourselves.
    UserId, "a user number"
);
number_id!(
    /// A group's number at the helpdesk.
    GroupId, "a group number"
);
number_id!(
    /// A help-center article's number.
    ArticleId, "an article number"
);
text_id!(
    /// A customer as the billing API knows it.
    CustomerId, "a customer id"
);
text_id!(
    /// A customer as Stripe knows it (`cus_…`, opaque).
    StripeCustomerId, "a Stripe customer id"
);
text_id!(
    /// A payment that a refund can hang on: Stripe's PaymentIntent (opaque).
    PaymentId, "a payment id"
);
text_id!(
    /// A refund at Stripe (opaque).
    RefundId, "a refund id"
);
text_id!(
    /// An order as the billing API knows it (opaque).
    OrderId, "an order id"
);
text_id!(
    /// A subscription (opaque; the same at Stripe and the billing API unless that API says otherwise).
    SubscriptionId, "a subscription id"
);
text_id!(
    /// A call of a tool by the model (`toolu_…`, opaque).
    ToolCallId, "a tool call id"
);

/// One step of a run, counted from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepNo(pub u32);

impl fmt::Display for StepNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StepNo {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.parse() {
            Ok(n) if n > 0 => Ok(Self(n)),
            _ => Err(BadId { kind: "a step number", text: text.to_owned() }),
        }
    }
}

/// A run: one trigger (the newest requester comment of one ticket) being handled.
///
/// Derived from its trigger, so that the same comment, however often it is delivered, is the same run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The run that answers this comment of this ticket.
    pub fn for_trigger(ticket: TicketId, comment: CommentId) -> Self {
        Self(format!("run_{ticket}_{comment}"))
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { kind: "a run id", text: text.to_owned() };
        let (ticket, comment) = text.strip_prefix("run_").and_then(|rest| rest.split_once('_')).ok_or_else(bad)?;
        let id = Self::for_trigger(ticket.parse().map_err(|_| bad())?, comment.parse().map_err(|_| bad())?);
        if id.0 == text { Ok(id) } else { Err(bad()) }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What makes repeating one effect harmless: derived from run and step, never random.
///
/// Sent as `Idempotency-Key` where a vendor has one, as `metadata` where it has not, as the left half of a mail's
/// `Message-ID`. At most 80 characters, of `[a-z0-9_]`; holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key under which this step of this run goes out, however often it is tried.
    pub fn for_step(run: &RunId, step: StepNo) -> Self {
        let rest = run.as_str().trim_start_matches("run_");
        Self(format!("eff_{rest}_{step}"))
    }
    /// Whether a key that a vendor's records show belongs to a step of this run.
    pub fn is_of(key: &str, run: &RunId) -> bool {
        let of_run = key.strip_prefix("eff_").zip(run.as_str().strip_prefix("run_"));
        of_run.and_then(|(key, run)| key.strip_prefix(run)).is_some_and(|step| step.starts_with('_'))
    }
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person's decision that a run waits for: `apr_<run>_<step>`, one per step that needed it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApprovalId(String);

impl ApprovalId {
    /// The approval that this step of this run asks for.
    pub fn for_step(run: &RunId, step: StepNo) -> Self {
        let rest = run.as_str().trim_start_matches("run_");
        Self(format!("apr_{rest}_{step}"))
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The run and the step that ask.
    pub fn origin(&self) -> Option<(RunId, StepNo)> {
        let (run, step) = self.0.strip_prefix("apr_")?.rsplit_once('_')?;
        Some((format!("run_{run}").parse().ok()?, step.parse().ok()?))
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApprovalId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let id = Self(text.to_owned());
        match id.origin() {
            Some(_) => Ok(id),
            None => Err(BadId { kind: "an approval id", text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_parses_strictly() {
        let check = |text: &str, good: bool| assert_eq!(text.parse::<RunId>().is_ok(), good, "{text}");
        check("run_1042_900131", true);
        check("run_1042", false);
        check("run_1042_", false);
        check("run_01042_1", false);
        check("run_-1_1", false);
        check("1042_1", false);
        check("eff_1042_1", false);
    }

    #[test]
    fn keys_and_approvals_come_from_run_and_step_alone() {
        let run = RunId::for_trigger(TicketId(7), CommentId(9));
        assert_eq!(IdempotencyKey::for_step(&run, StepNo(3)).as_str(), "eff_7_9_3");
        for (key, is_of) in [("eff_7_9_3", true), ("eff_7_91_3", false), ("eff_17_9_3", false), ("7_9_3", false)] {
            assert_eq!(IdempotencyKey::is_of(key, &run), is_of, "{key}");
        }
        let approval = ApprovalId::for_step(&run, StepNo(3));
        assert_eq!(approval.as_str(), "apr_7_9_3");
        assert_eq!(approval.origin(), Some((run, StepNo(3))));
        assert!("apr_7_9".parse::<ApprovalId>().is_err());
    }
}
