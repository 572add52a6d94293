//! A run's entries as a conversation: what the customer wrote, what we answered, notes among colleagues, what the model said
//! in between, and what rules and people did about it.

use serde_json::Value;

use crate::ids::StepNo;
use crate::intent::Intent;
use crate::policy::Verdict;
use crate::run::entry::{Body, Decision, Entry, Outcome, StepResult, Work};
use crate::ticket::{Author, Message};
use crate::web::format::{self, Moment, Times};
use crate::web::parts::Names;

/// Text of one message that a page shows, in characters; the helpdesk has the rest.
const MESSAGE_MAX: usize = 6_000;

/// One thing in the conversation.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The stylesheet's class after `msg`: `agent`, `hold`, `sys` or none.
    pub(super) class: &'static str,
    pub(super) who: String,
    pub(super) hint: String,
    pub(super) at: Moment,
    pub(super) paragraphs: Vec<String>,
    pub(super) step: Option<StepNo>,
    /// Folded away until asked for: a turn of the model.
    pub(super) folded: bool,
    /// Names of attached files.
    pub(super) files: String,
    /// The language of the text, where it is known and not English.
    pub(super) lang: String,
}

/// What the model said in one turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) text: String,
    /// `create_refund {"payment":…}`, one a call.
    pub(super) calls: Vec<String>,
    pub(super) names: Vec<String>,
}

/// Reads an assistant message's content. What cannot be read is shown as it came.
pub(super) fn said(content: &str) -> Said {
    let Ok(Value::Array(blocks)) = serde_json::from_str::<Value>(content) else {
        return Said { text: content.to_owned(), ..Said::default() };
    };
    let mut said = Said::default();
    for block in &blocks {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => {
                if !said.text.is_empty() {
                    said.text.push_str("\n\n");
                }
                said.text.push_str(text("text"));
            }
            "tool_use" => {
                let input = block.get("input").map(ToString::to_string).unwrap_or_default();
                said.calls.push(format!("{} {input}", text("name")));
                said.names.push(text("name").to_owned());
            }
            _ => {}
        }
    }
    said
}

