//! Small parts that several pages show: a run's status, a row of a list, a chart's bars, a sparkline.

use crate::journal::views::DayOutcomes;
use crate::run::row::{ApprovalRow, ApprovalState, RunRow, RunStatus};
use crate::web::Web;
use crate::web::error::Error;
use crate::web::format::{self, Moment, Times};

/// A status: the class and icon of the stylesheet, and the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) words: String,
}

impl Status {
    pub(super) fn new(class: &'static str, words: impl Into<String>) -> Self {
        let icon = match class {
            "st-ok" => "ok",
            "st-run" => "run",
            "st-wait" => "wait",
            "st-fail" => "fail",
            "st-hand" => "hand",
            "st-warn" => "warn",
            "st-person" => "p",
            _ => "off",
        };
        Self { class, icon, words: words.into() }
    }

    /// How a run stands.
    pub(super) fn of_run(row: &RunRow) -> Self {
        match (row.status, row.outcome.as_deref()) {
            (RunStatus::Closed, Some("resolved")) => Self::new("st-ok", "Resolved"),
            (RunStatus::Closed, Some("waiting_customer")) => Self::new("st-ok", "Asked the customer"),
            (RunStatus::Closed, Some("escalated")) => Self::new("st-hand", "Went to a person"),
            (RunStatus::Closed, Some("shadowed")) => Self::new("st-off", "Shadow, nothing done"),
            (RunStatus::Closed, Some("skipped")) => Self::new("st-off", "Not answered"),
            (RunStatus::Closed, Some("taken_over")) => Self::new("st-person", "Taken over"),
            (RunStatus::Closed, Some("failed")) => Self::new("st-fail", "Parked"),
            (RunStatus::Closed, other) => Self::new("st-off", format::sentence(other.unwrap_or("closed"))),
            (RunStatus::Open, _) if row.steps == 0 => Self::new("st-run", "Starting"),
            (RunStatus::Open, _) => Self::new("st-run", format!("Step {} of run", row.steps)),
            (RunStatus::WaitingApproval, _) => Self::new("st-wait", "Waiting for a person"),
            (RunStatus::WaitingTime, _) => Self::new("st-wait", "Held, can be undone"),
            (RunStatus::WaitingVendor, _) => Self::new("st-warn", "Waiting for a vendor"),
        }
    }

    /// How an approval stands.
    pub(super) fn of_approval(row: &ApprovalRow) -> Self {
        match (row.state, row.decision.as_deref()) {
            (ApprovalState::Waiting, _) => Self::new("st-wait", "Waiting"),
            (ApprovalState::Held, Some("reject")) => Self::new("st-off", "Rejected, can be undone"),
            (ApprovalState::Held, _) => Self::new("st-person", "Approved, can be undone"),
            (ApprovalState::Executing, _) => Self::new("st-run", "Being carried out"),
            (ApprovalState::Done, Some("reject")) => Self::new("st-off", "Rejected"),
            (ApprovalState::Done, Some("amount")) => Self::new("st-ok", "Approved, other amount"),
            (ApprovalState::Done, _) => Self::new("st-ok", "Approved"),
            (ApprovalState::Expired, _) => Self::new("st-off", "Expired"),
            (ApprovalState::Withdrawn, _) => Self::new("st-hand", "No longer needed"),
        }
    }
}

/// A run in a list.
#[derive(Debug, Clone)]
pub(super) struct RunLine {
    pub(super) id: String,
    pub(super) ticket: String,
    pub(super) subject: String,
    pub(super) requester: String,
    pub(super) status: Status,
    /// The rule or reason, where one stopped it; may be empty.
    pub(super) why: String,
    pub(super) topic: String,
    pub(super) steps: u32,
    pub(super) took: String,
    pub(super) cache: String,
    pub(super) cost: String,
    pub(super) opened: Moment,
}

impl RunLine {
    pub(super) fn new(row: &RunRow, times: &Times) -> Self {
        let until = row.closed_ms.unwrap_or(times.now.as_millisecond());
        let skipped = row.outcome.as_deref() == Some("skipped");
        Self {
            id: row.run.to_string(),
            ticket: row.ticket.to_string(),
            subject: subject(&row.subject),
            requester: row.requester.clone(),
            status: Status::of_run(row),
            why: why(row),
            topic: row.category.as_deref().map_or(String::new(), format::sentence),
            steps: row.steps,
            took: if skipped {
                String::new()
            } else {
                format::duration(u64::try_from(until - row.opened_ms).unwrap_or(0))
            },
            cache: if row.usage.prompt() == 0 {
                String::new()
            } else {
                format::percent(row.usage.cache_read, row.usage.prompt())
            },
            cost: run_cost(row),
            opened: times.ms(row.opened_ms),
        }
    }
}

