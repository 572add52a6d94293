//! Entries ↔ Messages API. The request is rebuilt from the folded entries every time and never stored; the model's own words
//! go back byte for byte. Pure.
//!
//! Layout: tools, system (role and handbook, marker at its end), then a fixed first message with trusted data only, the calls
//! that code made for the model (the ticket, the account, and where the ticket is about them orders and payments, and passages
//! of the help center, so that no turn is spent on asking for them), and the real turns. Two moving markers stand on the last two user messages. Words of customers stand only inside JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::account::AccountRead;
use crate::agent::prefix::Prefix;
use crate::agent::prompts::Prompts;
use crate::policy::facts::{Complexity, Route};
use crate::run::state::{CallState, RunState, Turn};
use crate::run::ttl::Ttl;
use crate::tools::{get_customer, get_order_status, get_recent_tickets};

/// How a model is asked; the same for a whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// `output_config.effort`; empty: left out.
    pub effort: String,
    /// Adaptive thinking on.
    pub thinking: bool,
    /// `max_tokens`.
    pub tokens_max: u32,
    /// Life of the static prefix in the cache.
    pub prefix_ttl: Ttl,
}

/// A request, ready to send.
#[derive(Debug, Clone)]
pub struct Request {
    /// The body, JSON.
    pub body: String,
    /// SHA-256 of the body, hexadecimal.
    pub digest: String,
}

/// Everything of a request but its messages.
#[derive(Serialize)]
struct Head<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<&'a Value>,
    system: Value,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Content,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content {
    /// As received.
    Raw(Box<RawValue>),
    /// Ours.
    Blocks(Vec<Value>),
}

/// The shop as the model is told of it; trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// Domains that an answer may link to.
    pub link_domains: Vec<String>,
}

/// The request for the model's next turn.
pub fn turn_request(state: &RunState, model: &str, asking: &Asking, prompts: &Prompts, shop: &Shop) -> Request {
    let nobody = AccountRead::default();
    let mut messages = opening(state, state.account.as_ref().unwrap_or(&nobody), shop);
    for turn in state.turns.iter().filter(|turn| turn.unusable.is_none() && turn.content != "[]") {
        messages.push(assistant(turn, model));
        messages.push(Message { role: "user", content: Content::Blocks(results(turn, prompts)) });
    }
    mark_tail(&mut messages);
    let prefix = prompts.prefixes.get("turn", model, asking, || {
        Prefix::new(&Head {
            model,
            max_tokens: asking.tokens_max,
            stream: true,
            thinking: asking.thinking.then(|| json!({ "type": "adaptive" })),
            output_config: (!asking.effort.is_empty()).then(|| json!({ "effort": asking.effort })),
            tools: prompts.tools.iter().collect(),
            system: json!([{ "type": "text", "text": prompts.system, "cache_control": marker(asking) }]),
        })
    });
    prefix.request(&messages)
}

/// The marker at the end of what all tickets share.
fn marker(asking: &Asking) -> Value {
    json!({ "type": "ephemeral", "ttl": asking.prefix_ttl.as_str() })
}

