//! What must hold after every turn, and what must hold at the end. The journal is judged by its own rules; what was really
//! done, by the world's ledger.

use std::collections::{BTreeMap, BTreeSet};

use deskhand::ids::{RunId, StepNo};
use deskhand::intent::{Intent, ToolKind};
use deskhand::journal::Journal;
use deskhand::journal::views::Views;
use deskhand::policy::facts::ConfirmedEffect;
use deskhand::run::entry::{Body, Decision, Entry, Outcome, StepResult, Work};
use deskhand::run::row::{ApprovalState, RunStatus};
use deskhand::run::state::RunState;
use deskhand::sim::world::{AuditEvent, SimTicket, State, World};
use deskhand::sim::world_file::TicketStatus;

use super::house::House;

/// The limit above which a refund needs a person, in cents.
const REFUND_LIMIT: i64 = 50_000;

/// A run as last looked at.
struct Known {
    entries: Vec<Entry>,
    state: RunState,
    /// Steps that were started after a person had taken the ticket.
    started_late: BTreeSet<StepNo>,
}

/// Looks after each turn.
#[derive(Default)]
pub struct Checks {
    runs: BTreeMap<RunId, Known>,
    /// Tickets that a person had when the last turn ended.
    with_person: BTreeSet<i64>,
}

/// A deed in the ledger that carries an effect's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Refund { payment: String, cents: i64 },
    Change,
    Mail,
    Reply,
    Note,
}

impl Checks {
    /// What is wrong now, if anything.
    pub fn after_turn(&mut self, house: &House) -> Vec<String> {
        let mut wrong: Vec<String> = Vec::new();
        // The ledger first: a turn that hangs in a request may go on while the journal is read, and what is done then is in
        // neither; the other way round it would look done without its start.
        let (done, late) = {
            let world = house.world().lock();
            let late: Vec<(i64, String)> =
                world.tickets.values().flat_map(|ticket| written_after_a_person(ticket, &world)).collect();
            (deeds(&world), late)
        };
        let moved = {
            let mut seen = house.seen.lock().unwrap();
            wrong.append(&mut seen.wrong);
            std::mem::take(&mut seen.moved)
        };
        for run in moved {
            if let Err(why) = self.look_at(house, &run) {
                wrong.push(format!("`{run}`: {why}"));
            }
        }
        self.ledger(done, &mut wrong);
        for (ticket, marker) in late {
            if !self.is_told_to_the_person(&marker) {
                wrong.push(format!("ticket {ticket}: `{marker}` was written when a person had it"));
            }
        }
        let world = house.world().lock();
        self.with_person = world.tickets.values().filter(|ticket| has_person(ticket, &world)).map(|t| t.id).collect();
        wrong
    }

    /// One run: it folds, it only grew, its row says what its entries say.
    fn look_at(&mut self, house: &House, run: &RunId) -> Result<(), String> {
        let store = house.store();
        // A turn that hangs in a request may go on meanwhile: entries and row are of one moment when the row is the same
        // before and after.
        let row = || house.wait(store.run(run)).map_err(|failed| failed.to_string());
        let (entries, row) = loop {
            let before = row()?;
            let entries = match house.wait(store.entries(run)) {
                Ok(entries) => entries,
                Err(deskhand::journal::Error::NoSuchRun(_)) if !self.runs.contains_key(run) => return Ok(()),
                Err(failed) => return Err(failed.to_string()),
            };
            let after = row()?.ok_or("it has no row")?;
            if before.is_some_and(|before| before == after) {
                break (entries, after);
            }
        };
        let state = RunState::fold(&entries).map_err(|broken| broken.to_string())?;
        let mut started_late = BTreeSet::new();
        let mut fresh = 0;
        if let Some(known) = self.runs.get(run) {
            if !entries.starts_with(&known.entries) {
                return Err("what was written is no longer there".into());
            }
            fresh = known.entries.len();
            started_late.clone_from(&known.started_late);
        }
        if self.with_person.contains(&state.ticket.id.0) {
            started_late.extend(entries[fresh..].iter().filter_map(|entry| match entry.body {
                Body::StepStarted { step, .. } => Some(step),
                _ => None,
            }));
        }
        let (status, wake_ms) = state.rest();
        if (row.status, row.wake_ms) != (status, wake_ms) {
            let said = (row.status, row.wake_ms);
            return Err(format!("its row says {said:?}, its entries say {:?}", (status, wake_ms)));
        }
        if state.outcome.is_none() && wake_ms.is_none() {
            return Err("it is open and nothing will ever wake it".into());
        }
        money(&state, &entries)?;
        self.runs.insert(run.clone(), Known { entries, state, started_late });
        Ok(())
    }

