//! A run's entries as rows of a timeline: steps, stops of a rule, waits for a person; and their bars on an axis that cuts
//! long waits, so that one lunch break does not hide every other bar.

use crate::ids::StepNo;
use crate::money::Cost;
use crate::policy::Verdict;
use crate::run::entry::{Body, Decision, Entry, LostCall, Outcome, StepResult, Work};
use crate::web::format::{self, Times};
use crate::web::parts::{Names, Tick};

/// Waits longer than this are cut out of the axis, in milliseconds.
const CUT_ABOVE_MS: i64 = 3_000;
/// The width of a cut wait, as a share of the active time.
const CUT_SHARE: f64 = 0.14;

/// Who does a row: colour and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Model,
    Tool,
    Person,
    Failed,
}

impl Actor {
    pub(super) fn class(self) -> &'static str {
        match self {
            Actor::Model => "m",
            Actor::Tool => "t",
            Actor::Person => "p",
            Actor::Failed => "b",
        }
    }
    pub(super) fn icon(self) -> &'static str {
        match self {
            Actor::Failed => "t",
            other => other.class(),
        }
    }
    pub(super) fn word(self) -> &'static str {
        match self {
            Actor::Model => "Model",
            Actor::Tool => "Tool",
            Actor::Person => "Person",
            Actor::Failed => "Failed",
        }
    }
}

/// A piece of a row's bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) class: &'static str,
    pub(super) hatched: bool,
    pub(super) x: String,
    pub(super) width: String,
    pub(super) y: u32,
    pub(super) height: u32,
    pub(super) title: String,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) step: Option<StepNo>,
    pub(super) actor: Actor,
    pub(super) name: String,
    pub(super) hint: String,
    pub(super) took: String,
    pub(super) running: bool,
    pub(super) tokens: String,
    pub(super) cost: String,
    pub(super) segments: Vec<Segment>,
    pub(super) current: bool,
}

/// The whole timeline.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    pub(super) ticks: Vec<Tick>,
    pub(super) lines: Vec<String>,
    pub(super) active_ms: u64,
    pub(super) retries: u32,
    /// What went for answers that were lost, in words; empty: nothing.
    pub(super) lost: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Work(Actor),
    BadTry,
    Wait,
}

#[derive(Debug, Clone)]
struct Span {
    from: i64,
    to: i64,
    kind: Kind,
}

struct Draft {
    row: Row,
    spans: Vec<Span>,
    /// When the current try began, while it runs.
    since: Option<i64>,
}

/// The words for a piece of work: actor, name, hint.
pub(super) fn describe(work: &Work, turn: u32) -> (Actor, String, String) {
    match work {
        Work::ReadFacts => (Actor::Tool, "Read account and records".to_owned(), String::new()),
        Work::Route { model } => (Actor::Model, "Triage".to_owned(), format::model(model)),
        Work::Model { model } => (Actor::Model, format!("Turn {turn}"), format::model(model)),
        Work::Tool { intent, approval, call } => {
            let hint = match (approval, call.as_str()) {
                (Some(_), _) => "approved by a person".to_owned(),
                (None, "rule") => "by a rule".to_owned(),
                _ => String::new(),
            };
            (Actor::Tool, intent.tool().to_string(), hint)
        }
        Work::Mail { scheduled } => (Actor::Tool, "Send scheduled mail".to_owned(), format!("from step {scheduled}")),
        Work::Note { .. } => (Actor::Tool, "Tell the colleagues".to_owned(), "note on the ticket".to_owned()),
    }
}

