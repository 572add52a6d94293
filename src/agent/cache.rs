//! Looks after the prefixes that all tickets share: how long each should live in the vendor's cache, whether it is long enough
//! to be kept there, and whether it really is read. In the memory of this process; pages read it from `health.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::agent::prompts::Prompts;
use crate::clients::claude::Claude;
use crate::health::{Health, PrefixLine, Trouble};
use crate::run::cost::{PriceTable, Usage};
use crate::run::saved::about_tokens;
use crate::run::ttl::{self, FLOOR_MARGIN_PERCENT, Ttl};

/// The vendor counts a life from when the request reaches it: so near its end, in milliseconds, nobody is blamed.
const GRACE_MS: i64 = 5_000;

/// Which requests share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The router's.
    Route,
    /// Turns of the loop.
    Turn,
}

impl Kind {
    /// What the requests are for, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Route => "routing",
            Kind::Turn => "answers",
        }
    }
}

/// How it is set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// A life that was set by hand; `None`: chosen from the rate.
    pub fixed: Option<Ttl>,
    /// What tokens cost.
    pub prices: PriceTable,
    /// Floors that differ from the known ones, in tokens, by model.
    pub floors: BTreeMap<String, u64>,
}

/// What is known of one prefix.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Its length and whether the vendor counted it.
    tokens: Option<(u64, bool)>,
    per_hour: Option<f64>,
    ttl: Ttl,
    /// When the newest call that ended had begun and ended, in milliseconds, and the life that it asked for.
    last: Option<(i64, i64, Ttl)>,
    cold: Option<Trouble>,
}

/// Shared by all workers.
pub struct Cache {
    settings: Settings,
    health: Arc<Health>,
    known: Mutex<BTreeMap<(Kind, String), Known>>,
}

/// One call as it went.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When it began, in milliseconds since the Unix epoch.
    pub began_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// The life that its prefix asked for.
    pub ttl: Ttl,
    /// Its tokens.
    pub usage: Usage,
}

