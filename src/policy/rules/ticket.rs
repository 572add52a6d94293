//! What happens to a ticket once its facts and its route are known: answered by us, by a person, or by nobody.

use serde_json::json;

use crate::account::{AccountRead, AccountStatus};
use crate::policy::facts::Facts;
use crate::policy::signals::{self, Signals};
use crate::policy::{Judgement, Policy, RuleId, Verdict};
use crate::ticket::{Author, Ticket};

/// Judges a ticket. The first rule that speaks is the judgement; the order is fixed: quiet, legal, asks for a person, churn,
/// ambiguous account.
pub fn judge_ticket(facts: &Facts, policy: &Policy) -> Judgement {
    let seen = read(facts.ticket, &policy.shop_name);
    let route = facts.route;
    let known = facts.account.is_some_and(|account| !account.customers.is_empty());

    if let Some(hit) = &seen.spam
        && !known
    {
        let why = format!("reads like unasked advertising: `{}`", hit.words);
        return quiet(why).with("pattern", hit.pattern).with("words", hit.words.as_str());
    }
    if route.is_some_and(|route| route.spam) && !known {
        return quiet("the router calls it spam, and no customer has this address".to_owned()).with("router", true);
    }
    if let Some(found) = &seen.legal {
        return by_words(RuleId::Legal, &found.hit, route.is_some_and(|r| r.legal)).with("kind", json!(found.kind));
    }
    if route.is_some_and(|route| route.legal) {
        return by_router(RuleId::Legal, "the router sees a legal threat, a danger or a request about personal data");
    }
    if let Some(hit) = &seen.wants_person {
        return by_words(RuleId::AsksForPerson, hit, route.is_some_and(|r| r.wants_person));
    }
    if route.is_some_and(|route| route.wants_person) {
        return by_router(RuleId::AsksForPerson, "the router sees that the customer asks for a person");
    }
    if let Some(hit) = &seen.churn {
        return by_words(RuleId::Churn, hit, route.is_some_and(|r| r.churn));
    }
    if route.is_some_and(|route| route.churn) {
        return by_router(RuleId::Churn, "the router sees that the customer may leave or wants to have less");
    }
    let cases = ambiguities(facts.ticket, facts.account, &seen);
    if cases.is_empty() {
        return Judgement::allow();
    }
    let why = cases.iter().map(|case| case.why.as_str()).collect::<Vec<_>>().join("; ");
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    let mut judgement = Judgement::new(RuleId::AmbiguousAccount, Verdict::Escalate, why).with("cases", json!(names));
    for case in cases {
        judgement = judgement.with(case.name, case.input);
    }
    judgement
}

/// What the customer's own words give away: all public comments of theirs since the last answer, the subject with the first.
pub(crate) fn read(ticket: &Ticket, shop: &str) -> Signals {
    let last_answer = ticket
        .messages
        .iter()
        .rposition(|m| m.public && matches!(m.author, Author::Agent | Author::Deskhand))
        .map_or(0, |at| at + 1);
    let words: Vec<&str> = ticket.messages[last_answer..]
        .iter()
        .filter(|m| m.public && m.author == Author::Requester)
        .map(|m| m.text.as_str())
        .collect();
    // After an answer the subject is old: it says what was asked first, which has been dealt with.
    let subject = if last_answer == 0 { ticket.subject.as_str() } else { "" };
    // Each message by itself, so that one signature mark does not cut off the next message.
    let mut all = words
        .iter()
        .enumerate()
        .map(|(number, text)| signals::read_for(if number == 0 { subject } else { "" }, text, shop));
    let Some(mut seen) = all.next() else { return signals::read_for(subject, "", shop) };
    for more in all {
        seen.language = more.language.or(seen.language);
        seen.churn = seen.churn.or(more.churn);
        seen.wants_person = seen.wants_person.or(more.wants_person);
        seen.legal = seen.legal.or(more.legal);
        seen.name_only_claim = seen.name_only_claim.or(more.name_only_claim);
        seen.machine_mail = seen.machine_mail.or(more.machine_mail);
    }
    seen
}

