//! Why something does not move, for every page's head, the overview and `/readyz`: brakes, a journal that cannot be written,
//! vendors that are away, an intake that cannot read, money that is used up.

use crate::health::Trouble;
use crate::journal::brake::{Brake, Pulled};
use crate::journal::views::{Counts, RunFilter};
use crate::journal::{self, Aside, brake};
use crate::money::Money;
use crate::run::row::{RunRow, RunStatus};
use crate::web::Web;
use crate::web::format::{self, Moment, Times};

/// So many waiting runs are counted one by one.
const COUNTED_MAX: u32 = 1_000;

/// So many of the tickets that were set aside are named.
const ASIDE_NAMED_MAX: usize = 5;

/// So much is shown of what a vendor said, in characters: an error of ours is shorter, a page of HTML is not.
const HEARD_MAX: usize = 300;

/// One reason.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    /// One word for machines: `stopped`, `paused`, `draining`, `journal`, `vendor`, `intake`, `aside`, `spend`, `refund_day`,
    /// `cache`.
    pub(super) key: &'static str,
    /// Whose, for `vendor`: its name.
    pub(super) vendor: &'static str,
    /// What, in a short sentence.
    pub(super) words: String,
    /// What it means, in a sentence or two.
    pub(super) more: String,
    /// Since when, where that is known.
    pub(super) since: Option<Moment>,
    /// Since when, in milliseconds since the Unix epoch.
    pub(super) since_ms: Option<i64>,
    /// A person can end it here, by resuming.
    pub(super) is_brake: bool,
    /// Nothing at all moves because of it.
    pub(super) stops: bool,
}

/// All reasons, the strongest first.
pub(super) async fn reasons(web: &Web, times: &Times, counts: &Counts) -> Result<Vec<Reason>, journal::Error> {
    let health = &web.app.health;
    let mut found = Vec::new();
    found.extend(brake::pulled(&*web.app.journal).await?.map(|pulled| {
        // The command line goes by the machine's clock; a demo's world has another one, and then nobody knows since when.
        let since_ms = (!web.app.settings.demo || pulled.by != brake::COMMAND_LINE).then_some(pulled.at_ms);
        of_brake(&pulled, since_ms, counts, times)
    }));
    found.extend(health.journal().map(|trouble| of_journal(&trouble, times)));
    let (away, spend, limited) = (health.away(), health.spend(), health.limited());
    if !away.is_empty() || spend.is_some() || limited.is_some() {
        let waiting = RunFilter { status: Some(RunStatus::WaitingVendor), ..RunFilter::default() };
        let rows = web.app.views.runs(&waiting, None, COUNTED_MAX).await?;
        found.extend(away.iter().map(|(vendor, trouble)| of_vendor(vendor, trouble, &rows, times)));
        found.extend(spend.map(|trouble| of_spend(&trouble, &rows, times)));
        found.extend(limited.map(|trouble| of_limit(&trouble, &rows, times)));
    }
    if !away.iter().any(|(vendor, _)| *vendor == "zendesk") {
        found.extend(health.intake().map(|trouble| of_intake(&trouble, times)));
    }
    found.extend(of_aside(&web.app.journal.set_aside().await?, times));
    found.extend(refund_days(web, times).await?);
    found.extend(health.prefixes().into_iter().filter_map(|prefix| of_cache(&prefix.cold?, times)));
    Ok(found)
}

/// Costs more than it should; everything moves all the same.
fn of_cache(trouble: &Trouble, times: &Times) -> Option<Reason> {
    let more = format!(
        "{}. Each ticket pays for the whole prompt until it is read again: something that varies may stand in front of it, or the \
         vendor's floor has changed (set `claude.floors`).",
        format::sentence(&trouble.said)
    );
    Some(reason("cache", "the prompt cache is not read".to_owned(), more, Some(trouble.since_ms), times))
}

fn reason(key: &'static str, words: String, more: String, since_ms: Option<i64>, times: &Times) -> Reason {
    let since = since_ms.map(|ms| times.ms(ms));
    Reason { key, vendor: "", words, more, since, since_ms, is_brake: false, stops: false }
}

fn of_brake(pulled: &Pulled, since_ms: Option<i64>, counts: &Counts, times: &Times) -> Reason {
    let (words, more) = match pulled.brake {
        Brake::Stopped => {
            ("The agent is stopped".to_owned(), "Nothing is read and nothing is done until someone resumes".to_owned())
        }
        Brake::Paused => (
            "The agent is paused".to_owned(),
            "New tickets are read; nothing is sent or refunded until someone resumes".to_owned(),
        ),
        Brake::Draining => ("The agent is draining".to_owned(), dry(counts)),
    };
    let why = format::sentence(pulled.reason.trim_end_matches('.'));
    let said = reason(pulled.brake.as_str(), words, format!("{why}. {more}"), since_ms, times);
    Reason { is_brake: true, stops: pulled.brake.holds_steps(), ..said }
}

/// How far a drain is.
pub(super) fn dry(counts: &Counts) -> String {
    match (counts.open, counts.waiting_approvals) {
        (0, _) => "No new ticket is taken in, and no run is open: it is dry".to_owned(),
        (open, 0) => format!("No new ticket is taken in; {} still open", are(open)),
        (open, waiting) => {
            format!("No new ticket is taken in; {} still open, {waiting} of them waiting for a person", are(open))
        }
    }
}

fn are(runs: u64) -> String {
    if runs == 1 { "1 run is".to_owned() } else { format!("{runs} runs are") }
}