/// Builds the timeline. `chosen` is the step whose detail is open.
pub(super) fn build(entries: &[Entry], chosen: Option<StepNo>, times: &Times, names: &Names) -> Timeline {
    let now = times.now.as_millisecond();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut turn = 0;
    let mut retries = 0;
    let mut lost: Vec<&LostCall> = Vec::new();
    let mut closed_at = None;
    for entry in entries {
        let at = entry.at_ms;
        match &entry.body {
            Body::StepStarted { step, work } => {
                if matches!(work, Work::Model { .. }) {
                    turn += 1;
                }
                let (actor, name, hint) = describe(work, turn);
                // An approved call keeps the number under which it asked; its row follows the wait.
                drafts.push(Draft::new(Some(*step), actor, name, hint, Some(at)));
            }
            Body::StepDelayed { step, retry_at_ms, failure, .. } => {
                if let Some(draft) = last_of(&mut drafts, *step) {
                    retries += 1;
                    let from = draft.since.unwrap_or(at).min(at);
                    draft.spans.push(Span { from, to: at, kind: Kind::BadTry });
                    draft.since = Some(*retry_at_ms);
                    draft.row.hint = format!("{} did not do it, tried again", format::sentence(&failure.vendor));
                }
            }
            Body::CallLost { step, call } => {
                lost.push(call);
                if let Some(draft) = last_of(&mut drafts, *step) {
                    draft.row.hint = "an answer was lost, asked again".to_owned();
                }
            }
            Body::StepFinished { step, result, took_ms } => {
                if let Some(draft) = last_of(&mut drafts, *step) {
                    finish(draft, at, result, *took_ms);
                }
            }
            Body::Judged { judgement, .. } => {
                let words = match &judgement.verdict {
                    Verdict::Escalate => Some("Stopped by a rule"),
                    Verdict::Refuse { .. } => Some("Refused by a rule"),
                    Verdict::Quiet { .. } => Some("Not to be answered"),
                    Verdict::Allow | Verdict::NeedsApproval => None,
                };
                if let Some(words) = words {
                    let hint = judgement.rule.title().to_owned();
                    let mut draft = Draft::new(None, Actor::Person, words.to_owned(), hint, None);
                    draft.row.took = String::new();
                    drafts.push(draft);
                }
            }
            Body::ApprovalRequested { step, .. } => {
                let name = "Wait for a person".to_owned();
                let mut draft = Draft::new(Some(*step), Actor::Person, name, "approval".to_owned(), None);
                draft.spans.push(Span { from: at, to: now, kind: Kind::Wait });
                drafts.push(draft);
            }
            Body::ApprovalDecided { decision, by, hold_until_ms, .. } => {
                let verb = match decision {
                    Decision::Approve => "approved".to_owned(),
                    Decision::Amount { amount } => format!("approved {amount}"),
                    Decision::Reject => "rejected".to_owned(),
                };
                end_wait(&mut drafts, at, format!("{} {verb}", names.of(by)));
                if *hold_until_ms > at {
                    let mut draft =
                        Draft::new(None, Actor::Person, "Hold".to_owned(), "can be undone".to_owned(), None);
                    draft.spans.push(Span { from: at, to: (*hold_until_ms).min(now), kind: Kind::Wait });
                    draft.row.running = *hold_until_ms > now;
                    drafts.push(draft);
                }
            }
            Body::DecisionUndone { by, .. } => {
                end_wait(&mut drafts, at, format!("undone by {}", names.of(by)));
                let name = "Wait for a person".to_owned();
                let mut draft = Draft::new(None, Actor::Person, name, "again".to_owned(), None);
                draft.spans.push(Span { from: at, to: now, kind: Kind::Wait });
                drafts.push(draft);
            }
            Body::ApprovalReopened { judgement, .. } => {
                let hint = format::clip(&judgement.why, 60);
                let mut draft = Draft::new(None, Actor::Person, "Asked again".to_owned(), hint, None);
                draft.spans.push(Span { from: at, to: now, kind: Kind::Wait });
                drafts.push(draft);
            }
            Body::ApprovalExpired { .. } => end_wait(&mut drafts, at, "nobody answered in time".to_owned()),
            Body::TakenOver { by, .. } => {
                end_wait(&mut drafts, at, "no longer needed".to_owned());
                let who = by.as_deref().map_or_else(|| "at the helpdesk".to_owned(), |by| names.of(by));
                drafts.push(Draft::new(None, Actor::Person, "Taken over".to_owned(), who, None));
            }
            Body::CustomerWrote { .. } => {
                let (name, hint) = ("Customer wrote again".to_owned(), "joined the run".to_owned());
                drafts.push(Draft::new(None, Actor::Person, name, hint, None));
            }
            Body::HeldBack { what } => {
                let hint = format::clip(what, 60);
                drafts.push(Draft::new(None, Actor::Person, "Held back".to_owned(), hint, None));
            }
            Body::Reopened { by } => {
                closed_at = None;
                drafts.push(Draft::new(None, Actor::Person, "Retried".to_owned(), names.of(by), None));
            }
            Body::RunClosed { outcome } => {
                closed_at = Some(at);
                end_wait(&mut drafts, at, String::new());
                if let Outcome::Failed { message } = outcome {
                    let hint = format::clip(message, 60);
                    drafts.push(Draft::new(None, Actor::Failed, "Parked".to_owned(), hint, None));
                }
            }
            Body::RunOpened { .. } | Body::Reminded { .. } | Body::StepRetried { .. } => {}
        }
    }
    for draft in &mut drafts {
        if let Some(since) = draft.since.filter(|since| *since <= now) {
            let Kind::Work(actor) = Kind::Work(draft.row.actor) else { continue };
            draft.spans.push(Span { from: since, to: closed_at.unwrap_or(now), kind: Kind::Work(actor) });
            draft.row.running = true;
        }
        if draft.row.took.is_empty() {
            let waited: i64 = draft.spans.iter().filter(|s| s.kind == Kind::Wait).map(|s| s.to - s.from).sum();
            if waited > 0 {
                draft.row.took = format::duration(waited.unsigned_abs());
            }
        }
    }
    Timeline { lost: lost_words(&lost), ..lay_out(drafts, chosen, retries) }
}

