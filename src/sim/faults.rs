//! What the simulators do wrong on purpose: late, lost, repeated, refused and broken answers, by vendor and by name, at a
//! rate or a number of times, the same for the same seed and order of requests. Faults of the line are a layer around each
//! vendor's router and the vendors' code does not know of them; what only a vendor can do wrong it finds among the
//! request's extensions ([`Strikes`]); mail faults are asked for by the SMTP sink.
//!
//! A specification is a list with commas: `zendesk.lost_after=0.05,stripe.500=2x,claude.late:1500=0.1`. Each part is
//! `vendor.name[:number][@who][/METHOD][/path]=how`. `how` is a rate from 0 to 1, a number of times (`2x`), or that after
//! letting some pass (`3+2x`). A path holds whole parts of the request's path in their order, `*` for any one part and `$`
//! for the end: `stripe.lost_after/POST/refunds$=1x`, `zendesk.409/PUT/tickets/*$=0.1`. `@router`, `@agent` and `@7001` (a
//! ticket) say whose calls of Claude are meant. Several faults can strike one request; of several refusals the first in the
//! list is answered. [`catalog::FAULTS`] lists all names.
//!
//! Here stands which faults strike a request; the words are in `spec.rs`, the names in `catalog.rs`, the deeds in `layer.rs`.

pub mod catalog;
mod layer;
#[cfg(test)]
mod plain;
mod refusals;
mod spec;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
#[cfg(test)]
mod world_tests;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use catalog::Known;
pub use catalog::help;
pub use layer::{Layer, Lost, around};

/// A specification that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is no fault: {why}\nhint: {hint}")]
pub struct BadFaults {
    /// The part that is wrong.
    pub part: String,
    /// What is wrong about it.
    pub why: String,
    /// What to write.
    pub hint: String,
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// With this chance, from 0 to 1.
    Rate(f64),
    /// The next so many requests, after letting some pass.
    Times { pass: u64, times: u64 },
}

/// Whose calls of Claude are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Router,
    Agent,
    Ticket(i64),
}

/// One fault of a specification.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    vendor: &'static str,
    known: &'static Known,
    /// Milliseconds, seconds, events …, as the fault says.
    number: Option<i64>,
    who: Option<Who>,
    method: Option<String>,
    path: Option<String>,
    how: How,
    /// How often it was asked, and how often it struck.
    asked: u64,
    struck: u64,
}

/// A list of faults, parsed. Empty is no fault at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Whether nothing goes wrong.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// A request, as far as faults look at it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The vendor, one of [`catalog::VENDORS`].
    pub vendor: &'a str,
    /// The method; empty for mail.
    pub method: &'a str,
    /// The path after the simulator's prefix; empty for mail.
    pub path: &'a str,
    /// Who calls Claude, where that was found out.
    pub caller: Option<Caller>,
}

/// Who calls Claude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The ticket, if the conversation names one.
    pub ticket: Option<i64>,
    /// Whether the router asks, and not the agent.
    pub router: bool,
}

impl Rule {
    fn means(&self, ask: &Ask<'_>) -> bool {
        let who = self.who.is_none_or(|who| {
            ask.caller.is_some_and(|caller| match who {
                Who::Router => caller.router,
                Who::Agent => !caller.router,
                Who::Ticket(ticket) => caller.ticket == Some(ticket),
            })
        });
        who && self.vendor == ask.vendor
            && self.known.on.covers(ask.method, ask.path)
            && self.method.as_deref().is_none_or(|only| only == ask.method)
            && self.path.as_deref().is_none_or(|wanted| path_fits(wanted, ask.path))
    }
}

/// Whether the parts of `wanted` stand in the path, one after the other.
fn path_fits(wanted: &str, path: &str) -> bool {
    let (wanted, to_the_end) = match wanted.strip_suffix('$') {
        Some(wanted) => (wanted, true),
        None => (wanted, false),
    };
    let path = path.strip_suffix(".json").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let wanted: Vec<&str> = wanted.split('/').filter(|part| !part.is_empty()).collect();
    let fits = |window: &[&str]| wanted.iter().zip(window).all(|(want, part)| *want == "*" || want == part);
    match (wanted.len(), to_the_end) {
        (0, _) => true,
        (length, true) => parts.len() >= length && fits(&parts[parts.len() - length..]),
        (length, false) => parts.windows(length).any(fits),
    }
}

