//! Reads a request as the stand-in sees it: which ticket, what the customer wrote, what the tools answered, whose turn it is.
//! No decisions.

use serde_json::Value;

/// Ids of the tool calls that the agent puts in front, so that the facts stand there before the first answer.
const FACTS_PREFIX: &str = "toolu_facts_";

/// One call with its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    /// The tool.
    pub tool: String,
    /// What it was asked.
    pub input: Value,
    /// What it answered; a text that is not JSON stays a text.
    pub value: Value,
    /// Whether it failed or was refused.
    pub error: bool,
}

/// One answer of the model so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// Its calls: names and inputs.
    pub calls: Vec<(String, Value)>,
    /// What the tools answered to it.
    pub results: Vec<Used>,
    /// What was said to it afterwards, beside the results (a reminder).
    pub said_after: String,
}

/// One message of the ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `customer`, `agent` or `note`.
    pub from: String,
    /// When, as RFC 3339.
    pub at: String,
    /// The text.
    pub text: String,
}

/// A whole conversation.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// The ticket's number.
    pub ticket: Option<i64>,
    /// The first user message.
    pub opening: String,
    /// The facts that were put in front.
    pub facts: Vec<Used>,
    /// The model's answers so far.
    pub turns: Vec<Turn>,
    /// Names of the tools that may be called.
    pub tools: Vec<String>,
}

impl Conversation {
    /// Reads a request body.
    pub fn read(body: &Value) -> Self {
        let list = |key: &str| body.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut conversation = Conversation {
            tools: list("tools").iter().filter_map(|t| t["name"].as_str()).map(str::to_owned).collect(),
            ..Conversation::default()
        };
        // Calls of the message before, by id, with where their results go: the facts, or the last turn.
        let mut pending: Vec<(String, String, Value)> = Vec::new();
        let mut to_facts = false;
        let mut opened = false;
        for message in list("messages") {
            let blocks = blocks(message);
            if message["role"] == "assistant" {
                pending = blocks
                    .iter()
                    .filter(|block| block["type"] == "tool_use")
                    .map(|block| (text_of(block, "id"), text_of(block, "name"), block["input"].clone()))
                    .collect();
                to_facts = !pending.is_empty() && pending.iter().all(|(id, ..)| id.starts_with(FACTS_PREFIX));
                if !to_facts {
                    let calls = pending.iter().map(|(_, name, input)| (name.clone(), input.clone())).collect();
                    conversation.turns.push(Turn { calls, ..Turn::default() });
                }
                continue;
            }
            for block in &blocks {
                if block["type"] == "tool_result" {
                    let id = text_of(block, "tool_use_id");
                    let Some((_, tool, input)) = pending.iter().find(|(known, ..)| *known == id) else { continue };
                    let used = Used {
                        tool: tool.clone(),
                        input: input.clone(),
                        value: result_value(block),
                        error: block["is_error"] == true,
                    };
                    match conversation.turns.last_mut().filter(|_| !to_facts) {
                        Some(turn) => turn.results.push(used),
                        None => conversation.facts.push(used),
                    }
                } else if block["type"] == "text" {
                    let text = block["text"].as_str().unwrap_or("");
                    match conversation.turns.last_mut() {
                        Some(turn) => push_line(&mut turn.said_after, text),
                        None if !opened => push_line(&mut conversation.opening, text),
                        None => {}
                    }
                }
            }
            opened = true;
        }
        conversation.ticket = ticket_number(&conversation.opening);
        conversation
    }

    /// Every result so far, oldest first, the facts included.
    pub fn results(&self) -> impl DoubleEndedIterator<Item = &Used> {
        self.facts.iter().chain(self.turns.iter().flat_map(|turn| &turn.results))
    }

    /// Whether what this read would bring stands there already, put in front by code.
    pub fn is_given(&self, tool: &str, input: &Value) -> bool {
        let given =
            self.facts.iter().find(|used| used.tool == tool && !used.error).map(|used| (&used.input, &used.value));
        let Some((asked, value)) = given else { return false };
        match tool {
            "get_customer" | "get_recent_tickets" => true,
            "get_order_status" => input["order"].as_str().is_none_or(|wanted| {
                let orders = value["orders"].as_array().map_or(&[][..], Vec::as_slice);
                orders.iter().any(|order| order["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(wanted)))
            }),
            "search_knowledge_base" => asked["query"] == input["query"],
            _ => false,
        }
    }

    /// The latest good result of a tool.
    pub fn latest(&self, tool: &str) -> Option<&Value> {
        self.results().rev().find(|used| used.tool == tool && !used.error).map(|used| &used.value)
    }

    /// The messages of the ticket, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        let Some(list) = self.this_ticket().and_then(|ticket| ticket["messages"].as_array()) else { return Vec::new() };
        list.iter()
            .map(|m| Message { from: text_of(m, "from"), at: text_of(m, "at"), text: text_of(m, "text") })
            .collect()
    }

    /// The customer's newest message.
    pub fn newest_from_customer(&self) -> Option<Message> {
        self.messages().into_iter().rfind(|message| message.from == "customer")
    }

    /// `this_ticket` of the latest reading.
    pub fn this_ticket(&self) -> Option<&Value> {
        find_key(self.latest("get_recent_tickets")?, "this_ticket", 3)
    }
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

fn text_of(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
}

fn blocks(message: &Value) -> Vec<Value> {
    match &message["content"] {
        Value::String(text) => vec![serde_json::json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

/// A result's content: JSON where it is JSON, else the text.
fn result_value(block: &Value) -> Value {
    let text = match &block["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The value under a key, looked for this many levels deep.
fn find_key<'a>(value: &'a Value, key: &str, depth: usize) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(key)
        .or_else(|| if depth == 0 { None } else { object.values().find_map(|inner| find_key(inner, key, depth - 1)) })
}

/// The number after `Ticket ` at the start of a text.
fn ticket_number(text: &str) -> Option<i64> {
    let rest = text.trim_start().strip_prefix("Ticket ")?.trim_start_matches('#');
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_is_read() {
        let body = json!({
            "tools": [{"name": "get_customer"}],
            "messages": [
                {"role": "user", "content": "Ticket 1042\nchannel: email"},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "toolu_facts_1", "name": "get_recent_tickets", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_facts_1", "content":
                    "{\"this_ticket\":{\"messages\":[{\"from\":\"customer\",\"at\":\"2026-11-20T09:00:00Z\",\"text\":\"hi\"}]}}"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "x"},
                    {"type": "tool_use", "id": "a", "name": "get_order_status", "input": {"order": "9"}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "no"}], "is_error": true},
                    {"type": "text", "text": "please close"}]},
            ],
        });
        let conversation = Conversation::read(&body);
        assert_eq!(conversation.ticket, Some(1042));
        assert_eq!(conversation.newest_from_customer().unwrap().text, "hi");
        assert_eq!(conversation.turns.len(), 1);
        assert_eq!(conversation.turns[0].said_after, "please close");
        let used = &conversation.turns[0].results[0];
        assert_eq!((used.tool.as_str(), used.error, &used.value), ("get_order_status", true, &json!("no")));
        assert_eq!(used.input, json!({"order": "9"}));
    }

    #[test]
    fn the_ticket_number_stands_at_the_start() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(ticket_number(text), expected, "{text}");
        check("Ticket 7", Some(7));
        check("Ticket #7\nmore", Some(7));
        check("  Ticket 12: x", Some(12));
        check("The Ticket 12", None);
        check("Ticket x", None);
    }
}