/// "1 lost answer wasted $0.0021", as far as known.
fn lost_words(lost: &[&LostCall]) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let cost = lost.iter().filter_map(|call| call.cost).fold(Cost::ZERO, |sum, cost| sum + cost);
    let wasted = match lost.iter().filter(|call| call.cost.is_none()).count() {
        0 => format!("wasted {cost}"),
        n if n == lost.len() => "wasted tokens that are not known".to_owned(),
        _ => format!("wasted {cost} and tokens that are not known"),
    };
    format!("{} {wasted}", format::count(lost.len() as u64, "lost answer", "lost answers"))
}

impl Draft {
    fn new(step: Option<StepNo>, actor: Actor, name: String, hint: String, since: Option<i64>) -> Self {
        let row = Row {
            step,
            actor,
            name,
            hint,
            took: String::new(),
            running: false,
            tokens: String::new(),
            cost: String::new(),
            segments: Vec::new(),
            current: false,
        };
        Self { row, spans: Vec::new(), since }
    }
}

fn last_of(drafts: &mut [Draft], step: StepNo) -> Option<&mut Draft> {
    drafts.iter_mut().rev().find(|draft| draft.row.step == Some(step))
}

fn end_wait(drafts: &mut [Draft], at: i64, hint: String) {
    let open =
        drafts.iter_mut().rev().find(|draft| draft.spans.last().is_some_and(|s| s.kind == Kind::Wait && s.to > at));
    if let Some(draft) = open {
        if let Some(span) = draft.spans.last_mut() {
            span.to = at;
        }
        draft.row.running = false;
        if !hint.is_empty() {
            draft.row.hint = hint;
        }
    }
}

