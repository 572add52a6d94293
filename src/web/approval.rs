//! One approval: the evidence and the form, the check of every effect, the decision itself, its undoing, and how it went.
//! Money moves in two steps with a pause; whatever changed in between stops it, never doubles it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::ids::ApprovalId;
use crate::intent::Intent;
use crate::journal;
use crate::journal::accounts::Role;
use crate::journal::views::ApprovalFilter;
use crate::money::Money;
use crate::run::decide::{self, Refused};
use crate::run::entry::{Decision, Entry};
use crate::run::row::{ApprovalRow, ApprovalState};
use crate::web::error::Error;
use crate::web::evidence::{Case, Claim, Progress};
use crate::web::format::{self, Moment};
use crate::web::parts::{ApprovalLine, Names, Status, subject};
use crate::web::session::{Fields, Posted, Viewer};
use crate::web::thread::{self, Item};
use crate::web::{Shell, Web, show};

/// The longest note, in characters.
const NOTE_MAX: usize = 2_000;

/// One thing that is wrong with the form: the field's id, and what to do.
struct Mistake {
    field: &'static str,
    text: String,
}

/// An effect, as the person confirms it and then watches it.
struct Effect {
    title: String,
    text: String,
    lasting: bool,
    status: Option<Status>,
}

#[derive(Template)]
#[template(path = "approval.html", blocks = ["need", "nav_need", "notice"])]
pub(super) struct ApprovalPage {
    shell: Shell,
    id: String,
    run: String,
    ticket: String,
    ticket_url: Option<String>,
    amount: Option<Money>,
    what: String,
    customer: String,
    subject: String,
    asked: Moment,
    due: Moment,
    overdue: bool,
    rule: String,
    rule_version: u32,
    why: String,
    inputs: Vec<(String, String)>,
    effects: Vec<Effect>,
    claims: Vec<Claim>,
    talk: Vec<Item>,
    about: Vec<(&'static str, String)>,
    version: u64,
    /// What moved since the page was opened; the form is still there, for the newer state.
    notice: Option<String>,
    mistakes: Vec<Mistake>,
    choice: String,
    amount_text: String,
    note: String,
    position: usize,
    waiting: usize,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "approval_check.html", blocks = ["need", "nav_need"])]
struct CheckPage {
    shell: Shell,
    id: String,
    question: String,
    button: String,
    decision_words: String,
    effects: Vec<Effect>,
    note: String,
    lasting: bool,
    hold: String,
    version: u64,
    choice: String,
    amount_text: String,
}

#[derive(Template)]
#[template(path = "approval_sent.html", blocks = ["need", "nav_need", "hold", "effects"])]
pub(super) struct SentPage {
    shell: Shell,
    id: String,
    run: String,
    customer: String,
    subject: String,
    headline: String,
    text: String,
    /// Until when it can be undone, while it can.
    held: Option<Moment>,
    note: String,
    decided: bool,
    effects: Vec<Effect>,
    notice: Option<String>,
    next: Vec<ApprovalLine>,
}

/// An approval with its run.
struct Found {
    row: ApprovalRow,
    entries: Vec<Entry>,
    case: Case,
}

async fn find(web: &Web, id: &str) -> Result<Found, Error> {
    let id: ApprovalId = id.parse().map_err(|_| Error::NotFound)?;
    let Some(row) = web.app.views.approval(&id).await? else {
        // Retention removes a run's approvals with its entries.
        let (run, _) = id.origin().ok_or(Error::NotFound)?;
        super::run::must_be_kept(web, &run).await?;
        return Err(Error::NotFound);
    };
    let entries = web.app.journal.entries(&row.run).await?;
    let case = Case::read(&entries, &id)
        .ok_or_else(|| Error::Broken(format!("`{}` has a row for `{id}` and no entry", row.run)))?;
    Ok(Found { row, entries, case })
}

/// The way on from an approval whose run cannot be read.
async fn unreadable(web: &Web, id: &str) -> Result<Response, Error> {
    let id: ApprovalId = id.parse().map_err(|_| Error::NotFound)?;
    let row = web.app.views.approval(&id).await?.ok_or(Error::NotFound)?;
    Ok(Redirect::to(&format!("/runs/{}", row.run)).into_response())
}

