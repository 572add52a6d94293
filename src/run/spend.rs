//! How much the model calls of the whole shop may cost. Pure; what was spent comes from the journal's sums.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::money::Cost;

/// Limits of all model calls together, in micro-dollars, by the shop's day and month. Calls whose price is not known are not
/// counted. Calls in flight when a limit is reached go on, so the sum may pass it by what as many calls cost as may be in
/// flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// A day's.
    pub day_max_micros: i64,
    /// A calendar month's.
    pub month_max_micros: i64,
}

impl Default for Spend {
    /// $250.00 a day and $5,000.00 a month: about twice and one and a half times what 1,000 tickets a day cost at $0.126
    /// each. High enough not to be met on an ordinary day, low enough that a runaway is noticed on its first.
    fn default() -> Self {
        Self { day_max_micros: 250_000_000, month_max_micros: 5_000_000_000 }
    }
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Which, for people.
    pub said: String,
    /// When the sum starts anew.
    pub until: Timestamp,
}

/// When the shop's day and month began, and when the next ones do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// This day.
    pub day: Timestamp,
    /// This month.
    pub month: Timestamp,
    /// The next day.
    pub next_day: Timestamp,
    /// The next month.
    pub next_month: Timestamp,
}

impl Periods {
    /// Those in which this moment lies, by the shop's clock.
    pub fn of(now: Timestamp, zone: &TimeZone) -> Self {
        let today = now.to_zoned(zone.clone()).date();
        let begins = |date: jiff::civil::Date| date.to_zoned(zone.clone()).map_or(now, |zoned| zoned.timestamp());
        let first = today.first_of_month();
        let next = today.last_of_month().tomorrow().unwrap_or(today);
        Self {
            day: begins(today),
            month: begins(first),
            next_day: begins(today.tomorrow().unwrap_or(today)),
            next_month: begins(next),
        }
    }
}

/// Whether no further model call may start. Exactly the limit counts as reached.
pub fn reached(limits: &Spend, day_micros: i64, month_micros: i64, periods: &Periods) -> Option<Reached> {
    let line = |which: &str, spent: i64, limit: i64, until| Reached {
        said: format!("{} of {} for model calls are spent this {which}", Cost(spent), Cost(limit)),
        until,
    };
    if month_micros >= limits.month_max_micros {
        Some(line("month", month_micros, limits.month_max_micros, periods.next_month))
    } else if day_micros >= limits.day_max_micros {
        Some(line("day", day_micros, limits.day_max_micros, periods.next_day))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_at_exactly_its_sum() {
        let limits = Spend { day_max_micros: 100, month_max_micros: 1_000 };
        let periods = Periods::of("2026-11-20T09:00:00Z".parse().unwrap(), &TimeZone::UTC);
        let check = |day: i64, month: i64, until: Option<&str>| {
            let found = reached(&limits, day, month, &periods).map(|reached| reached.until.to_string());
            assert_eq!(found.as_deref(), until, "{day} {month}");
        };
        check(0, 0, None);
        check(99, 999, None);
        check(100, 100, Some("2026-11-21T00:00:00Z"));
        check(99, 1_000, Some("2026-12-01T00:00:00Z"));
        check(100, 1_000, Some("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn days_are_the_shops() {
        let zone = TimeZone::get("America/New_York").unwrap();
        // 03:30 UTC is still the evening before in New York; the clocks go back on 1 November.
        let periods = Periods::of("2026-11-01T03:30:00Z".parse().unwrap(), &zone);
        let shown = [periods.day, periods.next_day, periods.month, periods.next_month].map(|at| at.to_string());
        assert_eq!(
            shown,
            ["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"]
        );
    }
}
