//! What a crash test prints.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Serialize;

use super::boundaries::Boundaries;
use super::ledger::TicketEnd;
use super::{Ended, Error, Options, PassResult, Spent, judge};
use crate::money::{Cost, group};

/// How many lines of one sort are shown to people; JSON holds them all.
const SHOWN_MAX: usize = 20;

/// The result of a crash test.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// The world's name.
    world: String,
    seed: u64,
    /// Tickets of the world that take part.
    tickets: usize,
    /// What breaks even when nobody dies.
    undisturbed: Vec<String>,
    /// Killed at random moments rather than at boundaries.
    random: bool,
    /// The worker panicked at the boundaries, and the process lived.
    panics: bool,
    /// Worlds that were played with deaths.
    passes: usize,
    /// Boundaries tried, by kind.
    tried: BTreeMap<String, usize>,
    /// Boundaries of disturbed runs that were not tried: they come by chance, or lie behind two deaths in one step.
    not_tried: Vec<String>,
    /// Boundaries that an undisturbed run comes to and nobody died at. Any is a failure of the test.
    missed: Vec<String>,
    /// How often the process died.
    deaths: usize,
    /// Deeds done twice.
    doubled: Vec<String>,
    /// Tickets, triggers and deeds that are missing.
    lost: Vec<String>,
    /// What ended otherwise than undisturbed.
    changed: Vec<String>,
    /// Interrupted mails, shown to a person and never sent twice.
    mails_unknown: usize,
    /// Runs parked because each try of a step ended the process.
    parked: usize,
    /// Tickets that a person got because vendors failed.
    handed_over: usize,
    /// Model calls made again because their answer died with the process.
    calls_repeated: u64,
    tokens_repeated: u64,
    /// What starting over would have paid for again: the finished calls of the run in hand, at each death.
    tokens_saved: u64,
    saved_micros: i64,
    /// Milliseconds from the start of a process to its first look for work, median and longest.
    start_median_ms: u64,
    start_max_ms: u64,
    /// What it took altogether, in milliseconds.
    pub(super) time_ms: u64,
    /// How each ticket ended, where only chosen boundaries were tried.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) ends: BTreeMap<i64, TicketEnd>,
    /// Boundaries, or worlds, that break a guarantee.
    pub(super) culprits: Vec<String>,
    /// How to repeat what broke.
    repeat: Vec<String>,
    #[serde(skip)]
    starts_ms: Vec<u64>,
    #[serde(skip)]
    command: String,
}

impl Report {
    pub(super) fn new(options: &Options, world: &str, undisturbed: &Ended) -> Self {
        let folder = options.world.as_ref().map(|folder| format!(" --world {}", folder.display())).unwrap_or_default();
        let faults = if options.faults.is_empty() { String::new() } else { format!(" --faults {}", options.faults) };
        let random = options.kills.map(|_| format!(" --workers {}{faults}", options.workers)).unwrap_or_default();
        let mut only: String = options.only.iter().map(|name| format!(" --only '{name}'")).collect();
        only += if options.always { " --always" } else { "" };
        only += if options.panic { " --panic" } else { "" };
        Self {
            world: world.to_owned(),
            seed: options.seed,
            tickets: undisturbed.tickets.len(),
            undisturbed: judge::broken_by_itself(undisturbed),
            random: options.kills.is_some(),
            panics: options.panic,
            passes: 0,
            tried: BTreeMap::new(),
            not_tried: Vec::new(),
            missed: Vec::new(),
            deaths: 0,
            doubled: Vec::new(),
            lost: Vec::new(),
            changed: Vec::new(),
            mails_unknown: 0,
            parked: 0,
            handed_over: 0,
            calls_repeated: 0,
            tokens_repeated: 0,
            tokens_saved: 0,
            saved_micros: 0,
            start_median_ms: 0,
            start_max_ms: 0,
            time_ms: 0,
            ends: BTreeMap::new(),
            culprits: Vec::new(),
            repeat: Vec::new(),
            starts_ms: Vec::new(),
            command: format!("deskhand crashtest{folder} --tickets {}{random}{only}", options.tickets),
        }
    }

    /// Adds what one pass came to.
    pub(super) fn add(&mut self, pass: PassResult) {
        let texts = |found: Vec<super::judge::Finding>| found.into_iter().map(|(_, text)| text);
        self.passes += 1;
        self.deaths += pass.deaths.len();
        self.doubled.extend(texts(pass.findings.doubled));
        self.lost.extend(texts(pass.findings.lost));
        self.changed.extend(texts(pass.findings.changed));
        self.mails_unknown += pass.findings.mails_unknown;
        self.parked += pass.findings.parked;
        self.handed_over += pass.findings.handed_over;
        let Spent { calls, tokens, .. } = pass.repeated;
        self.calls_repeated += calls;
        self.tokens_repeated += tokens;
        self.tokens_saved += pass.saved.tokens;
        self.saved_micros += pass.saved.micros;
        self.starts_ms.extend(pass.starts_ms);
        self.starts_ms.sort_unstable();
        self.start_median_ms = self.starts_ms.get(self.starts_ms.len() / 2).copied().unwrap_or(0);
        self.start_max_ms = self.starts_ms.last().copied().unwrap_or(0);
    }

