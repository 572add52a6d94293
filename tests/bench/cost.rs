//! What a ticket costs. Run with `cargo bench --bench cost`; `-- --json` prints one JSON object, `-- --only ours` one part.
//!
//! A day of the shipped world's tickets, by the real agent, on simulated vendors and a simulated clock: the cache of the
//! Messages API is accounted exactly, as its documentation has it. Then the same day again for three plainer agents: the same
//! tickets, tools and words, sent without the cache, or with one marker behind a short system prompt, or to Opus alone.
//!
//! What the figures are: a model of the flow of tokens. Prompts are the real ones, counted by bytes per token; answers are the
//! stand-in's, which says what its scripts say; thinking is added by effort, from a table that is plausible and not measured.

#![expect(clippy::disallowed_methods, reason = "a benchmark waits until its own process rests, in real time")]

mod day;
mod ledger;
mod line;
mod quiet;
mod report;
mod shift;

use clap::Parser;
use ledger::Ledger;
use line::Way;
use report::{Report, Target};
use shift::{Plan, Worked};

/// The model of the baselines that have one alone.
const OPUS: &str = "claude-opus-4-7";

#[derive(Parser)]
#[command(about = "What a ticket costs: figures beside what they should be")]
struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Some parts only: ours, opus, opus-one-marker, both-no-cache
    #[arg(long, value_name = "PART,PART", value_delimiter = ',')]
    only: Vec<String>,
    /// Tickets of the day
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    tickets: usize,
    /// Only what comes before this hour, at the same rate
    #[arg(long, value_name = "HOUR", default_value_t = 24)]
    until: u64,
    /// Seed of arrivals and latencies
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How fast the simulated vendors answer: quick, typical, slow
    #[arg(long, value_name = "PROFILE", default_value = "typical")]
    latency: String,
    /// A setting that differs from its default; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// One way of working the day.
struct Part {
    name: &'static str,
    title: &'static str,
    way: Way,
    model: Option<&'static str>,
}

const PARTS: [Part; 4] = [
    Part { name: "ours", title: "Deskhand: two models, cache", way: Way::AsSent, model: None },
    Part { name: "opus", title: "Baseline: Opus alone, no cache", way: Way::NoCache, model: Some(OPUS) },
    Part {
        name: "opus-one-marker",
        title: "Baseline: Opus alone, one marker on the 320-word prompt, no handbook",
        way: Way::OneMarker,
        model: Some(OPUS),
    },
    Part { name: "both-no-cache", title: "Baseline: both models, no cache", way: Way::NoCache, model: None },
];

fn main() {
    let args = Args::parse();
    deskhand::clients::install_tls();
    let level = std::env::var("DESKHAND_LOG").unwrap_or_else(|_| "error".to_owned());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let mut report = Report::default();
    let mut ours: Option<Ledger> = None;
    let mut hours = serde_json::Map::new();
    let mut differ = Vec::new();
    for part in PARTS.iter().filter(|part| args.only.is_empty() || args.only.iter().any(|only| only == part.name)) {
        eprintln!("{} …", part.title);
        let world = day::world(args.tickets, args.seed, args.until);
        let began_ms = ledger::began_ms(&world);
        let worked = shift::work(world, &plan(&args, part));
        let ledger = Ledger::of(&worked, began_ms);
        hours.insert(part.name.to_owned(), ledger.hours_json());
        differ.extend(worked.report.mismatches.iter().map(|line| format!("{}: {line}", part.name)));
        add(&mut report, part, &ledger, &worked);
        match &ours {
            None if part.name == "ours" => ours = Some(ledger),
            Some(ours) => compare(&mut report, part, ours, &ledger),
            None => {}
        }
    }
    let notes = notes(&args);
    if args.json {
        let mut whole = report.json();
        whole["hours"] = hours.into();
        whole["differs_from_the_world"] = serde_json::json!(differ);
        whole["notes"] = serde_json::json!(notes);
        return println!("{whole}");
    }
    report.print();
    for (part, lines) in &hours {
        print_hours(part, lines);
    }
    println!("\n{} expectations of the world differ", differ.len());
    differ.iter().take(20).for_each(|line| println!("  {line}"));
    println!("\nWhat this says");
    notes.iter().for_each(|note| println!("  {note}"));
}

fn plan(args: &Args, part: &Part) -> Plan {
    let setting = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or_else(|| panic!("`{text}` is no KEY=VALUE"));
        let value = value.parse::<i64>().map_or_else(|_| toml::Value::String(value.to_owned()), toml::Value::Integer);
        (key.to_owned(), value)
    };
    Plan {
        way: part.way,
        model: part.model,
        settings: args.set.iter().map(setting).collect(),
        latency: args.latency.clone(),
        seed: args.seed,
    }
}