/// The approval: the form while it waits, what happens with it afterwards.
pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let found = match find(&web, &id).await {
        // Its run's page says why nothing can be shown or decided here.
        Err(Error::Journal(journal::Error::Corrupt(_))) => return unreadable(&web, &id).await,
        found => found?,
    };
    if found.row.state == ApprovalState::Waiting {
        show(&form(&web, &viewer, found, &Fields::default(), Vec::new(), None).await?)
    } else {
        show(&sent(&web, &viewer, found, None).await?)
    }
}

/// A reload of a form's answer comes here: the approval itself says how it stands.
pub(super) async fn back(_viewer: Viewer, Path(id): Path<String>) -> Result<Redirect, Error> {
    let id: ApprovalId = id.parse().map_err(|_| Error::NotFound)?;
    Ok(Redirect::to(&format!("/approvals/{id}")))
}

/// Shows every effect of a choice, before anything is recorded.
pub(super) async fn check(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Error> {
    let Posted { viewer, fields } = posted;
    viewer.must_be(Role::Approver)?;
    let found = find(&web, &id).await?;
    if let Some(stopped) = moved(&web, &viewer, &found, &fields).await? {
        return Ok(stopped);
    }
    if !fields.get("back").is_empty() {
        return show(&form(&web, &viewer, found, &fields, Vec::new(), None).await?);
    }
    let (choice, mistakes) = read_choice(&fields, &found.case);
    let Some(choice) = choice.filter(|_| mistakes.is_empty()) else {
        let page = form(&web, &viewer, found, &fields, mistakes, None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&page)?).into_response());
    };
    let customer = &found.row.customer;
    let (question, button, words) = match (&choice, found.case.amount()) {
        (Choice::Decide(Decision::Approve), Some(amount)) => (
            format!("Refund {amount} to {customer}?"),
            format!("Refund {amount} and let the agent answer"),
            "Approve in full".to_owned(),
        ),
        (Choice::Decide(Decision::Approve), None) => (
            format!("{} for {customer}?", what(&found.case.intent)),
            "Approve and let the agent answer".to_owned(),
            "Approve".to_owned(),
        ),
        (Choice::Decide(Decision::Amount { amount }), _) => (
            format!("Refund {amount} to {customer}?"),
            format!("Refund {amount} and let the agent answer"),
            format!("Approve another amount: {amount}"),
        ),
        (Choice::Decide(Decision::Reject), _) => (
            format!("Reject the request of {customer}?"),
            "Reject and let the agent explain".to_owned(),
            "Reject".to_owned(),
        ),
        (Choice::TakeOver, _) => (
            format!("Take over the ticket of {customer}?"),
            "Take over, stop the agent".to_owned(),
            "Take over".to_owned(),
        ),
    };
    let effects = effects(&choice, &found, None);
    show(&CheckPage {
        shell: Shell::new(&web, &viewer, question.clone(), "approvals").await?,
        id: found.row.approval.to_string(),
        question,
        button,
        decision_words: words,
        lasting: effects.iter().any(|effect| effect.lasting),
        effects,
        note: fields.get("note").to_owned(),
        hold: match &choice {
            Choice::TakeOver => String::new(),
            Choice::Decide(_) => format::duration(hold_ms(&web).unsigned_abs()),
        },
        version: found.case.len,
        choice: fields.get("d").to_owned(),
        amount_text: fields.get("amount").to_owned(),
    })
}

/// Records the decision.
pub(super) async fn decision(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Error> {
    let Posted { viewer, fields } = posted;
    viewer.must_be(Role::Approver)?;
    let found = find(&web, &id).await?;
    if let Some(stopped) = moved(&web, &viewer, &found, &fields).await? {
        return Ok(stopped);
    }
    let (choice, mistakes) = read_choice(&fields, &found.case);
    let Some(choice) = choice.filter(|_| mistakes.is_empty()) else {
        let page = form(&web, &viewer, found, &fields, mistakes, None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&page)?).into_response());
    };
    let (by, note, now) = (viewer.user.email.clone(), fields.get("note"), web.app.clock.now());
    let approval = &found.row.approval;
    let recorded = match &choice {
        Choice::Decide(decision) => {
            decide::decide(&found.entries, approval, decision.clone(), &by, note, now, hold_ms(&web))
        }
        Choice::TakeOver => decide::take_over(&found.entries, &by, now),
    };
    let words = match &choice {
        Choice::Decide(Decision::Approve) => "approve".to_owned(),
        Choice::Decide(Decision::Amount { amount }) => format!("approve {amount}"),
        Choice::Decide(Decision::Reject) => "reject".to_owned(),
        Choice::TakeOver => "take over".to_owned(),
    };
    let detail = if note.is_empty() { words } else { format!("{words}: {note}") };
    record(&web, &viewer, found, recorded, "approval_decided", &detail).await
}