fn of_journal(trouble: &Trouble, times: &Times) -> Reason {
    let more = format!(
        "{}. Runs rest; what is finished is kept and written as soon as it can be",
        trouble.said.trim_end_matches('.')
    );
    let said = reason("journal", "The journal cannot be written".to_owned(), more, Some(trouble.since_ms), times);
    Reason { stops: true, ..said }
}

/// A vendor as people call it.
pub(super) fn vendor_name(vendor: &str) -> &str {
    match vendor {
        "zendesk" => "Zendesk",
        "stripe" => "Stripe",
        "billing" => "The billing API",
        "claude" => "Claude",
        "email" => "The mail server",
        other => other,
    }
}

/// How many runs wait because of this one: their rows begin with its name.
fn waiting_for(rows: &[RunRow], vendor: &str) -> String {
    let is_its = |row: &&RunRow| {
        row.reason.as_deref().and_then(|reason| reason.strip_prefix(vendor)).is_some_and(|rest| rest.starts_with(':'))
    };
    match rows.iter().filter(is_its).count() {
        0 => "no run waits for it yet".to_owned(),
        1 => "1 run waits".to_owned(),
        n if n >= COUNTED_MAX as usize => format!("{n} runs or more wait"),
        n => format!("{n} runs wait"),
    }
}

fn of_vendor(vendor: &'static str, trouble: &Trouble, rows: &[RunRow], times: &Times) -> Reason {
    let words = format!("{} does not answer", vendor_name(vendor));
    let more = format!(
        "{}; they go on by themselves. Last heard: {}",
        format::sentence(&waiting_for(rows, vendor)),
        heard(&trouble.said)
    );
    Reason { vendor, ..reason("vendor", words, more, Some(trouble.since_ms), times) }
}

/// What was heard, on one line: without the advice for whoever reads the log, and cut only where a sentence or a word ends.
fn heard(said: &str) -> String {
    let what = said.split("\nhint: ").next().unwrap_or_default();
    let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    let Some((end, _)) = line.char_indices().nth(HEARD_MAX) else { return line.to_owned() };
    let kept = &line[..end];
    match kept.rfind(". ") {
        Some(at) => kept[..at].to_owned(),
        None => format!("{} …", kept.rsplit_once(' ').map_or(kept, |(words, _)| words)),
    }
}

fn of_intake(trouble: &Trouble, times: &Times) -> Reason {
    let more = format!("{}. None is lost: they are read as soon as it works", heard(&trouble.said));
    reason("intake", "New tickets cannot be read".to_owned(), more, Some(trouble.since_ms), times)
}

/// Tickets that intake could not take in.
fn of_aside(aside: &[Aside], times: &Times) -> Option<Reason> {
    let first = aside.first()?;
    let words = match aside.len() {
        1 => "1 ticket cannot be read".to_owned(),
        n => format!("{n} tickets cannot be read"),
    };
    let named: Vec<String> = aside.iter().take(ASIDE_NAMED_MAX).map(|one| one.ticket.to_string()).collect();
    let more = format!(
        "{} {}: {}. They are tried again every minute; the others go on",
        if aside.len() == 1 { "Ticket" } else { "Tickets" },
        named.join(", "),
        heard(&first.why)
    );
    Some(reason("aside", words, more, Some(first.since_ms), times))
}

fn of_spend(trouble: &Trouble, rows: &[RunRow], times: &Times) -> Reason {
    let more = format!(
        "{}. {}; those that get too old go to a person. Raise `limits.cost_day_max_micros` or `limits.cost_month_max_micros` to go on",
        trouble.said,
        format::sentence(&waiting_for(rows, "deskhand"))
    );
    reason("spend", "The money for model calls is used up".to_owned(), more, Some(trouble.since_ms), times)
}

fn of_limit(trouble: &Trouble, rows: &[RunRow], times: &Times) -> Reason {
    let more = format!(
        "{}. {}; customers who wait for a first answer go first, and all go on by themselves",
        format::clip(&trouble.said, 160),
        format::sentence(&waiting_for(rows, "claude"))
    );
    reason("limit", "Claude’s rate limit is reached".to_owned(), more, Some(trouble.since_ms), times)
}

/// Currencies in which a refund at the limit per refund no longer fits into the day.
async fn refund_days(web: &Web, times: &Times) -> Result<Vec<Reason>, journal::Error> {
    let policy = &web.app.settings.policy;
    let mut found = Vec::new();
    for (currency, each) in &policy.refund_limit_minor {
        let Some(limit) = policy.refund_daily_limit(*currency) else { continue };
        let taken = web.app.journal.refunded_since(*currency, times.days_ago_ms(0)).await?;
        // A day that nothing was taken of is not used up, however low its limit.
        if taken > 0 && taken.saturating_add(*each) > limit {
            let shown = |minor| Money::new(minor, *currency);
            let more = format!(
                "{} of {} for refunds without approval are taken. A refund that does not fit waits for a person",
                shown(taken),
                shown(limit)
            );
            found.push(reason("refund_day", "The day’s refunds are used up".to_owned(), more, None, times));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_shown_without_its_hint_and_not_cut_inside_a_word() {
        let check = |said: &str, expected: &str| assert_eq!(heard(said), expected);
        check(
            "Zendesk refused: the token is not valid\nhint: make a new one",
            "Zendesk refused: the token is not valid",
        );
        check("two\nlines.", "two lines");
        let sentence = "It is away. ".repeat(40);
        check(&sentence, sentence[..299].trim_end_matches(['.', ' ']));
        let words = "word ".repeat(100);
        check(&words, &format!("{} …", "word ".repeat(60).trim_end()));
    }
}