/// A subject line, with words where there is none.
pub(super) fn subject(text: &str) -> String {
    if text.trim().is_empty() { "(no subject)".to_owned() } else { text.to_owned() }
}

/// What a run cost; says so where a price is not known.
pub(super) fn run_cost(row: &RunRow) -> String {
    if row.unpriced_calls > 0 {
        "price not known".to_owned()
    } else if row.usage.prompt() == 0 {
        String::new()
    } else {
        format::cost(row.cost_micros)
    }
}

/// The rule or reason that stopped a run, short.
pub(super) fn why(row: &RunRow) -> String {
    match (row.outcome.as_deref(), row.rule, row.reason.as_deref()) {
        (Some("skipped"), _, Some(reason)) => format::sentence(reason),
        (Some("failed"), _, Some(reason)) => format::clip(reason, 80),
        (_, Some(rule), _) => rule.title().to_owned(),
        (None, None, Some(reason)) => format::clip(reason, 80),
        _ => String::new(),
    }
}

/// An approval in a list.
#[derive(Debug, Clone)]
pub(super) struct ApprovalLine {
    pub(super) id: String,
    pub(super) amount: String,
    pub(super) customer: String,
    pub(super) subject: String,
    pub(super) rule: &'static str,
    pub(super) why: String,
    pub(super) asked: Moment,
    pub(super) due: Moment,
    pub(super) overdue: bool,
    pub(super) status: Status,
    pub(super) by: String,
    pub(super) waited: String,
    pub(super) decided: Option<Moment>,
}

impl ApprovalLine {
    pub(super) fn new(row: &ApprovalRow, times: &Times, name_of: &Names) -> Self {
        let waited_ms = row.decided_ms.map(|at| u64::try_from(at - row.requested_ms).unwrap_or(0));
        Self {
            id: row.approval.to_string(),
            amount: row.amount.map_or_else(|| "–".to_owned(), |amount| amount.to_string()),
            customer: row.customer.clone(),
            subject: subject(&row.subject),
            rule: row.rule.title(),
            why: row.why.clone(),
            asked: times.ms(row.requested_ms),
            due: times.ms(row.due_ms),
            overdue: row.due_ms <= times.now.as_millisecond(),
            status: Status::of_approval(row),
            by: row.decided_by.as_deref().map_or(String::new(), |by| name_of.of(by)),
            waited: waited_ms.map_or(String::new(), format::duration),
            decided: row.decided_ms.map(|at| times.ms(at)),
        }
    }
}

/// The names of the users by their addresses; the journal keeps addresses.
#[derive(Debug, Default, Clone)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    pub(super) async fn load(web: &Web) -> Result<Self, Error> {
        let users = web.app.accounts.users().await?;
        Ok(Self(users.into_iter().map(|user| (user.email, user.name)).collect()))
    }
    pub(super) fn of(&self, email: &str) -> String {
        self.0.iter().find(|(known, _)| known == email).map_or_else(|| email.to_owned(), |(_, name)| name.clone())
    }
}

/// The sum of the amounts that wait, by currency: `$3,708.00 + 120.00 EUR`.
pub(super) fn sum_waiting(rows: &[ApprovalRow]) -> String {
    let mut sums: Vec<crate::money::Money> = Vec::new();
    for amount in rows.iter().filter_map(|row| row.amount) {
        match sums.iter_mut().find(|sum| sum.currency == amount.currency) {
            Some(sum) => *sum = sum.checked_add(amount).unwrap_or(*sum),
            None => sums.push(amount),
        }
    }
    sums.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
}

/// A small line of values over time: geometry alone, drawn by the `spark` macro.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spark {
    pub(super) points: String,
    pub(super) end_x: String,
    pub(super) end_y: String,
    pub(super) band_y: String,
    pub(super) band_height: String,
    pub(super) label: String,
}

/// A sparkline of 132 × 26 with the band between the 10th and the 90th percentile; `None` for fewer than two values.
pub(super) fn spark(values: &[f64], label: impl Into<String>) -> Option<Spark> {
    if values.len() < 2 {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    let y = |value: f64| if high > low { 23.0 - (value - low) / (high - low) * 20.0 } else { 13.0 };
    let step = 126.0 / (values.len() - 1) as f64;
    let points: Vec<_> =
        values.iter().enumerate().map(|(i, value)| format!("{:.1},{:.1}", 2.0 + i as f64 * step, y(*value))).collect();
    let (band_top, band_bottom) = (y(at(0.9)), y(at(0.1)));
    Some(Spark {
        points: points.join(" "),
        end_x: "128.0".to_owned(),
        end_y: format!("{:.1}", y(values[values.len() - 1])),
        band_y: format!("{band_top:.1}"),
        band_height: format!("{:.1}", (band_bottom - band_top).max(1.0)),
        label: label.into(),
    })
}

/// One piece of a bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) class: &'static str,
    pub(super) y: String,
    pub(super) height: String,
}

