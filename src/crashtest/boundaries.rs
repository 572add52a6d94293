//! The boundaries that were seen, which of them were tried, and where the process dies next. Pure.
//!
//! A step that ended its worker three times is parked, as it should be. So a run dies at most twice between two of its commits;
//! what is left untried then is tried in the next pass, in a fresh world.

use std::collections::{BTreeMap, BTreeSet};

/// How often a run may die before it has written something again.
const DEATHS_WITHOUT_PROGRESS_MAX: usize = 2;
/// How often a boundary is died at again, only to come to one that lies behind that death.
const LEADS_MAX: u32 = 4;

/// What is known of one boundary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    tried: bool,
    /// A run that nobody disturbs comes to it.
    plain: bool,
    /// It was come to in a pass. How reads that end side by side share a commit is chance: another pass may not come to it.
    met: bool,
    /// It was met after deaths at these boundaries, before anything was written, and nobody died at it.
    behind: BTreeSet<String>,
    /// How often it was died at again for the sake of another.
    led: u32,
}

/// All boundaries of a crash test, over its passes.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    known: BTreeMap<String, Known>,
}

impl Boundaries {
    /// All that an undisturbed run comes to, untried.
    pub(super) fn new(seen: impl IntoIterator<Item = String>) -> Self {
        let known = seen.into_iter().map(|name| (name, Known { plain: true, ..Known::default() }));
        Self { known: known.collect() }
    }

    /// These, all tried.
    pub(super) fn tried(names: impl IntoIterator<Item = String>) -> Self {
        let known = names.into_iter().map(|name| (name, Known { tried: true, ..Known::default() }));
        Self { known: known.collect() }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Those that were not tried.
    pub(super) fn untried(&self) -> impl Iterator<Item = &str> {
        self.known.iter().filter(|(_, known)| !known.tried).map(|(name, _)| name.as_str())
    }

    /// Those that an undisturbed run comes to, and a pass came to, and nobody died at: not everything was tried.
    pub(super) fn missed(&self) -> impl Iterator<Item = &str> {
        let missed = |known: &Known| known.plain && known.met && !known.tried;
        self.known.iter().filter(move |(_, known)| missed(known)).map(|(name, _)| name.as_str())
    }

    /// Tried ones by kind: what stands last in their names.
    pub(super) fn tried_by_kind(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for (name, _) in self.known.iter().filter(|(_, known)| known.tried) {
            *kinds.entry(kind_of(name).to_owned()).or_default() += 1;
        }
        kinds
    }

    fn leads_on(&self, name: &str) -> bool {
        self.known.values().any(|known| !known.tried && known.behind.contains(name))
    }
}

/// Where one pass over a world dies.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The deaths of each run since it last wrote something.
    since_progress: BTreeMap<String, Vec<String>>,
    /// The run that was claimed last: the one worker has it, and whatever ends the process ends its worker.
    claimed: String,
    /// All deaths, in order.
    pub(super) deaths: Vec<String>,
}

impl Pass {
    /// Whether the process dies at this boundary.
    pub(super) fn dies_at(&mut self, name: &str, all: &mut Boundaries) -> bool {
        let run = run_of(name).unwrap_or(&self.claimed).to_owned();
        if name.contains(" claim ") {
            self.claimed.clone_from(&run);
        }
        if name.contains(" append ") && kind_of(name) == "journal.committed" {
            self.since_progress.remove(&run);
        }
        let before = self.since_progress.get(&run).map(Vec::as_slice).unwrap_or_default();
        let allowed = run.is_empty() || before.len() < DEATHS_WITHOUT_PROGRESS_MAX;
        let leads_on = before.is_empty() && all.leads_on(name);
        let known = all.known.entry(name.to_owned()).or_default();
        known.met = true;
        let dies = allowed && (!known.tried || leads_on && known.led < LEADS_MAX);
        if !dies && !known.tried && !known.plain {
            known.behind.extend(before.iter().cloned());
        }
        if dies {
            known.led += u32::from(known.tried);
            known.tried = true;
        }
        if dies {
            if !run.is_empty() {
                self.since_progress.entry(run).or_default().push(name.to_owned());
            }
            self.deaths.push(name.to_owned());
        }
        dies
    }
}

/// How often a pass that always dies at a boundary dies there at most. The third death parks the run; a few more show that
/// nothing did.
const ALWAYS_MAX: usize = 8;

/// A pass that dies at these boundaries only.
#[derive(Debug, Default)]
pub(super) struct Only {
    names: BTreeSet<String>,
    /// Each time that it comes to them, instead of once.
    always: bool,
    pub(super) deaths: Vec<String>,
}

impl Only {
    /// Once at each of these.
    pub(super) fn once(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), always: false, deaths: Vec::new() }
    }

    /// At each of these whenever it comes to them.
    pub(super) fn always(names: impl IntoIterator<Item = String>) -> Self {
        Self { always: true, ..Self::once(names) }
    }

    pub(super) fn dies_at(&mut self, name: &str) -> bool {
        let times = self.deaths.iter().filter(|death| *death == name).count();
        let dies = self.names.contains(name) && times < if self.always { ALWAYS_MAX } else { 1 };
        if dies {
            self.deaths.push(name.to_owned());
        }
        dies
    }

    /// One of the boundaries that nobody came to.
    pub(super) fn never_met(&self) -> Option<&str> {
        self.names.iter().find(|name| !self.deaths.contains(name)).map(String::as_str)
    }
}

/// The kind of a boundary: the last word of its name.
pub(super) fn kind_of(name: &str) -> &str {
    name.rsplit(' ').next().unwrap_or(name)
}

/// The run that a boundary lies in.
pub(super) fn run_of(name: &str) -> Option<&str> {
    name.split(' ').next().filter(|word| word.starts_with("run_"))
}

