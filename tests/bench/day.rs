//! A day of the shipped world: its tickets again and again, each time of other customers with accounts, orders and payments of
//! their own, arriving as mail arrives at a desk: a quiet night, two peaks.

use std::path::Path;

use deskhand::sim::world_file::{self, WorldFiles};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// The shipped world's files.
const WORLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sim/worlds/brightslot");
/// Files of which each customer needs a copy; articles and people are shared.
const OF_CUSTOMERS: [&str; 4] = ["customers.jsonl", "orders.jsonl", "payments.jsonl", "subscriptions.jsonl"];
/// When the day begins: midnight in the shop's zone, after the newest of the world's records.
const BEGINS: &str = "2026-11-20T23:00:00Z";
/// How many of 1,000 tickets come in each hour. A plausible curve of a desk for one continent, not a measured one: a night in
/// which minutes pass between two tickets, a peak before noon and one in the afternoon.
const CURVE: [u32; 24] = [8, 5, 4, 3, 3, 5, 12, 28, 56, 88, 100, 88, 62, 60, 76, 90, 80, 58, 44, 38, 34, 28, 19, 11];

/// The world of a day with so many tickets, up to an hour, the same for the same seed.
pub fn world(tickets: usize, seed: u64, until_hour: u64) -> WorldFiles {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), tickets, seed, until_hour);
    world_file::load_dir(folder.path()).unwrap_or_else(|bad| panic!("{bad}"))
}

fn write(folder: &Path, tickets: usize, seed: u64, until_hour: u64) {
    let source = Path::new(WORLD);
    let read = |name: &str| std::fs::read_to_string(source.join(name)).expect("the shipped world");
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a folder to write to");
    std::fs::create_dir(folder.join("articles")).expect("a folder to write to");
    for article in std::fs::read_dir(source.join("articles")).expect("the shipped articles").flatten() {
        std::fs::copy(article.path(), folder.join("articles").join(article.file_name())).expect("a copy");
    }
    let mut world: Value = serde_json::from_str(&read("world.json")).expect("JSON");
    world["now"] = json!(BEGINS);
    write("world.json", world.to_string());

    let lines = read("tickets.jsonl");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    let copies = tickets.div_ceil(lines.len());
    let orders: Vec<u32> = read("orders.jsonl").lines().filter_map(order_number).collect();
    for name in OF_CUSTOMERS {
        let text = read(name);
        write(name, (0..copies).map(|copy| renamed(&text, copy, &orders)).collect::<Vec<_>>().join("\n"));
    }
    let mut chance = StdRng::seed_from_u64(seed);
    let mut wanted: Vec<(usize, &str)> =
        (0..copies).flat_map(|copy| lines.iter().map(move |line| (copy, *line))).collect();
    for at in (1..wanted.len()).rev() {
        wanted.swap(at, chance.random_range(0..=at));
    }
    wanted.truncate(tickets);
    let mut arrivals: Vec<u64> = (0..tickets).map(|_| arrival_s(&mut chance)).collect();
    arrivals.sort_unstable();
    let early = wanted.into_iter().zip(arrivals).filter(|(_, arrives_s)| *arrives_s < until_hour * 3_600);
    let written = early.map(|((copy, line), arrives_s)| {
        let mut ticket: Value = serde_json::from_str(&renamed(line, copy, &orders)).expect("JSON");
        ticket["id"] = json!(ticket["id"].as_i64().expect("a number") + 1_000 * copy as i64);
        ticket["arrives_s"] = json!(arrives_s);
        ticket.to_string()
    });
    write("tickets.jsonl", written.collect::<Vec<_>>().join("\n"));
}

fn order_number(line: &str) -> Option<u32> {
    let order: Value = serde_json::from_str(line).ok()?;
    order["id"].as_str()?.strip_prefix("BS-")?.parse().ok()
}

/// The text with the ids of another copy: numbers of orders wherever they stand, numbers of customers, subscriptions and their
/// payments behind their prefix, and mail addresses at a domain of the copy's own. Nothing gets longer but addresses.
fn renamed(text: &str, copy: usize, orders: &[u32]) -> String {
    if copy == 0 {
        return text.to_owned();
    }
    let add = 1_000 * u32::try_from(copy).expect("few copies");
    let mut out = String::with_capacity(text.len() + text.len() / 50);
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit() || letter == '@') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('@') {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').unwrap_or(after.len());
            let domain = &after[..end];
            let theirs = domain.ends_with(".example") && !domain.ends_with("brightslot.example");
            out.push_str(&if theirs { format!("@w{copy}.") } else { "@".to_owned() });
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let number: Option<u32> = digits.parse().ok();
        let behind_prefix = ["c_", "sub_", "pay_s", "bs-"].iter().any(|prefix| out.ends_with(prefix));
        match number {
            Some(number) if digits.len() == 5 && orders.contains(&number) => out.push_str(&(number + add).to_string()),
            Some(number) if digits.len() == 4 && behind_prefix => out.push_str(&(number + add).to_string()),
            _ => out.push_str(digits),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A second of the day, as the curve has it.
fn arrival_s(chance: &mut StdRng) -> u64 {
    let mut ticket = chance.random_range(0..CURVE.iter().map(|share| u64::from(*share)).sum());
    let hour = CURVE.iter().position(|share| {
        let here = ticket < u64::from(*share);
        ticket = ticket.saturating_sub(u64::from(*share));
        here
    });
    hour.unwrap_or(0) as u64 * 3_600 + chance.random_range(0..3_600)
}
