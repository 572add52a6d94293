//! What must not be answered at all: automatic answers, bounces, unasked advertising. Conservative: a customer's mail must
//! never be thrown away for a word in it.

use crate::policy::signals::Hit;
use crate::policy::words::fold;

/// Starts of a subject that only programs write, folded.
const SUBJECT_STARTS: &[&str] = &[
    "out of office",
    "out-of-office",
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto:",
    "autoresponse",
    "automated reply",
    "abwesenheitsnotiz",
    "abwesenheit:",
    "automatische antwort",
    "reponse automatique",
    "absence du bureau",
    "message d'absence",
    "respuesta automatica",
    "fuera de la oficina",
    "resposta automatica",
    "ausencia do escritorio",
    "fora do escritorio",
    "undeliverable",
    "undelivered mail",
    "delivery status notification",
    "mail delivery failed",
    "mail delivery failure",
    "returned mail",
    "delivery failure",
    "unzustellbar",
    "failure notice",
    "nicht zustellbar",
    "echec de la remise",
    "non remis",
    "no se puede entregar",
    "nao foi possivel entregar",
    "delivery delayed",
    "warning: could not send",
    "read:",
    "gelesen:",
    "vacation:",
    "risposta automatica",
];

/// Texts that only programs write, folded; found in the first 600 bytes.
const TEXTS: &[&str] = &[
    "this is an automatically generated delivery status notification",
    "this is the mail system at host",
    "this is an automated response",
    "this is an automatic reply",
    "this is an auto-reply",
    "this is an automated reply",
    "this is an automatically generated email, please do not reply",
    "delivery to the following recipient",
    "your message could not be delivered",
    "i am currently out of the office",
    "i am out of the office until",
    "i am currently out of office",
    "i'm out of the office until",
    "i will be out of the office",
    "diese e-mail wurde automatisch erstellt",
    "dies ist eine automatische",
    "ich bin derzeit nicht im buro",
    "ich bin bis zum",
    "ich bin zurzeit nicht im",
    "je suis actuellement absent",
    "je suis absent",
    "ceci est une reponse automatique",
    "ceci est un message automatique",
    "esta es una respuesta automatica",
    "estare fuera de la oficina",
    "este es un mensaje automatico",
    "esta e uma resposta automatica",
    "estarei ausente",
    "esta e uma mensagem automatica",
];

/// Names before the `@` that no person reads.
const MACHINE_NAMES: &[&str] = &[
    "mailer-daemon",
    "postmaster",
    "noreply",
    "no-reply",
    "no_reply",
    "no.reply",
    "donotreply",
    "do-not-reply",
    "do_not_reply",
    "bounce",
    "bounces",
    "nicht-antworten",
    "ne-pas-repondre",
    "nepasrepondre",
    "no-responder",
    "nao-responda",
    "notification",
    "notifications",
    "automailer",
    "mail-daemon",
    "maildaemon",
];

/// Whether no person reads this address.
pub fn machine_address(address: &str) -> bool {
    let lower = address.trim().to_lowercase();
    let name = lower.split('@').next().unwrap_or("");
    let name = name.split('+').next().unwrap_or("");
    MACHINE_NAMES.contains(&name)
        || name.starts_with("bounce-")
        || name.starts_with("bounces-")
        || name.starts_with("noreply-")
        || name.starts_with("no-reply-")
        || name.ends_with("-noreply")
        || name.ends_with("-no-reply")
        || name.ends_with("-bounces")
}

/// An automatic answer or a bounce, by its subject or its first words.
pub fn automatic(subject: &str, text: &str) -> Option<Hit> {
    let subject = fold(subject).replace('’', "'");
    let subject = subject.trim();
    if let Some(start) = SUBJECT_STARTS.iter().find(|start| subject.starts_with(**start)) {
        return Some(Hit { pattern: "machine.subject", words: (*start).to_owned() });
    }
    let text = fold(text).replace('’', "'");
    let head: String = text.chars().take(600).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    let found = TEXTS.iter().find(|phrase| head.contains(**phrase))?;
    // "I am out until …, could you …?" is a person who says so; a program asks nothing.
    if head.contains('?') && found.starts_with("i") {
        return None;
    }
    Some(Hit { pattern: "machine.text", words: (*found).to_owned() })
}

/// Words of unasked advertising and fraud, with their weight; 3 together are spam.
const SPAM_WORDS: &[(&str, u32)] = &[
    ("seo", 1),
    ("backlink", 2),
    ("guest post", 2),
    ("first page of google", 2),
    ("page rankings", 1),
    ("link building", 2),
    ("domain authority", 2),
    ("high-da", 2),
    ("bitcoin", 1),
    ("btc", 1),
    ("crypto", 1),
    ("wallet", 1),
    ("withdrawal is pending", 2),
    ("mining balance", 2),
    ("lottery", 2),
    ("you have won", 2),
    ("casino", 2),
    ("viagra", 3),
    ("cialis", 3),
    ("inheritance", 1),
    ("next of kin", 2),
    ("million dollars", 1),
    ("work from home", 1),
    ("free audit", 2),
    ("guaranteed income", 2),
    ("guaranteed crypto", 2),
    ("forex", 1),
    ("loan offer", 2),
    ("email list", 1),
    ("leads database", 2),
    ("web design services", 2),
    ("app development company", 2),
    ("outreach", 1),
    ("i was looking at your website", 2),
    ("came across your website", 2),
    ("visited your website", 1),
    ("increase your traffic", 2),
    ("more traffic", 1),
    ("rank higher", 2),
    ("sponsored article", 2),
    ("dear beneficiary", 3),
    ("claim your prize", 3),
    ("hot singles", 3),
    ("influencer", 1),
    ("suchmaschinenoptimierung", 2),
    ("referencement naturel", 2),
    ("posicionamiento web", 2),
    ("agence seo", 2),
    ("no thanks\"", 1),
    ("unsubscribe from this list", 1),
];

/// Unasked advertising or fraud.
pub fn spam(subject: &str, text: &str) -> Option<Hit> {
    let all = format!("{} {}", fold(subject), fold(text)).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut weight = 0;
    let mut seen = Vec::new();
    for (words, points) in SPAM_WORDS {
        let inside = all.match_indices(words).any(|(at, _)| {
            let before = all[..at].chars().next_back();
            let after = all[at + words.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && (words.len() > 4 || !after.is_some_and(char::is_alphanumeric))
        });
        if inside {
            weight += points;
            seen.push(*words);
        }
    }
    (weight >= 4 && seen.len() >= 2 || weight >= 6).then(|| Hit { pattern: "spam.words", words: seen.join(", ") })
}