fn add(report: &mut Report, part: &Part, ledger: &Ledger, worked: &Worked) {
    let (title, ours) = (part.title, part.name == "ours");
    let (tickets, asked) = (ledger.tickets.max(1) as f64, ledger.worked.max(1) as f64);
    let target = |target: Target| if ours { target } else { Target::None };
    report.add(title, "tickets that came", ledger.tickets as f64, "", Target::None);
    report.add(title, "tickets for which a model was asked", ledger.worked as f64, "", Target::None);
    report.add(title, "tickets answered and solved", ledger.resolved as f64, "", Target::None);
    report.add(title, "cost of a ticket, all that came", 100.0 * ledger.dollars() / tickets, "¢", Target::None);
    let worked_cents = 100.0 * ledger.dollars() / asked;
    report.add(title, "cost of a ticket for which a model was asked", worked_cents, "¢", target(Target::AtMost(6.0)));
    let resolutions = ledger.resolved.max(1) as f64;
    report.add(title, "cost of a resolution, all spend", 100.0 * ledger.dollars() / resolutions, "¢", Target::None);
    report.add(
        title,
        "of the spend, the router's calls",
        100.0 * share(ledger.router.micros, ledger.all.micros),
        "%",
        Target::None,
    );
    for (model, sum) in &ledger.models {
        let cost_share = 100.0 * share(sum.micros, ledger.all.micros);
        report.add(title, format!("of the spend, {model} ({} calls)", sum.calls), cost_share, "%", Target::None);
    }
    report.add(
        title,
        "model calls of a ticket, the router's included",
        ledger.all.calls as f64 / asked,
        "",
        Target::None,
    );
    let runs: u64 = ledger.turns.values().sum();
    for (turns, count) in &ledger.turns {
        let of_runs = 100.0 * *count as f64 / runs.max(1) as f64;
        report.add(title, format!("runs with {turns} calls after the router's"), of_runs, "%", Target::None);
    }
    report.add(title, "prompt tokens of a ticket", ledger.all.usage.prompt() as f64 / asked, "", Target::None);
    report.add(
        title,
        "output tokens of a ticket, thinking included",
        ledger.all.usage.output as f64 / asked,
        "",
        Target::None,
    );
    report.add(title, "prompt tokens read from the cache, whole day", ledger.all.cached(), "%", Target::None);
    let first = ledger.hours.keys().next().copied().unwrap_or(0);
    report.add(title, "  in the first hour", ledger.within(first..=first).cached(), "%", Target::None);
    let steady = ledger.within(first + 1..).cached();
    report.add(title, "  from the second hour on", steady, "%", target(Target::AtLeast(90.0)));
    report.add(title, "  between 8 and 20 o'clock", ledger.within(8..20).cached(), "%", Target::None);
    report.add(title, "  between 0 and 7 o'clock", ledger.within(0..7).cached(), "%", Target::None);
    let warm = 100.0 * (1.0 - ledger.cold_turns as f64 / ledger.first_turns.calls.max(1) as f64);
    report.add(title, "first turns that read the shared prefix", warm, "%", Target::None);
    let fresh = ledger.first_turns.usage.prompt() - ledger.first_turns.usage.cache_read;
    let fresh = fresh as f64 / ledger.first_turns.calls.max(1) as f64;
    report.add(title, "prompt tokens of a first turn that are its own", fresh, "", Target::None);
    report.add(title, "first answer, median, simulated clock", ledger.wait_s(50), "s", Target::None);
    report.add(title, "first answer, 95th percentile", ledger.wait_s(95), "s", Target::None);
    let decided = ledger.decided_waits_ms.len() as f64;
    report.add(title, "answers that waited for a person, not counted above", decided, "", Target::None);
    report.add(title, "requests that the model's server refused", worked.refused as f64, "", Target::None);
    report.add(title, "expectations of the world that differ", worked.report.mismatches.len() as f64, "", Target::None);
}

/// How much less we spend than a baseline. Opus alone needs no router: its router's calls are left out where turns followed,
/// which makes the baseline cheaper and the saving smaller.
fn compare(report: &mut Report, part: &Part, ours: &Ledger, theirs: &Ledger) {
    let dollars = if part.model.is_some() { theirs.dollars_without_router() } else { theirs.dollars() };
    let cents = 100.0 * dollars / theirs.worked.max(1) as f64;
    report.add(part.title, "cost of a ticket that is compared", cents, "¢", Target::None);
    let saved = 100.0 * (1.0 - (ours.dollars() / ours.worked.max(1) as f64) / (cents / 100.0));
    let target = if part.name == "opus" { Target::AtLeast(70.0) } else { Target::None };
    report.add(part.title, "saved by Deskhand against it", saved, "%", target);
}

fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn print_hours(part: &str, lines: &serde_json::Value) {
    println!("\nBy hour of the day: {part}");
    for line in lines.as_array().into_iter().flatten() {
        let number = |name: &str| line[name].as_f64().unwrap_or(0.0);
        let bar = "#".repeat((number("calls") / 10.0).ceil() as usize);
        let (hour, calls) = (number("hour"), number("calls"));
        println!("  {hour:>3}:00  {:>5.1} % from the cache  {calls:>5} calls  {bar}", number("cache_read_per_cent"));
    }
}

fn notes(args: &Args) -> Vec<String> {
    vec![
        format!(
            "{} tickets of the shipped world, a test set with more refunds, threats and traps than a usual day; seed {}.",
            args.tickets, args.seed
        ),
        "Prompts are what the product sends, counted by the documented bytes per token (2.5 for Opus 4.7, 3.4 for Sonnet 4.6)."
            .to_owned(),
        "The share read from the cache is bounded by what is a ticket's own: its text, records and passages, written once and read \
         again only by later turns. Fewer turns cost less and lower the share; the prefix that all share is read in all but the \
         first turns after a pause longer than its life."
            .to_owned(),
        "Answers are the stand-in's: a real model writes longer or shorter ones, searches more often, and errs.".to_owned(),
        "Thinking is a table by effort (plausible, not measured); it is billed as output and read again at each later turn."
            .to_owned(),
        format!("Latencies are the profile `{}` (plausible, not measured), on a simulated clock.", args.latency),
        "Baselines send the same conversations; Opus alone is compared without the router's calls, which it does not need."
            .to_owned(),
    ]
}
