//! What a demo came to: per ticket the outcome and the effects, totals, what differs from the world's expectations, and
//! whether the guarantees held. The judge is the world's own ledger, never the journal's word about itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::FailureClass;
use crate::ids::{IdempotencyKey, RunId, StepNo, TicketId};
use crate::intent::Intent;
use crate::journal::views::Views;
use crate::journal::{self, Journal};
use crate::policy::{RuleId, signals};
use crate::run::cost::Usage;
use crate::run::entry::{Body, Entry, Outcome, StepResult, Work};
use crate::run::state::{Broken, RunState};
use crate::sim::world::World;
use crate::sim::world_file::{Expect, ExpectedEffect, WorldFiles};
use crate::tools::update_subscription::what_changed;

/// Who decides as the world's file says.
pub const SIMULATED_REVIEWER: &str = "Simulated reviewer";

/// What a ticket came to.
#[derive(Debug, Clone, Serialize)]
pub struct TicketReport {
    /// `resolved`, `waiting_customer`, `escalated`, `waiting_approval`, `skipped`, `failed`, or `open` if it did not come to
    /// rest.
    pub outcome: String,
    /// The rule that escalated it or that it waits for; the reason for a skipped one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Changes to money, subscriptions and mail as the vendors' ledgers hold them.
    pub effects: Vec<EffectReport>,
    /// The runs that it had, oldest first.
    pub runs: Vec<RunId>,
    /// Steps of all its runs.
    pub steps: u32,
    /// Tokens of all its runs.
    pub tokens: Usage,
    /// Micro-dollars of all its runs.
    pub cost_micros: i64,
    /// From the customer's message to the first public answer, in milliseconds; absent when none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_response_ms: Option<i64>,
    /// Public answers that it got.
    pub answers: usize,
}

/// An effect, as it was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectReport {
    /// Which tool.
    pub tool: String,
    /// The arguments that it was sent with.
    pub args: Value,
}

/// A guarantee and whether it held.
#[derive(Debug, Clone, Serialize)]
pub struct GuaranteeReport {
    /// `G1` and so on, as README.md names them.
    pub id: &'static str,
    /// What was compared.
    pub checked: String,
    /// Whether it held.
    pub held: bool,
    /// What broke it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken_by: Vec<String>,
}

/// Sums over all tickets.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Tickets in the world that arrived.
    pub tickets: usize,
    /// How many ended how.
    pub outcomes: BTreeMap<String, usize>,
    /// Effects by tool.
    pub effects: BTreeMap<String, usize>,
    /// Steps.
    pub steps: u32,
    /// Tokens by kind.
    pub tokens: Usage,
    /// Share of prompt tokens that were read from the cache, per mille.
    pub cache_read_per_mille: u64,
    /// Micro-dollars.
    pub cost_micros: i64,
    /// Micro-dollars per ticket that was worked (skipped ones left out).
    pub cost_per_worked_ticket_micros: i64,
    /// Milliseconds to the first answer, median; absent when nothing was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_response_median_ms: Option<i64>,
    /// The same, 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_response_p95_ms: Option<i64>,
}

/// What a demo came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The world's name.
    pub world: String,
    /// The seed.
    pub seed: u64,
    /// Who answered as Claude: `scripted stand-in`, or a server's address.
    pub model: String,
    /// Whether every ticket came to rest.
    pub at_rest: bool,
    /// By ticket number.
    pub tickets: BTreeMap<i64, TicketReport>,
    /// Sums.
    pub totals: Totals,
    /// What differs from `expect`, a sentence each.
    pub mismatches: Vec<String>,
    /// Tickets whose course somebody set in the pages: what the world expects does not bind them, and they are not compared.
    pub by_people: Vec<i64>,
    /// How many tickets carried an `expect`.
    pub expectations: usize,
    /// The guarantees.
    pub guarantees: Vec<GuaranteeReport>,
}