/// Builds the conversation, oldest first.
pub(super) fn build(entries: &[Entry], times: &Times, names: &Names) -> Vec<Item> {
    let mut items = Vec::new();
    let language = language(entries);
    let requester = entries.iter().find_map(|entry| match &entry.body {
        Body::RunOpened { ticket, .. } => Some(ticket.requester.name.clone()),
        _ => None,
    });
    let requester = requester.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "Customer".to_owned());
    let mut turn = 0;
    for entry in entries {
        let at = times.at(entry.at());
        let message = |message: &Message| of_message(message, &requester, &language, times);
        match &entry.body {
            Body::RunOpened { ticket, .. } => items.extend(ticket.messages.iter().map(message)),
            Body::CustomerWrote { messages, .. }
            | Body::StepFinished { result: StepResult::CustomerWroteFirst { messages, .. }, .. } => {
                items.extend(messages.iter().map(message));
            }
            Body::StepFinished { step, result: StepResult::Model { content, call, .. }, .. } => {
                turn += 1;
                let said = said(content);
                let mut hint = format!("turn {turn}, {}", format::model(&call.model));
                if !said.names.is_empty() {
                    hint.push_str(&format!(", calls {}", said.names.join(", ")));
                }
                if !said.text.trim().is_empty() {
                    let text = said.text.clone();
                    items
                        .push(Item { folded: true, ..item("sys", "Agent thinks aloud", hint, at, &text, Some(*step)) });
                }
            }
            Body::StepFinished { step, result: StepResult::Tool { is_error, .. }, .. } => {
                if let Some(intent) = intent_of(entries, *step) {
                    let state = if *is_error { State::Refused } else { State::Sent };
                    items.extend(of_intent(&intent, *step, state, &at, &language));
                }
            }
            Body::StepStarted { step, work: Work::Tool { intent, .. } } if !is_finished(entries, *step) => {
                items.extend(of_intent(intent, *step, State::Proposed, &at, &language));
            }
            Body::Judged { judgement, .. } if !matches!(judgement.verdict, Verdict::Allow) => {
                let verb = match judgement.verdict {
                    Verdict::NeedsApproval => "Needs a person",
                    Verdict::Escalate => "Goes to a person",
                    Verdict::Refuse { .. } => "Refused",
                    _ => "Not answered",
                };
                let words = format!("{verb}: {}. {}", judgement.rule.title().to_lowercase(), judgement.why);
                items.push(item("sys", "", words, at, "", None));
            }
            Body::ApprovalDecided { decision, by, note, .. } => {
                let verb = match decision {
                    Decision::Approve => "approved it".to_owned(),
                    Decision::Amount { amount } => format!("approved {amount}"),
                    Decision::Reject => "rejected it".to_owned(),
                };
                let note = if note.is_empty() { String::new() } else { format!(": “{note}”") };
                items.push(item("sys", "", format!("{} {verb}{note}", names.of(by)), at, "", None));
            }
            Body::DecisionUndone { by, .. } => {
                items.push(item("sys", "", format!("{} took the decision back", names.of(by)), at, "", None));
            }
            Body::ApprovalReopened { judgement, .. } => {
                let words = format!("Not carried out, and {}", judgement.why);
                items.push(item("sys", "", words, at, "", None));
            }
            Body::ApprovalExpired { .. } => {
                items.push(item("sys", "", "Nobody answered the approval in time".to_owned(), at, "", None));
            }
            Body::Reminded { .. } => {
                items.push(item("sys", "", "The agent was reminded to close the ticket".to_owned(), at, "", None));
            }
            Body::TakenOver { by, how, .. } => {
                let who = by.as_deref().map_or_else(|| "A person".to_owned(), |by| names.of(by));
                let how = match how.as_str() {
                    "assigned" => "was assigned the ticket",
                    "replied" => "answered at the helpdesk",
                    "restored" => "must look: the agent went further than the restored journal knows",
                    "closed" => "closed the ticket",
                    "solved" => "solved the ticket",
                    "merged" => "merged the ticket into another",
                    "deleted" => "deleted the ticket",
                    _ => "took over",
                };
                items.push(item("sys", "", format!("{who} {how}; the agent stopped"), at, "", None));
            }
            Body::Reopened { by } => {
                let words = format!("{} let the run go on where it stopped", names.of(by));
                items.push(item("sys", "", words, at, "", None));
            }
            Body::RunClosed { outcome } => {
                items.push(item("sys", "", closing_words(outcome), at, "", None));
            }
            _ => {}
        }
    }
    items
}

/// How a run ended, in a sentence.
pub(super) fn closing_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Resolved => "Resolved by the agent".to_owned(),
        Outcome::WaitingCustomer => "Waits for the customer's answer".to_owned(),
        Outcome::Escalated { rule } => format!("Went to a person: {}", rule.title().to_lowercase()),
        Outcome::Skipped { reason } => format!("Not answered: {}", reason.replace('_', " ")),
        Outcome::TakenOver => "A person has the ticket".to_owned(),
        Outcome::Shadowed { would } => format!("Shadow: would have called {}", would.tool()),
        Outcome::Failed { message } => format!("Parked: {message}"),
    }
}

/// The intent of a tool step.
pub(super) fn intent_of(entries: &[Entry], wanted: StepNo) -> Option<Intent> {
    entries.iter().find_map(|entry| match &entry.body {
        Body::StepStarted { step, work: Work::Tool { intent, .. } } if *step == wanted => Some(intent.clone()),
        _ => None,
    })
}

fn is_finished(entries: &[Entry], wanted: StepNo) -> bool {
    entries.iter().any(|entry| matches!(&entry.body, Body::StepFinished { step, .. } if *step == wanted))
}

