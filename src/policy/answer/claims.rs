//! Proof of effect in words: what an answer says was done or will be done, in five languages, against what is confirmed.
//!
//! A sentence that claims a refund must be borne out by a refund of this run, or by one in the vendor's records that the
//! sentence names by amount or order. Questions, offers and negations claim nothing.

use std::sync::LazyLock;

use crate::policy::answer::AnswerFault;
use crate::policy::facts::{ConfirmedEffect, Facts};
use crate::policy::words::{Pattern, Sentence, WordSet, quoted, sentences};

mod amounts;
mod lexicon;

use lexicon::{CHANGE, CLASSES, MAIL, NEGATIONS, PROMISE, REFUND};

struct Lexicon {
    refund: Vec<Pattern>,
    change: Vec<Pattern>,
    mail: Vec<Pattern>,
    promise: Vec<Pattern>,
    negations: WordSet,
    conditions: WordSet,
    offers: WordSet,
    already: WordSet,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let parse =
        |rows: &[(&'static str, &str)]| rows.iter().map(|(id, text)| Pattern::parse(id, text, CLASSES)).collect();
    Lexicon {
        refund: parse(REFUND),
        change: parse(CHANGE),
        mail: parse(MAIL),
        promise: parse(PROMISE),
        negations: WordSet::parse(NEGATIONS, CLASSES),
        conditions: WordSet::parse(lexicon::CONDITIONS, CLASSES),
        offers: WordSet::parse(lexicon::OFFERS, CLASSES),
        already: WordSet::parse(lexicon::ALREADY, CLASSES),
    }
});

/// Checks all claims and promises of an answer.
pub(super) fn check(facts: &Facts, text: &str) -> Result<(), AnswerFault> {
    check_without_mail(facts, text)?;
    let mailed = facts.effects.iter().any(|effect| matches!(effect, ConfirmedEffect::Mail { .. }));
    for sentence in sentences(text) {
        if let Some(words) = claimed(&sentence, &LEXICON.mail)
            && !mailed
        {
            return Err(AnswerFault::proof(format!(
                "the answer says `{words}`, but this run sent no mail; call `send_followup_email` first or take it out"
            )));
        }
    }
    Ok(())
}

/// Checks claims of refunds and changes, and promises: what a mail must not say either.
pub(super) fn check_without_mail(facts: &Facts, text: &str) -> Result<(), AnswerFault> {
    let changed = facts.effects.iter().any(|effect| matches!(effect, ConfirmedEffect::SubscriptionChange { .. }));
    for sentence in sentences(text) {
        if let Some(words) = claimed(&sentence, &LEXICON.refund) {
            refund_borne_out(facts, &sentence, &words)?;
        }
        if let Some(words) = claimed(&sentence, &LEXICON.change)
            && !changed
        {
            return Err(AnswerFault::proof(format!(
                "the answer says `{words}`, but this run changed no subscription; call `update_subscription` first or take it out"
            )));
        }
        if let Some(words) = claimed(&sentence, &LEXICON.promise) {
            return Err(AnswerFault::proof(format!(
                "the answer promises `{words}`, which nobody here will keep; take it out, or hand over to a person"
            )));
        }
    }
    Ok(())
}

/// The words of the first claim of a sentence; `None` when it claims nothing.
fn claimed(sentence: &Sentence, patterns: &[Pattern]) -> Option<String> {
    if sentence.question {
        return None;
    }
    let none = WordSet::default();
    let lexicon = &*LEXICON;
    patterns.iter().find_map(|pattern| {
        let mut from = 0;
        while let Some((start, end)) = pattern.find_from(&sentence.tokens, &none, from) {
            let before = &sentence.tokens[start.saturating_sub(3)..start];
            let before = before.rsplit(|token| token.word == ",").next().unwrap_or(before);
            let around = before.iter().chain(&sentence.tokens[start..end]);
            let denied = around.clone().any(|token| lexicon.negations.holds(&token.word));
            let offered = around.clone().any(|token| lexicon.offers.holds(&token.word));
            if !denied && !offered {
                return Some(quoted(sentence, start, end));
            }
            from = start + 1;
        }
        None
    })
}

/// Whether a sentence that claims a refund is borne out by this run or by the records.
fn refund_borne_out(facts: &Facts, sentence: &Sentence, words: &str) -> Result<(), AnswerFault> {
    let said = amounts::read(&sentence.raw);
    let lexicon = &*LEXICON;
    let fresh = amounts::of_run(facts);
    if said.is_empty() {
        let names_refunded_order = amounts::refunded_orders(facts)
            .iter()
            .any(|order| sentence.raw.to_lowercase().contains(&order.to_lowercase()));
        let already = sentence.tokens.iter().any(|token| lexicon.already.holds(&token.word));
        let on_record = !amounts::on_record(facts).is_empty();
        let general = sentence.tokens.iter().any(|token| lexicon.conditions.holds(&token.word))
            && !sentence.raw.chars().any(|c| c.is_ascii_digit());
        if !fresh.is_empty() || names_refunded_order || (already && on_record) || general {
            return Ok(());
        }
        return Err(AnswerFault::proof(format!(
            "the answer says `{words}`, but no refund is confirmed; call `create_refund` first, or say what the records show \
             with amount and date"
        )));
    }
    amounts::borne_out(facts, &said).map_err(|wrong| {
        let confirmed = amounts::shown(facts);
        AnswerFault::proof(format!(
            "the answer says `{words}` with {wrong}, but the confirmed refunds are: {confirmed}; say only these"
        ))
    })
}
