//! The heuristics of the working agent: read what is needed, do what is asked, answer from what the records say.
//!
//! Every turn is decided anew from the conversation: escalate at once if a person must decide; else make the reads that are
//! missing, side by side; else the next effect, alone; else close. An effect that was turned down by a person is answered
//! honestly; one that was refused otherwise goes to a person. Text in tickets and results is never followed as an instruction.

use serde_json::{Value, json};

use super::case::{Case, Want};
use super::conversation::{Conversation, Used};
use super::figures::{self, Seats};
use super::knowledge;
use super::phrases;
use super::refunds::{self, Finding, Planned};
use super::signals;
use super::text::{self, Language};
use super::{Call, Reply, Source};

/// Turns after which a ticket goes to a person.
const TURNS_MAX: usize = 14;
/// Orders that are looked up by number in one run.
const ORDERS_MAX: usize = 3;
/// Without a time in the text, a reminder comes after this many seconds.
const REMIND_AFTER_S: i64 = 2 * 86_400;
/// The longest delay of a mail.
const REMIND_MOST_S: i64 = 2_592_000;

/// The next turn of a run without a script (or whose script has ended).
pub fn turn(talk: &Conversation) -> Reply {
    let case = Case::read(talk);
    let mut reply = Reply::new(Source::Heuristics);
    let calls = decide(&case);
    reply.thinking = match calls.as_slice() {
        [] => "Nothing is left to do.".into(),
        [one] => format!("The customer wants {}. Next comes `{}`.", wanted(&case), one.name),
        several => format!("The customer wants {}. I read {} things side by side.", wanted(&case), several.len()),
    };
    reply.calls = calls;
    reply
}

fn wanted(case: &Case<'_>) -> String {
    let names: Vec<&str> = case.wants.iter().map(Want::name).collect();
    names.join(" and ")
}

impl Want {
    fn name(&self) -> &'static str {
        match self {
            Want::Duplicate => "a double charge back",
            Want::Refund => "money back",
            Want::RefundStatus => "to know about a refund",
            Want::OrderStatus => "to know about an order",
            Want::Seats(_) => "other seats",
            Want::Plan(_) => "another plan",
            Want::Pause => "a pause",
            Want::Resume => "the subscription running again",
            Want::BillingDate => "another billing date",
            Want::Reminder => "a mail later",
            Want::Account => "facts of the account",
            Want::HowTo => "to know how something works",
            Want::Thanks => "to say thanks",
            Want::Unclear => "something that is not clear",
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Want::Duplicate | Want::Refund | Want::RefundStatus => "refund",
            Want::OrderStatus => "order",
            Want::Seats(_) | Want::Plan(_) | Want::Account => "account",
            Want::Pause | Want::Resume | Want::BillingDate => "billing",
            Want::HowTo => "how_to",
            Want::Reminder | Want::Thanks | Want::Unclear => "other",
        }
    }

    fn needs_account(&self) -> bool {
        !matches!(self, Want::HowTo | Want::Thanks | Want::Unclear)
    }
}

