//! The nine tools: what the model reads of each, and what each does. One file per tool; a tool turns a typed intent into
//! calls of the vendors' clients and their answer into compact JSON. No policy and no journal here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::account::{AccountRead, Refund};
use crate::clients::{self, Acting, billing::Billing, email::Email, stripe::Stripe, zendesk::Zendesk};
use crate::clock::Clock;
use crate::ids::{IdempotencyKey, RunId, StepNo, UserId};
use crate::intent::{self, Intent, ToolName};
use crate::knowledge::Knowledge;
use crate::policy::RuleId;
use crate::policy::facts::ConfirmedEffect;
use crate::ticket::{Message, Ticket};

pub mod create_refund;
pub mod escalate_to_human;
mod forgotten;
pub mod get_customer;
pub mod get_order_status;
pub mod get_recent_tickets;
pub mod log_resolution;
pub mod search_knowledge_base;
pub mod send_followup_email;
mod ticket_write;
pub mod update_subscription;

/// What the tools work with; built once.
pub struct Tools {
    /// The helpdesk.
    pub zendesk: Zendesk,
    /// Payments.
    pub stripe: Stripe,
    /// Accounts, orders, subscriptions; absent where a team has only Stripe.
    pub billing: Option<Billing>,
    /// Mail.
    pub email: Option<Email>,
    /// The help center's index.
    pub knowledge: Arc<Knowledge>,
    /// The time.
    pub clock: Clock,
    /// Who we are at the helpdesk.
    pub me: UserId,
    /// Names, addresses and groups.
    pub settings: Settings,
}

/// What the tools need of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The shop's name.
    pub shop_name: String,
    /// The address that answers lead back to.
    pub support_address: String,
    /// The helpdesk's group for each rule that hands over, by rule id; `default` for the rest.
    pub groups: std::collections::BTreeMap<String, crate::ids::GroupId>,
}

/// What a tool may know of the run that it works for.
pub struct Context<'a> {
    /// Which run.
    pub run: &'a RunId,
    /// Which step.
    pub step: StepNo,
    /// Under which key an effect goes out.
    pub key: IdempotencyKey,
    /// The ticket as the run knows it: its stamp guards every write.
    pub ticket: &'a Ticket,
    /// What the vendors' records said at the start.
    pub account: &'a AccountRead,
    /// Who approved it, when a person did.
    pub approved_by: Option<&'a str>,
    /// The rule that hands the ticket over, for an escalation.
    pub rule: RuleId,
    /// An earlier try of the same step may have acted. For work under a key or mark every further try counts as such.
    pub again: bool,
    /// Such a try may still be running at the vendor: what is not found yet may come.
    pub may_still_run: bool,
    /// A person took the ticket on our pages: nothing new is done.
    pub taken_over: bool,
    /// The permission to act. `None` (shadow mode): what an earlier try may have done is looked for, and nothing is sent.
    pub acting: Option<&'a Acting>,
    /// When the step was first started.
    pub started_at: Timestamp,
    /// The journal was put back from a backup: what the run did since then stands in no entry.
    pub forgot_since: Option<Timestamp>,
    /// The refund that is asked for was made by this run already, which its entries do not know: it is only looked up.
    pub made: Option<Refund>,
    /// The vendor's ids of the refunds that the run's entries know.
    pub refunds_known: &'a BTreeSet<String>,
    /// What was done in this run, in one line for a colleague.
    pub done_line: String,
    /// The language of the customer, two letters.
    pub language: &'a str,
}

/// What came of a tool's work.
#[derive(Debug)]
pub enum Performed {
    /// The model reads this.
    Answer(Answer),
    /// Nothing was sent: the customer wrote again in between.
    CustomerWrote {
        /// The new comments, oldest first.
        messages: Vec<Message>,
        /// The ticket's stamp now.
        stamp: Timestamp,
    },
    /// Nothing was sent: a person has the ticket, or it is closed.
    Person {
        /// Who, where known.
        agent: Option<UserId>,
        /// `assigned`, `replied`, `solved`, `closed`, `merged`, `deleted`, `page`.
        how: String,
    },
    /// Nothing was sent and no earlier try has done it to its end: there is no permission to act.
    HeldBack {
        /// What an earlier try did of it, in a sentence for people.
        found: Option<String>,
    },
    /// It may have been done, and nothing that can still be asked will tell: never repeated, a person must look.
    Lost {
        /// At which vendor.
        vendor: &'static str,
        /// What is known.
        message: String,
    },
}

/// What the model reads, and what is now known to have happened.
#[derive(Debug, Default)]
pub struct Answer {
    /// Compact JSON.
    pub output: Value,
    /// Whether it is a refusal.
    pub is_error: bool,
    /// What happened.
    pub effect: Option<ConfirmedEffect>,
    /// The vendor's reference.
    pub reference: Option<String>,
    /// The ticket's stamp after our write.
    pub stamp: Option<Timestamp>,
}

impl Performed {
    /// There is no permission to act, and no earlier try has done anything of it.
    const HELD_BACK: Performed = Performed::HeldBack { found: None };

    fn answer(output: Value) -> Self {
        Performed::Answer(Answer { output, ..Answer::default() })
    }
    fn refusal(error: impl Into<String>, hint: impl Into<String>) -> Self {
        let output = json!({ "error": error.into(), "hint": hint.into() });
        Performed::Answer(Answer { output, is_error: true, ..Answer::default() })
    }
}

