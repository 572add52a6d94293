//! What a world came to, by its own ledger: per ticket what stands on it and what was done for it, and which deeds were done
//! twice. The journal is asked for two things only: how a run ended, and how many model calls it holds as finished.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Error;
use super::boundaries::{position, run_of};
use super::stage::Stage;
use crate::agent::poison::{ENDED_EACH_TIME, MISTAKE};
use crate::demo::all_rows;
use crate::demo::report::{self, Report};
use crate::failure::FailureClass;
use crate::ids::RunId;
use crate::journal::Journal as _;
use crate::journal::sqlite::SqliteJournal;
use crate::run::entry::{Body, Entry, ModelCall, Outcome, StepResult};

/// How a ticket ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TicketEnd {
    /// The outcome of its newest run, with the rule.
    pub(super) outcome: String,
    /// A person has it: it was handed over, or waits for a decision.
    pub(super) with_a_person: bool,
    /// How often its customer was heard: its runs that were not skipped, and words that joined a run under way. Each is answered
    /// once at most.
    pub(super) heard: usize,
    /// How many refunds were made for it.
    pub(super) refunds: usize,
    /// Refunds, changes of subscriptions, mails; sorted.
    pub(super) effects: Vec<String>,
    /// Our public comments, oldest first.
    pub(super) replies: Vec<String>,
    /// Our internal notes, oldest first.
    pub(super) notes: Vec<String>,
    /// Status, owner, group, priority, tags.
    pub(super) fields: String,
    /// A mail of it was interrupted while it was sent: it is never sent again, and a person sees that.
    pub(super) mail_unknown: bool,
    /// A run of it was parked: each try of a step ended the process.
    pub(super) parked: bool,
    /// A step of it was given up because its worker panicked.
    pub(super) panicked: bool,
}

/// What a played world came to.
pub(super) struct Ended {
    pub(super) tickets: BTreeMap<i64, TicketEnd>,
    /// Deeds that were done twice under one key, a sentence each.
    pub(super) doubled: Vec<String>,
    /// What the demo's report says of the guarantees.
    pub(super) report: Report,
    /// Answers that the model gave, and their tokens.
    pub(super) answers: Spent,
    /// Model calls that the journal holds as finished, and their tokens.
    pub(super) finished: Spent,
    /// The entries of each run.
    runs: BTreeMap<String, Vec<Entry>>,
}

/// Model calls with their tokens and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) micros: i64,
}

impl Spent {
    pub(super) fn add(&mut self, other: Spent) {
        self.calls += other.calls;
        self.tokens += other.tokens;
        self.micros += other.micros;
    }

    fn count(&mut self, call: &ModelCall) {
        self.calls += 1;
        self.tokens += call.usage.prompt() + call.usage.output;
        self.micros += call.cost.map_or(0, |cost| cost.micros());
    }
}

/// Reads what a world came to. The desk must be dead.
pub(super) async fn read(stage: &Stage, seed: u64) -> Result<Ended, Error> {
    let journal = SqliteJournal::open(stage.folder())?;
    let report = report::report(&journal, &journal, stage.world(), seed, "scripted stand-in".to_owned()).await?;
    let mut runs = BTreeMap::new();
    for row in all_rows(&journal).await? {
        runs.insert(row.run.as_str().to_owned(), journal.entries(&row.run).await?);
    }
    journal.close().await;
    let snapshot = stage.world().snapshot();
    let mut finished = Spent::default();
    runs.values().flatten().filter_map(call_of).for_each(|call| finished.count(call));
    let tickets = report.tickets.iter().map(|(id, ticket)| {
        let entries = ticket.runs.iter().filter_map(|run: &RunId| runs.get(run.as_str())).flatten();
        let all = snapshot["refunds"].as_array().into_iter().flatten();
        let number = id.to_string();
        let refunds = all.filter(|refund| refund["metadata"]["ticket_id"].as_str() == Some(&number));
        let refunds = refunds.map(|r| format!("refund {} of {} {}", r["payment"], r["amount_minor"], r["currency"]));
        (*id, ticket_end(&snapshot["tickets"][&number], ticket, refunds, entries))
    });
    Ok(Ended {
        tickets: tickets.collect(),
        doubled: doubled(&snapshot),
        answers: answers(&snapshot["counters"]["claude"]),
        finished,
        report,
        runs,
    })
}

