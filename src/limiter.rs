//! What may leave for the model now: buckets that follow the vendor's rate-limit headers, a place in the line for each run that
//! waits, and the slow way back after a refusal. Pure but for its lock: the time is handed in, in milliseconds since the Unix
//! epoch, and nothing is sent from here. Who waits does so as a row of the journal; this only says until when.
//!
//! Source: <https://platform.claude.com/docs/en/api/rate-limits>, read 2026-11-22: token buckets per class of models, refilled
//! continuously; input tokens count without cache reads, output tokens as they are produced.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::RunId;
use crate::usage::Usage;

/// What a call is taken to need until calls of its class were seen: a prefix that is not cached yet, and a short answer.
const USUAL_AT_FIRST: Need = Need { requests: 1, input: 4_000, output: 500 };
/// The share of each limit that is kept for customers who wait for a first answer, in percent.
const KEPT_FOR_FIRST_PERCENT: u64 = 10;
/// The first pause after a refusal that names none, in milliseconds; it doubles with every one that follows.
const PAUSE_FIRST_MS: i64 = 1_000;
/// The longest such pause.
const PAUSE_LONGEST_MS: i64 = 60_000;
/// The longest that a run is told to wait before it asks again, in milliseconds: whoever stood before it may have left.
const WAIT_LONGEST_MS: i64 = 120_000;
/// The shortest.
const WAIT_SHORTEST_MS: i64 = 200;
/// A run that has not come back so long after its time, in milliseconds, has left the line.
const LEFT_AFTER_MS: i64 = 30_000;
/// With so many calls at once after a refusal the way back is over.
const WINDOW_OPEN: usize = 32;

/// Whose call goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A customer waits for the first answer.
    FirstAnswer,
    /// Nobody waits, or the customer has had an answer already.
    Later,
}

/// A run's place in the line: the urgent ones first, of these the oldest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// How urgent.
    pub urgency: Urgency,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Which run.
    pub run: RunId,
}

/// One bucket as the vendor tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How much it takes in a minute.
    pub limit: u64,
    /// What is left.
    pub remaining: u64,
}

/// What the headers of an answer tell; `None` where they say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Requests.
    pub requests: Option<Level>,
    /// Input tokens, cache reads not counted.
    pub input: Option<Level>,
    /// Output tokens.
    pub output: Option<Level>,
}

/// May it leave?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Not before then, in milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// Why, for people.
    pub said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Need {
    requests: u64,
    input: u64,
    output: u64,
}

impl Need {
    fn parts(self) -> [u64; 3] {
        [self.requests, self.input, self.output]
    }
}

/// A bucket as it is known. `left` is in sixty-thousandths, so that each millisecond adds the limit.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    limit: u64,
    left: i128,
    at_ms: i64,
}

const PARTS: i128 = 60_000;

impl Bucket {
    fn refill(&mut self, now_ms: i64) {
        // A clock that was set back adds nothing and takes nothing.
        let passed = i128::from((now_ms - self.at_ms).max(0));
        self.left = (self.left + passed * i128::from(self.limit)).min(i128::from(self.limit) * PARTS);
        self.at_ms = now_ms;
    }

    fn take(&mut self, amount: u64) {
        self.left -= i128::from(amount) * PARTS;
    }
}

/// A call that has left.
#[derive(Debug, Clone, Copy)]
struct Flight {
    need: Need,
    began_ms: i64,
    /// Its headers came: what it asks for is in what they tell.
    heard: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    need: Need,
    until_ms: i64,
}

/// One class of models, which share their buckets.
#[derive(Debug)]
struct Class {
    buckets: [Option<Bucket>; 3],
    flights: BTreeMap<u64, Flight>,
    line: BTreeMap<Place, Waiting>,
    usual: Need,
    /// From when until when nothing leaves.
    frozen: Option<(i64, i64)>,
    pause_ms: i64,
    /// How many calls may be under way at once, while the way back after a refusal lasts.
    window: Option<usize>,
}

impl Default for Class {
    fn default() -> Self {
        Self {
            buckets: [None; 3],
            flights: BTreeMap::new(),
            line: BTreeMap::new(),
            usual: USUAL_AT_FIRST,
            frozen: None,
            pause_ms: 0,
            window: None,
        }
    }
}