/// How long a request whose answer was lost may still be running at a vendor. Our longest patience for an answer is 80 s;
/// what runs longer than that has been given up on the other side as well.
pub const STILL_RUNNING: Duration = Duration::from_secs(120);

/// Why a tool's work did not come to an end; the class says what may be done about it.
pub type Error = clients::Error;

impl Tools {
    /// Does what an intent asks for.
    pub async fn perform(&self, context: &Context<'_>, intent: &Intent) -> Result<Performed, Error> {
        if let Some(met) = forgotten::look(self, context, intent).await? {
            return Ok(met);
        }
        match intent {
            Intent::GetCustomer(_) => Ok(get_customer::perform(context)),
            Intent::GetOrderStatus(asked) => get_order_status::perform(self, context, asked).await,
            Intent::GetRecentTickets(_) => Ok(get_recent_tickets::perform(context)),
            Intent::SearchKnowledgeBase(asked) => search_knowledge_base::perform(self, context, asked).await,
            Intent::CreateRefund(refund) => create_refund::perform(self, context, refund).await,
            Intent::UpdateSubscription(change) => update_subscription::perform(self, context, change).await,
            Intent::SendFollowupEmail(mail) => send_followup_email::perform(self, context, mail).await,
            Intent::EscalateToHuman(escalation) => escalate_to_human::perform(self, context, escalation).await,
            Intent::LogResolution(resolution) => log_resolution::perform(self, context, resolution).await,
        }
    }

    /// Tells the colleagues on the ticket what was done, once, whoever has the ticket now.
    pub async fn tell(&self, context: &Context<'_>, text: &str) -> Result<Performed, Error> {
        ticket_write::tell(self, context, &log_resolution::answer_html(text)).await
    }
}

/// The JSON schema of a tool's input as the Messages API takes it with `strict`: no `$schema`, no `$ref`, no formats,
/// `additionalProperties: false` on every object.
pub fn input_schema(tool: ToolName) -> Value {
    fn of<T: JsonSchema>() -> Value {
        let generator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
        let mut schema = generator.into_root_schema_for::<T>().to_value();
        tidy(&mut schema);
        schema
    }
    match tool {
        ToolName::GetCustomer => of::<intent::GetCustomer>(),
        ToolName::GetOrderStatus => of::<intent::GetOrderStatus>(),
        ToolName::GetRecentTickets => of::<intent::GetRecentTickets>(),
        ToolName::SearchKnowledgeBase => of::<intent::SearchKnowledgeBase>(),
        ToolName::CreateRefund => of::<intent::CreateRefund>(),
        ToolName::UpdateSubscription => of::<intent::UpdateSubscription>(),
        ToolName::SendFollowupEmail => of::<intent::SendFollowupEmail>(),
        ToolName::EscalateToHuman => of::<intent::EscalateToHuman>(),
        ToolName::LogResolution => of::<intent::LogResolution>(),
    }
}

/// Drops what strict schemas do not take, turns lists of constants into enums, closes objects.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let is_root = map.contains_key("$schema");
            for key in ["$schema", "title", "format", "minimum", "maximum", "default"] {
                map.shift_remove(key);
            }
            if is_root {
                map.shift_remove("description"); // The tool's own description stands in `prompts/tools/`.
            }
            if let Some(Value::Array(options)) = map.get("oneOf") {
                let constants: Option<Vec<Value>> = options.iter().map(|option| option.get("const").cloned()).collect();
                if let Some(constants) = constants {
                    map.shift_remove("oneOf");
                    map.insert("type".to_owned(), json!("string"));
                    map.insert("enum".to_owned(), Value::Array(constants));
                }
            }
            if map.get("type") == Some(&json!("object")) {
                map.entry("properties").or_insert_with(|| json!({}));
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
        match schema {
            Value::Object(map) => {
                if map.get("type") == Some(&json!("object")) {
                    found.push(schema);
                }
                map.values().for_each(|value| objects(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| objects(value, found)),
            _ => {}
        }
    }

    /// Source: <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>: at most 20 strict tools, 24
    /// optional properties and 16 unions in one request; no `$ref`, no numeric or length bounds.
    #[test]
    fn schemas_keep_the_limits_of_strict_tools() {
        let mut optional = 0;
        for tool in ToolName::ALL {
            let schema = input_schema(tool);
            let text = schema.to_string();
            for banned in ["$ref", "$schema", "\"format\"", "minimum", "maxLength", "anyOf", "\"null\""] {
                assert!(!text.contains(banned), "{tool}: {banned} in {text}");
            }
            let mut all = Vec::new();
            objects(&schema, &mut all);
            assert!(!all.is_empty(), "{tool} takes an object");
            for object in all {
                assert_eq!(object["additionalProperties"], json!(false), "{tool}: {object}");
                let properties = object["properties"].as_object().unwrap();
                let required = object["required"].as_array().map_or(0, Vec::len);
                optional += properties.len() - required;
                for (name, property) in properties {
                    assert!(property["description"].is_string(), "{tool}.{name} has no description: {property}");
                }
            }
        }
        assert!(optional <= 24, "{optional} optional properties");
    }
}