/// Takes a decision back while it rests.
pub(super) async fn undo(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Error> {
    let viewer = posted.viewer;
    viewer.must_be(Role::Approver)?;
    let found = find(&web, &id).await?;
    let undone = decide::undo(&found.entries, &found.row.approval, &viewer.user.email, web.app.clock.now());
    record(&web, &viewer, found, undone, "decision_undone", "").await
}

/// Appends what a person did, or says why it did not happen.
async fn record(
    web: &Web,
    viewer: &Viewer,
    found: Found,
    recorded: Result<decide::Recorded, Refused>,
    act: &str,
    detail: &str,
) -> Result<Response, Error> {
    let id = found.row.approval.clone();
    let refused = match recorded {
        Ok((expected_len, entries, projection)) => {
            match web.app.journal.interject(&found.row.run, expected_len, entries, projection).await {
                Ok(()) => {
                    let now_ms = web.app.clock.now_ms();
                    web.app.accounts.append_audit(&viewer.user.email, act, id.as_str(), detail, now_ms).await?;
                    return Ok(Redirect::to(&format!("/approvals/{id}")).into_response());
                }
                Err(journal::Error::Moved { .. }) => None,
                Err(other) => return Err(other.into()),
            }
        }
        Err(refused) => Some(refused),
    };
    let found = find(web, id.as_str()).await?;
    let names = Names::load(web).await?;
    let notice = match refused {
        Some(Refused::AlreadyDecided { by, at }) => already(&names.of(&by), &web.times().at(at)),
        Some(Refused::TooLate) => "It is too late to undo: the effect has left.".to_owned(),
        Some(Refused::Broken(broken)) => return Err(Error::Broken(broken.to_string())),
        Some(other) => format!("Nothing was recorded: {other}."),
        None => changed_words(&found, &names, web),
    };
    conflict(web, viewer, found, notice).await
}

/// Whether the run moved since the form was drawn; then nothing is recorded and the page says what is new.
async fn moved(web: &Web, viewer: &Viewer, found: &Found, fields: &Fields) -> Result<Option<Response>, Error> {
    let waits = found.row.state == ApprovalState::Waiting;
    if waits && fields.get("version").parse::<u64>() == Ok(found.case.len) {
        return Ok(None);
    }
    let names = Names::load(web).await?;
    let notice = changed_words(found, &names, web);
    let found = find(web, found.row.approval.as_str()).await?;
    conflict(web, viewer, found, notice).await.map(Some)
}

async fn conflict(web: &Web, viewer: &Viewer, found: Found, notice: String) -> Result<Response, Error> {
    let page = if found.row.state == ApprovalState::Waiting {
        show(&form(web, viewer, found, &Fields::default(), Vec::new(), Some(notice)).await?)?
    } else {
        show(&sent(web, viewer, found, Some(notice)).await?)?
    };
    Ok((StatusCode::CONFLICT, page).into_response())
}

fn already(by: &str, at: &Moment) -> String {
    format!("Already decided by {by}, {} ago. Your decision was not recorded.", at.away)
}

fn changed_words(found: &Found, names: &Names, web: &Web) -> String {
    match (&found.case.decided, found.row.state) {
        (Some(decided), _) => already(&names.of(&decided.by), &web.times().ms(decided.at_ms)),
        (None, ApprovalState::Waiting) => {
            "This changed since you opened it. Nothing was recorded. The page shows how it \
                                           stands now: read it again, then decide."
                .to_owned()
        }
        (None, _) => "It no longer waits for a decision. Nothing was recorded.".to_owned(),
    }
}

enum Choice {
    Decide(Decision),
    TakeOver,
}

/// Reads the form. A choice comes back even when something else is wrong.
fn read_choice(fields: &Fields, case: &Case) -> (Option<Choice>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let note = fields.get("note");
    let choice = match fields.get("d") {
        "approve" => Some(Choice::Decide(Decision::Approve)),
        "reject" => Some(Choice::Decide(Decision::Reject)),
        "take" => Some(Choice::TakeOver),
        "amount" => match read_amount(fields.get("amount"), case) {
            Ok(amount) if Some(amount) == case.amount() => Some(Choice::Decide(Decision::Approve)),
            Ok(amount) => Some(Choice::Decide(Decision::Amount { amount })),
            Err(text) => {
                mistakes.push(Mistake { field: "amount", text });
                None
            }
        },
        _ => {
            mistakes.push(Mistake { field: "d-approve", text: "Choose what should happen.".to_owned() });
            None
        }
    };
    if matches!(fields.get("d"), "reject" | "amount") && note.is_empty() {
        let text = match fields.get("d") {
            "reject" => "Write a note that says why. The agent explains it to the customer with your words.",
            _ => "Write a note that says why the amount changed.",
        };
        mistakes.push(Mistake { field: "note", text: text.to_owned() });
    }
    if note.chars().count() > NOTE_MAX {
        mistakes.push(Mistake { field: "note", text: format!("Write a note of {NOTE_MAX} characters or fewer.") });
    }
    (choice, mistakes)
}

fn read_amount(text: &str, case: &Case) -> Result<Money, String> {
    let asked = case.amount().ok_or_else(|| "This approval has no amount.".to_owned())?;
    let amount = Money::parse_major(text, asked.currency)
        .filter(|amount| amount.minor > 0)
        .ok_or_else(|| format!("Enter an amount like {asked}."))?;
    if let Some(most) = case.amount().filter(|most| amount.minor > most.minor) {
        return Err(format!("Enter an amount of {most} or less. More was not asked for."));
    }
    match case.payment().map(|payment| payment.refundable) {
        Some(rest) if amount.minor > rest.minor => {
            Err(format!("Enter an amount of {rest} or less. That is all that is left to refund."))
        }
        _ => Ok(amount),
    }
}

fn hold_ms(web: &Web) -> i64 {
    i64::try_from(web.app.settings.undo_window.as_millis()).unwrap_or(i64::MAX)
}

/// What an intent asks for, as a heading.
fn what(intent: &Intent) -> String {
    match intent {
        Intent::CreateRefund(_) => "Refund".to_owned(),
        Intent::UpdateSubscription(change) => format!("Change of subscription {}", change.subscription),
        Intent::SendFollowupEmail(_) => "Mail to the customer".to_owned(),
        other => format::sentence(other.tool().as_str()),
    }
}

/// Tells how far an effect is.
type Watch<'a> = &'a dyn Fn(&Progress, bool) -> Status;

/// What a choice does, in order; with how each part stands once it is decided.
fn effects(choice: &Choice, found: &Found, watch: Option<Watch<'_>>) -> Vec<Effect> {
    let case = &found.case;
    let status = |progress: &Progress, first: bool| watch.map(|watch| watch(progress, first));
    let amount = match choice {
        Choice::Decide(Decision::Amount { amount }) => Some(*amount),
        _ => case.amount(),
    };
    match choice {
        Choice::Decide(Decision::Approve | Decision::Amount { .. }) => {
            let (title, text) = match (&case.intent, amount) {
                (Intent::CreateRefund(refund), Some(amount)) => {
                    let method = case.payment().map(|payment| payment.method.clone()).filter(|m| !m.is_empty());
                    let to = method.map_or_else(String::new, |method| format!(" to {method}"));
                    (format!("Refunds {amount}{to}"), format!("From payment {}, once, after the hold.", refund.payment))
                }
                (intent, _) => {
                    let value = serde_json::to_value(intent).unwrap_or_default();
                    let input = value.get("input").map(crate::web::run::compact_json).unwrap_or_default();
                    (what(intent), input)
                }
            };
            vec![
                Effect { title, text, lasting: true, status: status(&case.effect, true) },
                Effect {
                    title: format!("The agent answers {}", found.row.customer),
                    text: "Only after the effect is confirmed; the answer says what was really done.".to_owned(),
                    lasting: false,
                    status: status(&case.answer, false),
                },
            ]
        }
        Choice::Decide(Decision::Reject) => vec![
            Effect {
                title: "Nothing is refunded or changed".to_owned(),
                text: "The request is refused for this ticket.".to_owned(),
                lasting: false,
                status: None,
            },
            Effect {
                title: format!("The agent explains it to {}", found.row.customer),
                text: "It reads your note and answers in its own words.".to_owned(),
                lasting: false,
                status: status(&case.answer, true),
            },
        ],
        Choice::TakeOver => vec![
            Effect {
                title: "The agent stops".to_owned(),
                text: "It sends nothing more on this ticket.".to_owned(),
                lasting: false,
                status: None,
            },
            Effect {
                title: "The approval closes without an effect".to_owned(),
                text: "Nothing is refunded or changed.".to_owned(),
                lasting: false,
                status: None,
            },
            Effect {
                title: "You answer at the helpdesk".to_owned(),
                text: "The ticket stays as it is, with its notes.".to_owned(),
                lasting: false,
                status: None,
            },
        ],
    }
}

async fn form(
    web: &Web,
    viewer: &Viewer,
    found: Found,
    fields: &Fields,
    mistakes: Vec<Mistake>,
    notice: Option<String>,
) -> Result<ApprovalPage, Error> {
    let times = web.times();
    let names = Names::load(web).await?;
    let waiting = web.app.views.approvals(ApprovalFilter::Waiting, 500).await?;
    let place = waiting.iter().position(|row| row.approval == found.row.approval);
    let next = place.and_then(|at| waiting.get(at + 1)).map(|row| row.approval.to_string());
    let Found { row, case, .. } = &found;
    let amount = case.amount();
    let heading = match amount {
        Some(amount) => format!("{amount} refund to {}", row.customer),
        None => format!("{} for {}", what(&case.intent), row.customer),
    };
    let error = if mistakes.is_empty() { "" } else { "Error: " };
    let live = format!("approval&approval={}&seen={}", row.approval, case.len);
    let judgement = case.judgement.as_ref();
    let ticket = case.ticket.as_ref().map_or(String::new(), |ticket| ticket.id.to_string());
    Ok(ApprovalPage {
        shell: Shell::new(web, viewer, format!("{error}{heading}"), "approvals").await?.live(live),
        id: row.approval.to_string(),
        run: row.run.to_string(),
        ticket_url: web.app.settings.ticket_url.as_ref().map(|base| format!("{base}{ticket}")),
        ticket,
        amount,
        what: what(&case.intent),
        customer: row.customer.clone(),
        subject: subject(&row.subject),
        asked: times.ms(case.asked_ms),
        due: times.ms(case.due_ms),
        overdue: case.due_ms <= times.now.as_millisecond(),
        rule: row.rule.title().to_owned(),
        rule_version: judgement.map_or(crate::policy::RULES_VERSION, |judgement| judgement.version),
        why: judgement.map_or_else(|| row.why.clone(), |judgement| judgement.why.clone()),
        inputs: judgement.map_or_else(Vec::new, |judgement| {
            let shown = |value| crate::web::run::compact_json(value);
            judgement.inputs.iter().map(|(name, value)| (name.replace('_', " "), shown(value))).collect()
        }),
        effects: effects(&Choice::Decide(Decision::Approve), &found, None),
        claims: case.claims(&times),
        talk: thread::build(&found.entries, &times, &names),
        about: about(case, &times),
        version: case.len,
        notice,
        mistakes,
        choice: fields.get("d").to_owned(),
        amount_text: match fields.get("amount") {
            "" => amount.map_or(String::new(), plain),
            typed => typed.to_owned(),
        },
        note: fields.get("note").to_owned(),
        position: place.map_or(1, |at| at + 1),
        waiting: waiting.len().max(1),
        next,
    })
}

/// An amount as it is typed: `740.00`.
fn plain(amount: Money) -> String {
    amount.to_string().trim_start_matches('$').chars().take_while(|c| *c != ' ').filter(|c| *c != ',').collect()
}

fn about(case: &Case, times: &format::Times) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let Some(account) = &case.account else { return facts };
    if let Some(customer) = account.customer() {
        facts.push(("Account", format!("{} ({})", customer.name, customer.id)));
        facts.push(("Since", times.day(customer.since)));
    }
    for subscription in &account.subscriptions {
        let plan = &subscription.plan;
        facts.push(("Plan", format!("{}, {} a {}, {}", plan.name, plan.price, plan.interval, subscription.status)));
    }
    facts.push(("Orders", account.orders.len().to_string()));
    facts.push(("Payments", account.payments.len().to_string()));
    facts.push(("Tickets", format::count(account.earlier.len() as u64, "earlier one", "earlier ones")));
    facts
}

