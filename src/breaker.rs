//! A circuit breaker: whether a vendor counts as away, and who may ask it next. Pure: the time is handed in, in milliseconds
//! since the Unix epoch, and nothing is sent from here.
//!
//! Written by hand because the crates for it do not fit: `failsafe` and `recloser` read a clock of their own (a test cannot
//! move it) and let many calls through when half open; those that take the time from outside know neither growing pauses nor
//! a single probe, and none can say since when a vendor is away.

/// So many failures in a row, over all runs, and a vendor counts as away. One broken request does not look like an outage:
/// any answer in between, a refusal too, starts the count anew.
pub const FAILURES_BEFORE_AWAY: u32 = 5;
/// The pause before the first probe; it doubles with every probe that fails.
const PROBE_FIRST_MS: i64 = 1_000;
/// The longest pause between probes: a vendor that is back is found within a minute.
const PROBE_LONGEST_MS: i64 = 60_000;
/// A probe that was dropped never says how it ended; after this long another may go. A model's first byte may take two
/// minutes.
const PROBE_LOST_AFTER_MS: i64 = 150_000;

/// May the vendor be asked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Yes. If it counts as away, this is the one probe.
    Go,
    /// Not before then, in milliseconds since the Unix epoch.
    Wait {
        /// When.
        until_ms: i64,
    },
}

/// One vendor's breaker. Closed at first: everybody may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Breaker {
    failures: u32,
    first_failure_ms: i64,
    away: Option<Away>,
}

/// A vendor that counts as away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Since the first of the failures in a row.
    pub since_ms: i64,
    /// What was heard last; no secret, address or message body.
    pub said: String,
    /// When it may be asked next.
    pub probe_at_ms: i64,
    /// How far off that was when it was set: further off than this it lies only after the clock was set back.
    wait_ms: i64,
    pause_ms: i64,
    probing_since_ms: Option<i64>,
}

impl Breaker {
    /// Whether the vendor counts as away.
    pub fn away(&self) -> Option<&Away> {
        self.away.as_ref()
    }

    /// What [`Breaker::ask`] would say, without taking the probe.
    pub fn look(&self, now_ms: i64) -> Asked {
        let Some(away) = &self.away else { return Asked::Go };
        match away.probing_since_ms {
            // A probe that began after now is of a clock that was set back, and counts as lost.
            Some(since) if (0..PROBE_LOST_AFTER_MS).contains(&(now_ms - since)) => {
                Asked::Wait { until_ms: now_ms + away.pause_ms }
            }
            _ if now_ms < away.probe_at_ms && away.probe_at_ms - now_ms <= away.wait_ms => {
                Asked::Wait { until_ms: away.probe_at_ms }
            }
            _ => Asked::Go,
        }
    }

    /// Whether the vendor may be asked now. Whoever is told to go must say how it ended.
    pub fn ask(&mut self, now_ms: i64) -> Asked {
        let asked = self.look(now_ms);
        if let (Asked::Go, Some(away)) = (asked, &mut self.away) {
            away.probing_since_ms = Some(now_ms);
        }
        asked
    }

    /// The probe that was taken then has not asked it: the next one may go at once. Does nothing when it is another's, or over.
    pub fn give_back(&mut self, taken_ms: i64) {
        if let Some(away) = &mut self.away {
            away.probing_since_ms.take_if(|since| *since == taken_ms);
        }
    }

    /// It answered, if only to refuse. Returns whether it counted as away.
    pub fn answered(&mut self) -> bool {
        let was_away = self.away.is_some();
        *self = Self::default();
        was_away
    }