fn finish(draft: &mut Draft, at: i64, result: &StepResult, took_ms: u64) {
    let from = at.saturating_sub(i64::try_from(took_ms).unwrap_or(0));
    draft.since = None;
    draft.row.took = format::duration(took_ms);
    let call = match result {
        StepResult::Routed { call, .. } | StepResult::Model { call, .. } => Some(call),
        StepResult::Failed { call, .. } => call.as_ref(),
        _ => None,
    };
    if let Some(call) = call {
        draft.row.tokens = crate::money::group(call.usage.prompt());
        draft.row.cost = call.cost.map_or_else(|| "not known".to_owned(), |cost| cost.to_string());
    }
    let failed = match result {
        StepResult::Failed { failure, .. } => {
            draft.row.hint = format!("failed: {}", format::clip(&failure.message, 48));
            true
        }
        StepResult::Tool { is_error: true, .. } => {
            draft.row.hint = "refused".to_owned();
            false
        }
        StepResult::CustomerWroteFirst { .. } => {
            draft.row.hint = "not sent: the customer wrote first".to_owned();
            false
        }
        StepResult::HeldBack { found } => {
            let hint = if found.is_some() { "half done: shadow mode" } else { "not sent: shadow mode" };
            draft.row.hint = hint.to_owned();
            false
        }
        StepResult::PersonFirst { .. } => {
            draft.row.hint = "not sent: a person has the ticket".to_owned();
            false
        }
        _ => false,
    };
    let kind = if failed { Kind::BadTry } else { Kind::Work(draft.row.actor) };
    draft.spans.push(Span { from, to: at, kind });
    if failed {
        draft.row.actor = Actor::Failed;
    }
}

/// Real time → share of the axis: active stretches keep their scale, long gaps become short blocks.
struct Axis {
    /// Real start and end, and where they lie, in "shown" milliseconds.
    pieces: Vec<(i64, i64, f64, f64, bool)>,
    total: f64,
}

impl Axis {
    fn new(drafts: &[Draft]) -> Self {
        let mut busy: Vec<(i64, i64)> = drafts
            .iter()
            .flat_map(|draft| &draft.spans)
            .filter(|span| span.kind != Kind::Wait)
            .map(|span| (span.from, span.to.max(span.from + 1)))
            .collect();
        busy.sort_unstable();
        let ends = drafts.iter().flat_map(|draft| &draft.spans).map(|span| span.to).max();
        let starts = drafts.iter().flat_map(|draft| &draft.spans).map(|span| span.from).min();
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for (from, to) in busy {
            match stretches.last_mut() {
                Some(last) if from - last.1 <= CUT_ABOVE_MS => last.1 = last.1.max(to),
                _ => stretches.push((from, to)),
            }
        }
        let active: i64 = stretches.iter().map(|(from, to)| to - from).sum();
        let block = (active as f64 * CUT_SHARE).max(1.0);
        let mut pieces = Vec::new();
        let mut x = 0.0;
        let mut cursor = starts.unwrap_or(0);
        for (from, to) in stretches {
            if from > cursor {
                let width = if from - cursor > CUT_ABOVE_MS { block } else { (from - cursor) as f64 };
                pieces.push((cursor, from, x, x + width, from - cursor > CUT_ABOVE_MS));
                x += width;
            }
            pieces.push((from, to, x, x + (to - from) as f64, false));
            x += (to - from) as f64;
            cursor = to;
        }
        if let Some(end) = ends.filter(|end| *end > cursor) {
            let cut = end - cursor > CUT_ABOVE_MS;
            let width = if cut { block } else { (end - cursor) as f64 };
            pieces.push((cursor, end, x, x + width, cut));
            x += width;
        }
        Self { pieces, total: x.max(1.0) }
    }

    fn at(&self, ms: i64) -> f64 {
        let found = self.pieces.iter().find(|(from, to, ..)| (*from..=*to).contains(&ms));
        let x = match found {
            Some((from, to, x0, x1, _)) if to > from => x0 + (ms - from) as f64 / (to - from) as f64 * (x1 - x0),
            Some((_, _, x0, ..)) => *x0,
            None => self.pieces.last().map_or(0.0, |piece| if ms > piece.1 { piece.3 } else { 0.0 }),
        };
        x / self.total * 100.0
    }