impl Report {
    /// Whether a guarantee broke.
    pub fn broken(&self) -> bool {
        self.guarantees.iter().any(|guarantee| !guarantee.held)
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A run's entries.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// A run, read whole.
struct Read {
    state: RunState,
    entries: Vec<Entry>,
}

/// Reads the journal and the world's ledger and compares.
pub async fn report(
    journal: &dyn Journal,
    views: &dyn Views,
    world: &World,
    seed: u64,
    model: String,
) -> Result<Report, Error> {
    world.tick();
    let mut runs: BTreeMap<i64, Vec<Read>> = BTreeMap::new();
    let arrived = world.lock().tickets.keys().copied().collect::<Vec<i64>>();
    for ticket in &arrived {
        let mut of_ticket = Vec::new();
        for row in views.runs_of_ticket(TicketId(*ticket)).await? {
            let entries = journal.entries(&row.run).await?;
            of_ticket.push(Read { state: RunState::fold(&entries)?, entries });
        }
        of_ticket.sort_by_key(|read| (read.state.opened_at, read.state.trigger));
        runs.insert(*ticket, of_ticket);
    }
    let sent = effects_by_run(world);
    let mut tickets = BTreeMap::new();
    for ticket in &arrived {
        tickets.insert(*ticket, ticket_report(world, *ticket, &runs[ticket], &sent));
    }
    let mut mismatches = Vec::new();
    let (mut expectations, mut by_people) = (0, Vec::new());
    for file in &world.files().tickets {
        let (Some(expect), Some(got)) = (&file.expect, tickets.get(&file.id)) else { continue };
        if runs[&file.id].iter().any(set_by_a_person) {
            by_people.push(file.id);
            continue;
        }
        expectations += 1;
        compare(file.id, expect, got, world, &runs[&file.id], &mut mismatches);
    }
    Ok(Report {
        world: world.files().name.clone(),
        seed,
        model,
        at_rest: tickets.values().all(|ticket| ticket.outcome != "open"),
        totals: totals(&tickets),
        guarantees: guarantees(world, &runs, &sent),
        tickets,
        mismatches,
        by_people,
        expectations,
    })
}

/// Whether somebody decided, took over or put back a run in the pages. The world's own reviewer is not somebody.
fn set_by_a_person(read: &Read) -> bool {
    read.entries.iter().any(|entry| match &entry.body {
        Body::ApprovalDecided { by, .. } => by != SIMULATED_REVIEWER,
        Body::TakenOver { how, .. } => how == "page",
        Body::Reopened { .. } => true,
        _ => false,
    })
}

/// Everything that vendors carried out, by the run and step whose key it went out under.
struct Sent {
    effects: Vec<(Option<(RunId, StepNo)>, EffectReport)>,
}

fn effects_by_run(world: &World) -> Sent {
    let mut effects = Vec::new();
    for refund in world.refunds() {
        let args =
            json!({ "payment": refund.payment, "amount_minor": refund.amount_minor, "currency": refund.currency });
        let key = refund.idempotency_key.as_deref().and_then(origin);
        effects.push((key, EffectReport { tool: "create_refund".to_owned(), args }));
    }
    for change in world.subscription_changes() {
        let key = change.key.as_deref().and_then(origin);
        let args = json!({ "subscription": change.subscription, "asked": change.change });
        effects.push((key, EffectReport { tool: "update_subscription".to_owned(), args }));
    }
    for mail in world.mails() {
        let id = mail.message_id.trim_matches(['<', '>']);
        let key = id.split_once('@').and_then(|(key, _)| origin(key));
        let args = json!({ "to": mail.to, "subject": mail.subject });
        effects.push((key, EffectReport { tool: "send_followup_email".to_owned(), args }));
    }
    Sent { effects }
}

/// The run and step behind an effect's key.
fn origin(key: &str) -> Option<(RunId, StepNo)> {
    let (run, step) = key.strip_prefix("eff_")?.rsplit_once('_')?;
    Some((format!("run_{run}").parse().ok()?, step.parse().ok()?))
}

fn ticket_report(world: &World, ticket: i64, runs: &[Read], sent: &Sent) -> TicketReport {
    let last = runs.last();
    let (outcome, rule, why) = last.map_or_else(|| nothing_to_answer(world, ticket), |read| outcome_of(&read.state));
    let mut tokens = Usage::default();
    let (mut steps, mut cost_micros) = (0, 0);
    for read in runs {
        tokens = tokens + read.state.usage;
        steps += read.state.steps;
        cost_micros += read.state.cost.micros();
    }
    let ids: Vec<RunId> = runs.iter().map(|read| read.state.run.clone()).collect();
    let effects = sent.effects.iter().filter(|(key, _)| key.as_ref().is_some_and(|(run, _)| ids.contains(run)));
    TicketReport {
        outcome,
        rule,
        why,
        effects: effects.map(|(key, effect)| with_intent(key.as_ref(), effect, runs)).collect(),
        runs: ids,
        steps,
        tokens,
        cost_micros,
        first_response_ms: runs.first().and_then(first_response_ms),
        answers: world.public_replies(ticket).len(),
    }
}

/// The arguments as our tool was asked for them, beside what the vendor recorded: the change by its names, the mail's delay.
fn with_intent(key: Option<&(RunId, StepNo)>, effect: &EffectReport, runs: &[Read]) -> EffectReport {
    let mut effect = effect.clone();
    let Some((run, step)) = key else { return effect };
    let works = runs.iter().filter(|read| read.state.run == *run).flat_map(|read| &read.entries);
    let started = works.filter_map(|entry| match &entry.body {
        Body::StepStarted { step, work } => Some((*step, work)),
        _ => None,
    });
    let all: BTreeMap<StepNo, &Work> = started.collect();
    let work = match all.get(step) {
        Some(Work::Mail { scheduled }) => all.get(scheduled),
        other => other,
    };
    match work {
        Some(Work::Tool { intent: Intent::UpdateSubscription(change), .. }) => {
            let mut args = what_changed(change);
            args["subscription"] = json!(change.subscription);
            effect.args = args;
        }
        Some(Work::Tool { intent: Intent::SendFollowupEmail(mail), .. }) => {
            effect.args["after_s"] = json!(mail.after_s)
        }
        _ => {}
    }
    effect
}

fn nothing_to_answer(world: &World, ticket: i64) -> (String, Option<String>, Option<String>) {
    match world.lock().newest_requester_comment(ticket) {
        Some(_) => ("open".to_owned(), None, Some("no run was opened".to_owned())),
        None => ("skipped".to_owned(), Some("no_requester_comment".to_owned()), None),
    }
}

fn outcome_of(state: &RunState) -> (String, Option<String>, Option<String>) {
    let why = |rule: RuleId| {
        let stop = crate::run::next::stop(state).filter(|judgement| judgement.rule == rule);
        stop.map(|judgement| judgement.why.clone())
    };
    match &state.outcome {
        Some(Outcome::Escalated { rule }) => ("escalated".to_owned(), Some(rule.to_string()), why(*rule)),
        Some(Outcome::TakenOver) => ("escalated".to_owned(), Some(RuleId::TakenOver.to_string()), None),
        Some(Outcome::Skipped { reason }) => ("skipped".to_owned(), Some(reason.clone()), None),
        Some(Outcome::Failed { message }) => ("failed".to_owned(), None, Some(message.clone())),
        Some(outcome) => (outcome.as_str().to_owned(), None, None),
        None => match state.pending_approval() {
            Some(approval) if approval.decided.is_none() => {
                let judgement = &approval.judgement;
                ("waiting_approval".to_owned(), Some(judgement.rule.to_string()), Some(judgement.why.clone()))
            }
            _ => ("open".to_owned(), None, None),
        },
    }
}

fn first_response_ms(read: &Read) -> Option<i64> {
    let state = &read.state;
    let asked = state.ticket.messages.iter().find(|message| message.id == state.trigger)?.at;
    Some((state.first_answer_at?.as_millisecond() - asked.as_millisecond()).max(0))
}

fn totals(tickets: &BTreeMap<i64, TicketReport>) -> Totals {
    let mut totals = Totals { tickets: tickets.len(), ..Totals::default() };
    let mut responses = Vec::new();
    let mut worked = 0;
    for ticket in tickets.values() {
        *totals.outcomes.entry(ticket.outcome.clone()).or_default() += 1;
        for effect in &ticket.effects {
            *totals.effects.entry(effect.tool.clone()).or_default() += 1;
        }
        totals.steps += ticket.steps;
        totals.tokens = totals.tokens + ticket.tokens;
        totals.cost_micros += ticket.cost_micros;
        worked += i64::from(ticket.outcome != "skipped");
        responses.extend(ticket.first_response_ms);
    }
    let prompt = totals.tokens.prompt();
    totals.cache_read_per_mille = (totals.tokens.cache_read * 1_000).checked_div(prompt).unwrap_or(0);
    totals.cost_per_worked_ticket_micros = totals.cost_micros.checked_div(worked).unwrap_or(0);
    responses.sort_unstable();
    let at = |per_cent: usize| responses.get((responses.len() * per_cent / 100).min(responses.len().saturating_sub(1)));
    totals.first_response_median_ms = at(50).copied();
    totals.first_response_p95_ms = at(95).copied();
    totals
}

fn compare(id: i64, expect: &Expect, got: &TicketReport, world: &World, runs: &[Read], out: &mut Vec<String>) {
    let wanted = expect.outcome.as_str();
    if got.outcome != wanted {
        let rule = got.rule.as_deref().unwrap_or("-");
        let why = got.why.as_deref().unwrap_or("-");
        out.push(format!("ticket {id}: outcome `{}` ({rule}: {why}), expected `{wanted}`", got.outcome));
        return;
    }
    if let Some(rule) = &expect.rule
        && got.rule.as_ref() != Some(rule)
    {
        let got = got.rule.as_deref().unwrap_or("-");
        out.push(format!("ticket {id}: rule `{got}`, expected `{rule}`"));
    }
    if let Some(effects) = &expect.effects {
        compare_effects(id, effects, &got.effects, out);
    }
    let Some(answer) = &expect.answer else { return };
    let replies = world.public_replies(id);
    let text: String = replies.iter().map(|reply| reply.body.as_str()).collect::<Vec<_>>().join("\n");
    let plain = plain(&text);
    for must in answer.must.iter().filter(|must| !plain.contains(&self::plain(must))) {
        out.push(format!("ticket {id}: the answer lacks `{must}`"));
    }
    for must_not in answer.must_not.iter().filter(|must_not| plain.contains(&self::plain(must_not))) {
        out.push(format!("ticket {id}: the answer must not contain `{must_not}`"));
    }
    let named = articles_named(runs);
    for article in answer.articles.iter().filter(|article| !named.contains(article)) {
        out.push(format!("ticket {id}: the answer does not rest on article {article}"));
    }
    if let Some(language) = &answer.language
        && let Some(found) = signals::language::of(&text)
        && found != language
    {
        out.push(format!("ticket {id}: the answer is in `{found}`, expected `{language}`"));
    }
}

/// Text for comparing: lower case, white space folded.
fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn articles_named(runs: &[Read]) -> BTreeSet<i64> {
    let works = runs.iter().flat_map(|read| &read.entries).filter_map(|entry| match &entry.body {
        Body::StepStarted { work: Work::Tool { intent: Intent::LogResolution(resolution), .. }, .. } => {
            Some(resolution)
        }
        _ => None,
    });
    works.flat_map(|resolution| &resolution.articles).map(|article| article.0).collect()
}

fn compare_effects(id: i64, expected: &[ExpectedEffect], got: &[EffectReport], out: &mut Vec<String>) {
    let mut left: Vec<&EffectReport> = got.iter().collect();
    for effect in expected {
        let fits = |got: &&EffectReport| {
            got.tool == effect.tool && effect.args.iter().all(|(name, value)| got.args.get(name) == Some(value))
        };
        match left.iter().position(fits) {
            Some(at) => drop(left.swap_remove(at)),
            None => {
                let args = Value::Object(effect.args.clone());
                out.push(format!("ticket {id}: `{}` {args} did not happen", effect.tool));
            }
        }
    }
    for extra in left {
        out.push(format!("ticket {id}: `{}` {} happened and was not expected", extra.tool, extra.args));
    }
}

fn guarantees(world: &World, runs: &BTreeMap<i64, Vec<Read>>, sent: &Sent) -> Vec<GuaranteeReport> {
    vec![
        no_ticket_lost(world, runs),
        nothing_twice(world, runs, sent),
        no_step_redone(runs),
        no_rule_passed(runs, sent),
    ]
}

fn guarantee(id: &'static str, checked: String, broken_by: Vec<String>) -> GuaranteeReport {
    GuaranteeReport { id, checked, held: broken_by.is_empty(), broken_by }
}

/// G1: the newest requester comment of each ticket has been taken up, by exactly one run or by one that it joined.
fn no_ticket_lost(world: &World, runs: &BTreeMap<i64, Vec<Read>>) -> GuaranteeReport {
    let mut broken = Vec::new();
    for (ticket, of_ticket) in runs {
        let Some(newest) = world.lock().newest_requester_comment(*ticket).map(|comment| comment.id) else { continue };
        let knows = |read: &&Read| read.state.ticket.messages.iter().any(|message| message.id.0 == newest);
        match of_ticket.iter().filter(knows).count() {
            0 => broken.push(format!("ticket {ticket}: nobody took up comment {newest}")),
            _ => {
                let triggered = of_ticket.iter().filter(|read| read.state.trigger.0 == newest).count();
                if triggered > 1 {
                    broken.push(format!("ticket {ticket}: {triggered} runs answer comment {newest}"));
                }
            }
        }
    }
    let n = runs.len();
    let tickets = if n == 1 { "ticket" } else { "tickets" };
    guarantee("G1", format!("{n} {tickets}, each newest customer comment taken up once"), broken)
}

/// G2: nothing at the vendors happened twice under one key, and what the journal holds as done is there, and the other way
/// round.
fn nothing_twice(world: &World, runs: &BTreeMap<i64, Vec<Read>>, sent: &Sent) -> GuaranteeReport {
    let mut broken = Vec::new();
    let mut keys: BTreeMap<(RunId, StepNo), usize> = BTreeMap::new();
    for (key, effect) in &sent.effects {
        match key {
            Some(key) => *keys.entry(key.clone()).or_default() += 1,
            None => broken.push(format!("an effect without our key: {} {}", effect.tool, effect.args)),
        }
    }
    for ((run, step), times) in keys.iter().filter(|(_, times)| **times > 1) {
        broken.push(format!("{run} step {step} happened {times} times"));
    }
    let (mut confirmed, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for read in runs.values().flatten() {
        for entry in &read.entries {
            // An interrupted mail: it may have left, a person is told, and it is never sent again.
            if let Body::StepFinished { step, result: StepResult::Failed { failure, .. }, .. } = &entry.body
                && failure.class == FailureClass::Unknown
            {
                unknown.insert((read.state.run.clone(), *step));
            }
            if let Body::StepFinished { step, result: StepResult::Tool { effect: Some(effect), .. }, .. } = &entry.body
            {
                let scheduled = matches!(effect, crate::policy::facts::ConfirmedEffect::Mail { sent: false, .. });
                if !scheduled {
                    confirmed.insert((read.state.run.clone(), *step));
                }
            }
        }
        answers_once(world, read, &mut broken);
    }
    for (run, step) in confirmed.iter().filter(|key| !keys.contains_key(*key)) {
        broken.push(format!("{run} step {step} is journaled as done and no vendor knows of it"));
    }
    for (run, step) in keys.keys().filter(|key| !confirmed.contains(*key) && !unknown.contains(*key)) {
        broken.push(format!("{run} step {step} happened and the journal does not hold it as done"));
    }
    let n = sent.effects.len();
    guarantee("G2", format!("{n} effect{} and all public answers, each once", if n == 1 { "" } else { "s" }), broken)
}

/// Each public comment of ours carries the key of a step, and no key twice.
fn answers_once(world: &World, read: &Read, broken: &mut Vec<String>) {
    let state = &read.state;
    let is_note = |step: StepNo| {
        let starts = |entry: &Entry| matches!(&entry.body, Body::StepStarted { step: started, work: Work::Note { .. } } if *started == step);
        read.entries.iter().any(starts)
    };
    let closing: Vec<IdempotencyKey> =
        read.entries
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::StepFinished {
                    step, result: StepResult::Tool { is_error: false, stamp: Some(_), .. }, ..
                } if !is_note(*step) => Some(IdempotencyKey::for_step(&state.run, *step)),
                _ => None,
            })
            .collect();
    for key in closing {
        let times = world.public_replies_under(state.ticket.id.0, key.as_str());
        if times != 1 {
            broken.push(format!("{}: the answer under {key} stands {times} times on the ticket", state.run));
        }
    }
}

/// G3: no step ended twice.
fn no_step_redone(runs: &BTreeMap<i64, Vec<Read>>) -> GuaranteeReport {
    let mut broken = Vec::new();
    let mut ends = 0;
    for read in runs.values().flatten() {
        let mut seen = BTreeSet::new();
        for entry in &read.entries {
            if let Body::StepFinished { step, .. } = &entry.body {
                ends += 1;
                if !seen.insert(*step) {
                    broken.push(format!("{} step {step} ended twice", read.state.run));
                }
            }
        }
    }
    guarantee("G3", format!("{ends} steps, each ended once"), broken)
}

/// G6: each refund was allowed by the rules as journaled, or by a person.
fn no_rule_passed(runs: &BTreeMap<i64, Vec<Read>>, sent: &Sent) -> GuaranteeReport {
    use crate::policy::Verdict;
    let by_run: BTreeMap<&RunId, &Read> = runs.values().flatten().map(|read| (&read.state.run, read)).collect();
    let mut broken = Vec::new();
    let (mut checked, mut due) = (0, 0);
    for (key, effect) in &sent.effects {
        let Some((run, step)) = key else { continue };
        let Some(read) = by_run.get(run) else { continue };
        let started = read.entries.iter().find_map(|entry| match &entry.body {
            Body::StepStarted { step: started, work: Work::Tool { call, approval, .. } } if started == step => {
                Some((call, approval))
            }
            Body::StepStarted { step: started, work: Work::Mail { .. } } if started == step => {
                due += 1; // It was judged when it was promised.
                None
            }
            _ => None,
        });
        let Some((call, approval)) = started else { continue };
        checked += 1;
        let verdict = read.entries.iter().rev().find_map(|entry| match &entry.body {
            Body::Judged { call: Some(judged), judgement } if judged == call => Some(&judgement.verdict),
            _ => None,
        });
        let fine = match verdict {
            Some(Verdict::Allow) => true,
            Some(Verdict::NeedsApproval) => approval.is_some(),
            _ => false,
        };
        if !fine {
            broken.push(format!("{run} step {step}: {} without leave", effect.tool));
        }
    }
    let effects = if checked == 1 { "effect" } else { "effects" };
    let more = match due {
        0 => String::new(),
        n => format!("; {n} more when due: mail that was promised and judged earlier"),
    };
    guarantee("G6", format!("{checked} {effects}, each allowed by the rules or by a person{more}"), broken)
}

/// Groups of the world by name, for rules that hand over.
pub fn group_for<'a>(files: &'a WorldFiles, rule: &str) -> Option<&'a str> {
    let wanted = match rule {
        "churn" => ["retention", "success", "sales"],
        "legal" => ["security", "legal", "compliance"],
        "refund_limit" | "refund_sum" | "currency_without_limit" => ["billing", "finance", "payments"],
        _ => ["support", "service", "tier"],
    };
    let fits = |name: &&String| wanted.iter().any(|word| name.to_lowercase().contains(word));
    files.groups.iter().find(fits).or(files.groups.first()).map(String::as_str)
}
