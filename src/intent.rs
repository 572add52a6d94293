//! The nine things the model may ask for, typed. `Intent::parse` is the border: behind it there is no raw JSON.
//!
//! This is a storage format (intents stand in the journal): add fields as `Option` and variants, never change one. The doc
//! comments of the fields are what the model reads as their descriptions; the descriptions of the tools themselves live in
//! `prompts/tools/`. No intent carries an identity: the customer is always the run's customer.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{ArticleId, OrderId, PaymentId, SubscriptionId};
use crate::money::{Currency, Money};

/// Which of the nine tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolName {
    /// Reads the run's customer.
    GetCustomer,
    /// Reads orders of the run's customer.
    GetOrderStatus,
    /// Reads the requester's last tickets.
    GetRecentTickets,
    /// Searches the help center.
    SearchKnowledgeBase,
    /// Refunds a payment.
    CreateRefund,
    /// Changes a subscription.
    UpdateSubscription,
    /// Sends the requester a mail, now or later.
    SendFollowupEmail,
    /// Hands the ticket to a person; ends the run.
    EscalateToHuman,
    /// Answers the customer; ends the run.
    LogResolution,
}

/// What kind of work a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// Reads only; may run beside others.
    Read,
    /// Others can see it; runs alone and in order.
    Effect,
    /// An effect that also ends the run.
    Ends,
}

impl ToolName {
    /// All nine, in the order in which the model sees them.
    pub const ALL: [ToolName; 9] = [
        ToolName::GetCustomer,
        ToolName::GetOrderStatus,
        ToolName::GetRecentTickets,
        ToolName::SearchKnowledgeBase,
        ToolName::CreateRefund,
        ToolName::UpdateSubscription,
        ToolName::SendFollowupEmail,
        ToolName::EscalateToHuman,
        ToolName::LogResolution,
    ];

    /// The name on the wire and in `prompts/tools/`.
    pub fn as_str(self) -> &'static str {
        match self {
            ToolName::GetCustomer => "get_customer",
            ToolName::GetOrderStatus => "get_order_status",
            ToolName::GetRecentTickets => "get_recent_tickets",
            ToolName::SearchKnowledgeBase => "search_knowledge_base",
            ToolName::CreateRefund => "create_refund",
            ToolName::UpdateSubscription => "update_subscription",
            ToolName::SendFollowupEmail => "send_followup_email",
            ToolName::EscalateToHuman => "escalate_to_human",
            ToolName::LogResolution => "log_resolution",
        }
    }

    /// The tool of this name, if there is one.
    pub fn parse(name: &str) -> Option<ToolName> {
        ToolName::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// Read, effect, or effect that ends the run.
    pub fn kind(self) -> ToolKind {
        match self {
            ToolName::GetCustomer
            | ToolName::GetOrderStatus
            | ToolName::GetRecentTickets
            | ToolName::SearchKnowledgeBase => ToolKind::Read,
            ToolName::CreateRefund | ToolName::UpdateSubscription | ToolName::SendFollowupEmail => ToolKind::Effect,
            ToolName::EscalateToHuman | ToolName::LogResolution => ToolKind::Ends,
        }
    }
}

impl std::fmt::Display for ToolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the model asks for, typed, not yet allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tool", content = "input", rename_all = "snake_case")]
pub enum Intent {
    /// See [`GetCustomer`].
    GetCustomer(GetCustomer),
    /// See [`GetOrderStatus`].
    GetOrderStatus(GetOrderStatus),
    /// See [`GetRecentTickets`].
    GetRecentTickets(GetRecentTickets),
    /// See [`SearchKnowledgeBase`].
    SearchKnowledgeBase(SearchKnowledgeBase),
    /// See [`CreateRefund`].
    CreateRefund(CreateRefund),
    /// See [`UpdateSubscription`].
    UpdateSubscription(UpdateSubscription),
    /// See [`SendFollowupEmail`].
    SendFollowupEmail(SendFollowupEmail),
    /// See [`EscalateToHuman`].
    EscalateToHuman(EscalateToHuman),
    /// See [`LogResolution`].
    LogResolution(LogResolution),
}

/// The account of the run's customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetCustomer {}

/// One order, or the latest few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetOrderStatus {
    /// The order's id or number as the customer or an earlier result gives it. Leave it out to get the latest orders and
    /// payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub order: Option<OrderId>,
}

/// The requester's last tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRecentTickets {}

/// A search of the public help center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchKnowledgeBase {
    /// What to look for, in a few words of the articles' language, for example `change billing date annual plan`.
    pub query: String,
}

/// Why money goes back. (`fraudulent` is not offered: it would put the customer on Stripe's block list.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// The same thing was charged twice.
    Duplicate,
    /// Any other refund.
    RequestedByCustomer,
}

