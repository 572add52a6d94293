//! What an answer must not say. Pure text against facts; each fault tells the model precisely what to correct.
//!
//! `answer/claims.rs` holds proof of effect (what is said to be done, or promised), `answer/content.rs` the things that must
//! never leave: placeholders, secrets, card numbers, other people's addresses, unknown links. Grounding, language and
//! repetition are here.

use crate::intent::{ClaimedAction, LogResolution};
use crate::policy::facts::{ConfirmedEffect, Facts};
use crate::policy::signals::language;
use crate::policy::{Policy, RuleId};
use crate::ticket::Author;

mod claims;
mod content;

/// Why a text must not go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFault {
    /// Which rule speaks: proof of effect, or no grounding.
    pub rule: RuleId,
    /// What is wrong, for the model and for people.
    pub reason: String,
}

impl AnswerFault {
    fn proof(reason: impl Into<String>) -> AnswerFault {
        AnswerFault { rule: RuleId::ProofOfEffect, reason: reason.into() }
    }
    fn grounding(reason: impl Into<String>) -> AnswerFault {
        AnswerFault { rule: RuleId::NoGrounding, reason: reason.into() }
    }
}

/// The longest answer, in characters: three screens; nobody reads more.
pub const ANSWER_MAX_CHARS: usize = 10_000;

/// Categories of questions about the product, which need an article; compared folded, by their start.
const PRODUCT_CATEGORIES: &[&str] =
    &["how", "bug", "feature", "product", "technical", "setup", "question", "usage", "help"];

/// Checks an answer before it leaves.
pub fn check(facts: &Facts, resolution: &LogResolution, policy: &Policy) -> Result<(), AnswerFault> {
    let answer = resolution.answer.trim();
    if answer.is_empty() {
        return Err(AnswerFault::proof("the answer is empty"));
    }
    let length = answer.chars().count();
    if length > ANSWER_MAX_CHARS {
        return Err(AnswerFault::proof(format!(
            "the answer has {length} characters; at most {ANSWER_MAX_CHARS} are allowed"
        )));
    }
    content::check(facts, answer, policy)?;
    for action in &resolution.actions_claimed {
        confirmed(facts, *action)?;
    }
    claims::check(facts, answer)?;
    grounded(facts, resolution)?;
    right_language(facts, answer)?;
    not_said_before(facts, answer)
}

/// Checks a mail before it is sent or scheduled: the same content and claims; it needs no article.
pub fn check_mail(facts: &Facts, subject: &str, body: &str, policy: &Policy) -> Result<(), AnswerFault> {
    let whole = format!("{subject}\n\n{body}");
    content::check(facts, &whole, policy)?;
    claims::check_without_mail(facts, &whole)?;
    right_language(facts, body)
}

fn confirmed(facts: &Facts, action: ClaimedAction) -> Result<(), AnswerFault> {
    let (done, name, tool) = match action {
        ClaimedAction::Refund => {
            let done = facts.effects.iter().any(|e| {
                matches!(e, ConfirmedEffect::Refund { status, .. } if !matches!(status.as_str(), "failed" | "canceled"))
            });
            (done, "a refund", "create_refund")
        }
        ClaimedAction::SubscriptionChange => {
            let done = facts.effects.iter().any(|e| matches!(e, ConfirmedEffect::SubscriptionChange { .. }));
            (done, "a subscription change", "update_subscription")
        }
        ClaimedAction::FollowupEmail => {
            let done = facts.effects.iter().any(|e| matches!(e, ConfirmedEffect::Mail { .. }));
            (done, "a mail", "send_followup_email")
        }
    };
    if done {
        return Ok(());
    }
    Err(AnswerFault::proof(format!(
        "`actions_claimed` names {name}, but this run made none that is confirmed; call `{tool}` first or take the claim out"
    )))
}

fn grounded(facts: &Facts, resolution: &LogResolution) -> Result<(), AnswerFault> {
    if let Some(unseen) = resolution.articles.iter().find(|article| !facts.articles_seen.contains(article)) {
        return Err(AnswerFault::grounding(format!(
            "article {unseen} was not among the results of this run's searches; name only articles that \
             `search_knowledge_base` returned"
        )));
    }
    let asks_back = resolution.outcome == crate::intent::ResolutionOutcome::WaitingForCustomer;
    if !resolution.articles.is_empty() || asks_back {
        return Ok(());
    }
    let about_product = |category: &str| {
        let folded = crate::policy::words::fold(category);
        PRODUCT_CATEGORIES.iter().any(|start| folded.starts_with(start))
    };
    let product =
        about_product(&resolution.category) || facts.route.is_some_and(|route| about_product(&route.category));
    let no_records = facts.account.is_none_or(|account| account.customers.is_empty());
    let product = product && !names_an_order(facts, &resolution.answer);
    if product || (no_records && facts.effects.is_empty()) {
        return Err(AnswerFault::grounding(
            "an answer about the product must rest on articles: search the knowledge base and name the articles in \
             `articles`, or hand over with reason `no_grounding` if nothing answers the question",
        ));
    }
    Ok(())
}

/// An answer that names an order of the account rests on that record.
fn names_an_order(facts: &Facts, answer: &str) -> bool {
    let orders = facts.account.map_or(&[][..], |account| account.orders.as_slice());
    orders.iter().any(|order| {
        let number = order.number.as_deref().unwrap_or(order.id.as_str());
        answer.contains(order.id.as_str()) || answer.contains(number)
    })
}

/// Compares the answer's language with the router's, where both are certain.
fn right_language(facts: &Facts, answer: &str) -> Result<(), AnswerFault> {
    let Some(route) = facts.route else { return Ok(()) };
    let wanted = route.language.get(..2).unwrap_or("").to_ascii_lowercase();
    let known = ["en", "de", "fr", "es", "pt"];
    if !known.contains(&wanted.as_str()) || answer.chars().count() < 40 {
        return Ok(());
    }
    match language::of(answer) {
        Some(found) if found != wanted && known.contains(&found) => Err(AnswerFault::proof(format!(
            "the answer is in `{found}`, but the customer writes in `{wanted}`; write it in `{wanted}`"
        ))),
        _ => Ok(()),
    }
}

fn not_said_before(facts: &Facts, answer: &str) -> Result<(), AnswerFault> {
    let plain = |text: &str| {
        let folded = crate::policy::words::fold(text);
        folded.chars().filter(|c| c.is_alphanumeric()).collect::<String>()
    };
    let new = plain(answer);
    let said = facts.ticket.messages.iter().any(|message| {
        message.public && matches!(message.author, Author::Deskhand | Author::Agent) && plain(&message.text) == new
    });
    if said {
        return Err(AnswerFault::proof("the same answer already stands on the ticket; say what is new, or hand over"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