async fn sent(web: &Web, viewer: &Viewer, found: Found, notice: Option<String>) -> Result<SentPage, Error> {
    let times = web.times();
    let names = Names::load(web).await?;
    let now_ms = times.now.as_millisecond();
    let Found { row, case, .. } = &found;
    let held =
        case.decided.as_ref().filter(|decided| row.state == ApprovalState::Held && decided.hold_until_ms > now_ms);
    let (headline, text) = match (&case.decided, row.state) {
        (Some(decided), state) => {
            let verb = match &decided.decision {
                Decision::Approve => "Approved".to_owned(),
                Decision::Amount { amount } => format!("Approved, {amount}"),
                Decision::Reject => "Rejected".to_owned(),
            };
            let until = times.ms(decided.hold_until_ms);
            let clock = until.full.rsplit(' ').next().unwrap_or_default().to_owned();
            let ending = match state {
                ApprovalState::Held if held.is_some() => "Nothing leaves yet.",
                ApprovalState::Held | ApprovalState::Executing => "It is being carried out.",
                ApprovalState::Done => "It is done.",
                ApprovalState::Expired => "It expired.",
                _ => "It was no longer needed.",
            };
            let when = times.ms(decided.at_ms);
            let rest = if held.is_some() {
                format!(" It goes on at {clock}, whether or not this page stays open.")
            } else {
                String::new()
            };
            (format!("{verb}. {ending}"), format!("{} decided {} ago.{rest}", names.of(&decided.by), when.away))
        }
        (None, ApprovalState::Expired) => (
            "Nobody answered in time".to_owned(),
            format!(
                "It was due {}. Nothing was refunded or changed; the ticket goes to a person.",
                times.ms(case.due_ms).full
            ),
        ),
        (None, _) => (
            "No longer needed".to_owned(),
            "The customer wrote again, or a person took the ticket. Nothing was refunded or changed.".to_owned(),
        ),
    };
    let holding = held.is_some();
    let watch = move |progress: &Progress, first: bool| match progress {
        Progress::NotStarted if holding && first => Status::new("st-wait", "Held, can be undone"),
        Progress::NotStarted => Status::new("st-off", "Not started"),
        Progress::Running => Status::new("st-run", "Being carried out"),
        Progress::Done(reference) if reference.is_empty() => Status::new("st-ok", "Done"),
        Progress::Done(reference) => Status::new("st-ok", format!("Done, {reference}")),
        Progress::Failed(why) => Status::new("st-fail", format!("Not done: {why}")),
    };
    let effects = match &case.decided {
        Some(decided) => effects(&Choice::Decide(decided.decision.clone()), &found, Some(&watch)),
        None => Vec::new(),
    };
    let waiting = web.app.views.approvals(ApprovalFilter::Waiting, 3).await?;
    Ok(SentPage {
        shell: Shell::new(web, viewer, format!("{headline} {}", row.customer), "approvals")
            .await?
            .live(format!("sent&approval={}", row.approval)),
        id: row.approval.to_string(),
        run: row.run.to_string(),
        customer: row.customer.clone(),
        subject: subject(&row.subject),
        headline,
        text,
        held: held.map(|decided| times.ms(decided.hold_until_ms)),
        note: case.decided.as_ref().map_or(String::new(), |decided| decided.note.clone()),
        decided: case.decided.is_some(),
        effects,
        notice,
        next: waiting.iter().map(|row| ApprovalLine::new(row, &times, &names)).collect(),
    })
}

