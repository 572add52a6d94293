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
    /// Tickets that went to a person, with failing vendors, and did not undisturbed. By design, no mistake.
    pub(super) handed_over: usize,
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
    /// Everything: the same outcome, the same words. Nothing is parked: no step dies three times.
    Whole,
    /// Everything, but for a run whose step ends its worker each time: that one is parked.
    Poisoned,
    /// With vendors that fail a ticket may rightly end otherwise, but then a person has it; nothing is done that was not done
    /// undisturbed, and nothing twice. A ticket that ends as undisturbed holds the same deeds and as many answers; their words
    /// may differ.
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
    let (given_up, allowed) = (found.parked + found.handed_over, given_up_max(disturbed.tickets.len()));
    if measure == Measure::Once && given_up > allowed {
        let what = format!("{given_up} of {} tickets were parked or handed over: no chance", disturbed.tickets.len());
        found.changed.push((None, what));
    }
    for id in disturbed.tickets.keys().filter(|id| !undisturbed.tickets.contains_key(id)) {
        found.changed.push((Some(*id), format!("ticket {id} is there and was not before")));
    }
    found
}

/// How many tickets of a world failing vendors and three kills in one step may leave to a person: seen were none to two of sixty.
fn given_up_max(tickets: usize) -> usize {
    2 + tickets / 10
}

/// What breaks in a world by itself.
pub(super) fn broken_by_itself(world: &Ended) -> Vec<String> {
    compare(world, world, Measure::Whole).all().map(|(_, what)| what.clone()).collect()
}

fn ticket(id: i64, before: &TicketEnd, after: &TicketEnd, measure: Measure, found: &mut Findings) {
    found.mails_unknown += usize::from(after.mail_unknown);
    found.parked += usize::from(after.parked || after.panicked);
    if after.outcome == "open" {
        found.lost.push((Some(id), format!("ticket {id} has no end")));
    }
    // A ticket may rightly end otherwise when a person was given it: then what was not done is theirs to do.
    let ends_otherwise = before.outcome != after.outcome;
    let given_up = match measure {
        Measure::Whole => false,
        Measure::Poisoned => after.parked || after.panicked,
        Measure::Once => after.parked,
    };
    let handed_over = measure == Measure::Once && ends_otherwise && after.with_a_person;
    let excused = after.mail_unknown || given_up || handed_over;
    found.handed_over += usize::from(handed_over && !given_up && !after.mail_unknown);
    if ends_otherwise && !excused {
        found.changed.push((Some(id), format!("ticket {id}: ended `{}`, was `{}`", after.outcome, before.outcome)));
    }
    if after.replies.len() > after.heard {
        let (answers, heard) = (after.replies.len(), after.heard);
        found.doubled.push((Some(id), format!("ticket {id}: {answers} answers to a customer heard {heard} times")));
    }
    // What we write of a failing vendor differs from world to world; what we do does not.
    let words = measure != Measure::Once;
    let lists = [
        ("deed", &before.effects, &after.effects, true),
        ("answer", &before.replies, &after.replies, words),
        ("note", &before.notes, &after.notes, words),
    ];
    for (what, before, after, must_be_equal) in lists {
        for (text, times) in more(after, before) {
            if after.iter().filter(|same| *same == text).count() > before_or_once(before, text) {
                let what = format!("ticket {id}: {what} done {times} times too often: {}", short(text));
                found.doubled.push((Some(id), what));
            } else if what == "deed" || must_be_equal && !excused {
                let what = format!("ticket {id}: {what} that was not there before: {}", short(text));
                found.changed.push((Some(id), what));
            }
        }
        for (text, _) in more(before, after).into_iter().filter(|_| must_be_equal && !excused) {
            found.lost.push((Some(id), format!("ticket {id}: {what} is missing: {}", short(text))));
        }
    }
    if excused || ends_otherwise {
        return;
    }
    if before.replies.len() > after.replies.len() {
        let (is, was) = (after.replies.len(), before.replies.len());
        found.lost.push((Some(id), format!("ticket {id}: {is} answers, were {was}")));
    }
    if words && before.fields != after.fields {
        found.changed.push((Some(id), format!("ticket {id}: left as {}, was {}", after.fields, before.fields)));
    }
}