/// A fault that strikes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Its name, one of [`catalog::FAULTS`].
    pub name: &'static str,
    /// Its number: what was said, else what is usual.
    pub number: Option<i64>,
    /// Whether the number was said.
    pub said: bool,
    /// How often the rule had struck before; tells apart strikes that choose something.
    pub nth: u64,
}

impl Strike {
    /// Its number as a length of time in milliseconds; 0 where it has none.
    pub fn millis(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.number.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
    }
}

/// What strikes one request; stands among its extensions for the vendor's own code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strikes(pub Vec<Strike>);

impl Strikes {
    /// The strike of this name.
    pub fn get(&self, name: &str) -> Option<&Strike> {
        self.0.iter().find(|strike| strike.name == name)
    }
    /// Whether a fault of this name strikes.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The faults in force; shared by all layers, changed by `POST /_faults`.
#[derive(Debug, Clone)]
pub struct FaultBox {
    faults: Arc<Mutex<Faults>>,
    seed: u64,
}

impl FaultBox {
    /// These faults under this seed.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self { faults: Arc::new(Mutex::new(faults)), seed }
    }

    /// Puts other faults in force; counts start again.
    pub fn replace(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// The faults in force with how often each was asked and struck.
    pub fn report(&self) -> Value {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |rule: &Rule| json!({ "fault": rule.to_string(), "asked": rule.asked, "struck": rule.struck });
        json!({ "spec": faults.to_string(), "faults": faults.rules.iter().map(one).collect::<Vec<_>>() })
    }

    /// How often the faults of this vendor and name have struck since they were put in force.
    pub fn struck(&self, vendor: &str, name: &str) -> u64 {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = |rule: &&Rule| rule.vendor == vendor && rule.known.name == name;
        faults.rules.iter().filter(ours).map(|rule| rule.struck).sum()
    }

    /// Whether a fault of this vendor wants to know who asks.
    fn asks_who(&self, vendor: &str) -> bool {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.rules.iter().any(|rule| rule.vendor == vendor && rule.who.is_some())
    }

    /// The faults that strike this request, at most one of each name.
    pub fn strike(&self, ask: &Ask<'_>) -> Strikes {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out: Vec<Strike> = Vec::new();
        for (place, rule) in faults.rules.iter_mut().enumerate() {
            if !rule.means(ask) || out.iter().any(|one| one.name == rule.known.name) {
                continue;
            }
            rule.asked += 1;
            let strikes = match rule.how {
                How::Times { pass, times } => rule.asked > pass && rule.struck < times,
                How::Rate(rate) => fraction(self.seed, place as u64, rule.asked) < rate,
            };
            if strikes {
                let usual = rule.known.number.and_then(|number| number.unless_said);
                let (number, said) = (rule.number.or(usual), rule.number.is_some());
                out.push(Strike { name: rule.known.name, number, said, nth: rule.struck });
                rule.struck += 1;
            }
        }
        Strikes(out)
    }
}

/// All faults by vendor and name with what they do, as `GET /_faults` shows them.
pub fn listed() -> Value {
    let names = |vendor: &&str| -> Map<String, Value> {
        catalog::of(vendor).map(|known| (known.name.to_owned(), catalog::described(known).into())).collect()
    };
    catalog::VENDORS.iter().map(|vendor| ((*vendor).to_owned(), Value::Object(names(vendor)))).collect()
}

/// A number from 0 to 1 (1 excluded) that depends on the seed, the rule and the count alone (splitmix64).
pub(in crate::sim) fn fraction(seed: u64, place: u64, count: u64) -> f64 {
    let mut z = seed
        .wrapping_add(place.wrapping_mul(0x632b_e59b_d9b4_e019))
        .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}