fn language(entries: &[Entry]) -> String {
    let routed = entries.iter().find_map(|entry| match &entry.body {
        Body::StepFinished { result: StepResult::Routed { route, .. }, .. } => Some(route.language.clone()),
        _ => None,
    });
    let sound = |code: &String| code.len() <= 8 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    routed.filter(|code| code != "en" && sound(code)).unwrap_or_default()
}

fn item(class: &'static str, who: &str, hint: String, at: Moment, text: &str, step: Option<StepNo>) -> Item {
    let cut = text.char_indices().nth(MESSAGE_MAX);
    let mut paragraphs = format::paragraphs(cut.map_or(text, |(end, _)| &text[..end]));
    if cut.is_some() {
        paragraphs.push("… (the rest is at the helpdesk)".to_owned());
    }
    Item {
        class,
        who: who.to_owned(),
        hint,
        at,
        paragraphs,
        step,
        folded: false,
        files: String::new(),
        lang: String::new(),
    }
}

fn of_message(message: &Message, requester: &str, language: &str, times: &Times) -> Item {
    let (class, who, hint) = match (message.author, message.public) {
        (Author::Requester, _) => ("", requester, "customer"),
        (Author::OtherEndUser, _) => ("", "Someone else", "not the requester"),
        (Author::Agent, true) => ("", "Colleague", "answered at the helpdesk"),
        (Author::Agent, false) => ("", "Colleague", "note, not public"),
        (Author::Deskhand, true) => ("agent", "Agent", "earlier answer"),
        (Author::Deskhand, false) => ("agent", "Agent", "note, not public"),
    };
    let text = if message.text.trim().is_empty() { "(no text)" } else { &message.text };
    let files: Vec<_> = message.attachments.iter().map(|file| file.name.as_str()).collect();
    let mut item = item(class, who, hint.to_owned(), times.at(message.at), text, None);
    item.files = files.join(", ");
    if matches!(message.author, Author::Requester | Author::Deskhand) {
        item.lang = language.to_owned();
    }
    item
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Sent,
    Refused,
    Proposed,
}

/// The words that an intent carries to somebody.
fn of_intent(intent: &Intent, step: StepNo, state: State, at: &Moment, language: &str) -> Vec<Item> {
    let class = if state == State::Sent { "agent" } else { "hold" };
    let suffix = match state {
        State::Sent => "",
        State::Refused => ", refused, not sent",
        State::Proposed => ", not sent yet",
    };
    let say = |hint: &str, text: &str, lang: &str| Item {
        lang: lang.to_owned(),
        ..item(class, "Agent", format!("{hint}{suffix}"), at.clone(), text, Some(step))
    };
    match intent {
        Intent::LogResolution(close) => vec![say("answer", &close.answer, language)],
        Intent::EscalateToHuman(hand) => {
            let note = format!(
                "Asked: {}\n\nFound: {}\n\nDone: {}\n\nSuggested answer: {}",
                hand.asked, hand.found, hand.done, hand.suggested_answer
            );
            let mut items = vec![say("note for colleagues", &note, "")];
            if !hand.holding_message.trim().is_empty() {
                items.push(say("holding answer", &hand.holding_message, language));
            }
            items
        }
        Intent::SendFollowupEmail(mail) => {
            let when = if mail.after_s > 0 { "mail, scheduled" } else { "mail" };
            vec![say(when, &format!("{}\n\n{}", mail.subject, mail.body), language)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assistant_message_is_read_block_by_block() {
        let said = said(
            r#"[{"type":"text","text":"Let me look."},{"type":"tool_use","id":"t1","name":"get_customer","input":{}}]"#,
        );
        assert_eq!(said.text, "Let me look.");
        assert_eq!(said.calls, vec!["get_customer {}"]);
        assert_eq!(super::said("nonsense").text, "nonsense");
    }
}
