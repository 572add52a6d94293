//! A seeded simulation: everything goes wrong at once, and after each turn everything that must hold is checked.
//!
//! A seed makes a world of a few tickets, and a driver that turns the product's loops itself in an order of its own: intake,
//! workers that die, stand still past their leases or hang in a request, faults at every vendor, a clock that jumps, customers
//! and people who act at any moment. The same seed plays the same turns; what may differ from one time to the next is said
//! in `house.rs`.
//!
//! `DESKHAND_SIM_SEEDS=N` sets how many seeds are played, `DESKHAND_SIM_FIRST=S` from which on; `DESKHAND_SIM_SEED=S` plays one
//! and prints its turns.

mod checks;
mod cuts;
mod dice;
mod disk_full;
mod driver;
mod found;
mod house;
mod leases;
mod probe;
mod scene;

use std::collections::BTreeMap;

use deskhand::clock::Clock;

/// How many seeds a usual run plays.
const SEEDS: u64 = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_nothing_is_done_twice() {
    let one = number("DESKHAND_SIM_SEED");
    let first = one.or(number("DESKHAND_SIM_FIRST")).unwrap_or(1);
    let count = if one.is_some() { 1 } else { number("DESKHAND_SIM_SEEDS").unwrap_or(SEEDS) };
    let watch = Clock::system().stopwatch();
    let (mut turns, mut deaths, mut stale, mut failed) = (0, 0, 0, Vec::new());
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for seed in first..first + count {
        let report = std::panic::catch_unwind(|| driver::play(seed));
        let report = match report {
            Ok(report) => report,
            Err(_) => {
                println!(
                    "seed {seed} panicked\nplay it again: DESKHAND_SIM_SEED={seed} cargo test --test it simulation"
                );
                failed.push(seed);
                continue;
            }
        };
        turns += report.turns;
        deaths += report.deaths;
        stale += report.stale;
        for (word, times) in &report.outcomes {
            *outcomes.entry(word.clone()).or_default() += times;
        }
        if !report.wrong.is_empty() {
            failed.push(seed);
            println!("seed {seed} after {} turns:\n  {}", report.turns, report.told.join("\n  "));
            println!("{}", report.journal);
            println!("does not hold:\n  {}", report.wrong.join("\n  "));
            println!("play it again: DESKHAND_SIM_SEED={seed} cargo test --test it simulation -- --nocapture");
        }
    }
    let seconds = watch.elapsed_ms() as f64 / 1_000.0;
    println!(
        "{count} seeds, {turns} turns, {deaths} deaths, {stale} stale leases refused in {seconds:.1} s ({:.2} seeds/s); \
         runs: {outcomes:?}",
        count as f64 / seconds
    );
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}
