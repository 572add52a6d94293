//! `kill -9` at random moments, under load: several workers, all tickets at once, vendors that fail, a clock that jumps past
//! every lease. World after world, until the process was killed as often as asked.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::judge::Measure;
use super::report::Report;
use super::stage::{Play, Reaper};
use super::{Error, Test, progress};
use crate::sim::faults::Faults;

/// Tickets per minute of the world's time: all within a few seconds.
const TICKETS_PER_MINUTE: f64 = 1_200.0;
/// The shortest and longest life of a desk after its start, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 60..1_200;
/// The same for every third life. A run that is killed three times in the same step is parked, so one life in three is long
/// enough that every step ends in it.
const LONG_LIFE_MS: std::ops::Range<u64> = 2_500..4_500;
/// How many worlds are played at most: a world in which nobody could be killed would go on for ever.
const WORLDS_MAX: u64 = 500;

/// Kills at random moments as often as it may.
struct Random<'a> {
    chance: StdRng,
    left: &'a mut u64,
    bar: &'a indicatif::ProgressBar,
    kills: u64,
    lives: u64,
    /// How often the time jumped past every lease.
    lapses: u64,
    /// A life was cut short, which shows at the next start.
    pending: bool,
}

impl Random<'_> {
    fn count(&mut self) {
        if std::mem::take(&mut self.pending) {
            *self.left -= 1;
            self.kills += 1;
            self.bar.inc(1);
        }
    }
}

impl Reaper for Random<'_> {
    fn life_ms(&mut self) -> Option<u64> {
        // Asked at a start: the life before it, if there was one, was cut short.
        self.count();
        if *self.left == 0 {
            return None;
        }
        self.pending = true;
        self.lives += 1;
        Some(self.chance.random_range(if self.lives.is_multiple_of(3) { LONG_LIFE_MS } else { LIFE_MS }))
    }

    fn lapse_ms(&mut self) -> Option<u64> {
        // In every second life: the workers wake up to leases that are over, and some of their runs have been claimed anew.
        let lapses = self.chance.random_range(0..2) == 0;
        self.lapses += u64::from(lapses);
        lapses.then(|| self.chance.random_range(0..LIFE_MS.end / 2))
    }
}

pub(super) async fn run(test: &Arc<Test>, kills: u64) -> Result<Report, Error> {
    let options = &test.options;
    let play = |seed, faults| Play {
        files: test.files.clone(),
        tickets: Some(options.tickets),
        rate: TICKETS_PER_MINUTE,
        seed,
        faults,
        workers: options.workers,
        armed: false,
    };
    struct Lives;
    impl Reaper for Lives {}
    let undisturbed = test.play(play(options.seed, Faults::default()), &mut Lives).await?.ended;
    let mut report = Report::new(options, &test.files.name, &undisturbed);
    let bar = progress(kills, "kills", options.json);
    let mut left = kills;
    for world in 0..WORLDS_MAX {
        if left == 0 {
            break;
        }
        let seed = options.seed.wrapping_add(world);
        bar.set_message(format!("world {}", world + 1));
        let chance = StdRng::seed_from_u64(seed);
        let mut reaper = Random { chance, left: &mut left, bar: &bar, kills: 0, lives: 0, lapses: 0, pending: false };
        let played = test.play(play(seed, test.faults.clone()), &mut reaper).await?;
        let deaths = vec!["kill -9".to_owned(); usize::try_from(reaper.kills).unwrap_or(usize::MAX)];
        // Each worker has one call in flight when the process dies, or when its lease lapses; any other answer is kept.
        let may_repeat = (reaper.kills + reaper.lapses) * options.workers as u64;
        let result = test.judged(&undisturbed, played, deaths, Measure::Once, may_repeat);
        if result.findings.all().next().is_some() {
            report.culprits.push(format!("world {} (--seed {seed})", world + 1));
        }
        report.add(result);
    }
    bar.finish_and_clear();
    report.time_ms = test.watch.elapsed_ms();
    Ok(report)
}