    /// The ledger: nothing twice under one key, nothing without its start, nothing after a person.
    fn ledger(&self, done: Vec<(String, Deed)>, wrong: &mut Vec<String>) {
        let mut times: BTreeMap<(String, Deed), usize> = BTreeMap::new();
        for (key, deed) in done {
            *times.entry((key, deed)).or_default() += 1;
        }
        let mut changes: BTreeMap<&str, usize> = BTreeMap::new();
        for ((key, deed), times) in &times {
            if *times > 1 {
                wrong.push(format!("{deed:?} was done {times} times under `{key}`"));
            }
            if let Deed::Refund { .. } = deed {
                *changes.entry(key).or_default() += 1;
            }
            if let Err(why) = self.is_started(key, deed) {
                wrong.push(format!("{deed:?} under `{key}`: {why}"));
            }
        }
        // Under whichever step: a run answers once, and hands over once. What it tells a person who took the ticket is neither.
        let (mut replies, mut hand_overs) = (BTreeMap::<RunId, usize>::new(), BTreeMap::<RunId, usize>::new());
        for (key, deed) in times.keys() {
            let told_later = self.is_told_to_the_person(&format!("{key}.note"));
            match (deed, place(key)) {
                (Deed::Reply, Some((run, _))) => *replies.entry(run).or_default() += 1,
                (Deed::Note, Some((run, _))) if !told_later => *hand_overs.entry(run).or_default() += 1,
                _ => {}
            }
        }
        for (what, counts) in [("answered", replies), ("handed over", hand_overs)] {
            for (run, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
                wrong.push(format!("`{run}` {what} {count} times"));
            }
        }
        for (key, count) in changes.into_iter().filter(|(_, count)| *count > 1) {
            wrong.push(format!("{count} different refunds under `{key}`"));
        }
    }

    /// A note that tells the person who took the ticket what had been done: that one comes after them.
    fn is_told_to_the_person(&self, marker: &str) -> bool {
        let Some((run, step)) = marker.strip_suffix(".note").and_then(place) else { return false };
        let entries = self.runs.get(&run).map(|known| known.entries.as_slice()).unwrap_or_default();
        entries.iter().any(
            |entry| matches!(&entry.body, Body::StepStarted { step: found, work: Work::Note { .. } } if *found == step),
        )
    }

    fn is_started(&self, key: &str, deed: &Deed) -> Result<(), String> {
        let (run, step) = place(key).ok_or("this is no key of ours")?;
        let known = self.runs.get(&run).ok_or("its run is not in the journal")?;
        let started = known.entries.iter().find_map(|entry| match &entry.body {
            Body::StepStarted { step: found, work } if *found == step => Some(work),
            _ => None,
        });
        let fits = match (started.ok_or("its step was not started on disk")?, deed) {
            (Work::Tool { intent: Intent::CreateRefund(refund), .. }, Deed::Refund { payment, cents }) => {
                refund.payment.as_str() == payment && refund.amount_minor == *cents
            }
            (Work::Tool { intent: Intent::UpdateSubscription(_), .. }, Deed::Change) => true,
            (Work::Tool { intent: Intent::SendFollowupEmail(_), .. } | Work::Mail { .. }, Deed::Mail) => true,
            (Work::Note { .. }, Deed::Note) => true,
            (Work::Tool { intent, .. }, Deed::Reply | Deed::Note) => intent.tool().kind() == ToolKind::Ends,
            _ => false,
        };
        if !fits {
            return Err("its step does something else".into());
        }
        let elsewhere = !matches!(deed, Deed::Reply | Deed::Note); // Replies are judged by the ticket itself.
        if elsewhere && known.started_late.contains(&step) {
            return Err("it was started when a person had the ticket already".into());
        }
        Ok(())
    }