    /// Ticks at round active times, and the true length of each cut wait.
    fn ticks(&self) -> Vec<Tick> {
        let active: f64 = self.pieces.iter().filter(|piece| !piece.4).map(|piece| piece.3 - piece.2).sum();
        let cuts: Vec<_> = self.pieces.iter().filter(|piece| piece.4).collect();
        let mut ticks = Vec::new();
        for (from, to, x0, x1, _) in &cuts {
            let middle = (x0 + x1) / 2.0 / self.total * 100.0;
            let (at, anchor) = if middle > 80.0 { (100.0, "end") } else { (middle, "middle") };
            ticks.push(Tick {
                at: String::new(),
                text_at: format!("{at:.2}%"),
                text: format!("// {}", format::age((to - from).unsigned_abs())),
                anchor,
            });
        }
        let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0]
            .into_iter()
            .map(|s| s * 1_000.0)
            .find(|step| active / step <= 4.5)
            .unwrap_or(7_200_000.0);
        let mut passed = 0.0;
        let mut next = 0.0;
        for (.., x0, x1, cut) in &self.pieces {
            if *cut {
                continue;
            }
            while next <= passed + (x1 - x0) {
                let at = (x0 + next - passed) / self.total * 100.0;
                let clear = cuts.iter().all(|(.., c0, c1, _)| {
                    let (c0, c1) = (c0 / self.total * 100.0, c1 / self.total * 100.0);
                    at < c0 - 14.0 || at > c1 + 10.0
                });
                if clear && at < 97.0 {
                    ticks.push(Tick {
                        at: format!("{at:.2}%"),
                        text_at: format!("{at:.2}%"),
                        text: if step < 1_000.0 { format!("{:.1} s", next / 1_000.0) } else { tick_words(next) },
                        anchor: if at < 4.0 { "start" } else { "middle" },
                    });
                }
                next += step;
            }
            passed += x1 - x0;
        }
        ticks
    }
}

fn tick_words(ms: f64) -> String {
    let s = (ms / 1_000.0).round() as u64;
    if s < 60 { format!("{s} s") } else { format::duration(s * 1_000) }
}

fn lay_out(drafts: Vec<Draft>, chosen: Option<StepNo>, retries: u32) -> Timeline {
    let axis = Axis::new(&drafts);
    let active: f64 = axis.pieces.iter().filter(|piece| !piece.4).map(|piece| piece.3 - piece.2).sum();
    let ticks = axis.ticks();
    let mut taken = false;
    let mut rows: Vec<Row> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut row = draft.row;
        row.segments = draft
            .spans
            .iter()
            .map(|span| {
                let (x0, x1) = (axis.at(span.from), axis.at(span.to));
                let (class, hatched, y, height) = match span.kind {
                    Kind::Work(Actor::Model) => ("c-m1", false, 10, 12),
                    Kind::Work(Actor::Person) => ("c-p", false, 10, 12),
                    Kind::Work(_) => ("c-t", false, 11, 10),
                    Kind::BadTry => ("c-bad", false, 12, 8),
                    Kind::Wait => ("", true, 9, 14),
                };
                let took = format::duration((span.to - span.from).unsigned_abs());
                Segment {
                    class,
                    hatched,
                    x: format!("{:.2}%", x0.min(99.3)),
                    width: format!("{:.2}%", (x1 - x0).max(0.7)),
                    y,
                    height,
                    title: if span.kind == Kind::BadTry { format!("failed try, {took}") } else { took },
                }
            })
            .collect();
        row.current = chosen.is_some() && row.step == chosen && !taken;
        taken |= row.current;
        rows.push(row);
    }
    Timeline {
        rows,
        lines: ticks.iter().filter(|tick| !tick.at.is_empty()).map(|tick| tick.at.clone()).collect(),
        ticks,
        active_ms: active.max(0.0) as u64,
        retries,
        lost: String::new(),
    }
}