    /// Takes down which boundaries were tried.
    pub(super) fn boundaries(&mut self, all: &Boundaries) {
        self.tried = all.tried_by_kind();
        self.missed = all.missed().map(str::to_owned).collect();
        self.not_tried =
            all.untried().filter(|name| !self.missed.iter().any(|missed| missed == name)).map(str::to_owned).collect();
    }

    /// Whether every guarantee held, and everything was tried.
    pub(super) fn held(&self) -> bool {
        let broken = [&self.undisturbed, &self.missed, &self.doubled, &self.lost, &self.changed];
        broken.iter().all(|found| found.is_empty())
    }

    pub(super) fn print(mut self, json: bool) -> Result<(), Error> {
        let seed = self.seed;
        self.repeat = match (self.random, self.held()) {
            (_, true) => Vec::new(),
            (true, false) => vec![format!("{} --seed {seed} --kills {}", self.command, self.deaths)],
            (false, false) if self.culprits.is_empty() => vec![format!("{} --seed {seed}", self.command)],
            (false, false) => {
                let repeat = |name: &String| format!("{} --seed {seed} --only '{name}'", self.command);
                self.culprits.iter().map(repeat).collect()
            }
        };
        let mut out = std::io::stdout().lock();
        if json {
            let text = serde_json::to_string_pretty(&self).unwrap_or_default();
            return writeln!(out, "{text}").map_err(Error::Print);
        }
        self.summary(&mut out).map_err(Error::Print)
    }

    fn summary(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        writeln!(out, "\n{} · {} tickets · seed {}", self.world, self.tickets, self.seed)?;
        if !self.random {
            let kinds: Vec<String> = self.tried.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
            let all: usize = self.tried.values().sum();
            writeln!(out, "  boundaries       {all} tried: {}", kinds.join(", "))?;
            if !self.not_tried.is_empty() {
                let n = self.not_tried.len();
                writeln!(
                    out,
                    "                   {n} not tried: they come by chance, or lie behind two deaths in one step, and a third parks the run"
                )?;
                lines(out, &self.not_tried)?;
            }
        }
        if !self.missed.is_empty() {
            writeln!(
                out,
                "  missed           {} that every run comes to: not everything was tried",
                self.missed.len()
            )?;
            lines(out, &self.missed)?;
        }
        let by = if self.panics { "a panic, the process lived" } else { "kill -9" };
        writeln!(out, "  deaths           {} by {by}, in {} worlds", self.deaths, self.passes)?;
        if !self.undisturbed.is_empty() {
            writeln!(out, "  undisturbed      {} are broken although nobody died", self.undisturbed.len())?;
            lines(out, &self.undisturbed)?;
        }
        for (name, found) in [("doubled", &self.doubled), ("lost", &self.lost), ("ended otherwise", &self.changed)] {
            writeln!(out, "  {name:<15}  {}", found.len())?;
            lines(out, found)?;
        }
        if self.mails_unknown > 0 {
            let n = self.mails_unknown;
            writeln!(
                out,
                "  mails            {n} interrupted while they were sent: shown to a person, never sent twice"
            )?;
        }
        if self.parked > 0 {
            writeln!(
                out,
                "  parked           {} runs that broke in one step again and again; a person has them",
                self.parked
            )?;
        }
        if self.handed_over > 0 {
            let n = self.handed_over;
            writeln!(
                out,
                "  handed over      {n} tickets that a person got because vendors failed, counted in every world"
            )?;
        }
        let hundredths = (self.calls_repeated * 100).checked_div(self.deaths as u64).unwrap_or(0);
        let per_death = format!("{}.{:02} a death", hundredths / 100, hundredths % 100);
        let tokens = group(self.tokens_repeated);
        writeln!(out, "  asked again      {} model calls ({per_death}), {tokens} tokens", self.calls_repeated)?;
        if !self.random {
            let (tokens, dollars) = (group(self.tokens_saved), Cost(self.saved_micros));
            writeln!(
                out,
                "  saved            {tokens} tokens, {dollars}, against starting the run in hand over at each death"
            )?;
        }
        writeln!(out, "  start            median {} ms, longest {} ms", self.start_median_ms, self.start_max_ms)?;
        writeln!(out, "  time             {} s", self.time_ms / 1_000)?;
        for culprit in &self.culprits {
            writeln!(out, "  broken by        {culprit}")?;
        }
        for repeat in &self.repeat {
            writeln!(out, "  repeat           {repeat}")?;
        }
        writeln!(
            out,
            "  {}",
            if self.held() { "every guarantee held" } else { "A GUARANTEE BROKE, OR NOT EVERYTHING WAS TRIED" }
        )
    }
}

fn lines(out: &mut impl std::io::Write, found: &[String]) -> std::io::Result<()> {
    let mut times: Vec<(&str, usize)> = Vec::new();
    for line in found {
        match times.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => times.push((line, 1)),
        }
    }
    for (line, times) in times.iter().take(SHOWN_MAX) {
        let often = if *times > 1 { format!(" (in {times} worlds)") } else { String::new() };
        writeln!(out, "                   {line}{often}")?;
    }
    match times.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "                   and {more} more"),
    }
}

/// Prints the boundaries of the undisturbed world.
pub(super) fn list(seen: &[String], json: bool) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(seen).unwrap_or_default();
        return writeln!(out, "{text}").map_err(Error::Print);
    }
    seen.iter().try_for_each(|name| writeln!(out, "{name}")).map_err(Error::Print)
}
