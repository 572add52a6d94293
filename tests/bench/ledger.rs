//! What a day's model calls came to: sums over the journal's entries, by ticket, by hour, by kind of call.

use std::collections::{BTreeMap, BTreeSet};

use deskhand::run::cost::Usage;
use deskhand::run::entry::{Body, Entry, ModelCall, StepResult};
use deskhand::run::row::RunRow;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::shift::Worked;

/// What calls cost together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// How many.
    pub calls: u64,
    /// Their tokens.
    pub usage: Usage,
    /// Micro-dollars.
    pub micros: i64,
}

impl Sum {
    fn add(&mut self, call: &ModelCall) {
        self.calls += 1;
        self.usage = self.usage + call.usage;
        self.micros += call.cost.expect("the table has a price for every model here").micros();
    }

    /// Share of the prompts' tokens that were read from the cache, in per cent.
    pub fn cached(&self) -> f64 {
        100.0 * self.usage.cache_read as f64 / self.usage.prompt().max(1) as f64
    }
}

/// A day's ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Tickets that came.
    pub tickets: u64,
    /// Of these, tickets for which a model was asked at least once.
    pub worked: u64,
    /// Of these, answered and solved.
    pub resolved: u64,
    /// All calls.
    pub all: Sum,
    /// Calls of the router.
    pub router: Sum,
    /// Calls of the router for runs in which turns of the loop followed.
    pub router_before_turns: Sum,
    /// By model, the router's calls included.
    pub models: BTreeMap<String, Sum>,
    /// First turns of runs.
    pub first_turns: Sum,
    /// First turns that read nothing from the cache.
    pub cold_turns: u64,
    /// By hour of the shop's day, counted from its start.
    pub hours: BTreeMap<i64, Sum>,
    /// How many runs took how many turns of the loop.
    pub turns: BTreeMap<usize, u64>,
    /// Milliseconds from the customer's comment to the first public answer, sorted, of runs that waited for no person.
    pub waits_ms: Vec<i64>,
    /// The same of runs that waited for a person's decision.
    pub decided_waits_ms: Vec<i64>,
}

impl Ledger {
    /// Sums a day up.
    pub fn of(worked: &Worked, began_ms: i64) -> Ledger {
        let mut ledger = Ledger { tickets: worked.report.totals.tickets as u64, ..Ledger::default() };
        let mut asked = BTreeSet::new();
        for (row, entries) in &worked.runs {
            if ledger.add(row, entries, began_ms) > 0 {
                asked.insert(row.ticket);
            }
            let decided = entries.iter().any(|entry| matches!(entry.body, Body::ApprovalRequested { .. }));
            let waits = if decided { &mut ledger.decided_waits_ms } else { &mut ledger.waits_ms };
            waits.extend(row.first_answer_ms.map(|answered| (answered - row.asked_ms).max(0)));
        }
        ledger.worked = asked.len() as u64;
        ledger.resolved = worked.report.totals.outcomes.get("resolved").copied().unwrap_or(0) as u64;
        ledger.waits_ms.sort_unstable();
        ledger
    }

    /// Adds a run's calls; how many there were.
    fn add(&mut self, _row: &RunRow, entries: &[Entry], began_ms: i64) -> usize {
        let mut routing = Vec::new();
        let (mut turns, mut calls) = (0, 0);
        for entry in entries {
            let Body::StepFinished { result, .. } = &entry.body else { continue };
            let call = match result {
                StepResult::Routed { call, .. } => {
                    self.router.add(call);
                    routing.push(call);
                    call
                }
                StepResult::Model { call, .. } => {
                    if turns == 0 {
                        self.first_turns.add(call);
                        self.cold_turns += u64::from(call.usage.cache_read == 0);
                    }
                    turns += 1;
                    call
                }
                StepResult::Failed { call: Some(call), .. } => call,
                _ => continue,
            };
            calls += 1;
            self.all.add(call);
            self.models.entry(call.model.clone()).or_default().add(call);
            let hour = (entry.at().as_millisecond() - began_ms).div_euclid(3_600_000);
            self.hours.entry(hour).or_default().add(call);
        }
        if turns > 0 {
            routing.into_iter().for_each(|call| self.router_before_turns.add(call));
        }
        if calls > 0 {
            *self.turns.entry(turns).or_default() += 1;
        }
        calls
    }

    /// Dollars, without the router's calls where turns followed: what a loop that needs no router would have spent.
    pub fn dollars_without_router(&self) -> f64 {
        (self.all.micros - self.router_before_turns.micros) as f64 / 1e6
    }

    /// Dollars.
    pub fn dollars(&self) -> f64 {
        self.all.micros as f64 / 1e6
    }

    /// The calls of these hours.
    pub fn within(&self, hours: impl std::ops::RangeBounds<i64>) -> Sum {
        self.hours.range(hours).fold(Sum::default(), |sum, (_, of_hour)| Sum {
            calls: sum.calls + of_hour.calls,
            usage: sum.usage + of_hour.usage,
            micros: sum.micros + of_hour.micros,
        })
    }

    /// The wait that this share of the answered customers did not exceed, in seconds.
    pub fn wait_s(&self, per_cent: usize) -> f64 {
        let at = (self.waits_ms.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.waits_ms.get(at).map_or(0.0, |ms| *ms as f64 / 1_000.0)
    }

    /// Per hour: calls, prompt tokens, share from the cache, micro-dollars.
    pub fn hours_json(&self) -> Value {
        let line = |(hour, sum): (&i64, &Sum)| {
            json!({"hour": hour, "calls": sum.calls, "prompt_tokens": sum.usage.prompt(),
                   "cache_read_per_cent": sum.cached(), "cost_micros": sum.micros})
        };
        self.hours.iter().map(line).collect()
    }
}

/// When the day began, by the world's start.
pub fn began_ms(world: &deskhand::sim::world_file::WorldFiles) -> i64 {
    let zone = TimeZone::get(&world.shop.time_zone).unwrap_or(TimeZone::UTC);
    let day = world.now.to_zoned(zone).start_of_day();
    day.map_or(world.now.as_millisecond(), |day| day.timestamp().as_millisecond())
}
