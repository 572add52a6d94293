//! One run: how it stands, its timeline, its conversation, and the detail of one step.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::ids::{RunId, StepNo, ToolCallId};
use crate::journal;
use crate::money::group;
use crate::policy::{Judgement, Verdict};
use crate::run::entry::{Body, Entry, LostCall, ModelCall, StepResult, Work};
use crate::run::row::{ApprovalState, RunRow};
use crate::web::error::Error;
use crate::web::format::{self, Moment, Times};
use crate::web::parts::{Names, Status, run_cost, subject, why};
use crate::web::session::Viewer;
use crate::web::thread::{self, Item};
use crate::web::timeline::{self, Timeline};
use crate::web::{Shell, Web, show};

/// Input or output of a step that a page shows, in characters; the journal has the rest.
const PAYLOAD_MAX: usize = 5_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    step: Option<u32>,
}

/// A name with its value.
struct Fact {
    name: &'static str,
    value: String,
}

/// Tokens of a prompt by how they were billed, with widths for the meter.
struct Tokens {
    total: String,
    words: String,
    out: String,
    widths: [String; 3],
    starts: [String; 3],
}

/// What a rule said of this step's call.
struct Ruling {
    words: String,
    rule: String,
    version: u32,
    why: String,
    inputs: Vec<(String, String)>,
    stops: bool,
}

struct Detail {
    step: StepNo,
    title: String,
    actor: timeline::Actor,
    facts: Vec<Fact>,
    tokens: Option<Tokens>,
    rulings: Vec<Ruling>,
    input: String,
    output: String,
    output_name: &'static str,
    note: &'static str,
    previous: Option<u32>,
    next: Option<u32>,
}

