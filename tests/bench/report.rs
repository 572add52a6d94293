//! The table of figures: each with what it should be, where that is laid down. Ratios first: absolute times say more of the
//! machine than of the product.

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Stands beside the others to read them by.
    None,
}

/// One figure.
struct Row {
    part: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    target: Target,
}

/// All figures so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a figure.
    pub fn add(&mut self, part: &'static str, what: impl Into<String>, value: f64, unit: &'static str, target: Target) {
        self.rows.push(Row { part, what: what.into(), value, unit, target });
    }

    /// As a table for people.
    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = row.part;
                println!("\n{part}");
            }
            let value = format!("{} {}", shown(row.value), row.unit);
            println!("  {:width$}  {value:>18}  {}", row.what, words(row));
        }
    }

    /// As one JSON object: a list of figures with their targets.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let (at_most, at_least) = match row.target {
                Target::AtMost(limit) => (Some(limit), None),
                Target::AtLeast(limit) => (None, Some(limit)),
                Target::None => (None, None),
            };
            json!({"part": row.part, "what": row.what, "value": row.value, "unit": row.unit,
                   "at_most": at_most, "at_least": at_least, "reached": reached(row)})
        });
        json!({ "figures": rows.collect::<Vec<_>>() })
    }
}

fn reached(row: &Row) -> Option<bool> {
    match row.target {
        Target::AtMost(limit) => Some(row.value <= limit),
        Target::AtLeast(limit) => Some(row.value >= limit),
        Target::None => None,
    }
}

fn words(row: &Row) -> String {
    let mark = if reached(row) == Some(true) { "reached" } else { "MISSED" };
    match row.target {
        Target::AtMost(limit) => format!("{mark}: at most {}", shown(limit)),
        Target::AtLeast(limit) => format!("{mark}: at least {}", shown(limit)),
        Target::None => String::new(),
    }
}

/// Three figures are more than such a measurement holds.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