    /// At rest: every customer is answered or has a person, and journal and ledger say the same.
    pub fn at_rest(&self, house: &House) -> Vec<String> {
        let mut wrong = Vec::new();
        // The rows beside the entries say what these say.
        for line in deskhand::keep::check::data(house.data(), deskhand::clock::Clock::system().now()) {
            if line.what == "runs" && line.verdict != deskhand::keep::check::Verdict::Pass {
                wrong.push(line.says);
            }
        }
        let world = house.world().lock();
        let done: BTreeSet<(String, Deed)> = deeds(&world).into_iter().collect();
        for ticket in world.tickets.values() {
            let Some(newest) = ticket.newest_requester_comment(|author| world.is_staff(author)) else { continue };
            let runs: Vec<&Known> = self.runs.values().filter(|known| known.state.ticket.id.0 == ticket.id).collect();
            let knows = |known: &&&Known| known.state.ticket.messages.iter().any(|m| m.id.0 == newest.id);
            let answering = runs.iter().filter(knows).count();
            let triggered = runs.iter().filter(|known| known.state.trigger.0 == newest.id).count();
            if answering == 0 && !has_person(ticket, &world) {
                wrong.push(format!("ticket {}: no run knows the comment {}", ticket.id, newest.id));
            }
            if triggered > 1 {
                wrong.push(format!("ticket {}: {triggered} runs for the comment {}", ticket.id, newest.id));
            }
        }
        for (run, known) in &self.runs {
            if !matches!(known.state.rest().0, RunStatus::Closed | RunStatus::WaitingApproval) {
                wrong.push(format!("`{run}` has come to no rest: {:?}", known.state.rest()));
            }
            if let Err(why) = ended_well(known, &done) {
                wrong.push(format!("`{run}`: {why}"));
            }
        }
        for (key, deed) in &done {
            let Some(known) = place(key).and_then(|(run, _)| self.runs.get(&run)) else { continue };
            let (_, step) = place(key).expect("a key of ours");
            if let Err(why) = is_confirmed(known, step, deed) {
                wrong.push(format!("{deed:?} under `{key}` was done: {why}"));
            }
        }
        wrong
    }

    /// How the runs ended, in words, for the tally.
    pub fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for known in self.runs.values() {
            let word = match &known.state.outcome {
                Some(Outcome::Escalated { rule }) => format!("escalated {rule}"),
                Some(outcome) => outcome.as_str().to_owned(),
                None => "waiting".to_owned(),
            };
            *counts.entry(word).or_default() += 1;
        }
        counts
    }

    /// The lines of all runs, for a report.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (run, known) in &self.runs {
            text.push_str(&format!("{run}\n"));
            for (at, entry) in known.entries.iter().enumerate() {
                text.push_str(&format!("  {:3} {} {}\n", at + 1, entry.at(), super::probe::kind(entry)));
            }
        }
        text
    }
}

