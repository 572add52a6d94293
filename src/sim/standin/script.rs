//! Follows a ticket's script: which run, which turn, and `{{tool.path}}` filled in from earlier results.
//!
//! Which run it is: the customer's newest message is compared with the ticket's first message and with every later one of the
//! world; the likeliest wins. A run whose message has no script is left to the heuristics.
//! Which turn it is: the answers so far that were made from the script, in order; an answer that a fault had spoilt does not count.
//! When the script has ended, or an effect was refused that the rest of the script relies on, the heuristics go on.

use serde_json::{Map, Value};

use super::conversation::{Conversation, Used};
use super::text::{similarity, words};
use super::{Call, Later, Reply, Source, TicketScript, Turn};

/// The scripted answer, if the script has one here.
pub fn turn(ticket: &TicketScript, conversation: &Conversation) -> Option<Reply> {
    let turns = without_given(turns_of_run(ticket, conversation)?, conversation);
    let mut next = 0;
    for answer in &conversation.turns {
        if turns.get(next).is_some_and(|turn| was_made_from(turn, &answer.calls)) {
            next += 1;
        }
    }
    let turn = turns.get(next)?;
    let rest = &turns[next..];
    if conversation.turns.iter().flat_map(|t| &t.results).any(|used| used.error && relies_on(rest, &used.tool)) {
        return None;
    }
    let mut reply = Reply::new(Source::Script);
    let filler = Filler { conversation };
    reply.text = turn.text.as_deref().map_or(String::new(), |text| filler.text(text, &mut reply.warnings));
    for call in &turn.tools {
        let input = filler.value(&call.input, &mut reply.warnings);
        reply.calls.push(Call::new(call.name.clone(), input));
    }
    reply.thinking = match reply.calls.first() {
        Some(call) => format!("Scripted turn {}: next comes `{}`.", next + 1, call.name),
        None => format!("Scripted turn {}: only words.", next + 1),
    };
    Some(reply)
}

/// The turns without the reads whose results stand there already; a turn that only read such things is left out.
fn without_given(turns: &[Turn], conversation: &Conversation) -> Vec<Turn> {
    let left = |turn: &Turn| {
        let is_new = |call: &&Call| !conversation.is_given(&call.name, &call.input);
        let tools: Vec<Call> = turn.tools.iter().filter(is_new).cloned().collect();
        (turn.tools.is_empty() || !tools.is_empty()).then(|| Turn { text: turn.text.clone(), tools })
    };
    turns.iter().filter_map(left).collect()
}

/// What the script of this run searches for first: a router that reads the ticket well asks for the same.
pub fn first_search(ticket: &TicketScript, conversation: &Conversation) -> Option<String> {
    let turns = match run_of(ticket, &super::route::newest(&conversation.opening)) {
        None => ticket.script.as_deref(),
        Some(later) => later.script.as_deref(),
    };
    let search = turns?.iter().flat_map(|turn| &turn.tools).find(|call| call.name == "search_knowledge_base");
    // A query with a template in it is not known before the results are.
    Some(search.and_then(|call| call.input["query"].as_str()).filter(|query| !query.contains("{{"))?.to_owned())
}

fn turns_of_run<'a>(ticket: &'a TicketScript, conversation: &Conversation) -> Option<&'a [Turn]> {
    let newest = conversation.newest_from_customer().map(|message| message.text).unwrap_or_default();
    match run_of(ticket, &newest) {
        None => ticket.script.as_deref(),
        Some(later) => later.script.as_deref(),
    }
}

/// The router's answer as the world wants it for this run.
pub fn route<'a>(ticket: &'a TicketScript, conversation: &Conversation) -> Option<&'a Map<String, Value>> {
    match run_of(ticket, &super::route::newest(&conversation.opening)) {
        None => ticket.route.as_ref(),
        Some(later) => later.route.as_ref(),
    }
}

/// The later message that the customer's newest text is likeliest to be; `None`: the ticket's first one.
fn run_of<'a>(ticket: &'a TicketScript, newest: &str) -> Option<&'a Later> {
    let newest = words(newest);
    let mut best = (similarity(&newest, &words(&ticket.body)), None);
    for later in &ticket.then {
        let score = similarity(&newest, &words(&later.body));
        if score > best.0 {
            best = (score, Some(later));
        }
    }
    best.1
}

/// Whether an answer was this turn: the same first tool, with at least the scripted keys.
fn was_made_from(turn: &Turn, calls: &[(String, Value)]) -> bool {
    let Some(first) = turn.tools.first() else { return calls.is_empty() };
    calls.iter().any(|(name, input)| {
        *name == first.name
            && first.input.as_object().is_none_or(|keys| keys.keys().all(|key| input.get(key).is_some()))
    })
}

