//! The stand-in for a model: scripted, and honest about it. It answers a Messages API request from the conversation alone plus
//! the ticket's script; without a script it follows plain heuristics over the ticket's text and the tools' results.
//!
//! Here stand the entry point and what goes in and out. `conversation` reads the request, `script` follows a script, `route`
//! answers the router, `schema` fits an object into any schema, `agent` holds the heuristics: `case` finds what is wanted (by `signals`),
//! `refunds` and `knowledge` look into results, `text` and `figures` read words and numbers, `phrases` holds the wordings.
//! Nothing here knows of HTTP, caches or time.

mod agent;
mod case;
mod conversation;
mod figures;
mod knowledge;
mod phrases;
mod refunds;
mod route;
mod schema;
mod script;
mod signals;
mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use conversation::Conversation;

/// One call in a scripted turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its input; in a script, texts may hold `{{tool.path}}`.
    pub input: Value,
}

impl Call {
    /// A call.
    pub fn new(name: impl Into<String>, input: Value) -> Self {
        Self { name: name.into(), input }
    }
}

/// One turn of a script.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// What is said beside the calls.
    #[serde(default)]
    pub text: Option<String>,
    /// The calls.
    #[serde(default)]
    pub tools: Vec<Call>,
}

/// A later message of the customer, with the script of the run that it starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Later {
    /// The message.
    pub body: String,
    /// The turns; `None`: heuristics.
    pub script: Option<Vec<Turn>>,
    /// Keys that are merged over the router's answer of that run.
    pub route: Option<Map<String, Value>>,
}

/// What a world tells the stand-in about one ticket.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TicketScript {
    /// The first message, to tell the first run from later ones.
    pub body: String,
    /// The turns of the first run; `None`: heuristics.
    pub script: Option<Vec<Turn>>,
    /// Keys that are merged over the router's answer.
    pub route: Option<Map<String, Value>>,
    /// What the customer writes later.
    pub then: Vec<Later>,
}

/// Finds a ticket's script.
#[derive(Clone)]
pub struct Scripts(Arc<dyn Fn(i64) -> Option<TicketScript> + Send + Sync>);

impl Scripts {
    /// Scripts that are looked up with this function.
    pub fn new(find: impl Fn(i64) -> Option<TicketScript> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// No scripts: heuristics alone.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    fn find(&self, ticket: Option<i64>) -> Option<TicketScript> {
        (self.0)(ticket?)
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A turn of the ticket's script.
    Script,
    /// Heuristics over text and results.
    Heuristics,
    /// The router's heuristics.
    Router,
    /// A conversation that is not Deskhand's.
    Other,
}

/// What the stand-in says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its thinking, in one or two sentences; shown only when thinking is on.
    pub thinking: String,
    /// Its text.
    pub text: String,
    /// Its calls.
    pub calls: Vec<Call>,
    /// Where it came from.
    pub source: Source,
    /// What was odd about the script.
    pub warnings: Vec<String>,
}

impl Reply {
    fn new(source: Source) -> Self {
        Self { thinking: String::new(), text: String::new(), calls: Vec::new(), source, warnings: Vec::new() }
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The ticket, if the first user message starts with `Ticket <id>`.
    pub ticket: Option<i64>,
    /// The model's turns so far, the given facts not counted.
    pub turn: usize,
    /// Whether the router asks (an answer in a schema, without tools).
    pub router: bool,
}

/// Says what a request is about.
pub fn identify(body: &Value) -> Identity {
    let conversation = Conversation::read(body);
    Identity { ticket: conversation.ticket, turn: conversation.turns.len(), router: answer_schema(body).is_some() }
}

fn answer_schema(body: &Value) -> Option<&Value> {
    body.pointer("/output_config/format/schema")
}

/// Answers a request that has passed validation.
pub fn answer(body: &Value, scripts: &Scripts) -> Reply {
    let conversation = Conversation::read(body);
    let script = scripts.find(conversation.ticket);
    let mut reply = match answer_schema(body) {
        Some(schema) => {
            let mut reply = Reply::new(Source::Router);
            let mut object = route::route(&conversation.opening);
            if let Some(script) = &script {
                object.extend(script::route(script, &conversation).cloned().unwrap_or_default());
                if let Some(query) = script::first_search(script, &conversation) {
                    object.insert("search".to_owned(), query.into());
                }
            }
            reply.text = schema::fit(schema, &object).to_string();
            reply
        }
        None => agent_turn(&conversation, script.as_ref()),
    };
    obey_tool_choice(body, &mut reply);
    reply
}

fn agent_turn(conversation: &Conversation, script: Option<&TicketScript>) -> Reply {
    if let Some(reply) = script.and_then(|script| script::turn(script, conversation)) {
        return reply;
    }
    if conversation.ticket.is_none() || conversation.this_ticket().is_none() {
        let mut reply = Reply::new(Source::Other);
        reply.thinking = "This is no conversation about a ticket.".into();
        reply.text = "I am the scripted stand-in of Deskhand's simulator and not a language model.".into();
        return reply;
    }
    agent::turn(conversation)
}

/// Keeps to `tool_choice` and to the tools that the request offers.
fn obey_tool_choice(body: &Value, reply: &mut Reply) {
    let tools = body.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let choice = body.pointer("/tool_choice/type").and_then(Value::as_str).unwrap_or("auto");
    let fill = |tool: &Value| {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
        Call::new(name, schema::fit(&tool["input_schema"], &Map::new()))
    };
    if tools.is_empty() || choice == "none" {
        reply.calls.clear();
        if reply.text.is_empty() && answer_schema(body).is_none() {
            reply.text = "I am the scripted stand-in of Deskhand's simulator and have no tool for this.".into();
        }
        return;
    }
    match choice {
        "tool" => {
            let wanted = body.pointer("/tool_choice/name").and_then(Value::as_str).unwrap_or("");
            reply.calls.retain(|call| call.name == wanted);
            if reply.calls.is_empty() {
                reply.calls.extend(tools.iter().find(|tool| tool["name"] == wanted).map(fill));
            }
            reply.text.clear();
        }
        "any" => {
            if reply.calls.is_empty() {
                reply.calls.extend(tools.first().map(fill));
            }
            reply.text.clear();
        }
        _ => {}
    }
    if body.pointer("/tool_choice/disable_parallel_tool_use") == Some(&json!(true)) {
        reply.calls.truncate(1);
    }
}