#[derive(Template)]
#[template(path = "run.html", blocks = ["need", "nav_need", "state", "figures", "steps", "talk"])]
pub(super) struct RunPage {
    shell: Shell,
    run: String,
    ticket: String,
    ticket_url: Option<String>,
    subject: String,
    requester: String,
    status: Status,
    since: Moment,
    why: String,
    closed: bool,
    can_take_over: bool,
    /// Why it was parked; empty when it was not.
    parked: String,
    /// What a person must look at although the run has ended; empty: nothing.
    attention: String,
    can_retry: bool,
    approval: Option<String>,
    figures: Vec<(&'static str, String, String)>,
    timeline: Timeline,
    total_took: String,
    total_tokens: String,
    total_cost: String,
    talk: Vec<Item>,
    about: Vec<Fact>,
    earlier: usize,
    detail: Option<Detail>,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Path(run): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let run: RunId = run.parse().map_err(|_| Error::NotFound)?;
    show(&build(&web, &viewer, &run, wanted.step.map(StepNo)).await?)
}

/// The row of a run that has its entries. [`Error::Retired`] where retention removed them.
pub(super) async fn must_be_kept(web: &Web, run: &RunId) -> Result<RunRow, Error> {
    let row = web.app.views.run(run).await?.ok_or(Error::NotFound)?;
    let Some(removed_ms) = web.app.views.retired_ms(run).await? else { return Ok(row) };
    let times = web.times();
    let full = |ms: i64| times.ms(ms).full;
    let ended = row.closed_ms.map(full).unwrap_or_default();
    Err(Error::Retired { run: run.to_string(), ended, removed: full(removed_ms) })
}

pub(super) async fn build(web: &Web, viewer: &Viewer, run: &RunId, chosen: Option<StepNo>) -> Result<RunPage, Error> {
    let row = must_be_kept(web, run).await?;
    let (entries, approvals, siblings) = tokio::try_join!(
        readable_entries(web, run),
        web.app.views.approvals_of_run(run),
        web.app.views.runs_of_ticket(row.ticket),
    )?;
    let times = web.times();
    let names = Names::load(web).await?;
    let timeline = timeline::build(&entries, chosen, &times, &names);
    let status = Status::of_run(&row);
    let live = match chosen {
        Some(step) => format!("run&run={run}&step={step}"),
        None => format!("run&run={run}"),
    };
    let title = format!("Run {}, {}", row.run, status.words.to_lowercase());
    let shell = Shell::new(web, viewer, title, "runs").await?.live(live);
    let detail = match chosen {
        Some(step) => Some(detail(&entries, step, &timeline, &times).ok_or(Error::NotFound)?),
        None => None,
    };
    let last = entries.last().map_or(row.opened_ms, |entry| entry.at_ms);
    let waiting = approvals.iter().find(|approval| {
        matches!(approval.state, ApprovalState::Waiting | ApprovalState::Held | ApprovalState::Executing)
    });
    let parked = row.outcome.as_deref() == Some("failed");
    Ok(RunPage {
        run: row.run.to_string(),
        ticket: row.ticket.to_string(),
        ticket_url: web.app.settings.ticket_url.as_ref().map(|base| format!("{base}{}", row.ticket)),
        subject: subject(&row.subject),
        requester: row.requester.clone(),
        since: times.ms(row.closed_ms.unwrap_or(last)),
        why: why(&row),
        closed: row.closed_ms.is_some(),
        can_take_over: viewer.decides() && (row.closed_ms.is_none() || parked),
        can_retry: viewer.decides() && parked,
        parked: if parked { row.reason.clone().unwrap_or_default() } else { String::new() },
        attention: row.attention.clone().unwrap_or_default(),
        approval: waiting.map(|approval| approval.approval.to_string()),
        figures: figures(&row, &timeline),
        total_took: format::duration(timeline.active_ms),
        total_tokens: group(row.usage.prompt()),
        total_cost: run_cost(&row),
        talk: thread::build(&entries, &times, &names),
        about: about(&row, &entries, &times),
        earlier: siblings.iter().filter(|sibling| sibling.run != row.run).count(),
        status,
        timeline,
        detail,
        shell,
    })
}

/// The run's entries; none when they cannot be read: the row says why, and the page shows that.
async fn readable_entries(web: &Web, run: &RunId) -> Result<Vec<Entry>, journal::Error> {
    match web.app.journal.entries(run).await {
        Err(journal::Error::Corrupt(_)) => Ok(Vec::new()),
        entries => entries,
    }
}

impl RunPage {
    /// What the live page says aloud when the state changes.
    pub(super) fn spoken(&self) -> String {
        self.status.words.clone()
    }
}

fn figures(row: &RunRow, timeline: &Timeline) -> Vec<(&'static str, String, String)> {
    let retried = if timeline.retries == 0 { String::new() } else { format!("{} retried", timeline.retries) };
    let first = row.first_answer_ms.map(|at| u64::try_from(at - row.asked_ms).unwrap_or(0));
    vec![
        ("Active time", format::duration(timeline.active_ms), String::new()),
        ("First answer", first.map_or_else(|| "–".to_owned(), format::duration), String::new()),
        ("Steps", row.steps.to_string(), retried),
        ("Tokens in", group(row.usage.prompt()), format!("{} out", group(row.usage.output))),
        ("Read from cache", format::percent(row.usage.cache_read, row.usage.prompt()), String::new()),
        ("Cost", run_cost(row), timeline.lost.clone()),
    ]
}

fn about(row: &RunRow, entries: &[Entry], times: &Times) -> Vec<Fact> {
    let fact = |name, value: String| Fact { name, value };
    let mut facts = vec![fact("Started", times.ms(row.opened_ms).full)];
    if let Some(closed) = row.closed_ms {
        facts.push(fact("Ended", times.ms(closed).full));
    }
    for entry in entries {
        match &entry.body {
            Body::RunOpened { ticket, prompts, .. } => {
                facts.push(fact("Channel", format::sentence(&ticket.channel)));
                facts.push(fact("Prompts", prompts.chars().take(12).collect()));
            }
            Body::StepFinished { result: StepResult::Routed { route, .. }, .. } => {
                facts.push(fact("Asked", route.summary.clone()));
                let mut signs = vec![format::sentence(&route.category), route.language.clone()];
                let flags = [
                    (route.churn, "churn signal"),
                    (route.wants_person, "asks for a person"),
                    (route.legal, "legal"),
                    (route.asks_refund, "asks for money back"),
                    (route.spam, "spam"),
                ];
                signs.extend(flags.iter().filter(|(on, _)| *on).map(|(_, words)| (*words).to_owned()));
                facts.push(fact("Triage", signs.join(", ")));
            }
            _ => {}
        }
    }
    if let Some(model) = &row.model {
        facts.push(fact("Worked by", format::model(model)));
    }
    facts
}

fn detail(entries: &[Entry], wanted: StepNo, timeline: &Timeline, times: &Times) -> Option<Detail> {
    let shown = timeline.rows.iter().rev().find(|row| row.step == Some(wanted))?;
    let numbers: Vec<u32> = timeline.rows.iter().filter_map(|row| row.step).map(|step| step.0).collect();
    let mut detail = Detail {
        step: wanted,
        title: shown.name.clone(),
        actor: shown.actor,
        facts: Vec::new(),
        tokens: None,
        rulings: Vec::new(),
        input: String::new(),
        output: String::new(),
        output_name: "Out",
        note: "",
        previous: numbers.iter().copied().filter(|n| *n < wanted.0).max(),
        next: numbers.iter().copied().filter(|n| *n > wanted.0).min(),
    };
    let mut call_of_step: Option<ToolCallId> = None;
    for entry in entries {
        match &entry.body {
            Body::StepStarted { step, work } if *step == wanted => {
                detail.add("Started", times.at(entry.at()).full);
                started(&mut detail, work);
                if let Work::Tool { call, .. } = work {
                    call_of_step = Some(call.clone());
                }
            }
            Body::StepDelayed { step, attempt, failure, retry_at_ms } if *step == wanted => {
                let again = times.ms(*retry_at_ms);
                detail.add(
                    "Failed try",
                    format!("{attempt}: {}: {}; again at {}", failure.vendor, failure.message, again.text),
                );
            }
            Body::CallLost { step, call } if *step == wanted => detail.add("Lost answer", lost(call)),
            Body::StepFinished { step, result, took_ms } if *step == wanted => {
                detail.add("Took", format::duration(*took_ms));
                finished(&mut detail, result);
            }
            Body::ApprovalRequested { step, call, intent, due_ms, .. } if *step == wanted => {
                detail.add("Kind", "A person must decide".to_owned());
                detail.add("Asked", times.at(entry.at()).full);
                detail.add("Due", times.ms(*due_ms).full);
                detail.input = pretty(&serde_json::to_value(intent).unwrap_or_default());
                call_of_step = Some(call.clone());
            }
            _ => {}
        }
    }
    for entry in entries {
        if let Body::Judged { call: Some(call), judgement } = &entry.body
            && Some(call) == call_of_step.as_ref()
        {
            detail.rulings.push(ruling(judgement));
        }
        if let Body::Judged { call: None, judgement } = &entry.body
            && matches!(detail.actor, timeline::Actor::Model)
            && detail.title == "Triage"
        {
            detail.rulings.push(ruling(judgement));
        }
    }
    Some(detail)
}

impl Detail {
    fn add(&mut self, name: &'static str, value: String) {
        self.facts.push(Fact { name, value });
    }
}

fn started(detail: &mut Detail, work: &Work) {
    match work {
        Work::ReadFacts => detail.add("Kind", "Tool, by code: no model asked for it".to_owned()),
        Work::Route { model } | Work::Model { model } => detail.add("Kind", format!("Model call, {model}")),
        Work::Tool { call, intent, approval } => {
            detail.add("Kind", if call.as_str() == "rule" { "Tool, by a rule" } else { "Tool call" }.to_owned());
            if let Some(approval) = approval {
                detail.add("Approval", approval.to_string());
            }
            let value = serde_json::to_value(intent).unwrap_or_default();
            detail.input = pretty(value.get("input").unwrap_or(&Value::Null));
        }
        Work::Mail { scheduled } => detail.add("Kind", format!("Mail, scheduled at step {scheduled}")),
        Work::Note { text } => {
            detail.add("Kind", "Note among colleagues, by code".to_owned());
            detail.input.clone_from(text);
        }
    }
}

fn finished(detail: &mut Detail, result: &StepResult) {
    match result {
        StepResult::Facts { account } => detail.output = pretty(&serde_json::to_value(account).unwrap_or_default()),
        StepResult::Routed { route, call, passages, .. } => {
            of_call(detail, call);
            detail.output = pretty(&serde_json::to_value(route).unwrap_or_default());
            let found = passages.iter().filter_map(|found| found["passages"].as_array()).flatten();
            let titles: Vec<&str> = found.filter_map(|passage| passage["title"].as_str()).collect();
            if !titles.is_empty() {
                detail.add("Looked up, by code", titles.join(" · "));
            }
        }
        StepResult::Model { content, stop_reason, call } => {
            of_call(detail, call);
            detail.add("Stopped", stop_reason.replace('_', " "));
            let said = thread::said(content);
            let mut text = said.text;
            for call in said.calls {
                text.push_str(if text.is_empty() { "calls " } else { "\ncalls " });
                text.push_str(&call);
            }
            detail.output = cut(&text);
        }
        StepResult::Tool { output, is_error, effect, reference, .. } => {
            if *is_error {
                detail.output_name = "Out (refused)";
            }
            if let Some(effect) = effect {
                let value = serde_json::to_value(effect).unwrap_or_default();
                detail.add("Effect", compact_json(&value));
                detail.note = "This was done and is never repeated.";
            }
            if let Some(reference) = reference {
                detail.add("Reference", reference.clone());
            }
            detail.output = pretty(output);
        }
        StepResult::CustomerWroteFirst { .. } => {
            detail.output =
                "Not sent: the customer wrote again first. The agent reads that before it goes on.".to_owned();
        }
        StepResult::HeldBack { found } => {
            detail.output = match found {
                None => {
                    "Not sent: shadow mode came in between. An earlier try was looked for and not found.".to_owned()
                }
                Some(found) => format!("Not done to its end: shadow mode came in between. {found}"),
            };
        }
        StepResult::PersonFirst { how, .. } => {
            detail.output = format!("Not sent: a person has the ticket ({how}).");
        }
        StepResult::Failed { failure, call } => {
            if let Some(call) = call {
                of_call(detail, call);
            }
            detail.add("Failed at", failure.vendor.clone());
            detail.output_name = "Why it failed";
            detail.output = failure.message.clone();
        }
    }
}

/// What is known of an answer that was lost.
fn lost(call: &LostCall) -> String {
    let how = if call.by_death { "the process ended in the call" } else { "the answer broke off" };
    let id = call.request_id.as_ref().map_or_else(String::new, |id| format!("; request {id}"));
    let Some(usage) = call.usage else { return format!("{how}; what it used is not known{id}") };
    let from = if call.by_death { ", as its repetition" } else { "" };
    let cost = call.cost.map_or_else(|| "price not known".to_owned(), |cost| cost.to_string());
    format!("{how}; {} tokens in{from}, {} out at least: {cost}{id}", group(usage.prompt()), group(usage.output))
}

fn of_call(detail: &mut Detail, call: &ModelCall) {
    let usage = call.usage;
    let prompt = usage.prompt();
    let written = usage.cache_write_5m + usage.cache_write_1h;
    let width = |n: u64| format::share(n, prompt);
    detail.tokens = Some(Tokens {
        total: group(prompt),
        words: format!(
            "{} from cache, {} written to cache, {} new",
            group(usage.cache_read),
            group(written),
            group(usage.input)
        ),
        out: group(usage.output),
        widths: [width(usage.cache_read), width(written), width(usage.input)],
        starts: ["0%".to_owned(), width(usage.cache_read), width(usage.cache_read + written)],
    });
    detail.add("First byte", format::duration(call.first_byte_ms));
    detail.add("Cost", call.cost.map_or_else(|| "price not known".to_owned(), |cost| cost.to_string()));
    if let Some(id) = &call.request_id {
        detail.add("Request", id.clone());
    }
    detail.add("Digest", call.request_digest.chars().take(16).collect());
}

fn ruling(judgement: &Judgement) -> Ruling {
    let words = match &judgement.verdict {
        Verdict::Allow => "Allowed",
        Verdict::NeedsApproval => "Needs approval",
        Verdict::Escalate => "Goes to a person",
        Verdict::Refuse { .. } => "Refused, the reason goes back to the model",
        Verdict::Quiet { .. } => "Not answered",
    };
    Ruling {
        words: words.to_owned(),
        rule: judgement.rule.title().to_owned(),
        version: judgement.version,
        why: judgement.why.clone(),
        inputs: judgement.inputs.iter().map(|(name, value)| (name.replace('_', " "), compact_json(value))).collect(),
        stops: judgement.verdict != Verdict::Allow,
    }
}

/// A value in one line; a text without its quotes.
pub(super) fn compact_json(value: &Value) -> String {
    match value {
        Value::String(text) => format::clip(text, 300),
        other => format::clip(&other.to_string(), 300),
    }
}

fn pretty(value: &Value) -> String {
    cut(&serde_json::to_string_pretty(value).unwrap_or_default())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(PAYLOAD_MAX) {
        Some((end, _)) => format!("{}\n… cut here; the journal has all of it", &text[..end]),
        None => text.to_owned(),
    }
}