/// Refunds that no person allowed stay within the limit, alone and together; an approval is used by one step at most.
fn money(state: &RunState, entries: &[Entry]) -> Result<(), String> {
    let mut alone = 0;
    let mut used: BTreeSet<String> = BTreeSet::new();
    for entry in entries {
        let Body::StepStarted { step, work: Work::Tool { intent: Intent::CreateRefund(refund), approval, .. } } =
            &entry.body
        else {
            continue;
        };
        let Some(id) = approval else {
            alone += refund.amount_minor;
            continue;
        };
        if !used.insert(id.to_string()) {
            return Err(format!("approval `{id}` was used twice"));
        }
        let approval = state.approval(id).ok_or("an approval that was never asked")?;
        let allowed = match approval.decided.as_ref().map(|decided| &decided.decision) {
            Some(Decision::Approve) => approval.intent == *intent_of(&entry.body).expect("a tool"),
            Some(Decision::Amount { amount }) => amount.minor == refund.amount_minor,
            Some(Decision::Reject) | None => false,
        };
        if !allowed {
            return Err(format!("step {step} is not what was allowed"));
        }
    }
    for approval in &state.approvals {
        let consumed = matches!(approval.state, ApprovalState::Executing | ApprovalState::Done);
        let rejected = approval.decided.as_ref().is_some_and(|decided| decided.decision == Decision::Reject);
        if consumed && !rejected && !used.contains(&approval.id.to_string()) {
            return Err(format!("approval `{}` is consumed and no step used it", approval.id));
        }
    }
    if alone > REFUND_LIMIT {
        return Err(format!("{alone} cents were refunded without a decision"));
    }
    Ok(())
}

fn intent_of(body: &Body) -> Option<&Intent> {
    match body {
        Body::StepStarted { work: Work::Tool { intent, .. }, .. } => Some(intent),
        _ => None,
    }
}