fn opening(state: &RunState, account: &AccountRead, shop: &Shop) -> Vec<Message> {
    let ticket = state.ticket.id;
    let route = state.route.as_ref();
    let category = route.map_or("unknown", |route| route.category.as_str());
    let today = state.opened_at.strftime("%A, %Y-%m-%d");
    let domains = shop.link_domains.join(", ");
    let first = format!(
        "Ticket {ticket} of {}. Today is {today}. Answer in the language `{}`. Category: {category}. Links may lead to: \
         {domains}. What could be looked up beforehand follows as tool results; do not ask for the same again. Work the \
         ticket and close it with log_resolution or escalate_to_human.",
        shop.name,
        state.language(),
    );
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    let mut give = |id: &str, name: &str, input: Value, output: &Value| {
        calls.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
        results.push(json!({ "type": "tool_result", "tool_use_id": id, "content": output.to_string() }));
    };
    let thread = get_recent_tickets::output(&state.ticket, account, state.shown_at_start, state.language());
    give("toolu_facts_tickets", "get_recent_tickets", json!({}), &thread);
    let mut customer = get_customer::output(account);
    if route.is_some_and(needs_no_plans)
        && let Some(fields) = customer.as_object_mut()
    {
        fields.shift_remove("plans");
    }
    give("toolu_facts_customer", "get_customer", json!({}), &customer);
    if account.customer().is_some() && route.is_some_and(is_about_orders) {
        let said = state.ticket.messages.iter().take(state.shown_at_start).map(|message| message.text.as_str());
        let text = std::iter::once(state.ticket.subject.as_str()).chain(said).collect::<Vec<_>>().join("\n");
        give("toolu_facts_orders", "get_order_status", json!({}), &get_order_status::latest(account, &text));
    }
    if let (Some(route), Some(passages)) = (route, &state.passages) {
        give("toolu_facts_articles", "search_knowledge_base", json!({ "query": route.search }), passages);
    }
    vec![
        Message { role: "user", content: Content::Blocks(vec![json!({ "type": "text", "text": first })]) },
        Message { role: "assistant", content: Content::Blocks(calls) },
        Message { role: "user", content: Content::Blocks(results) },
    ]
}

/// Whether the plans on sale are left out: for what is about goods, money back or the product's use they are words without a
/// purpose. The tool still tells them.
fn needs_no_plans(route: &Route) -> bool {
    ["order", "refund", "how_to", "bug", "feature_request", "thanks", "security"].contains(&route.category.as_str())
}

/// Whether orders and payments are given with the ticket: their words are paid for, so only where they are likely needed.
fn is_about_orders(route: &Route) -> bool {
    route.asks_refund || ["billing", "refund", "order", "subscription"].contains(&route.category.as_str())
}

/// The model's own words: as received for the model that wrote them, without thinking blocks for another (they belong to the
/// model that made them).
fn assistant(turn: &Turn, model: &str) -> Message {
    let raw = || RawValue::from_string(turn.content.clone()).ok();
    let content = match (turn.model == model).then(raw).flatten() {
        Some(raw) => Content::Raw(raw),
        None => {
            let blocks: Vec<Value> = serde_json::from_str(&turn.content).unwrap_or_default();
            let thinks = |block: &Value| matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
            Content::Blocks(blocks.into_iter().filter(|block| !thinks(block)).collect())
        }
    };
    Message { role: "assistant", content }
}

/// One user message with all results of a turn, then what else there is to say.
fn results(turn: &Turn, prompts: &Prompts) -> Vec<Value> {
    let mut blocks = Vec::new();
    for call in &turn.calls {
        let (text, is_error) = match &call.state {
            CallState::Answered { output, is_error } => (output.to_string(), *is_error),
            _ => (json!({ "error": "this call was not carried out" }).to_string(), true),
        };
        let mut block = json!({ "type": "tool_result", "tool_use_id": call.id, "content": text });
        if is_error {
            block["is_error"] = json!(true);
        }
        blocks.push(block);
    }
    if turn.reminded {
        blocks.push(json!({ "type": "text", "text": prompts.reminder }));
    }
    if !turn.news.is_empty() {
        let last = turn.news.len() - 1;
        let news: Vec<Value> =
            turn.news.iter().enumerate().map(|(i, m)| get_recent_tickets::message_output(m, i == last)).collect();
        blocks.push(json!({ "type": "text", "text": json!({ "customer_wrote_again": news }).to_string() }));
    }
    blocks
}

/// Markers on the last block of the last two user messages.
fn mark_tail(messages: &mut [Message]) {
    let users = messages.iter_mut().rev().filter(|message| message.role == "user").take(2);
    for message in users {
        if let Content::Blocks(blocks) = &mut message.content
            && let Some(last) = blocks.last_mut()
        {
            last["cache_control"] = json!({ "type": "ephemeral" });
        }
    }
}