fn quiet(why: String) -> Judgement {
    Judgement::new(RuleId::Quiet, Verdict::Quiet { reason: "spam".to_owned() }, why)
}

fn by_words(rule: RuleId, hit: &signals::Hit, router: bool) -> Judgement {
    Judgement::new(rule, Verdict::Escalate, format!("the customer writes `{}`", hit.words))
        .with("pattern", hit.pattern)
        .with("words", hit.words.as_str())
        .with("router", router)
}

fn by_router(rule: RuleId, why: &str) -> Judgement {
    Judgement::new(rule, Verdict::Escalate, why).with("router", true)
}

/// One reason why it is not certain whose account this is, or why it is not in order.
struct Case {
    name: &'static str,
    why: String,
    input: serde_json::Value,
}

fn ambiguities(ticket: &Ticket, account: Option<&AccountRead>, seen: &Signals) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &'static str, why: String, input: serde_json::Value| cases.push(Case { name, why, input });

    if let Some(request) = ticket.newest_request() {
        let doubtful: Vec<i64> =
            request.flags.iter().copied().filter(|flag| matches!(flag, 14 | 20 | 21 | 22)).collect();
        if !doubtful.is_empty() {
            let list = doubtful.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            add("sender_flags", format!("the helpdesk doubts the sender (flags {list})"), json!(doubtful));
        }
    }
    if ticket.requester.address.is_some() && !ticket.requester.verified {
        add("requester_unverified", "the helpdesk has not verified the requester's address".to_owned(), json!(true));
    }
    if ticket.requester.address.is_none() {
        add("no_address", "the requester has no mail address".to_owned(), json!(true));
    }
    let Some(account) = account else {
        add("not_read", "the vendors' records were not read".to_owned(), json!(true));
        return cases;
    };
    match account.customers.as_slice() {
        [] => add("no_account", "no account has the requester's address".to_owned(), json!(0)),
        [customer] => {
            match customer.status {
                AccountStatus::Active => {}
                AccountStatus::Locked => add("locked", "the account is locked".to_owned(), json!(customer.id)),
                AccountStatus::Unpaid => add("unpaid", "the account owes money".to_owned(), json!(customer.id)),
            }
            let fraud: Vec<&String> = customer.flags.iter().filter(|flag| is_fraud_mark(flag)).collect();
            if !fraud.is_empty() {
                add("fraud_mark", "the account carries a fraud mark".to_owned(), json!(fraud));
            }
        }
        several => {
            let ids: Vec<_> = several.iter().map(|customer| customer.id.as_str()).collect();
            add("several_accounts", format!("{} accounts have the requester's address", ids.len()), json!(ids));
        }
    }
    if !account.strangers_in_copy.is_empty() {
        let count = account.strangers_in_copy.len();
        add(
            "strangers_in_copy",
            format!("{count} in copy not known to the account would read the answer"),
            json!(account.strangers_in_copy),
        );
    }
    let disputed: Vec<_> = account.payments.iter().filter(|p| p.disputed).map(|p| p.id.as_str()).collect();
    if !disputed.is_empty() {
        add("disputed", format!("a payment is disputed: {}", disputed.join(", ")), json!(disputed));
    }
    if !account.contradictions.is_empty() {
        add("contradictions", account.contradictions.join("; "), json!(account.contradictions));
    }
    if let Some(hit) = &seen.name_only_claim {
        add("name_only_claim", format!("the sender claims an account by words: `{}`", hit.words), json!(hit.words));
    }
    cases
}

/// Marks of the team that speak of fraud, however they write them.
fn is_fraud_mark(flag: &str) -> bool {
    let lower = flag.to_lowercase();
    ["fraud", "scam", "stolen", "chargeback", "abuse", "blocked"].iter().any(|mark| lower.contains(mark))
}