/// A refund of a payment of the run's customer, whole or part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRefund {
    /// The payment's id, exactly as `get_order_status` or `get_customer` returned it.
    pub payment: PaymentId,
    /// How much to give back, in the currency's minor unit (cents for dollars), at most the payment's `refundable_minor`.
    pub amount_minor: i64,
    /// The payment's currency, three letters, lower case.
    #[schemars(with = "String")]
    pub currency: Currency,
    /// `duplicate` when the same thing was charged twice, else `requested_by_customer`.
    pub reason: RefundReason,
    /// Why this refund is right: what the customer asked, what the records show, which policy allows it. A reviewing person
    /// reads this.
    pub explanation: String,
}

impl CreateRefund {
    /// The amount with its currency.
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// A change of a subscription of the run's customer; exactly one thing at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSubscription {
    /// The subscription's id, exactly as `get_customer` returned it.
    pub subscription: SubscriptionId,
    /// The id of the plan to move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub plan: Option<String>,
    /// The new number of seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub quantity: Option<i64>,
    /// `true` pauses collection, `false` resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub paused: Option<bool>,
    /// With `paused: true`: the day on which it resumes by itself, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub resumes_on: Option<Date>,
    /// The day of the next bill, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub billing_date: Option<Date>,
    /// What the customer asked for, in one sentence.
    pub explanation: String,
}

/// A mail to the requester, now or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendFollowupEmail {
    /// Seconds from now until it is sent: 0 for at once, 172800 for two days, at most 2592000 (30 days).
    pub after_s: i64,
    /// The subject line.
    pub subject: String,
    /// The text, plain, in the customer's language, without a signature.
    pub body: String,
}

/// How soon a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is time.
    Low,
    /// In turn.
    Normal,
    /// Before the others.
    High,
    /// Now.
    Urgent,
}

/// Why a ticket goes to a person, as the model may say it. Rules of the policy have their own ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// The articles and tools do not answer the question.
    NoGrounding,
    /// The customer wants to leave or to have less.
    Churn,
    /// It is not certain whose account this is, or the records contradict each other.
    AmbiguousAccount,
    /// The customer asks for a person.
    AsksForPerson,
    /// A legal threat, safety, or a request about personal data.
    Legal,
    /// Something must be done that no tool can do.
    OutOfScope,
    /// A tool failed, or a rule refused what would be needed.
    Blocked,
}

/// Hands the ticket to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateToHuman {
    /// Why.
    pub reason: EscalationReason,
    /// What the customer asks for.
    pub asked: String,
    /// What was found out, with the ids a colleague needs.
    pub found: String,
    /// What was done, and what was not, and why.
    pub done: String,
    /// The answer you would suggest to the colleague, in the customer's language.
    pub suggested_answer: String,
    /// One or two sentences for the customer now: that a colleague takes over; no promise of an outcome or a time.
    pub holding_message: String,
    /// How soon a person should look.
    pub priority: Priority,
}

/// How a ticket stands after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolutionOutcome {
    /// Nothing is left to do.
    Solved,
    /// The customer must answer a question first.
    WaitingForCustomer,
}

/// What an answer may claim to have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimedAction {
    /// Money was sent back.
    Refund,
    /// A subscription was changed.
    SubscriptionChange,
    /// A mail was sent, or is due.
    FollowupEmail,
}

/// Answers the customer and ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogResolution {
    /// The public answer, in the customer's language; Markdown with paragraphs, lists and links; no signature.
    pub answer: String,
    /// `solved`, or `waiting_for_customer` when the answer asks something.
    pub outcome: ResolutionOutcome,
    /// One word for reports, such as `billing`, `refund`, `account`, `order`, `how_to`, `bug`.
    pub category: String,
    /// One sentence for the team: what was asked and how it was settled.
    pub summary: String,
    /// The ids of the articles that the answer rests on; empty when it rests on records alone.
    pub articles: Vec<ArticleId>,
    /// Each kind of action that the answer says was done in this ticket; empty when it says none.
    pub actions_claimed: Vec<ClaimedAction>,
}

/// A call that is no intent: unknown tool, or input outside its schema. The text tells the model what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIntent(pub String);

impl Intent {
    /// Parses a call of the model. The schema has been checked by the API when the tool is strict; we check all the same.
    pub fn parse(name: &str, input: &serde_json::Value) -> Result<Intent, BadIntent> {
        let Some(tool) = ToolName::parse(name) else {
            let names: Vec<_> = ToolName::ALL.iter().map(|t| t.as_str()).collect();
            return Err(BadIntent(format!("there is no tool `{name}`; the tools are: {}", names.join(", "))));
        };
        fn read<T: serde::de::DeserializeOwned>(tool: ToolName, input: &serde_json::Value) -> Result<T, BadIntent> {
            T::deserialize(input).map_err(|e| {
                BadIntent(format!("the input of `{tool}` is not valid: {e}; call it again with a valid input"))
            })
        }
        let intent = match tool {
            ToolName::GetCustomer => Intent::GetCustomer(read(tool, input)?),
            ToolName::GetOrderStatus => Intent::GetOrderStatus(read(tool, input)?),
            ToolName::GetRecentTickets => Intent::GetRecentTickets(read(tool, input)?),
            ToolName::SearchKnowledgeBase => Intent::SearchKnowledgeBase(read(tool, input)?),
            ToolName::CreateRefund => Intent::CreateRefund(read(tool, input)?),
            ToolName::UpdateSubscription => Intent::UpdateSubscription(read(tool, input)?),
            ToolName::SendFollowupEmail => Intent::SendFollowupEmail(read(tool, input)?),
            ToolName::EscalateToHuman => Intent::EscalateToHuman(read(tool, input)?),
            ToolName::LogResolution => Intent::LogResolution(read(tool, input)?),
        };
        intent.check()?;
        Ok(intent)
    }