fn ticket_end<'a>(
    snapshot: &Value,
    ticket: &report::TicketReport,
    refunds: impl Iterator<Item = String>,
    entries: impl Iterator<Item = &'a Entry>,
) -> TicketEnd {
    let ours = |public: bool| -> Vec<String> {
        let comments = snapshot["comments"].as_array().into_iter().flatten();
        let ours = comments.filter(|comment| comment["by"] == "deskhand" && comment["public"] == public);
        ours.filter_map(|comment| comment["body"].as_str().map(str::to_owned)).collect()
    };
    // Refunds by the ticket that is attached to them, so that one under a wrong key is seen as well.
    let others = ticket.effects.iter().filter(|effect| effect.tool != "create_refund");
    let others = others.map(|effect| format!("{} {}", effect.tool, effect.args));
    let refunds: Vec<String> = refunds.collect();
    let count = refunds.len();
    let mut effects: Vec<String> = others.chain(refunds).collect();
    effects.sort();
    let field = |name: &str| snapshot[name].to_string();
    let (mut mail_unknown, mut panicked, mut heard) = (false, false, 0);
    let mut parked = ticket.why.as_deref().is_some_and(|why| why.contains(ENDED_EACH_TIME));
    for entry in entries {
        match &entry.body {
            Body::RunOpened { .. } | Body::CustomerWrote { .. } => heard += 1,
            Body::RunClosed { outcome: Outcome::Skipped { .. } } => heard -= 1,
            _ => {}
        }
        let Body::StepFinished { result: StepResult::Failed { failure, .. }, .. } = &entry.body else { continue };
        mail_unknown |= failure.class == FailureClass::Unknown && failure.vendor == "email";
        parked |= failure.message.contains(ENDED_EACH_TIME);
        panicked |= failure.message.starts_with(MISTAKE);
    }
    TicketEnd {
        outcome: match &ticket.rule {
            Some(rule) => format!("{} ({rule})", ticket.outcome),
            None => ticket.outcome.clone(),
        },
        with_a_person: matches!(ticket.outcome.as_str(), "escalated" | "waiting_approval"),
        heard,
        refunds: count,
        effects,
        replies: ours(true),
        notes: ours(false),
        fields: ["status", "assignee", "group", "priority", "tags", "followups"].map(field).join(" "),
        mail_unknown,
        parked,
        panicked,
    }
}

/// Two deeds under one key; the keys are ours.
fn doubled(snapshot: &Value) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut count = |what: String| *seen.entry(what).or_default() += 1;
    let list = |name: &str| snapshot[name].as_array().cloned().unwrap_or_default();
    for refund in list("refunds") {
        if let Some(key) = refund["metadata"]["effect_key"].as_str() {
            count(format!("refund marked {key}"));
        }
        count(format!("refund under key {}", refund["idempotency_key"]));
    }
    for change in list("subscription_changes") {
        count(format!("change of a subscription under key {}", change["key"]));
    }
    for mail in list("mails") {
        count(format!("mail {}", mail["message_id"]));
    }
    for (id, ticket) in snapshot["tickets"].as_object().into_iter().flatten() {
        for comment in ticket["comments"].as_array().into_iter().flatten().filter(|c| c["by"] == "deskhand") {
            if let Some(mark) = comment["marker"]["deskhand_effect"].as_str() {
                count(format!("comment on ticket {id} marked {mark}"));
            }
        }
    }
    seen.into_iter().filter(|(_, times)| *times > 1).map(|(what, times)| format!("{what}: {times} times")).collect()
}

/// What the model answered altogether, by the simulator's own count.
fn answers(counters: &Value) -> Spent {
    let mut spent = Spent::default();
    for counts in counters.as_object().into_iter().flatten().map(|(_, counts)| counts) {
        let number = |name: &str| counts[name].as_u64().unwrap_or(0);
        spent.calls += number("answers");
        spent.tokens += ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"]
            .map(number)
            .iter()
            .sum::<u64>();
    }
    spent
}

fn call_of(entry: &Entry) -> Option<&ModelCall> {
    match &entry.body {
        Body::StepFinished { result, .. } => match result {
            StepResult::Routed { call, .. } | StepResult::Model { call, .. } => Some(call),
            StepResult::Failed { call, .. } => call.as_ref(),
            _ => None,
        },
        _ => None,
    }
}

impl Ended {
    /// The model calls that the run in hand had finished when the process died at this boundary: what starting over would have
    /// paid for once more.
    pub(super) fn paid_before(&self, boundary: &str) -> Spent {
        let mut spent = Spent::default();
        let entries = run_of(boundary).and_then(|run| self.runs.get(run));
        let (Some(entries), Some(position)) = (entries, position(boundary)) else { return spent };
        let before: &[Entry] = match position {
            Ok(len) => &entries[..usize::try_from(len).unwrap_or(usize::MAX).min(entries.len())],
            Err(step) => {
                let starts =
                    |entry: &Entry| matches!(&entry.body, Body::StepStarted { step: started, .. } if started.0 == step);
                &entries[..entries.iter().position(starts).unwrap_or(0)]
            }
        };
        before.iter().filter_map(call_of).for_each(|call| spent.count(call));
        spent
    }
}