/// What one want comes to.
enum Part {
    /// This must be called first.
    Call(Call),
    /// A paragraph of the answer.
    Text(String),
    /// A question to the customer.
    Ask(String),
    /// A paragraph that rests on an article.
    Article(String, i64),
    /// A person must decide.
    Escalate(&'static str, String),
}

fn decide(case: &Case<'_>) -> Vec<Call> {
    let escalate = |reason: &str, why: &str| vec![escalation(case, reason, why)];
    let closings_refused = case.used("escalate_to_human").filter(|used| used.error).count();
    if closings_refused >= 3 {
        return Vec::new();
    }
    if case.talk.turns.len() >= TURNS_MAX || closings_refused > 0 {
        return escalate("blocked", "The run took too many turns.");
    }
    let refused: Vec<&Used> = case.used("log_resolution").filter(|used| used.error && !is_bad_input(used)).collect();
    if refused.len() >= 2 {
        return escalate("blocked", "Two answers were refused.");
    }
    if let Some((reason, why)) = for_a_person(case) {
        return escalate(reason, why);
    }
    let reads = missing_reads(case);
    if !reads.is_empty() {
        return reads;
    }
    let mut answer = Answer::default();
    for want in &case.wants {
        let parts = work(case, want);
        for part in parts {
            match part {
                Part::Call(call) => return vec![call],
                Part::Escalate(reason, why) => return escalate(reason, &why),
                Part::Text(text) => answer.paragraphs.push(text),
                Part::Ask(text) => {
                    answer.paragraphs.push(text);
                    answer.asks = true;
                }
                Part::Article(text, id) => {
                    answer.paragraphs.push(text);
                    answer.articles.push(id);
                }
            }
        }
    }
    let closing = answer.close(case);
    // The same words would be refused again.
    if refused.iter().any(|used| {
        used.input["answer"] == closing.input["answer"]
            && used.input["actions_claimed"] == closing.input["actions_claimed"]
    }) {
        return escalate("blocked", "The answer was refused.");
    }
    vec![closing]
}

fn is_bad_input(used: &Used) -> bool {
    used.value["error"].as_str().is_some_and(|error| error.contains("not valid"))
}

/// What a person must decide whatever else is asked.
fn for_a_person<'r>(case: &Case<'_>) -> Option<(&'r str, &'r str)> {
    let words = &case.words;
    if signals::legal(words) {
        return Some(("legal", "The message names a legal step, safety or personal data."));
    }
    if signals::wants_person(words) {
        return Some(("asks_for_person", "The customer asks for a person."));
    }
    if signals::churn(words) {
        return Some(("churn", "The customer wants to leave or to have less."));
    }
    if !case.wants.iter().any(Want::needs_account) {
        return None;
    }
    let customer = &case.customer["customer"];
    if !customer.is_object() {
        return Some(("ambiguous_account", "It is not certain whose account this is."));
    }
    let blocked = customer["status"].as_str().is_some_and(|status| status != "active");
    let flagged = Case::rows(customer, "flags").iter().any(|flag| flag == "fraud");
    (blocked || flagged).then_some(("ambiguous_account", "The account is not in good standing."))
}

/// The reads that the wants need and that have not been made.
fn missing_reads(case: &Case<'_>) -> Vec<Call> {
    let mut reads: Vec<Call> = Vec::new();
    let made = |call: &Call| {
        let same = |(name, input): &(String, Value)| *name == call.name && *input == call.input;
        case.talk.is_given(&call.name, &call.input) || case.talk.turns.iter().any(|turn| turn.calls.iter().any(same))
    };
    for want in &case.wants {
        match want {
            Want::Duplicate => reads.push(Call::new("get_order_status", json!({}))),
            Want::Refund | Want::RefundStatus | Want::OrderStatus => {
                let mut orders = figures::order_ids(&case.about);
                orders.truncate(ORDERS_MAX);
                if orders.is_empty() {
                    reads.push(Call::new("get_order_status", json!({})));
                }
                reads.extend(orders.into_iter().map(|order| Call::new("get_order_status", json!({"order": order}))));
            }
            // What was found beforehand may answer already.
            Want::HowTo if knowledge::best_passage(case).is_some() => {}
            Want::HowTo => {
                let queries = knowledge::queries(case);
                reads.extend(
                    queries.into_iter().map(|query| Call::new("search_knowledge_base", json!({"query": query}))),
                );
            }
            _ => {}
        }
    }
    reads.retain(|call| !made(call) && (case.talk.tools.is_empty() || case.talk.tools.contains(&call.name)));
    reads.dedup();
    reads
}

/// How an effect stands.
enum Effect<'a> {
    Todo,
    Done(&'a Value),
    Rejected,
    Refused(String),
}

fn effect<'a>(case: &Case<'a>, tool: &'static str, same: impl Fn(&Value) -> bool) -> Effect<'a> {
    let Some(used) = case.used(tool).rfind(|used| same(&used.input) && !is_bad_input(used)) else {
        return Effect::Todo;
    };
    if !used.error {
        return Effect::Done(&used.value);
    }
    let error = match &used.value {
        Value::String(text) => text.clone(),
        value => format!("{} {}", value["error"].as_str().unwrap_or(""), value["hint"].as_str().unwrap_or("")),
    };
    let low = error.to_lowercase();
    if ["reject", "declin", "not approve", "turned down", "decided against"].iter().any(|sign| low.contains(sign)) {
        return Effect::Rejected;
    }
    Effect::Refused(error.trim().to_owned())
}