/// The form's page for its live parts: a notice when the run moved since it was drawn.
pub(super) async fn live_form(web: &Web, viewer: &Viewer, id: &str, seen: u64) -> Result<ApprovalPage, Error> {
    let found = find(web, id).await?;
    let names = Names::load(web).await?;
    let still = found.row.state == ApprovalState::Waiting && found.case.len == seen;
    let notice = (!still).then(|| match &found.case.decided {
        Some(decided) => format!("{} decided this while you were reading. Load the page again.", names.of(&decided.by)),
        None => "This changed since you opened it. Load the page again before you decide.".to_owned(),
    });
    form(web, viewer, found, &Fields::default(), Vec::new(), notice).await
}

/// The page after the decision, for its live parts.
pub(super) async fn live_sent(web: &Web, viewer: &Viewer, id: &str) -> Result<SentPage, Error> {
    let found = find(web, id).await?;
    sent(web, viewer, found, None).await
}

impl ApprovalPage {
    fn mistake(&self, field: &str) -> Option<&str> {
        self.mistakes.iter().find(|mistake| mistake.field == field).map(|mistake| mistake.text.as_str())
    }
    fn chose(&self, choice: &str) -> bool {
        self.choice == choice
    }
    /// What the live page says aloud when the notice appears.
    pub(super) fn spoken(&self) -> Option<String> {
        self.notice.clone()
    }
}

impl SentPage {
    /// What the live page says aloud when an effect moves on.
    pub(super) fn spoken(&self) -> String {
        self.headline.clone()
    }
}