/// Whether the rest of a script takes it that this refused effect was done.
fn relies_on(rest: &[Turn], tool: &str) -> bool {
    let claim = match tool {
        "create_refund" => "refund",
        "update_subscription" => "subscription_change",
        "send_followup_email" => "followup_email",
        _ => return false,
    };
    rest.iter().flat_map(|turn| &turn.tools).any(|call| {
        let claims = call.input.get("actions_claimed").and_then(Value::as_array);
        claims.is_some_and(|claims| claims.iter().any(|c| c == claim))
            || call.input.to_string().contains(&format!("{{{{{tool}."))
    })
}

struct Filler<'a> {
    conversation: &'a Conversation,
}

impl Filler<'_> {
    fn value(&self, value: &Value, warnings: &mut Vec<String>) -> Value {
        match value {
            Value::String(text) => match whole_template(text) {
                Some(path) if !path.contains('|') => self.look_up(path, warnings),
                _ => Value::String(self.text(text, warnings)),
            },
            Value::Array(items) => items.iter().map(|item| self.value(item, warnings)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, item)| (key.clone(), self.value(item, warnings))).collect())
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str, warnings: &mut Vec<String>) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let Some((path, after)) = after.split_once("}}") else {
                out.push_str("{{");
                rest = after;
                break;
            };
            out.push_str(&match self.look_up(path.trim(), warnings) {
                Value::String(text) => text,
                other => other.to_string(),
            });
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// `tool.path.0.key`, with `|money` and `|date` as filters.
    fn look_up(&self, path: &str, warnings: &mut Vec<String>) -> Value {
        let (plain, filter) = path.split_once('|').map_or((path, ""), |(plain, filter)| (plain.trim(), filter.trim()));
        match self.find(plain, filter) {
            Some(value) => value,
            None => {
                warnings.push(format!("`{{{{{path}}}}}` finds nothing in the results so far"));
                Value::String("?".into())
            }
        }
    }

    fn find(&self, path: &str, filter: &str) -> Option<Value> {
        let path = path.replace('[', ".").replace(']', "");
        let mut steps = path.split('.');
        let tool = steps.next()?;
        let good = |used: &&Used| used.tool == tool && !used.error;
        let mut at = &self.conversation.results().rev().find(good)?.value;
        let mut parent = at;
        for step in steps {
            parent = at;
            at = match at {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                Value::Object(fields) => fields.get(step)?,
                _ => return None,
            };
        }
        match filter {
            "" => Some(at.clone()),
            "money" => {
                let currency = parent.get("currency").and_then(Value::as_str).unwrap_or("usd").parse().ok()?;
                Some(crate::money::Money::new(at.as_i64()?, currency).to_string().into())
            }
            "date" => at.as_str().map(|text| text.chars().take(10).collect::<String>().into()),
            _ => None,
        }
    }
}

