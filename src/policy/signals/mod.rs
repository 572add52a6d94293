//! What the words of a ticket give away, by deterministic patterns: leaving, a person wanted, legal and safety, spam, machine
//! mail, a name-only claim, the language. Not here: what follows from it (`policy/rules.rs`).

use serde::Serialize;

use crate::policy::words::{Sentence, sentences};
use crate::ticket::Message;

pub mod churn;
pub mod language;
pub mod people;
pub mod quiet;

/// A pattern that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The pattern's id, such as `en.cancel_ours`.
    pub pattern: &'static str,
    /// The matched words, as written.
    pub words: String,
}

/// What kind of matter only a person may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LegalKind {
    /// Lawyers, courts, authorities, threats of them.
    Legal,
    /// Someone may be hurt, something burns.
    Safety,
    /// A request about personal data.
    DataProtection,
    /// A payment is or will be disputed at the bank.
    Chargeback,
}

/// A hit of the legal lexicon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LegalHit {
    /// Which kind.
    pub kind: LegalKind,
    /// What matched.
    #[serde(flatten)]
    pub hit: Hit,
}

/// What the words of one message give away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Signals {
    /// `en`, `de`, `fr`, `es` or `pt`, or another two-letter code; `None` when it is not certain.
    pub language: Option<&'static str>,
    /// The customer wants to leave or have less.
    pub churn: Option<Hit>,
    /// The customer asks for a person.
    pub wants_person: Option<Hit>,
    /// Legal threat, safety, data protection, dispute.
    pub legal: Option<LegalHit>,
    /// Unasked advertising or fraud.
    pub spam: Option<Hit>,
    /// An automatic answer or a bounce.
    pub machine_mail: Option<Hit>,
    /// The sender claims an account by name alone.
    pub name_only_claim: Option<Hit>,
}

/// Reads a message. Deterministic; quoted history and signatures are left out.
pub fn read(subject: &str, text: &str) -> Signals {
    read_for(subject, text, "")
}

/// Reads a message written to this shop; its name tells our product from another's. Empty where it is not known.
pub fn read_for(subject: &str, text: &str, shop: &str) -> Signals {
    let own = own_words(text);
    let all = subject_and_text(subject, &own);
    let plain = people::Lines { sentences: &all };
    Signals {
        language: language::of(&format!("{subject}. {own}")),
        churn: churn::find(&all, shop),
        wants_person: plain.wants_person(),
        legal: plain.legal(),
        spam: quiet::spam(subject, &own),
        machine_mail: quiet::automatic(subject, text),
        name_only_claim: plain.name_only_claim(),
    }
}

/// Whether a program wrote this message, and how one sees it: the helpdesk's flag 4, the sender's address, the subject, the
/// text.
pub fn machine_mail(message: &Message, subject: &str, address: Option<&str>) -> Option<String> {
    if message.flags.contains(&4) {
        return Some("the helpdesk marks it as sent by a program".to_owned());
    }
    if let Some(address) = address
        && quiet::machine_address(address)
    {
        return Some(format!(
            "it comes from `{}`, which no person reads",
            address.split('@').next().unwrap_or(address)
        ));
    }
    quiet::automatic(subject, &message.text).map(|hit| format!("it reads like an automatic answer: `{}`", hit.words))
}

/// Whether this reads like unasked advertising or fraud. Conservative: a customer's mail must never be thrown away.
pub fn spam(subject: &str, text: &str) -> Option<Hit> {
    quiet::spam(subject, &own_words(text))
}

fn subject_and_text(subject: &str, own: &str) -> Vec<Sentence> {
    let mut subject = subject.trim();
    loop {
        let lower = subject.to_lowercase();
        match ["re:", "fwd:", "fw:", "aw:", "wg:", "tr:", "rv:", "enc:", "ref:"]
            .iter()
            .find(|prefix| lower.starts_with(**prefix))
        {
            Some(prefix) => subject = subject[prefix.len()..].trim_start(),
            None => break,
        }
    }
    let mut all = sentences(subject);
    all.extend(sentences(own));
    all
}