/// How often this may be there: as often as undisturbed, and what was not there at all, once.
fn before_or_once(before: &[String], text: &str) -> usize {
    before.iter().filter(|same| *same == text).count().max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn end(outcome: &str, effects: &[&str], replies: &[&str]) -> TicketEnd {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        TicketEnd {
            outcome: outcome.to_owned(),
            with_a_person: outcome.starts_with("escalated"),
            effects: texts(effects),
            replies: texts(replies),
            notes: Vec::new(),
            fields: String::new(),
            heard: 1,
            refunds: 0,
            mail_unknown: false,
            parked: false,
            panicked: false,
        }
    }

    #[test]
    fn what_breaks_a_guarantee_is_found_and_what_a_failing_vendor_explains_is_not() {
        let check = |before: &TicketEnd, after: &TicketEnd, measure, doubled: usize, lost: usize, changed: usize| {
            let mut found = Findings::default();
            ticket(1, before, after, measure, &mut found);
            let counts = (found.doubled.len(), found.lost.len(), found.changed.len());
            assert_eq!(counts, (doubled, lost, changed), "{before:?} → {after:?} {measure:?}");
        };
        let whole = end("resolved", &["refund p of 5"], &["Done."]);
        for measure in [Measure::Whole, Measure::Once] {
            check(&whole, &whole, measure, 0, 0, 0);
            check(&whole, &end("resolved", &["refund p of 5"; 2], &["Done."]), measure, 1, 0, 0);
            check(&whole, &end("resolved", &[], &["Done."]), measure, 0, 1, 0);
            check(
                &whole,
                &end("open", &["refund p of 5"], &[]),
                measure,
                0,
                usize::from(measure == Measure::Whole) + 1,
                1,
            );
            check(&whole, &end("waiting_customer", &["refund p of 5"], &["Done."]), measure, 0, 0, 1);
            // A deed that nobody did undisturbed, once and twice, even when a person has the ticket.
            check(&whole, &end("resolved", &["refund p of 5", "refund q of 5"], &["Done."]), measure, 0, 0, 1);
            let person = end("escalated (limits)", &["refund q of 5"; 2], &[]);
            check(&end("escalated (limits)", &[], &[]), &person, measure, 1, 0, 0);
            // Two answers to one word, worded otherwise.
            let twice = end("escalated (limits)", &[], &["Done.", "We look at it."]);
            check(&end("escalated (limits)", &[], &["Done.", "We look at it."]), &twice, measure, 1, 0, 0);
        }
        // A run that was given up: only where that was brought about.
        let parked = TicketEnd { parked: true, ..end("escalated (model_failed)", &[], &["We look at it."]) };
        check(&whole, &parked, Measure::Whole, 0, 2, 2);
        check(&whole, &parked, Measure::Poisoned, 0, 0, 0);
        check(&whole, &parked, Measure::Once, 0, 0, 0);
        let panicked = TicketEnd { panicked: true, ..end("failed", &[], &[]) };
        check(&whole, &panicked, Measure::Poisoned, 0, 0, 0);
        check(&whole, &panicked, Measure::Once, 0, 1, 1);
        let person = end("escalated (vendor_away)", &[], &["We look at it."]);
        check(&whole, &person, Measure::Once, 0, 0, 0);
        check(&whole, &person, Measure::Whole, 0, 2, 2);
        // Other words are fine where vendors fail; no answer at all is not.
        check(&whole, &end("resolved", &["refund p of 5"], &["It is done."]), Measure::Once, 0, 0, 0);
        check(&whole, &end("resolved", &["refund p of 5"], &["It is done."]), Measure::Whole, 0, 1, 1);
        check(&whole, &end("resolved", &["refund p of 5"], &[]), Measure::Once, 0, 1, 0);
    }
}