fn work(case: &Case<'_>, want: &Want) -> Vec<Part> {
    match want {
        Want::Duplicate | Want::Refund => money(case, want),
        Want::RefundStatus => refund_status(case),
        Want::OrderStatus => order_status(case),
        Want::Seats(seats) => seats_wanted(case, *seats),
        Want::Plan(plan) => plan_wanted(case, plan),
        Want::Pause => pause(case),
        Want::Resume => change(case, "paused", json!(false), None, |_| phrases::resumed(case.language)),
        Want::BillingDate => billing_date(case),
        Want::Reminder => reminder(case),
        Want::Account => account(case),
        Want::HowTo => how_to(case),
        Want::Thanks => vec![Part::Text(phrases::welcome(case.language))],
        Want::Unclear => vec![Part::Ask(phrases::ask_what(case.language))],
    }
}

fn money_of(case: &Case<'_>, row: &Value, key: &str) -> String {
    phrases::money(case.language, row[key].as_i64().unwrap_or(0), row["currency"].as_str().unwrap_or("usd"))
}

/// What a payment was for: its order, or its day.
fn what_for(case: &Case<'_>, payment: &Value) -> String {
    match payment["order"].as_str() {
        Some(order) => phrases::of_order(case.language, order),
        None => {
            phrases::of_payment(case.language, &phrases::date(case.language, payment["created"].as_str().unwrap_or("")))
        }
    }
}

fn money(case: &Case<'_>, want: &Want) -> Vec<Part> {
    match refunds::find(case, want) {
        Finding::Refund(planned) => planned.iter().flat_map(|one| one_refund(case, one)).collect(),
        Finding::Already(payments) => payments.into_iter().map(|payment| already(case, payment)).collect(),
        Finding::Disputed => vec![Part::Escalate("ambiguous_account", "The cardholder disputes the payment.".into())],
        Finding::NoDuplicate => {
            let payments = case.records("payments");
            if payments.is_empty() {
                return vec![Part::Ask(phrases::ask_payment(case.language))];
            }
            let list: Vec<String> = payments
                .iter()
                .take(6)
                .map(|p| format!("{} ({})", money_of(case, p, "amount_minor"), what_for(case, p)))
                .collect();
            vec![Part::Text(phrases::no_duplicate(case.language, &list.join("; ")))]
        }
        Finding::Which => vec![Part::Ask(phrases::ask_payment(case.language))],
        Finding::NoSuchOrder => vec![Part::Ask(phrases::ask_order(case.language))],
    }
}

fn one_refund(case: &Case<'_>, planned: &Planned) -> Vec<Part> {
    let payment = case.records("payments").into_iter().find(|p| p["id"] == planned.payment.as_str());
    let what = payment.map_or_else(|| planned.payment.clone(), |payment| what_for(case, payment));
    match effect(case, "create_refund", |input| input["payment"] == planned.payment.as_str()) {
        Effect::Todo => {
            let explanation = format!(
                "The customer asks for money back (\"{}\"). The payment is {}. It has {} left to refund.",
                first_sentence(case, 140),
                planned.why,
                payment.map_or_else(String::new, |p| money_of(case, p, "refundable_minor")),
            );
            vec![Part::Call(Call::new(
                "create_refund",
                json!({
                    "payment": planned.payment, "amount_minor": planned.amount_minor, "currency": planned.currency,
                    "reason": planned.reason, "explanation": explanation,
                }),
            ))]
        }
        Effect::Done(result) => {
            // What was really paid back, which a person may have changed.
            let amount = money_of(case, &result["refund"], "amount_minor");
            vec![Part::Text(phrases::refunded(case.language, &amount, &what))]
        }
        Effect::Rejected => vec![Part::Text(phrases::refund_declined(case.language))],
        Effect::Refused(error) => vec![Part::Escalate("blocked", format!("The refund of {what} was refused: {error}"))],
    }
}

fn already(case: &Case<'_>, payment: &Value) -> Part {
    match Case::rows(payment, "refunds").last() {
        Some(refund) => {
            let amount = phrases::money(
                case.language,
                refund["amount_minor"].as_i64().unwrap_or(0),
                payment["currency"].as_str().unwrap_or("usd"),
            );
            let day = phrases::date(case.language, refund["created"].as_str().unwrap_or(""));
            Part::Text(phrases::refunded_before(case.language, &amount, &day, &what_for(case, payment)))
        }
        None => Part::Escalate("blocked", "The payment has nothing left to refund and shows no refund.".into()),
    }
}