impl Class {
    /// Until when nothing leaves; a pause that begins after now is of a clock that was set back.
    fn frozen_until(&self, now_ms: i64) -> Option<i64> {
        self.frozen.filter(|(from, until)| (*from..*until).contains(&now_ms)).map(|(_, until)| until)
    }

    /// What is left of a bucket for whoever asks now. What has left and was not heard of may not be in the vendor's figures yet.
    fn left(&self, which: usize, bucket: &Bucket) -> i128 {
        let gone = self.flights.values().filter(|flight| which == 2 || !flight.heard);
        bucket.left - gone.map(|flight| i128::from(flight.need.parts()[which]) * PARTS).sum::<i128>()
    }

    /// `None`: go. Whoever stands before keeps what it needs.
    fn wait(&mut self, place: &Place, need: Need, now_ms: i64) -> Option<i64> {
        self.line.retain(|_, waiting| now_ms <= waiting.until_ms + LEFT_AFTER_MS);
        let before: Vec<Need> = self.line.range(..place.clone()).map(|(_, waiting)| waiting.need).collect();
        let mut until_ms = self.frozen_until(now_ms);
        let mut later = |at: i64| until_ms = Some(until_ms.map_or(at, |known: i64| known.max(at)));
        if let Some(window) = self.window
            && self.flights.len() + before.len() >= window
        {
            let rounds = (self.flights.len() + before.len()) / window;
            later(now_ms + 1_000 * i64::try_from(rounds).unwrap_or(60));
        }
        for which in 0..3 {
            let Some(bucket) = &mut self.buckets[which] else { continue };
            bucket.refill(now_ms);
            let bucket = *bucket;
            let kept = match place.urgency {
                Urgency::FirstAnswer => 0,
                Urgency::Later => bucket.limit * KEPT_FOR_FIRST_PERCENT / 100,
            };
            // A call that needs more than a whole minute's worth goes when the bucket is full.
            let own = (need.parts()[which] + kept).min(bucket.limit);
            let others: u64 = before.iter().map(|need| need.parts()[which].min(bucket.limit)).sum();
            let missing = i128::from(own + others) * PARTS - self.left(which, &bucket);
            if missing > 0 {
                let per_ms = i128::from(bucket.limit.max(1));
                let wait_ms = i64::try_from((missing + per_ms - 1) / per_ms).unwrap_or(WAIT_LONGEST_MS);
                later(now_ms.max(self.frozen_until(now_ms).unwrap_or(now_ms)).saturating_add(wait_ms));
            }
        }
        until_ms.map(|until_ms| until_ms.clamp(now_ms + WAIT_SHORTEST_MS, now_ms + WAIT_LONGEST_MS))
    }

    fn freeze(&mut self, now_ms: i64, began_ms: i64, asks_ms: Option<i64>) {
        // Calls that were under way when the first of them was refused say nothing new.
        let known = self.frozen_until(now_ms).filter(|_| self.frozen.is_some_and(|(from, _)| began_ms <= from));
        if known.is_none() {
            self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_FIRST_MS, PAUSE_LONGEST_MS);
        }
        let until_ms = now_ms + asks_ms.unwrap_or(self.pause_ms).max(0);
        self.frozen = Some((now_ms, known.map_or(until_ms, |known| known.max(until_ms))));
        self.window = Some(1);
    }

    fn said(&self, name: &str, now_ms: i64) -> String {
        let [requests, input, output] = self.buckets.map(|bucket| bucket.map(|bucket| bucket.limit));
        if self.frozen_until(now_ms).is_some() {
            return format!("{name}: the vendor asks us to wait");
        }
        let part = |limit: Option<u64>, what: &str| limit.map(|limit| format!("{limit} {what}"));
        let limits = [part(requests, "requests"), part(input, "input tokens"), part(output, "output tokens")];
        match limits.into_iter().flatten().collect::<Vec<_>>().join(", ") {
            known if known.is_empty() => format!("{name}: a few calls at a time after a refusal"),
            known => format!("{name}: the rate limit is {known} a minute"),
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    classes: BTreeMap<String, Class>,
    next: u64,
}

/// Shared by all workers of a process.
#[derive(Debug, Default)]
pub struct Limiter {
    inner: Mutex<Inner>,
}

/// The permission for one call. Dropped without a word of how the call ended, it counts as sent.
#[derive(Debug)]
#[must_use = "the call counts as over when this is dropped"]
pub struct Pass<'a> {
    limiter: &'a Limiter,
    class: String,
    number: u64,
    place: Place,
}