    /// What a strict schema cannot say.
    fn check(&self) -> Result<(), BadIntent> {
        match self {
            Intent::CreateRefund(refund) if refund.amount_minor <= 0 => Err(BadIntent(
                "`amount_minor` must be above 0; call `create_refund` again with the amount in minor units".into(),
            )),
            Intent::UpdateSubscription(change) => {
                let given = [
                    change.plan.is_some(),
                    change.quantity.is_some(),
                    change.paused.is_some(),
                    change.billing_date.is_some(),
                ];
                match given.iter().filter(|g| **g).count() {
                    1 => {}
                    _ => return Err(BadIntent("give exactly one of `plan`, `quantity`, `paused`, `billing_date`; several changes are several calls".into())),
                }
                if change.resumes_on.is_some() && change.paused != Some(true) {
                    return Err(BadIntent("`resumes_on` goes with `paused: true` only".into()));
                }
                if change.quantity.is_some_and(|q| !(1..=100_000).contains(&q)) {
                    return Err(BadIntent("`quantity` must lie between 1 and 100000".into()));
                }
                Ok(())
            }
            Intent::SendFollowupEmail(mail) => {
                if !(0..=2_592_000).contains(&mail.after_s) {
                    return Err(BadIntent("`after_s` must lie between 0 and 2592000 (30 days)".into()));
                }
                if mail.subject.chars().any(char::is_control) || mail.subject.chars().count() > 200 {
                    return Err(BadIntent("`subject` must be one line of at most 200 characters".into()));
                }
                if mail.body.trim().is_empty() {
                    return Err(BadIntent("`body` must not be empty".into()));
                }
                Ok(())
            }
            Intent::LogResolution(resolution) if resolution.answer.trim().is_empty() => {
                Err(BadIntent("`answer` must not be empty: the customer is waiting for it".into()))
            }
            _ => Ok(()),
        }
    }

    /// Which tool this is for.
    pub fn tool(&self) -> ToolName {
        match self {
            Intent::GetCustomer(_) => ToolName::GetCustomer,
            Intent::GetOrderStatus(_) => ToolName::GetOrderStatus,
            Intent::GetRecentTickets(_) => ToolName::GetRecentTickets,
            Intent::SearchKnowledgeBase(_) => ToolName::SearchKnowledgeBase,
            Intent::CreateRefund(_) => ToolName::CreateRefund,
            Intent::UpdateSubscription(_) => ToolName::UpdateSubscription,
            Intent::SendFollowupEmail(_) => ToolName::SendFollowupEmail,
            Intent::EscalateToHuman(_) => ToolName::EscalateToHuman,
            Intent::LogResolution(_) => ToolName::LogResolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_parse_or_say_what_to_do() {
        let check = |name: &str, input: serde_json::Value, complaint: Option<&str>| {
            let parsed = Intent::parse(name, &input);
            match (parsed, complaint) {
                (Ok(intent), None) => assert_eq!(intent.tool().as_str(), name),
                (Err(bad), Some(words)) => assert!(bad.0.contains(words), "{bad}"),
                (other, _) => panic!("{name} {input}: {other:?}"),
            }
        };
        let refund = |minor: i64| json!({"payment": "p1", "amount_minor": minor, "currency": "usd", "reason": "duplicate", "explanation": "x"});
        check("create_refund", refund(1), None);
        check("create_refund", refund(0), Some("above 0"));
        check("create_refund", json!({"payment": "p1"}), Some("amount_minor"));
        check("get_customer", json!({}), None);
        check("get_customer", json!({"email": "a@b.c"}), Some("unknown field"));
        check("delete_customer", json!({}), Some("there is no tool"));
        check("update_subscription", json!({"subscription": "s", "quantity": 3, "explanation": "x"}), None);
        check("update_subscription", json!({"subscription": "s", "explanation": "x"}), Some("exactly one"));
        check(
            "update_subscription",
            json!({"subscription": "s", "quantity": 3, "plan": "p", "explanation": "x"}),
            Some("exactly one"),
        );
        check("send_followup_email", json!({"after_s": -1, "subject": "s", "body": "b"}), Some("after_s"));
        check("send_followup_email", json!({"after_s": 0, "subject": "a\nBcc: x", "body": "b"}), Some("one line"));
    }
}
