//! What must never leave, whoever asks for it: placeholders, secrets, card numbers, other people's addresses, unknown links.

use crate::policy::Policy;
use crate::policy::answer::AnswerFault;
use crate::policy::facts::Facts;

/// Checks a text against all of them.
pub(super) fn check(facts: &Facts, text: &str, policy: &Policy) -> Result<(), AnswerFault> {
    if let Some(found) = placeholder(text) {
        return Err(AnswerFault::proof(format!(
            "the placeholder `{found}` was left in; write the real words or leave it out"
        )));
    }
    if let Some(kind) = secret(text) {
        return Err(AnswerFault::proof(format!("the text holds what looks like {kind}; take it out")));
    }
    if card_number(text) {
        return Err(AnswerFault::proof("the text holds a card number; the last four digits are enough"));
    }
    for address in addresses(text) {
        if !address_allowed(facts, &address, policy) {
            return Err(AnswerFault::proof(format!(
                "the address `{address}` is not the requester's and not the team's; take it out"
            )));
        }
    }
    for link in links(text) {
        if !link_allowed(facts, &link, policy) {
            return Err(AnswerFault::proof(format!(
                "the link `{link}` is neither from the knowledge base nor on the team's domains; take it out"
            )));
        }
    }
    Ok(())
}

/// A gap that someone forgot to fill.
fn placeholder(text: &str) -> Option<String> {
    for (open, close) in [("{{", "}}"), ("{%", "%}"), ("<%", "%>"), ("${", "}")] {
        if let Some(at) = text.find(open) {
            let rest = &text[at..];
            let end = rest.find(close).map_or(rest.len().min(20), |e| e + close.len());
            return Some(rest.chars().take(end.min(40)).collect());
        }
    }
    let words = [
        "insert",
        "name",
        "your",
        "customer",
        "date",
        "amount",
        "order",
        "link",
        "placeholder",
        "company",
        "agent",
        "einfugen",
        "kunde",
        "datum",
        "betrag",
        "nom",
        "nombre",
        "nome",
        "fecha",
        "data",
        "montant",
        "importe",
        "valor",
        "ticket",
        "email",
        "number",
        "x",
        "xx",
        "xxx",
        "todo",
        "tbd",
    ];
    for (open, close) in [('[', ']'), ('<', '>')] {
        for (at, _) in text.match_indices(open) {
            let rest = &text[at + 1..];
            let Some(end) = rest.find(close) else { continue };
            // `[words](link)` is Markdown, `<https://…>` a link, `<br>` a tag.
            let after = rest[end + 1..].chars().next();
            let inner = &rest[..end];
            if inner.is_empty()
                || inner.len() > 60
                || after == Some('(')
                || inner.contains("://")
                || inner.contains('@')
            {
                continue;
            }
            let folded = crate::policy::words::fold(inner);
            let pieces: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
            let shouted = inner.chars().any(char::is_alphabetic) && !inner.chars().any(char::is_lowercase);
            if shouted && inner.len() > 1 || pieces.iter().any(|piece| words.contains(piece)) {
                return Some(format!("{open}{inner}{close}"));
            }
        }
    }
    let upper_marks = ["TODO", "FIXME", "TBD", "XXXX", "LOREM IPSUM", "INSERT_", "YOUR_NAME", "CUSTOMER_NAME"];
    upper_marks
        .iter()
        .find(|mark| text.contains(**mark))
        .map(|mark| (*mark).to_owned())
        .or_else(|| text.to_lowercase().contains("lorem ipsum").then(|| "lorem ipsum".to_owned()))
}

/// Words that open a key or a token, with what they are.
const SECRET_STARTS: &[(&str, &str)] = &[
    ("sk_live", "a Stripe key"),
    ("sk_test", "a Stripe key"),
    ("rk_live", "a Stripe key"),
    ("rk_test", "a Stripe key"),
    ("pk_live", "a Stripe key"),
    ("whsec_", "a webhook secret"),
    ("sk-ant-", "an API key"),
    ("sk-proj-", "an API key"),
    ("ghp_", "an access token"),
    ("gho_", "an access token"),
    ("github_pat_", "an access token"),
    ("xoxb-", "an access token"),
    ("xoxp-", "an access token"),
    ("xapp-", "an access token"),
    ("AKIA", "an AWS key"),
    ("ASIA", "an AWS key"),
    ("AIza", "a Google key"),
    ("ya29.", "an access token"),
    ("eyJ", "a signed token"),
    ("glpat-", "an access token"),
    ("-----BEGIN", "a private key"),
    ("SG.", "a mail key"),
    ("npm_", "an access token"),
];