/// How many entries its run had at least when the process stood at a boundary: `Err` gives the step that was open.
pub(super) fn position(name: &str) -> Option<Result<u64, u32>> {
    let word = |key: &str| name.split(' ').find_map(|word| word.strip_prefix(key));
    if let Some(step) = word("step=") {
        return Some(Err(step.parse().ok()?));
    }
    let (len, more) = word("len=")?.split_once('+').unwrap_or((word("len=")?, "0"));
    let (len, more): (u64, u64) = (len.parse().ok()?, more.parse().ok()?);
    Some(Ok(if kind_of(name) == "journal.committed" { len + more } else { len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a walk over and over: the process stands at each boundary in turn and goes on behind its last commit after a death.
    fn deaths_of(walk: &[&str], all: &mut Boundaries) -> Vec<String> {
        let mut pass = Pass::default();
        let mut at = 0;
        let mut committed = 0;
        while at < walk.len() {
            let dies = pass.dies_at(walk[at], all);
            at += 1;
            if walk[at - 1].ends_with("journal.committed") {
                committed = at;
            }
            if dies {
                at = committed;
            }
        }
        pass.deaths
    }

    #[test]
    fn every_boundary_is_died_at_once_and_a_run_at_most_twice_between_commits() {
        let walk = [
            "run_1_1 append len=1+1 journal.committed",
            "run_1_1 step=1 stripe GET /v1/charges request.before",
            "run_1_1 step=1 stripe GET /v1/charges request.after",
            "run_1_1 step=1 stripe GET /v1/charges #2 request.before",
            "run_1_1 step=1 stripe GET /v1/charges #2 request.after",
            "run_1_1 append len=2+1 journal.written",
        ];
        let mut all = Boundaries::new(walk.map(str::to_owned));
        let first = deaths_of(&walk, &mut all);
        assert_eq!(first, [walk[0], walk[1]].map(str::to_owned));
        let mut tried: BTreeSet<String> = first.into_iter().collect();
        while all.untried().next().is_some() {
            let deaths = deaths_of(&walk, &mut all);
            assert!((1..=2).contains(&deaths.len()), "{deaths:?}");
            for death in deaths {
                assert!(tried.insert(death.clone()), "{death} was tried twice");
            }
        }
        assert_eq!(tried.len(), walk.len());
        assert!(deaths_of(&walk, &mut all).is_empty());
    }

    #[test]
    fn a_boundary_behind_a_death_is_come_to_again() {
        let sent = "run_1_1 step=4 zendesk PUT /t request.after";
        let probe = "run_1_1 step=4 zendesk GET /audits request.after";
        let mut all = Boundaries::default();
        let mut pass = Pass::default();
        assert!(pass.dies_at(sent, &mut all));
        // Met, but the run may not die here: it died twice.
        assert!(pass.dies_at("run_1_1 step=4 x request.before", &mut all));
        assert!(!pass.dies_at(probe, &mut all));
        assert_eq!(all.untried().collect::<Vec<_>>(), [probe]);
        // A fresh world: nobody comes to the probe by itself, so the death before it is died again.
        let mut pass = Pass::default();
        let led_by = "run_1_1 step=4 x request.before";
        assert!(pass.dies_at(led_by, &mut all));
        assert!(pass.dies_at(probe, &mut all));
        assert!(all.untried().next().is_none());
        assert!(!Pass::default().dies_at(led_by, &mut all));
    }

    #[test]
    fn a_death_outside_of_any_run_ends_the_worker_of_the_run_in_hand() {
        let mut all = Boundaries::default();
        let mut pass = Pass::default();
        assert!(pass.dies_at("run_1_1 claim len=1 journal.committed", &mut all));
        assert!(pass.dies_at("zendesk GET /tickets request.before", &mut all));
        assert!(!pass.dies_at("zendesk GET /tickets request.after", &mut all), "the third would park the run");
        assert!(!pass.dies_at("run_1_1 append len=1+1 journal.written", &mut all));
        assert!(pass.dies_at("run_1_1 append len=1+1 journal.committed", &mut all));
    }

    #[test]
    fn what_is_come_to_by_chance_is_not_missed() {
        let mut all =
            Boundaries::new(["run_1_1 x request.before", "run_1_1 append len=2+2 journal.written"].map(str::to_owned));
        let mut pass = Pass::default();
        pass.since_progress.insert("run_1_1".to_owned(), vec![String::new(); DEATHS_WITHOUT_PROGRESS_MAX]);
        assert_eq!(all.missed().count(), 0);
        assert!(!pass.dies_at("run_1_1 x request.before", &mut all));
        assert_eq!(all.missed().collect::<Vec<_>>(), ["run_1_1 x request.before"]);
    }

    #[test]
    fn names_say_where_they_lie() {
        let check = |name: &str, run: Option<&str>, kind: &str, at: Option<Result<u64, u32>>| {
            assert_eq!((run_of(name), kind_of(name), position(name)), (run, kind, at), "{name}");
        };
        check("run_7_1 append len=5+2 journal.written", Some("run_7_1"), "journal.written", Some(Ok(5)));
        check("run_7_1 append len=5+2 journal.committed", Some("run_7_1"), "journal.committed", Some(Ok(7)));
        check("run_7_1 claim len=3 journal.committed", Some("run_7_1"), "journal.committed", Some(Ok(3)));
        check("run_7_1 step=4 email mail.text", Some("run_7_1"), "mail.text", Some(Err(4)));
        check("zendesk GET /api/v2/users/me request.after", None, "request.after", None);
        check("run_7_1 release journal.written", Some("run_7_1"), "journal.written", None);
    }
}