impl Limiter {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half-changed by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call of this model may leave now. `input_least` is what its prompt is known to add at least, in tokens.
    ///
    /// # Errors
    /// It may not: until when it had better wait. It has a place in the line from now on.
    pub fn ask(&self, model: &str, place: Place, input_least: u64, now_ms: i64) -> Result<Pass<'_>, Wait> {
        let mut inner = self.lock();
        let name = class_of(model);
        let number = inner.next + 1;
        let class = inner.classes.entry(name.clone()).or_default();
        let need = Need { requests: 1, input: class.usual.input.max(input_least), ..class.usual };
        if let Some(until_ms) = class.wait(&place, need, now_ms) {
            let said = class.said(&name, now_ms);
            class.line.insert(place, Waiting { need, until_ms });
            return Err(Wait { until_ms, said });
        }
        class.line.remove(&place);
        class.flights.insert(number, Flight { need, began_ms: now_ms, heard: false });
        inner.next = number;
        Ok(Pass { limiter: self, class: name, number, place })
    }

    /// Why runs wait, and how many; `None`: none does.
    pub fn said(&self, now_ms: i64) -> Option<String> {
        let inner = self.lock();
        let lines: Vec<String> = inner
            .classes
            .iter()
            .filter_map(|(name, class)| {
                let waiting = class.line.values().filter(|waiting| now_ms <= waiting.until_ms + LEFT_AFTER_MS).count();
                (waiting > 0).then(|| class.said(name, now_ms))
            })
            .collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

impl Pass<'_> {
    fn with<T>(&self, act: impl FnOnce(&mut Class, Flight) -> T) -> Option<T> {
        let mut inner = self.limiter.lock();
        let class = inner.classes.get_mut(&self.class)?;
        let flight = class.flights.get(&self.number).copied()?;
        Some(act(class, flight))
    }

    /// The head of the answer came.
    pub fn heard(&self, told: &Told, now_ms: i64) {
        self.with(|class, flight| {
            for (which, level) in [told.requests, told.input, told.output].into_iter().enumerate() {
                match (level, &mut class.buckets[which]) {
                    (Some(Level { limit, remaining }), bucket) => {
                        *bucket = Some(Bucket { limit, left: i128::from(remaining) * PARTS, at_ms: now_ms });
                    }
                    // Of a bucket that was told once and is no longer: we go on counting.
                    (None, Some(bucket)) if which < 2 => {
                        bucket.refill(now_ms);
                        bucket.take(flight.need.parts()[which]);
                    }
                    _ => {}
                }
            }
            if let Some(flight) = class.flights.get_mut(&self.number) {
                flight.heard = true;
            }
        });
    }

    /// The whole answer came: what was reserved is settled.
    pub fn answered(self, usage: &Usage, now_ms: i64) {
        self.with(|class, _| {
            if let Some(bucket) = &mut class.buckets[2] {
                bucket.refill(now_ms);
                bucket.take(usage.output);
            }
            // A quarter of what is new: one odd ticket does not change what a call is taken to need.
            let input = usage.prompt() - usage.cache_read;
            class.usual.input = (class.usual.input * 3 + input) / 4;
            class.usual.output = (class.usual.output * 3 + usage.output) / 4;
            class.pause_ms = 0;
            class.window = class.window.map(|window| window + 1).filter(|window| *window < WINDOW_OPEN);
        });
    }

    /// The vendor refused because of its limits: the class rests as long as it asks, and then comes back call by call. Returns
    /// until when the run had better wait; it keeps its place in the line.
    pub fn refused(self, asks_ms: Option<i64>, now_ms: i64) -> i64 {
        let place = self.place.clone();
        let until_ms = self.with(|class, flight| {
            class.flights.remove(&self.number); // It was not let in, so it took nothing.
            class.freeze(now_ms, flight.began_ms, asks_ms);
            let until_ms = class.wait(&place, flight.need, now_ms).unwrap_or(now_ms + PAUSE_FIRST_MS);
            class.line.insert(place, Waiting { need: flight.need, until_ms });
            until_ms
        });
        until_ms.unwrap_or(now_ms + PAUSE_FIRST_MS)
    }

    /// Money is used up at the vendor: no model answers before that is over.
    pub fn capped(self, asks_ms: i64, now_ms: i64) {
        for class in self.limiter.lock().classes.values_mut() {
            class.frozen = Some((now_ms, now_ms.saturating_add(asks_ms)));
            class.window = Some(1);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inner = self.limiter.lock();
        let Some(class) = inner.classes.get_mut(&self.class) else { return };
        let Some(flight) = class.flights.remove(&self.number) else { return };
        if !flight.heard {
            for (which, bucket) in class.buckets.iter_mut().enumerate().take(2) {
                if let Some(bucket) = bucket {
                    bucket.take(flight.need.parts()[which]);
                }
            }
        }
    }
}

/// The class whose buckets a model shares: `claude-opus-4` for `claude-opus-4-7`, as the vendor's table of limits has it.
fn class_of(model: &str) -> String {
    let mut name = Vec::new();
    for part in model.split('-') {
        name.push(part);
        if part.starts_with(|c: char| c.is_ascii_digit()) {
            break;
        }
    }
    name.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommentId, TicketId};

    const MODEL: &str = "claude-sonnet-4-6";

    fn place(urgency: Urgency, n: i64) -> Place {
        Place { urgency, since_ms: n, run: RunId::for_trigger(TicketId(n), CommentId(1)) }
    }

    fn told(limit: u64, remaining: u64) -> Told {
        Told { requests: Some(Level { limit, remaining }), ..Told::default() }
    }

    /// A limiter that has heard of this limit.
    fn limiter(limit: u64, remaining: u64) -> Limiter {
        let limiter = Limiter::default();
        let pass = limiter.ask(MODEL, place(Urgency::FirstAnswer, 0), 0, 0).unwrap();
        pass.heard(&told(limit, remaining), 0);
        pass.answered(&Usage::default(), 0);
        limiter
    }

    #[test]
    fn models_of_one_class_share_their_buckets() {
        let check = |model: &str, class: &str| assert_eq!(class_of(model), class);
        check("claude-opus-4-7", "claude-opus-4");
        check("claude-opus-4-8", "claude-opus-4");
        check("claude-haiku-4-5-20251001", "claude-haiku-4");
        check("some-model", "some-model");
    }

    #[test]
    fn what_is_left_may_leave_and_the_rest_waits_in_line_for_the_refill() {
        let limiter = limiter(60, 2);
        let passes: Vec<_> =
            (1..=2).map(|n| limiter.ask(MODEL, place(Urgency::FirstAnswer, n), 0, 0).unwrap()).collect();
        let until = |n: i64| limiter.ask(MODEL, place(Urgency::FirstAnswer, n), 0, 0).unwrap_err().until_ms;
        // One comes back each second; each knows its turn.
        assert_eq!([until(3), until(4), until(5)], [1_000, 2_000, 3_000]);
        assert!(limiter.said(0).unwrap().contains("60 requests"), "{:?}", limiter.said(0));
        drop(passes);
        // The next in line goes at its time, and not the one behind it.
        assert!(limiter.ask(MODEL, place(Urgency::FirstAnswer, 4), 0, 1_000).is_err());
        drop(limiter.ask(MODEL, place(Urgency::FirstAnswer, 3), 0, 1_000).unwrap());
        drop(limiter.ask(MODEL, place(Urgency::FirstAnswer, 4), 0, 2_000).unwrap());
        // Another class is not held up.
        drop(limiter.ask("claude-opus-4-7", place(Urgency::FirstAnswer, 9), 0, 2_000).unwrap());
        // Whoever does not come back leaves the line.
        assert_eq!(limiter.said(3_000 + LEFT_AFTER_MS + 1), None);
    }

    #[test]
    fn a_customer_who_waits_goes_before_whoever_was_there_first() {
        let limiter = limiter(60, 0);
        assert!(limiter.ask(MODEL, place(Urgency::Later, 1), 0, 0).is_err());
        assert_eq!(limiter.ask(MODEL, place(Urgency::FirstAnswer, 2), 0, 0).unwrap_err().until_ms, 1_000);
        // Its turn is put off, and a tenth of the limit is kept from it.
        let later = |at_ms: i64| limiter.ask(MODEL, place(Urgency::Later, 1), 0, at_ms);
        assert_eq!(later(0).unwrap_err().until_ms, 8_000);
        drop(limiter.ask(MODEL, place(Urgency::FirstAnswer, 2), 0, 1_000).unwrap());
        assert!(later(7_999).is_err());
        assert!(later(8_000).is_ok());
    }

    #[test]
    fn tokens_are_reserved_before_a_call_and_settled_after_it() {
        let limiter = Limiter::default();
        let ask = |n: i64, least: u64, at_ms: i64| limiter.ask(MODEL, place(Urgency::FirstAnswer, n), least, at_ms);
        let input = |remaining: u64| Told { input: Some(Level { limit: 60_000, remaining }), ..Told::default() };
        let first = ask(1, 0, 0).unwrap();
        first.heard(&input(10_000), 0);
        first.answered(&Usage { input: 2_000, cache_write_5m: 2_000, cache_read: 9_000, ..Usage::default() }, 0);
        // It is taken to need what calls of its class used, cache reads not counted, and what is known of its own prompt.
        let second = ask(2, 9_000, 0).unwrap();
        assert_eq!(ask(3, 0, 0).unwrap_err().until_ms, 3_000, "1,000 are left of 4,000; 1,000 a second come back");
        second.heard(&input(8_000), 0);
        assert!(ask(3, 0, 0).is_ok(), "it read most of it from the cache");
        drop(second);
        // More than a minute's worth waits for a full bucket, and no longer.
        assert!(ask(4, 1_000_000, 60_000).is_ok());
    }

    #[test]
    fn five_hundred_runs_behind_a_refusal_come_back_one_by_one() {
        let limiter = Limiter::default();
        let ask = |n: i64, at_ms: i64| limiter.ask(MODEL, place(Urgency::FirstAnswer, n), 0, at_ms);
        let under_way: Vec<_> = (1..=8).map(|n| ask(n, 0).unwrap()).collect();
        for pass in under_way {
            assert_eq!(pass.refused(Some(10_000), 100), 10_100, "those that left together are one refusal");
        }
        assert!((1..=500).all(|n| ask(n, 5_000).is_err()));
        let went = |at_ms: i64| (1..=500).filter_map(|n| ask(n, at_ms).ok()).collect::<Vec<_>>();
        let mut passes = went(10_100);
        assert_eq!(passes.len(), 1, "one asks for all");
        passes.remove(0).answered(&Usage::default(), 10_200);
        let mut passes = went(12_000);
        assert_eq!(passes.len(), 2, "it was answered");
        // Refused again, without a word of how long: longer each time.
        let until = passes.remove(0).refused(None, 12_100);
        assert_eq!(until, 13_100);
        drop(passes);
        let mut passes = went(13_200);
        assert_eq!(passes.remove(0).refused(None, 13_200), 15_200);
    }

    #[test]
    fn a_spending_cap_holds_every_model_and_a_clock_set_back_none() {
        let limiter = limiter(60, 60);
        drop(limiter.ask("claude-opus-4-7", place(Urgency::FirstAnswer, 1), 0, 1_000).unwrap());
        limiter.ask(MODEL, place(Urgency::FirstAnswer, 1), 0, 1_000).unwrap().capped(3_600_000, 1_000);
        let ask = |at_ms: i64| limiter.ask("claude-opus-4-7", place(Urgency::FirstAnswer, 2), 0, at_ms);
        assert!(ask(2_000).is_err());
        assert!(ask(3_601_000).is_ok());
        assert!(ask(500).is_ok());
    }
}