/// A run that ended says what it did, and that was done.
fn ended_well(known: &Known, done: &BTreeSet<(String, Deed)>) -> Result<(), String> {
    let key = |step: StepNo| {
        let run = known.state.run.as_str().trim_start_matches("run_");
        format!("eff_{run}_{step}")
    };
    let mut works: BTreeMap<StepNo, &Work> = BTreeMap::new();
    for entry in &known.entries {
        match &entry.body {
            Body::StepStarted { step, work } => drop(works.insert(*step, work)),
            Body::StepFinished { step, result: StepResult::Tool { is_error: false, effect, .. }, .. } => {
                let missing = match (works.get(step), effect) {
                    (_, Some(ConfirmedEffect::Refund { payment, amount, .. })) => {
                        let deed = Deed::Refund { payment: payment.to_string(), cents: amount.minor };
                        !done.contains(&(key(*step), deed))
                    }
                    (_, Some(ConfirmedEffect::SubscriptionChange { .. })) => {
                        !done.contains(&(key(*step), Deed::Change))
                    }
                    (_, Some(ConfirmedEffect::Mail { sent: true, .. })) => !done.contains(&(key(*step), Deed::Mail)),
                    (Some(Work::Tool { intent, .. }), None) if intent.tool().kind() == ToolKind::Ends => {
                        !done.contains(&(key(*step), Deed::Reply))
                    }
                    _ => false,
                };
                if missing {
                    return Err(format!("step {step} is told as done and was not"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A deed of the ledger is known to the journal as done, or as unknown to a person.
fn is_confirmed(known: &Known, step: StepNo, deed: &Deed) -> Result<(), String> {
    let finished = known.entries.iter().find_map(|entry| match &entry.body {
        Body::StepFinished { step: found, result, .. } if *found == step => Some(result),
        _ => None,
    });
    match finished {
        None => Err("its step has not ended".into()),
        Some(StepResult::Tool { is_error: false, .. }) => Ok(()),
        // The note of a handover that could not be ended: a person sees the failed run.
        Some(StepResult::Failed { failure, .. }) if failure.class == deskhand::failure::FailureClass::Unknown => Ok(()),
        Some(_) if *deed == Deed::Note => Ok(()),
        Some(other) => Err(format!("its step ended as {}", serde_json::to_string(other).unwrap_or_default())),
    }
}

/// Everything in the ledger that carries a key of ours.
fn deeds(world: &State) -> Vec<(String, Deed)> {
    let mut deeds = Vec::new();
    for refund in world.refunds.iter().filter(|refund| refund.made_here) {
        let key = refund.metadata.get("effect_key").and_then(|key| key.as_str()).unwrap_or("?").to_owned();
        deeds.push((key, Deed::Refund { payment: refund.payment.clone(), cents: refund.amount_minor }));
    }
    for change in &world.subscription_changes {
        deeds.push((change.key.clone().unwrap_or_else(|| "?".into()), Deed::Change));
    }
    for mail in &world.mails {
        let key = mail.message_id.trim_start_matches('<').split('@').next().unwrap_or("?").to_owned();
        deeds.push((key, Deed::Mail));
    }
    for ticket in world.tickets.values() {
        for audit in ticket.audits.iter().filter(|audit| audit.author == world.bot) {
            let Some(marker) = audit.custom.get("deskhand_effect").and_then(|marker| marker.as_str()) else {
                deeds.push(("?".into(), Deed::Reply));
                continue;
            };
            let (key, part) = marker.split_once('.').map_or((marker, ""), |(key, part)| (key, part));
            deeds.push((key.to_owned(), if part == "note" { Deed::Note } else { Deed::Reply }));
        }
    }
    deeds
}

/// How often each kind of thing was done for a ticket.
pub fn deeds_on(world: &World, ticket: i64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (key, deed) in deeds(&world.lock()) {
        if key.starts_with(&format!("eff_{ticket}_")) {
            let word = match deed {
                Deed::Refund { cents, .. } => format!("refund of {cents}"),
                other => format!("{other:?}").to_lowercase(),
            };
            *counts.entry(word).or_default() += 1;
        }
    }
    counts
}

/// The run and step of an effect's key.
fn place(key: &str) -> Option<(RunId, StepNo)> {
    let (run, step) = key.strip_prefix("eff_")?.rsplit_once('_')?;
    Some((format!("run_{run}").parse().ok()?, StepNo(step.parse().ok()?)))
}

fn is_person(author: i64, world: &State) -> bool {
    author != world.bot && world.is_staff(author)
}

/// Whether a person has a ticket: it is theirs, they answered last, or it is closed.
pub fn has_person(ticket: &SimTicket, world: &State) -> bool {
    let theirs = ticket.assignee.is_some_and(|assignee| is_person(assignee, world));
    let last = ticket.comments.iter().rev().find(|comment| comment.public && comment.author != world.bot);
    theirs || last.is_some_and(|last| is_person(last.author, world)) || ticket.status == TicketStatus::Closed
}

/// What of ours stands on a ticket after a person answered or took it, until the customer writes again: by its marker.
fn written_after_a_person(ticket: &SimTicket, world: &State) -> Vec<(i64, String)> {
    let (mut answered, mut owner, mut late) = (false, None, Vec::new());
    for audit in &ticket.audits {
        let comments = audit.events.iter().filter_map(|(_, event)| match event {
            AuditEvent::Comment(id) => ticket.comments.iter().find(|comment| comment.id == *id),
            _ => None,
        });
        let comment = comments.into_iter().next();
        if audit.author == world.bot {
            if answered || owner.is_some() {
                let marker = audit.custom.get("deskhand_effect").and_then(|marker| marker.as_str());
                late.push((ticket.id, marker.unwrap_or_default().to_owned()));
            }
            continue;
        }
        if is_person(audit.author, world) {
            answered |= comment.is_some_and(|comment| comment.public);
            for (_, event) in &audit.events {
                if let AuditEvent::Change(field, new, _) = event
                    && field == "assignee_id"
                {
                    owner = new.as_str().and_then(|id| id.parse::<i64>().ok()).filter(|id| is_person(*id, world));
                }
            }
        } else if comment.is_some_and(|comment| comment.public) {
            answered = false;
        }
    }
    late
}