/// The request to the router: no tools, a structured answer, the ticket as data.
pub fn route_request(state: &RunState, model: &str, asking: &Asking, prompts: &Prompts) -> Request {
    let account = AccountRead::default();
    let thread = get_recent_tickets::output(&state.ticket, &account, state.ticket.messages.len(), "unknown");
    let known = state.account.as_ref().is_some_and(|account| account.customer().is_some());
    let data = json!({ "ticket": thread["this_ticket"], "sender_has_an_account": known });
    let text = format!("Ticket {}\n{data}", state.ticket.id);
    let prefix = prompts.prefixes.get("route", model, asking, || {
        Prefix::new(&Head {
            model,
            max_tokens: 600,
            stream: true,
            thinking: None,
            output_config: Some(output_config(asking)),
            tools: Vec::new(),
            system: json!([{ "type": "text", "text": prompts.router, "cache_control": marker(asking) }]),
        })
    });
    prefix.request(&[Message { role: "user", content: Content::Blocks(vec![json!({ "type": "text", "text": text })]) }])
}

fn output_config(asking: &Asking) -> Value {
    let flag = |what: &str| json!({ "type": "boolean", "description": what });
    let properties = json!({
        "category": { "type": "string", "enum": CATEGORIES, "description": "what the ticket is about" },
        "language": { "type": "string", "description": "language of the newest message, ISO 639-1, two letters" },
        "complexity": { "type": "string", "enum": ["simple", "complex"], "description": "see the definitions" },
        "churn": flag("the customer wants to leave our product, or have less of it"),
        "wants_person": flag("the customer asks for a human being"),
        "legal": flag("legal threat, safety, or a request about personal data"),
        "asks_refund": flag("the customer asks for money back"),
        "spam": flag("nothing to answer: advertising, fraud, machine mail"),
        "summary": { "type": "string", "description": "what the customer asks for, one English sentence, no names" },
        "search": { "type": "string", "description": "query for the help center, see the definitions; empty if none" },
    });
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|map| map.keys()).collect();
    let schema =
        json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let mut config = json!({ "format": { "type": "json_schema", "schema": schema } });
    if !asking.effort.is_empty() {
        config["effort"] = json!(asking.effort);
    }
    config
}

/// How much of the router's search is used, in characters.
const SEARCH_MAX_CHARS: usize = 160;

/// The router's query as words alone: it was made from the customer's text, and the working model reads it as its own.
fn search_words(text: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || c == '-' || c == '\'' { c } else { ' ' };
    let words: String = text.chars().map(kept).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SEARCH_MAX_CHARS).collect()
}

/// The router's categories, as `prompts/router.md` defines them.
pub const CATEGORIES: [&str; 12] = [
    "billing",
    "refund",
    "order",
    "account",
    "subscription",
    "how_to",
    "bug",
    "feature_request",
    "security",
    "spam",
    "thanks",
    "other",
];

/// Reads the router's answer; the text says why it is none.
pub fn read_route(content: &str, stop_reason: &str) -> Result<Route, String> {
    if stop_reason != "end_turn" {
        return Err(format!("the router stopped with `{stop_reason}`"));
    }
    let blocks: Vec<Value> = serde_json::from_str(content).map_err(|_| "the answer is no list of blocks".to_owned())?;
    let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let answer: Value = serde_json::from_str(text.trim()).map_err(|_| "the router's answer is not JSON".to_owned())?;
    let word = |name: &str| answer[name].as_str().map(str::to_lowercase).ok_or(format!("the router left out `{name}`"));
    let flag = |name: &str| answer[name].as_bool().ok_or(format!("the router left out `{name}`"));
    let language = word("language")?;
    let complexity = match word("complexity")?.as_str() {
        "simple" => Complexity::Simple,
        "complex" => Complexity::Complex,
        other => return Err(format!("the router said complexity `{other}`")),
    };
    if language.len() != 2 || !language.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err("the router's language is no code of two letters".to_owned());
    }
    Ok(Route {
        category: word("category")?,
        language,
        complexity,
        churn: flag("churn")?,
        wants_person: flag("wants_person")?,
        legal: flag("legal")?,
        asks_refund: flag("asks_refund")?,
        spam: flag("spam")?,
        summary: answer["summary"].as_str().unwrap_or_default().chars().take(400).collect(),
        search: search_words(answer["search"].as_str().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests;
