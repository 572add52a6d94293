//! Pages of tickets as they should not be: rows in disorder, twice or missing, cursors that lead nowhere, an end that comes
//! late. Only faults ask for it; what the pages say otherwise is in `read.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::shape::HOST;
use super::{Answer, Call};
use crate::sim::faults::{Strike, fraction};

/// A page of tickets, spoiled as the request's faults ask.
pub(super) fn page(call: &Call<'_>, mut answer: Answer) -> Answer {
    let body = &mut answer.body;
    if let Some(rows) = body.get_mut("tickets").and_then(Value::as_array_mut) {
        if let Some(strike) = call.strikes.get("hidden") {
            hide(rows, strike);
        }
        if let Some(strike) = call.strikes.get("shuffled") {
            shuffle(rows, call.desk.world.seed(), strike);
        }
        if call.strikes.has("doubled") {
            *rows = rows.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        }
    }
    if call.strikes.has("same_page") {
        same_again(call, body);
    }
    if call.strikes.has("late_end") {
        body["end_of_stream"] = json!(false);
    }
    answer
}

/// Leaves out the ticket with the fault's number, or the one that changed last.
fn hide(rows: &mut Vec<Value>, strike: &Strike) {
    let newest = rows.iter().max_by_key(|row| row["updated_at"].as_str().unwrap_or_default().to_owned());
    let hidden = strike.number.or_else(|| newest?["id"].as_i64());
    rows.retain(|row| row["id"].as_i64() != hidden);
}

/// Another order than the right one, the same for the same seed.
fn shuffle(rows: &mut Vec<Value>, seed: u64, strike: &Strike) {
    let chance = |index: usize| fraction(seed, 1_000 + strike.nth, index as u64);
    let mut drawn: Vec<(f64, usize)> = (0..rows.len()).map(|index| (chance(index), index)).collect();
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
    if drawn.is_sorted_by_key(|(_, index)| *index) {
        drawn.reverse();
    }
    *rows = drawn.into_iter().map(|(_, index)| rows[index].clone()).collect();
}

/// More follows, says the page, and leads back to itself.
fn same_again(call: &Call<'_>, body: &mut Value) {
    let escaped = |cursor: &str| cursor.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
    if body.get("end_of_stream").is_some() {
        let Some(start) = call.param("cursor").map(str::to_owned).or_else(|| {
            let start = call.param("start_time")?.parse().ok()?;
            Some(super::read::write_cursor(start, 0))
        }) else {
            return;
        };
        let url = format!("{HOST}/api/v2/incremental/tickets/cursor.json?cursor={}", escaped(&start));
        body["after_cursor"] = json!(start);
        body["after_url"] = json!(url);
        body["end_of_stream"] = json!(false);
    } else if body.get("meta").is_some() {
        let start = call.param("page[after]").map_or_else(|| STANDARD.encode("0|start"), str::to_owned);
        let size = call.param("page[size]").unwrap_or("100");
        let url = format!("{HOST}/api/v2/tickets.json?page%5Bafter%5D={}&page%5Bsize%5D={size}", escaped(&start));
        body["meta"]["has_more"] = json!(true);
        body["meta"]["after_cursor"] = json!(start);
        body["links"]["next"] = json!(url);
    }
}
