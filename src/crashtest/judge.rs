//! Compares a disturbed world with an undisturbed one. Pure.

use super::ledger::{Ended, TicketEnd};

/// What a disturbed world did otherwise than the undisturbed one, a sentence each with the ticket that it is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// Deeds done twice.
    pub(super) doubled: Vec<Finding>,
    /// Tickets without an end, triggers without a run, deeds that are missing.
    pub(super) lost: Vec<Finding>,
    /// Anything else that ended otherwise.
    pub(super) changed: Vec<Finding>,
    /// Mails whose sending was interrupted: a person is shown that they may not have left. By design, no mistake.
    pub(super) mails_unknown: usize,
    /// Runs that were parked because each try of a step ended the process. By design, no mistake.
    pub(super) parked: usize,
}

/// A sentence and the ticket that it is about; `None` when it is about none alone.
pub(super) type Finding = (Option<i64>, String);

impl Findings {
    /// All that break a guarantee.
    pub(super) fn all(&self) -> impl Iterator<Item = &Finding> {
        self.doubled.iter().chain(&self.lost).chain(&self.changed)
    }
}

/// How much must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Everything: the same outcome, the same words.
    Whole,
    /// With vendors that fail and several workers a ticket may rightly end otherwise (a person gets it); but it ends, and what
    /// was done was done once.
    Once,
}

pub(super) fn compare(undisturbed: &Ended, disturbed: &Ended, measure: Measure) -> Findings {
    let mut found = Findings::default();
    found.doubled.extend(disturbed.doubled.iter().map(|what| (None, what.clone())));
    for guarantee in disturbed.report.guarantees.iter().filter(|guarantee| !guarantee.held) {
        let list = if guarantee.id == "G1" { &mut found.lost } else { &mut found.changed };
        list.extend(guarantee.broken_by.iter().map(|what| (None, format!("{}: {what}", guarantee.id))));
    }
    for (id, before) in &undisturbed.tickets {
        match disturbed.tickets.get(id) {
            None => found.lost.push((Some(*id), format!("ticket {id} never arrived"))),
            Some(after) => ticket(*id, before, after, measure, &mut found),
        }
    }
    for id in disturbed.tickets.keys().filter(|id| !undisturbed.tickets.contains_key(id)) {
        found.changed.push((Some(*id), format!("ticket {id} is there and was not before")));
    }
    found
}

/// What breaks in a world by itself.
pub(super) fn broken_by_itself(world: &Ended) -> Vec<String> {
    compare(world, world, Measure::Whole).all().map(|(_, what)| what.clone()).collect()
}

fn ticket(id: i64, before: &TicketEnd, after: &TicketEnd, measure: Measure, found: &mut Findings) {
    found.mails_unknown += usize::from(after.mail_unknown);
    found.parked += usize::from(after.parked);
    let excused = after.mail_unknown || after.parked || measure == Measure::Once;
    if after.outcome == "open" {
        found.lost.push((Some(id), format!("ticket {id} has no end")));
    }
    let lists = [
        ("deed", &before.effects, &after.effects),
        ("answer", &before.replies, &after.replies),
        ("note", &before.notes, &after.notes),
    ];
    for (what, before, after) in lists {
        for (text, times) in more(after, before) {
            if after.iter().filter(|same| *same == text).count() > times {
                found
                    .doubled
                    .push((Some(id), format!("ticket {id}: {what} done {} times too often: {}", times, short(text))));
            } else if !excused {
                found
                    .changed
                    .push((Some(id), format!("ticket {id}: {what} that was not there before: {}", short(text))));
            }
        }
        for (text, _) in more(before, after).into_iter().filter(|_| !excused) {
            found.lost.push((Some(id), format!("ticket {id}: {what} is missing: {}", short(text))));
        }
    }
    if !excused && before.outcome != after.outcome {
        found.changed.push((Some(id), format!("ticket {id}: ended `{}`, was `{}`", after.outcome, before.outcome)));
    } else if !excused && before.fields != after.fields {
        found.changed.push((Some(id), format!("ticket {id}: left as {}, was {}", after.fields, before.fields)));
    }
}

/// What `these` hold more often than `those`, and how much more often.
fn more<'a>(these: &'a [String], those: &[String]) -> Vec<(&'a str, usize)> {
    let mut out: Vec<(&str, usize)> = Vec::new();
    for text in these {
        if out.iter().any(|(known, _)| known == text) {
            continue;
        }
        let count = |list: &[String]| list.iter().filter(|same| *same == text).count();
        let extra = count(these).saturating_sub(count(those));
        if extra > 0 {
            out.push((text, extra));
        }
    }
    out
}

fn short(text: &str) -> String {
    const SHOWN_CHARS: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