impl Cache {
    /// Nothing is known yet.
    pub fn new(settings: Settings, health: Arc<Health>) -> Self {
        Self { settings, health, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life for requests of this kind to this model, from now on. A run keeps the one that it began with.
    pub fn ttl(&self, kind: Kind, model: &str) -> Ttl {
        let chosen = || self.lock().get(&(kind, model.to_owned())).map_or(Ttl::default(), |known| known.ttl);
        self.settings.fixed.unwrap_or_else(chosen)
    }

    /// Tickets an hour that ask this model; chooses the life anew.
    pub fn set_rate(&self, kind: Kind, model: &str, per_hour: f64) {
        {
            let mut all = self.lock();
            let known = all.entry((kind, model.to_owned())).or_default();
            known.per_hour = Some(per_hour);
            let chosen = ttl::choose(self.settings.prices.of(model), Some(per_hour), known.ttl);
            if chosen != known.ttl {
                let even = self.settings.prices.of(model).and_then(ttl::break_even).unwrap_or(0.0);
                info!(
                    "the prefix for {} by {model} shall live {}: {per_hour:.2} tickets an hour, break-even {even:.2}",
                    kind.name(),
                    chosen.as_str()
                );
                known.ttl = chosen;
            }
        }
        self.tell();
    }

    /// A call that shares the prefix and nothing else with earlier ones, as it went: the first turn of a run, or the router's.
    /// One that read nothing although the prefix stood in the cache raises an alarm; one that read ends it.
    pub fn saw(&self, kind: Kind, model: &str, call: Seen) {
        {
            let mut all = self.lock();
            let known = all.entry((kind, model.to_owned())).or_default();
            let stood = known.last.is_some_and(|(began_ms, ended_ms, ttl)| {
                ended_ms <= call.began_ms && call.began_ms < began_ms.saturating_add(ttl.ms() - GRACE_MS)
            });
            let read = call.usage.cache_read > 0;
            if read {
                known.cold = None;
            } else if stood && self.is_long_enough(model, known.tokens) != Some(false) {
                let said = format!(
                    "a call for {} by {model} read nothing from the cache, although the prefix had been written less than {} \
                     before",
                    kind.name(),
                    call.ttl.as_str()
                );
                if known.cold.is_none() {
                    warn!("{said}");
                }
                known.cold.get_or_insert(Trouble { since_ms: call.ended_ms, said });
            }
            // What was only read keeps the life that it was written with.
            if read {
                let ttl = known.last.map_or(Ttl::FiveMinutes, |(.., ttl)| ttl);
                known.last = Some((call.began_ms, call.ended_ms, ttl));
            } else if call.usage.cache_write_5m + call.usage.cache_write_1h > 0 {
                known.last = Some((call.began_ms, call.ended_ms, call.ttl));
            }
        }
        self.tell();
    }

    /// Counts the prefixes, by the vendor where it answers, else by the characters of a token.
    pub async fn count(&self, claude: &Claude, prompts: &Prompts, models: [(Kind, &str); 3]) {
        for (kind, model) in models {
            let body = prompts.prefix_alone(kind, model);
            let bytes = body.len();
            let counted = match claude.count_tokens(body).await {
                Ok(tokens) => {
                    let hidden = if kind == Kind::Turn { ttl::preamble(model) } else { 0 };
                    Some((tokens.saturating_sub(hidden), true))
                }
                Err(failed) => {
                    warn!("the prefix for {} by {model} could not be counted: {}", kind.name(), failed.error);
                    about_tokens(model, bytes).map(|tokens| (tokens, false))
                }
            };
            self.lock().entry((kind, model.to_owned())).or_default().tokens = counted;
            let how = |counted: bool| if counted { "counted" } else { "estimated" };
            match (counted, self.floor(model)) {
                (None, _) => warn!("the prefix for {} by {model}: its length is not known", kind.name()),
                (Some((tokens, by_vendor)), None) => {
                    let how = how(by_vendor);
                    warn!(
                        "the prefix for {} by {model}: {tokens} tokens {how}; the cache's floor is not known",
                        kind.name()
                    );
                }
                (Some((tokens, by_vendor)), Some(floor)) => {
                    let how = how(by_vendor);
                    if self.is_long_enough(model, counted) == Some(false) {
                        warn!(
                            "the prefix for {} by {model}: {tokens} tokens {how}, too near the cache's floor of {floor}: it may \
                             not be cached at all",
                            kind.name()
                        );
                    } else {
                        info!(
                            "the prefix for {} by {model}: {tokens} tokens {how}, the cache's floor is {floor}",
                            kind.name()
                        );
                    }
                }
            }
        }
        self.tell();
    }

    fn floor(&self, model: &str) -> Option<u64> {
        self.settings.floors.get(model).copied().or_else(|| ttl::floor(model))
    }

    fn is_long_enough(&self, model: &str, tokens: Option<(u64, bool)>) -> Option<bool> {
        let (tokens, _) = tokens?;
        Some(tokens * 100 >= self.floor(model)? * FLOOR_MARGIN_PERCENT)
    }

    fn tell(&self) {
        let all = self.lock();
        let lines = all.iter().map(|((kind, model), known)| PrefixLine {
            used_for: kind.name(),
            model: model.clone(),
            tokens: known.tokens.map(|(tokens, _)| tokens),
            counted: known.tokens.is_some_and(|(_, counted)| counted),
            floor: self.floor(model),
            is_long_enough: self.is_long_enough(model, known.tokens),
            ttl: self.settings.fixed.unwrap_or(known.ttl).as_str(),
            is_fixed: self.settings.fixed.is_some(),
            per_hour: known.per_hour,
            break_even: self.settings.prices.of(model).and_then(ttl::break_even),
            cold: known.cold.clone(),
        });
        self.health.set_prefixes(lines.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(fixed: Option<Ttl>) -> (Cache, Arc<Health>) {
        let health = Arc::new(Health::default());
        (Cache::new(Settings { fixed, ..Settings::default() }, health.clone()), health)
    }

    #[test]
    fn a_cold_first_call_raises_an_alarm_only_when_the_prefix_stood_there() {
        // Calls as (began, ended, tokens read), in seconds; whether an alarm stands at the end.
        let check = |calls: &[(i64, i64, u64)], alarm: bool| {
            let (cache, health) = cache(None);
            for (began, ended, read) in calls {
                let usage = Usage { cache_read: *read, cache_write_5m: 9, ..Usage::default() };
                let (began_ms, ended_ms) = (began * 1_000, ended * 1_000);
                cache.saw(Kind::Turn, "m", Seen { began_ms, ended_ms, ttl: Ttl::FiveMinutes, usage });
            }
            assert_eq!(health.prefixes()[0].cold.is_some(), alarm, "{calls:?}");
        };
        check(&[(0, 5, 0)], false);
        check(&[(0, 5, 0), (10, 15, 0)], true);
        check(&[(0, 5, 0), (10, 15, 0), (20, 25, 7)], false);
        check(&[(0, 5, 0), (4, 9, 0)], false); // It began before the first one's answer: nothing could be read yet.
        check(&[(0, 5, 0), (300, 305, 0)], false); // It had run out.
        check(&[(0, 5, 0), (294, 300, 0)], true);
        check(&[(0, 5, 0), (298, 304, 0)], false); // Too near the end to be sure.
    }

    #[test]
    fn the_life_follows_the_rate_unless_it_was_set() {
        let model = "claude-opus-4-7";
        let (chosen, health) = cache(None);
        assert_eq!(chosen.ttl(Kind::Turn, model), Ttl::FiveMinutes);
        chosen.set_rate(Kind::Turn, model, 40.0);
        assert_eq!(chosen.ttl(Kind::Turn, model), Ttl::OneHour);
        assert_eq!(chosen.ttl(Kind::Route, model), Ttl::FiveMinutes, "another prefix");
        let line = &health.prefixes()[0];
        assert_eq!((line.ttl, line.per_hour, line.is_fixed), ("1h", Some(40.0), false));
        chosen.set_rate(Kind::Turn, model, 0.1);
        assert_eq!(chosen.ttl(Kind::Turn, model), Ttl::FiveMinutes);
        let (set, _) = cache(Some(Ttl::FiveMinutes));
        set.set_rate(Kind::Turn, model, 40.0);
        assert_eq!(set.ttl(Kind::Turn, model), Ttl::FiveMinutes);
    }

    #[test]
    fn a_prefix_near_its_floor_is_said_to_be_too_short() {
        let (cache, _) = cache(None);
        let check = |model: &str, tokens: u64, enough: Option<bool>| {
            assert_eq!(cache.is_long_enough(model, Some((tokens, true))), enough, "{model} {tokens}");
        };
        check("claude-opus-4-7", 2_253, Some(true));
        check("claude-opus-4-7", 2_252, Some(false));
        check("some-model", 9_000, None);
    }
}