fn refund_status(case: &Case<'_>) -> Vec<Part> {
    let refunded: Vec<&Value> =
        case.records("payments").into_iter().filter(|p| !Case::rows(p, "refunds").is_empty()).collect();
    let named = |p: &&&Value| p["order"].as_str().is_some_and(|order| refunds::contains_id(&case.about, order));
    let meant: Vec<&&Value> = refunded.iter().filter(named).collect();
    let newest = || refunded.iter().max_by_key(|p| Case::rows(p, "refunds").last().map(|r| r["created"].to_string()));
    match meant.first().copied().or_else(newest) {
        Some(payment) => vec![already(case, payment)],
        None if case.used("get_order_status").any(|used| used.error) => {
            vec![Part::Ask(phrases::ask_order(case.language))]
        }
        None => {
            vec![Part::Escalate("out_of_scope", "The customer waits for a refund, and the records show none.".into())]
        }
    }
}

fn order_status(case: &Case<'_>) -> Vec<Part> {
    let orders = case.records("orders");
    if orders.is_empty() {
        return vec![Part::Ask(phrases::ask_order(case.language))];
    }
    let named = !figures::order_ids(&case.about).is_empty();
    let shown = if named { ORDERS_MAX } else { 1 };
    let mut parts = Vec::new();
    for order in orders.into_iter().take(shown) {
        let text = |key: &str| order[key].as_str().unwrap_or("");
        let mut lines = vec![phrases::order(case.language, text("id"), text("status"), text("placed"))];
        match order["tracking"].as_str().or_else(|| order["tracking"]["number"].as_str()) {
            Some(number) => lines.push(phrases::tracking(case.language, number)),
            None if matches!(text("status"), "pending" | "processing") => {
                lines.push(phrases::no_tracking(case.language))
            }
            None => {}
        }
        let items: Vec<String> = Case::rows(order, "items")
            .iter()
            .map(|item| format!("{} × {}", item["quantity"].as_i64().unwrap_or(1), item["name"].as_str().unwrap_or("")))
            .collect();
        if !items.is_empty() {
            lines.push(phrases::items(case.language, &items.join(", ")));
        }
        parts.push(Part::Text(lines.join(" ")));
    }
    parts
}

/// A change of the subscription that is meant.
fn change(
    case: &Case<'_>,
    key: &'static str,
    value: Value,
    resumes_on: Option<String>,
    said: impl Fn(&Value) -> String,
) -> Vec<Part> {
    let subscription = match case.subscription() {
        Ok(subscription) => subscription,
        Err(true) => return vec![Part::Ask(phrases::ask_subscription(case.language))],
        Err(false) => return vec![Part::Escalate("out_of_scope", "The account has no subscription to change.".into())],
    };
    let id = &subscription["id"];
    match effect(case, "update_subscription", |input| input["subscription"] == *id && !input[key].is_null()) {
        Effect::Todo => {
            let mut input = json!({"subscription": id, key: value});
            if let Some(day) = resumes_on {
                input["resumes_on"] = day.into();
            }
            input["explanation"] = first_sentence(case, 200).into();
            vec![Part::Call(Call::new("update_subscription", input))]
        }
        Effect::Done(result) => vec![Part::Text(said(&result["subscription"]))],
        Effect::Rejected => vec![Part::Escalate("blocked", "The change was turned down.".into())],
        Effect::Refused(error) => vec![Part::Escalate("blocked", format!("The change was refused: {error}"))],
    }
}

fn seats_wanted(case: &Case<'_>, seats: Seats) -> Vec<Part> {
    let current = case.subscription().ok().and_then(|s| s["quantity"].as_i64()).unwrap_or(1);
    let wanted = match seats {
        Seats::To(n) => n,
        Seats::More(n) => current + n,
        Seats::Fewer => 0,
    };
    if wanted < current {
        return vec![Part::Escalate("churn", "The customer wants fewer seats.".into())];
    }
    if wanted == current && case.used("update_subscription").next().is_none() {
        return vec![Part::Text(phrases::seats_changed(case.language, &current.to_string()))];
    }
    change(case, "quantity", json!(wanted), None, |subscription| {
        let seats = subscription["quantity"].as_i64().unwrap_or(wanted);
        phrases::seats_changed(case.language, &seats.to_string())
    })
}