/// One bar of a chart by day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) hit_x: String,
    pub(super) hit_width: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) title: String,
}

/// A line of the scale: where, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: String,
    pub(super) text_at: String,
    pub(super) text: String,
    pub(super) anchor: &'static str,
}

/// A chart of stacked bars by day; geometry alone, drawn by the `bars` macro.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bars {
    pub(super) height: u32,
    pub(super) scale_width: u32,
    pub(super) bars: Vec<Bar>,
    pub(super) ticks: Vec<Tick>,
    pub(super) days: Vec<Tick>,
    pub(super) label: String,
}

/// One day of a chart: its name, its values from the bottom up with their classes, what to say of it.
pub(super) struct ChartDay {
    pub(super) day: jiff::civil::Date,
    pub(super) values: Vec<(&'static str, f64)>,
    pub(super) title: String,
}

/// Lays out a chart. `write` writes a value of the scale.
pub(super) fn bars(days: &[ChartDay], height: u32, label: String, write: impl Fn(f64) -> String) -> Bars {
    let total = |day: &ChartDay| day.values.iter().map(|(_, value)| value).sum::<f64>();
    let max = days.iter().map(total).fold(0.0, f64::max);
    let step = nice_step(max);
    let top = if max > 0.0 { (max / step).ceil() * step } else { 1.0 };
    let full = f64::from(height);
    let y = |value: f64| full - value / top * (full - 8.0);
    let slot = 100.0 / days.len().max(1) as f64;
    let bars = days.iter().enumerate().map(|(i, day)| {
        let mut sum = 0.0;
        let mut pieces = Vec::new();
        for (class, value) in day.values.iter().filter(|(_, value)| *value > 0.0) {
            let (bottom, upper) = (y(sum), y(sum + value));
            pieces.push(Piece { class, y: format!("{upper:.1}"), height: format!("{:.1}", (bottom - upper).max(0.5)) });
            sum += value;
        }
        Bar {
            x: format!("{:.2}%", slot * (i as f64 + 0.14)),
            width: format!("{:.2}%", slot * 0.72),
            hit_x: format!("{:.2}%", slot * i as f64),
            hit_width: format!("{slot:.2}%"),
            pieces,
            title: day.title.clone(),
        }
    });
    let lines = if max > 0.0 { (top / step).round() as u32 } else { 0 };
    let ticks = (0..=lines).map(|n| {
        let value = f64::from(n) * step;
        Tick {
            at: format!("{:.1}", y(value)),
            text_at: format!("{:.1}", y(value) + 4.0),
            text: write(value),
            anchor: "end",
        }
    });
    let every = (days.len() / 5).max(1);
    let named = days.iter().enumerate().rev().step_by(every).map(|(i, day)| {
        let at = slot * (i as f64 + 0.5);
        let (text_at, anchor) = match at {
            at if at < 6.0 => (0.0, "start"),
            at if at > 94.0 => (100.0, "end"),
            at => (at, "middle"),
        };
        Tick { at: String::new(), text_at: format!("{text_at:.2}%"), text: day_name(day.day), anchor }
    });
    let ticks: Vec<_> = ticks.collect();
    let widest = ticks.iter().map(|tick| tick.text.chars().count()).max().unwrap_or(1);
    Bars {
        height,
        scale_width: u32::try_from(widest).unwrap_or(1) * 7 + 2,
        bars: bars.collect(),
        ticks,
        days: named.collect(),
        label,
    }
}

/// `14 Nov`.
pub(super) fn day_name(day: jiff::civil::Date) -> String {
    day.strftime("%-d %b").to_string()
}

/// The step of a scale: 1, 2 or 5 times a power of ten, for two to five lines.
fn nice_step(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let rough = max / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

/// Every day from the first to the last, with zeros where nothing happened.
pub(super) fn fill_days(since: jiff::civil::Date, until: jiff::civil::Date, found: &[DayOutcomes]) -> Vec<DayOutcomes> {
    since
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= until)
        .map(|day| {
            found.iter().copied().find(|row| row.day == day).unwrap_or(DayOutcomes {
                day,
                resolved: 0,
                waiting_customer: 0,
                escalated: 0,
                skipped: 0,
                taken_over: 0,
                failed: 0,
                open: 0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_lines() {
        let check = |max: f64, step: f64| assert!((nice_step(max) - step).abs() < step * 1e-9, "{max}");
        check(87.0, 50.0);
        check(8.0, 2.0);
        check(2.45, 1.0);
        check(0.012, 0.005);
    }

    #[test]
    fn a_sparkline_needs_two_values() {
        assert_eq!(spark(&[1.0], "x"), None);
        let drawn = spark(&[0.0, 10.0], "x").unwrap();
        assert_eq!(drawn.points, "2.0,23.0 128.0,3.0");
        assert_eq!(drawn.end_y, "3.0");
    }
}