/// The message without quoted history and without what stands under a signature mark.
pub fn own_words(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut kept: Vec<&str> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('>') || trimmed.starts_with("|>") {
            continue;
        }
        if line == "-- " || trimmed == "--" || starts_history(trimmed) {
            break;
        }
        kept.push(line);
    }
    // A message that is nothing but quotes still says something.
    if kept.iter().all(|line| line.trim().is_empty()) {
        return text.lines().map(|line| line.trim_start_matches(['>', ' '])).collect::<Vec<_>>().join("\n");
    }
    kept.join("\n")
}

/// Whether a line opens the quoted history, as mail programs write it.
fn starts_history(line: &str) -> bool {
    let lower = line.to_lowercase();
    let marks = [
        "-----original message",
        "----- original message",
        "---------- forwarded message",
        "-----ursprüngliche nachricht",
        "-------- original message",
        "-----message d'origine",
        "-----mensaje original",
        "-----mensagem original",
        "________________________________",
    ];
    if marks.iter().any(|mark| lower.starts_with(mark)) {
        return true;
    }
    let wrote = ["wrote:", "schrieb:", "a écrit :", "a écrit:", "escribió:", "escreveu:"];
    let opens = ["on ", "am ", "le ", "el ", "em ", "no dia "];
    let ends = wrote.iter().any(|w| lower.ends_with(w))
        || (lower.starts_with("am ") && lower.contains(" schrieb ") && lower.ends_with(':'));
    ends && opens.iter().any(|open| lower.starts_with(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_and_signatures_are_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(own_words(text).trim(), expected);
        check("Thanks\n> please cancel my plan", "Thanks");
        check("Thanks\n\nOn Mon, 3 Nov 2026 at 10:00, Priya wrote:\nplease cancel my plan", "Thanks");
        check("Danke\n\nAm 3.11.2026 um 10:00 schrieb Priya:\nkündigen", "Danke");
        check("Thanks\n-- \nThe cancel company", "Thanks");
        check("> please cancel my plan", "please cancel my plan");
    }

    #[test]
    fn machine_mail_is_seen_by_flag_address_subject_and_text() {
        let message = |text: &str, flags: &[i64]| Message {
            id: crate::ids::CommentId(1),
            author: crate::ticket::Author::Requester,
            author_id: crate::ids::UserId(1),
            public: true,
            at: jiff::Timestamp::UNIX_EPOCH,
            text: text.to_owned(),
            cut: false,
            attachments: vec![],
            flags: flags.to_vec(),
            marker: None,
        };
        let check = |text: &str, flags: &[i64], subject: &str, address: &str, expected: bool| {
            assert_eq!(
                machine_mail(&message(text, flags), subject, Some(address)).is_some(),
                expected,
                "{subject} {address}"
            );
        };
        check("hello", &[4], "hi", "a@b.example", true);
        check("hello", &[14], "hi", "a@b.example", false);
        check("hello", &[], "hi", "mailer-daemon@b.example", true);
        check("hello", &[], "hi", "no-reply@b.example", true);
        check("hello", &[], "hi", "noreplykim@b.example", false);
        check("hello", &[], "Out of Office: your order", "a@b.example", true);
        check("hello", &[], "Abwesenheitsnotiz", "a@b.example", true);
        check("hello", &[], "Réponse automatique : Commande", "a@b.example", true);
        check("hello", &[], "Undeliverable: Your order", "a@b.example", true);
        check("hello", &[], "How do I set up an automatic reply to clients?", "a@b.example", false);
        check(
            "I am out of the office until 3 May and will have limited access to email.",
            &[],
            "Re: order",
            "a@b.example",
            true,
        );
        check("Can we set the calendar to out of office?", &[], "question", "a@b.example", false);
    }
}