fn plan_wanted(case: &Case<'_>, plan: &str) -> Vec<Part> {
    let plans = Case::rows(&case.customer, "plans");
    let find = |id: &str| plans.iter().find(|p| p["id"] == id);
    let monthly = |p: &Value| {
        let amount = p["amount_minor"].as_i64().unwrap_or(0);
        if p["interval"].as_str().is_some_and(|i| i.starts_with("year")) { amount / 12 } else { amount }
    };
    let target = find(plan);
    let current = case.subscription().ok().and_then(|s| find(s["plan"].as_str().unwrap_or("")));
    // A yearly price is lower by the month; less than three quarters of today's price is less of the product.
    if let (Some(target), Some(current)) = (target, current)
        && monthly(target) * 4 < monthly(current) * 3
    {
        return vec![Part::Escalate("churn", "The customer wants a smaller plan.".into())];
    }
    change(case, "plan", json!(plan), None, |subscription| {
        let name = subscription["plan_name"].as_str().or_else(|| target.and_then(|t| t["name"].as_str()));
        phrases::plan_changed(case.language, name.unwrap_or(plan))
    })
}

fn day_first(case: &Case<'_>) -> bool {
    case.language != Language::En
}

fn pause(case: &Case<'_>) -> Vec<Part> {
    let until = figures::next_day(&case.about, case.today, day_first(case))
        .or_else(|| figures::delay(&case.about).and_then(|span| case.today.checked_add(span).ok()))
        .filter(|day| *day > case.today)
        .map(|day| day.to_string());
    let day = until.as_deref().map(|day| phrases::date(case.language, day));
    change(case, "paused", json!(true), until, |_| phrases::paused(case.language, day.as_deref()))
}

fn billing_date(case: &Case<'_>) -> Vec<Part> {
    let Some(day) = figures::next_day(&case.about, case.today, day_first(case)) else {
        return vec![Part::Ask(phrases::ask_day(case.language))];
    };
    let day = day.to_string();
    change(case, "billing_date", json!(day), None, |_| {
        phrases::next_bill(case.language, &phrases::date(case.language, &day))
    })
}

fn reminder(case: &Case<'_>) -> Vec<Part> {
    match effect(case, "send_followup_email", |_| true) {
        Effect::Todo => {
            let (subject, body) = phrases::reminder(case.language, &about_reminder(case));
            let input = json!({"after_s": delay_s(case), "subject": subject, "body": body});
            vec![Part::Call(Call::new("send_followup_email", input))]
        }
        Effect::Done(result) => {
            let scheduled = result["mail"]["status"] == "scheduled";
            let due = result["mail"]["due"].as_str().filter(|_| scheduled).map(|due| phrases::date(case.language, due));
            vec![Part::Text(phrases::mail(case.language, due.as_deref()))]
        }
        Effect::Rejected => vec![Part::Escalate("blocked", "The mail was turned down.".into())],
        Effect::Refused(error) => vec![Part::Escalate("blocked", format!("The mail was refused: {error}"))],
    }
}

fn delay_s(case: &Case<'_>) -> i64 {
    let Some(span) = figures::delay(&case.about) else { return REMIND_AFTER_S };
    let start = case.today.at(0, 0, 0, 0);
    let days = span.total((jiff::Unit::Second, start)).unwrap_or(REMIND_AFTER_S as f64);
    // Whole seconds; a span of days has no fraction.
    (days.round() as i64).clamp(0, REMIND_MOST_S)
}

/// What the reminder is about: the customer's own sentence that asks for it.
fn about_reminder(case: &Case<'_>) -> String {
    let asks = |sentence: &String| signals::reminder(&text::folded_words(sentence));
    let sentence = text::sentences(&case.own).into_iter().find(asks).unwrap_or_else(|| first_sentence(case, 200));
    sentence.chars().take(240).collect()
}

fn account(case: &Case<'_>) -> Vec<Part> {
    let mut lines = Vec::new();
    for s in case.subscriptions() {
        let plan = s["plan_name"].as_str().or(s["plan"].as_str()).unwrap_or("?");
        let seats = s["quantity"].as_i64().unwrap_or(1).to_string();
        let day = phrases::date(case.language, s["period_end"].as_str().unwrap_or(""));
        lines.push(phrases::subscription(case.language, plan, &seats, &day, &money_of(case, s, "amount_minor")));
    }
    for (key, value) in case.customer["facts"].as_object().into_iter().flatten() {
        let named = text::content_words(&key.replace('_', " "))
            .iter()
            .any(|k| case.words.iter().any(|w| text::same_stem(w, k)));
        if named && !value.is_object() {
            let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{}: {plain}", key.replace('_', " ")));
        }
    }
    if lines.is_empty() {
        return vec![Part::Escalate("out_of_scope", "The records do not hold what is asked.".into())];
    }
    lines.into_iter().map(Part::Text).collect()
}