/// A key, a token or a password.
fn secret(text: &str) -> Option<&'static str> {
    for (start, kind) in SECRET_STARTS {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(char::is_alphanumeric) {
                continue;
            }
            let rest = &text[at + start.len()..];
            let length = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).count();
            if length >= 8 || *start == "-----BEGIN" {
                return Some(kind);
            }
        }
    }
    let lower = text.to_lowercase();
    for mark in [
        "bearer ",
        "basic ",
        "password: ",
        "passwort: ",
        "mot de passe : ",
        "contraseña: ",
        "senha: ",
        "api key: ",
        "api_key=",
        "token: ",
        "secret: ",
    ] {
        for (at, _) in lower.match_indices(mark) {
            let rest = &lower[at + mark.len()..];
            let word: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
            let mixed = word.chars().any(|c| c.is_ascii_digit());
            if word.len() >= 8 && mixed && !word.contains("://") {
                return Some("a token or a password");
            }
        }
    }
    None
}

/// A run of 13 to 19 digits, with blanks or hyphens between groups, that passes the check sum of card numbers.
fn card_number(text: &str) -> bool {
    let bytes: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let mut digits = Vec::new();
        let mut end = at;
        while end < bytes.len() {
            match bytes[end] {
                c if c.is_ascii_digit() => digits.push(c.to_digit(10).unwrap_or(0)),
                ' ' | '-' | '\u{a0}' if end + 1 < bytes.len() && bytes[end + 1].is_ascii_digit() => {}
                _ => break,
            }
            end += 1;
        }
        let alone = !before.is_some_and(|c| c.is_alphanumeric() || c == '/' || c == '_');
        // Card numbers start with 2 to 6; long numbers of articles and tickets mostly do not pass the sum.
        if alone && (13..=19).contains(&digits.len()) && (2..=6).contains(&digits[0]) && luhn(&digits) {
            return true;
        }
        at = end.max(at + 1);
    }
    false
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The mail addresses in a text, lower case.
fn addresses(text: &str) -> Vec<String> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%' | '\'');
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let name: String =
            text[..at].chars().rev().take_while(|c| part(*c)).collect::<Vec<_>>().into_iter().rev().collect();
        let domain: String = text[at + 1..].chars().take_while(|c| part(*c)).collect();
        let domain = domain.trim_end_matches(['.', '-', '\'']);
        if !name.is_empty() && domain.contains('.') {
            found.push(format!("{name}@{domain}").to_lowercase());
        }
    }
    found
}

fn address_allowed(facts: &Facts, address: &str, policy: &Policy) -> bool {
    let own = facts.ticket.requester.address.as_deref() == Some(address);
    let on_record = facts.account.and_then(|a| a.customer()).is_some_and(|customer| customer.address == address);
    let domain = address.rsplit('@').next().unwrap_or("");
    own || on_record || on_domains(domain, &policy.link_domains)
}

/// Whether a host is one of these domains or below one.
fn on_domains(host: &str, domains: &[String]) -> bool {
    domains.iter().any(|domain| {
        let domain = domain.trim_start_matches("www.").to_ascii_lowercase();
        !domain.is_empty() && (host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.')))
    })
}

/// The links in a text, as written, without trailing punctuation: with a scheme, or starting with `www.`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lower = text.to_ascii_lowercase();
    let mut starts: Vec<usize> = ["http://", "https://", "ftp://", "javascript:", "data:text", "mailto:", "tel:"]
        .iter()
        .flat_map(|scheme| lower.match_indices(scheme).map(|(at, _)| at))
        .collect();
    starts.extend(lower.match_indices("www.").map(|(at, _)| at).filter(|at| !lower[..*at].ends_with("//")));
    // Markdown's targets without a scheme: `[text](//host)` and the like.
    starts.extend(lower.match_indices("](").map(|(at, _)| at + 2));
    starts.sort_unstable();
    starts.dedup();
    for at in starts {
        let link: String = text[at..]
            .chars()
            .take_while(|c| !c.is_whitespace() && !matches!(c, ')' | ']' | '>' | '<' | '"' | '»' | '`'))
            .collect();
        let link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '\'']);
        if !link.is_empty() {
            found.push(link.to_owned());
        }
    }
    found
}

fn link_allowed(facts: &Facts, link: &str, policy: &Policy) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').to_owned();
    if facts.links_seen.iter().any(|seen| plain(seen) == plain(link)) {
        return true;
    }
    let lower = link.to_ascii_lowercase();
    if let Some(address) = lower.strip_prefix("mailto:") {
        return address_allowed(facts, address.split('?').next().unwrap_or(""), policy);
    }
    let rest = match lower.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return false,
        None if lower.starts_with("www.") => &lower,
        None if lower.starts_with('#') => return true,
        None => lower.trim_start_matches('/'),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    // A user name before the host is a disguise.
    if authority.contains('@') {
        return false;
    }
    let host = authority.split(':').next().unwrap_or("");
    on_domains(host, &policy.link_domains)
}