    /// It did not do as asked, and not because it refused: busy, away, lost. `asks_ms` is how long it asks to be left alone.
    /// Returns whether it counts as away from now on.
    pub fn failed(&mut self, now_ms: i64, said: &str, asks_ms: Option<i64>) -> bool {
        let asks_ms = asks_ms.unwrap_or(0).max(0);
        match &mut self.away {
            Some(away) => {
                away.said = said.to_owned();
                // What was under way when the breaker opened also comes back; only the probe makes the pause longer.
                if away.probing_since_ms.take().is_some() {
                    away.pause_ms = (away.pause_ms * 2).min(PROBE_LONGEST_MS);
                    away.wait_ms = away.pause_ms.max(asks_ms);
                    away.probe_at_ms = now_ms + away.wait_ms;
                }
                false
            }
            None => {
                if self.failures == 0 {
                    self.first_failure_ms = now_ms;
                }
                self.failures += 1;
                if self.failures < FAILURES_BEFORE_AWAY {
                    return false;
                }
                let wait_ms = PROBE_FIRST_MS.max(asks_ms);
                self.away = Some(Away {
                    since_ms: self.first_failure_ms,
                    said: said.to_owned(),
                    probe_at_ms: now_ms + wait_ms,
                    wait_ms,
                    pause_ms: PROBE_FIRST_MS,
                    probing_since_ms: None,
                });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f` failed, `a` answered, `?` asks, `b` gives the probe of this moment back; a number moves the time on by so many
    /// milliseconds. Returns what each `?` heard.
    fn play(script: &str) -> (Breaker, String) {
        let (mut breaker, mut now, mut heard) = (Breaker::default(), 0_i64, String::new());
        for word in script.split_whitespace() {
            match word {
                "f" => drop(breaker.failed(now, "busy", None)),
                "a" => drop(breaker.answered()),
                "b" => breaker.give_back(now),
                "?" => heard.push_str(match breaker.ask(now) {
                    Asked::Go => "go ",
                    Asked::Wait { .. } => "wait ",
                }),
                number => now += number.parse::<i64>().unwrap(),
            }
        }
        (breaker, heard.trim_end().to_owned())
    }

    #[test]
    fn away_after_failures_in_a_row_then_one_probe_at_a_time() {
        let check = |script: &str, heard: &str, away: bool| {
            let (breaker, said) = play(script);
            assert_eq!((said.as_str(), breaker.away().is_some()), (heard, away), "{script}");
        };
        check("? ?", "go go", false);
        check("f f f f ?", "go", false);
        check("f f f f f ?", "wait", true);
        // A refusal, or any answer, in between: not in a row.
        check("f f f f a f f f f ?", "go", false);
        // The first probe after a second; a second one waits for it.
        check("f f f f f 999 ? 1 ? ?", "wait go wait", true);
        check("f f f f f 1000 ? a ? ?", "go go go", false);
        // A failed probe doubles the pause: 2 s, 4 s.
        check("f f f f f 1000 ? f 1999 ? 1 ? f 3999 ? 1 ?", "go wait go wait go", true);
        // What was under way when it opened makes nothing longer.
        check("f f f f f f f f f f 1000 ?", "go", true);
        // A probe that was dropped blocks nobody for ever.
        check("f f f f f 1000 ? 149999 ? 1 ?", "go wait go", true);
        // One that was not used is given back, and only by whoever took it.
        check("f f f f f 1000 ? b ?", "go go", true);
        check("f f f f f 1000 ? 5 b ?", "go wait", true);
        // The clock is set back by an hour: nobody waits for it to come round again.
        check("f f f f f -3600000 ?", "go", true);
        check("f f f f f 1000 ? -3600000 ?", "go go", true);
        // A late answer from before counts: it is there.
        check("f f f f f a ?", "go", false);
    }

    #[test]
    fn pauses_grow_to_a_minute_and_respect_the_vendor() {
        let (mut breaker, _) = play("f f f f f");
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let until = breaker.away().unwrap().probe_at_ms;
            pauses.push((until - now) / 1_000);
            now = until;
            assert_eq!(breaker.ask(now), Asked::Go);
            breaker.failed(now, "busy", None);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        now = breaker.away().unwrap().probe_at_ms;
        breaker.ask(now);
        breaker.failed(now, "busy", Some(300_000));
        assert_eq!(breaker.look(now + 299_999), Asked::Wait { until_ms: now + 300_000 });
        assert_eq!(breaker.look(now + 300_000), Asked::Go);
    }

    #[test]
    fn it_says_since_when() {
        let (breaker, _) = play("100 f 50 f 50 f 50 f 50 f 1000 ? f");
        assert_eq!(breaker.away().map(|away| away.since_ms), Some(100));
    }
}