fn how_to(case: &Case<'_>) -> Vec<Part> {
    let Some(passage) = knowledge::best_passage(case) else {
        return vec![Part::Escalate("no_grounding", "No article answers the question.".into())];
    };
    let title = passage["title"].as_str().unwrap_or("");
    let link = phrases::article(case.language, title, passage["url"].as_str().unwrap_or(""));
    let quote = knowledge::quote(case, passage);
    let text = if quote.is_empty() { link } else { format!("{quote}\n\n{link}") };
    match passage["article"].as_i64() {
        Some(id) => vec![Part::Article(text, id)],
        None => vec![Part::Escalate("no_grounding", "The passage names no article.".into())],
    }
}

/// The first real sentence of the customer.
fn first_sentence(case: &Case<'_>, most: usize) -> String {
    let sentences = text::sentences(&case.own);
    let long = sentences.iter().find(|sentence| text::words(sentence).len() > 4);
    let sentence = long.or(sentences.first()).map_or_else(|| case.about.trim().to_owned(), Clone::clone);
    sentence.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[derive(Default)]
struct Answer {
    paragraphs: Vec<String>,
    articles: Vec<i64>,
    asks: bool,
}

impl Answer {
    fn close(mut self, case: &Case<'_>) -> Call {
        self.paragraphs.dedup();
        if self.paragraphs.is_empty() {
            self.paragraphs.push(phrases::ask_what(case.language));
            self.asks = true;
        }
        let answer = format!("{}\n\n{}", phrases::greeting(case.language), self.paragraphs.join("\n\n"));
        let category = case.wants.first().map_or("other", Want::category);
        let settled = if self.asks { "asked the customer for what is missing" } else { "answered from the records" };
        let claims: Vec<&str> = done(case).into_iter().map(|(claim, _)| claim).collect();
        Call::new(
            "log_resolution",
            json!({
                "answer": answer,
                "outcome": if self.asks { "waiting_for_customer" } else { "solved" },
                "category": category,
                "summary": format!("The customer wanted {}; {settled}.", wanted(case)),
                "articles": self.articles,
                "actions_claimed": claims,
            }),
        )
    }
}

/// The kinds of effects that were carried out, each once, with a line about them.
fn done(case: &Case<'_>) -> Vec<(&'static str, String)> {
    let kinds = [
        ("create_refund", "refund"),
        ("update_subscription", "subscription_change"),
        ("send_followup_email", "followup_email"),
    ];
    let mut out = Vec::new();
    for (tool, claim) in kinds {
        let results: Vec<String> =
            case.used(tool).filter(|used| !used.error).map(|used| used.value.to_string()).collect();
        if !results.is_empty() {
            out.push((claim, format!("{tool}: {}", results.join("; "))));
        }
    }
    out
}

fn escalation(case: &Case<'_>, reason: &str, why: &str) -> Call {
    let ids = |key: &'static str| {
        case.records(key).iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let subscriptions = case.subscriptions().into_iter().filter_map(|s| s["id"].as_str()).map(str::to_owned).collect();
    let found: Vec<String> =
        [("orders", ids("orders")), ("payments", ids("payments")), ("subscriptions", subscriptions)]
            .into_iter()
            .filter(|(_, list): &(&str, Vec<String>)| !list.is_empty())
            .map(|(name, list)| format!("{name} {}", list.join(", ")))
            .collect();
    let done: Vec<String> = done(case).into_iter().map(|(_, line)| line).collect();
    let priority = if reason == "legal" || signals::angry(&case.words, &case.about) { "high" } else { "normal" };
    Call::new(
        "escalate_to_human",
        json!({
            "reason": reason,
            "asked": first_sentence(case, 300),
            "found": if found.is_empty() { "No records were read.".to_owned() } else { format!("{}.", found.join("; ")) },
            "done": if done.is_empty() { format!("Nothing was changed. {why}") } else { format!("{}. {why}", done.join(". ")) },
            "suggested_answer": format!("{}\n\n{}", phrases::greeting(case.language), phrases::holding(case.language)),
            "holding_message": phrases::holding(case.language),
            "priority": priority,
        }),
    )
}

#[cfg(test)]
mod tests;