/// The path, when the whole text is one template.
fn whole_template(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then_some(inner.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(tool: &str, value: Value, error: bool) -> Used {
        Used { tool: tool.into(), input: json!({}), value, error }
    }

    fn conversation(newest: &str) -> Conversation {
        let this = json!({"this_ticket": {"messages": [{"from": "customer", "at": "", "text": newest}]}});
        Conversation {
            ticket: Some(1),
            facts: vec![used("get_recent_tickets", this, false)],
            ..Conversation::default()
        }
    }

    #[test]
    fn what_was_given_is_not_asked_for_again() {
        let call = |name: &str, input: Value| Call::new(name, input);
        let turn = |tools: Vec<Call>| Turn { text: None, tools };
        let close = || call("log_resolution", json!({"answer": "x"}));
        let search = |query: &str| call("search_knowledge_base", json!({"query": query}));
        let script = |reads: Vec<Call>| TicketScript {
            body: "hi".into(),
            script: Some(vec![turn(reads), turn(vec![close()])]),
            ..TicketScript::default()
        };
        let mut talk = conversation("hi");
        talk.facts.push(used("get_order_status", json!({"orders": [{"id": "BS-1"}]}), false));
        let found = json!({"passages": []});
        talk.facts.push(Used { input: json!({"query": "a b"}), ..used("search_knowledge_base", found, false) });
        let check = |reads: Vec<Call>, expected: &[&str]| {
            let reply = super::turn(&script(reads), &talk).unwrap();
            let names: Vec<&str> = reply.calls.iter().map(|call| call.name.as_str()).collect();
            assert_eq!(names, expected);
        };
        check(vec![call("get_order_status", json!({"order": "BS-1"})), search("a b")], &["log_resolution"]);
        check(vec![call("get_order_status", json!({})), search("other")], &["search_knowledge_base"]);
        check(vec![call("get_order_status", json!({"order": "BS-2"}))], &["get_order_status"]);
    }

    #[test]
    fn templates_are_filled_in() {
        let mut talk = conversation("hi");
        talk.facts.push(used("get_order_status", json!({"orders": [{"id": "o0"}]}), false));
        talk.facts.push(used(
            "get_order_status",
            json!({"orders": [{"id": "o1", "n": 2, "total_minor": 74_000, "currency": "usd", "placed": "2026-11-02T08:00:00Z"}]}),
            false,
        ));
        talk.facts.push(used("get_order_status", json!({"error": "not found"}), true));
        let check = |template: Value, expected: Value, warned: usize| {
            let mut warnings = Vec::new();
            assert_eq!(Filler { conversation: &talk }.value(&template, &mut warnings), expected, "{template}");
            assert_eq!(warnings.len(), warned, "{template}: {warnings:?}");
        };
        check(json!("{{get_order_status.orders.0.id}}"), json!("o1"), 0);
        check(json!("{{ get_order_status.orders[0].n }}"), json!(2), 0);
        check(
            json!("order {{get_order_status.orders.0.id}} × {{get_order_status.orders.0.n}}"),
            json!("order o1 × 2"),
            0,
        );
        check(json!("{{get_order_status.orders.0.total_minor|money}}"), json!("$740.00"), 0);
        check(json!("on {{get_order_status.orders.0.placed|date}}."), json!("on 2026-11-02."), 0);
        check(json!({"a": ["{{get_order_status.orders.0.n}}", 1]}), json!({"a": [2, 1]}), 0);
        check(json!("{{get_order_status.orders.7.id}}"), json!("?"), 1);
        check(json!("x {{create_refund.refund.id}} y"), json!("x ? y"), 1);
        check(json!("an open {{ brace"), json!("an open {{ brace"), 0);
    }

    fn script(names: &[&str]) -> Vec<Turn> {
        names.iter().map(|name| Turn { text: None, tools: vec![Call::new(*name, json!({"a": 1}))] }).collect()
    }

    #[test]
    fn the_turn_is_counted_from_answers_made_from_the_script() {
        let ticket = TicketScript {
            body: "first question".into(),
            script: Some(script(&["get_order_status", "create_refund", "log_resolution"])),
            ..TicketScript::default()
        };
        let check = |answers: &[&[(&str, Value)]], expected: Option<&str>| {
            let mut talk = conversation("first question");
            for calls in answers {
                let calls = calls.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
                talk.turns.push(super::super::conversation::Turn { calls, ..Default::default() });
            }
            let got = turn(&ticket, &talk).map(|reply| reply.calls[0].name.clone());
            assert_eq!(got.as_deref(), expected, "{answers:?}");
        };
        let good = json!({"a": 1});
        check(&[], Some("get_order_status"));
        check(&[&[("get_order_status", good.clone())]], Some("create_refund"));
        check(&[&[]], Some("get_order_status"));
        check(&[&[("delete_customer", json!({}))]], Some("get_order_status"));
        check(&[&[("get_order_status", json!({"b": 1}))]], Some("get_order_status"));
        let all: &[&[(&str, Value)]] = &[
            &[("get_order_status", good.clone())],
            &[("create_refund", good.clone())],
            &[("log_resolution", good.clone())],
        ];
        check(all, None);
    }

    #[test]
    fn a_later_message_has_its_own_script() {
        let ticket = TicketScript {
            body: "Where is my card reader?".into(),
            script: Some(script(&["get_order_status"])),
            route: None,
            then: vec![
                Later {
                    body: "Please refund it, it never came.".into(),
                    script: Some(script(&["create_refund"])),
                    route: None,
                },
                Later { body: "Thanks, that is all.".into(), script: None, route: None },
            ],
        };
        let check = |newest: &str, expected: Option<&str>| {
            let got = turn(&ticket, &conversation(newest)).map(|reply| reply.calls[0].name.clone());
            assert_eq!(got.as_deref(), expected, "{newest}");
        };
        check("Where is my card reader?", Some("get_order_status"));
        check("Please refund it, it never came.\n\n> Your reader is on its way", Some("create_refund"));
        check("Thanks, that is all.", None);
    }

    #[test]
    fn a_refused_effect_that_the_rest_relies_on_ends_the_script() {
        let closing = |claims: Value| {
            let mut turns = script(&["create_refund"]);
            turns.push(Turn {
                text: None,
                tools: vec![Call::new("log_resolution", json!({"actions_claimed": claims}))],
            });
            TicketScript { body: "x".into(), script: Some(turns), ..TicketScript::default() }
        };
        let check = |claims: Value, error: bool, goes_on: bool| {
            let mut talk = conversation("x");
            talk.turns.push(super::super::conversation::Turn {
                calls: vec![("create_refund".into(), json!({"a": 1}))],
                results: vec![used("create_refund", json!({}), error)],
                said_after: String::new(),
            });
            assert_eq!(turn(&closing(claims.clone()), &talk).is_some(), goes_on, "{claims} {error}");
        };
        check(json!(["refund"]), false, true);
        check(json!(["refund"]), true, false);
        check(json!([]), true, true);
    }
}
