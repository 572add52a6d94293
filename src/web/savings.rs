//! The part of the costs page that says what the same work would have cost otherwise, and where spending stops. The sums are
//! the page's own; each line stands beside its formula.

use serde_json::{Value, json};

use crate::journal;
use crate::journal::views::{Deaths, ModelCosts};
use crate::run::saved::{Otherwise, otherwise};
use crate::run::spend::Periods;
use crate::web::format;
use crate::web::{Settings, Web};

/// Another way to have done the same work.
pub(super) struct Saving {
    /// A word for machines.
    key: &'static str,
    /// In which way.
    pub(super) name: String,
    /// How it is computed.
    pub(super) formula: String,
    /// What it would have cost, in micro-dollars; `None`: a price is not known.
    micros: Option<i64>,
    /// The same in dollars, for the page.
    pub(super) cost: String,
    /// The share that was not spent, in per cent.
    pub(super) saved: String,
}

/// All of them. `spent` is what was spent, in micro-dollars; `None`: a price is not known.
pub(super) fn savings(by_model: &[ModelCosts], deaths: Deaths, spent: Option<i64>, settings: &Settings) -> Vec<Saving> {
    let usage: Vec<_> = by_model.iter().map(|row| (row.model.clone(), row.usage)).collect();
    let one = format::model(&settings.one_model);
    let Otherwise { no_cache, one_model, one_model_no_cache } =
        otherwise(&usage, &settings.one_model, &settings.prices);
    let anew = spent.map(|spent| spent.saturating_add(deaths.cost_micros));
    let died = format::count(deaths.count, "death", "deaths");
    let retold = format!(
        "each model's tokens, times its characters per token, over those of {one} (3.4 for Sonnet 4.6, 2.5 for Opus 4.7), at \
         {one}'s prices; the router's calls included"
    );
    let line = |key, name: String, formula: String, micros: Option<i64>| {
        // Without what was really spent there is nothing to compare with.
        let micros = micros.filter(|_| spent.is_some());
        let saved = micros.zip(spent).map(|(micros, spent)| {
            let share = 100.0 * (micros - spent) as f64 / micros.max(1) as f64;
            format!("{share:.0} %")
        });
        Saving {
            key,
            name,
            formula,
            micros,
            cost: micros.map_or_else(|| "not known".to_owned(), format::dollars),
            saved: saved.unwrap_or_else(|| "–".to_owned()),
        }
    };
    vec![
        line(
            "no_cache",
            "Without the cache".to_owned(),
            "all tokens in, at the price of new input; tokens out as they were".to_owned(),
            no_cache,
        ),
        line("one_model", format!("{one} alone"), format!("{retold}; cached as they were"), one_model),
        line(
            "one_model_no_cache",
            format!("{one} alone, without the cache"),
            format!("{retold}; all tokens in at the price of new input"),
            one_model_no_cache,
        ),
        line(
            "restarted",
            "Begun anew after each death".to_owned(),
            format!("what was spent, and once more what each run had cost when its worker died ({died})"),
            anew,
        ),
    ]
}

/// A limit of spending and how far it is used.
pub(super) struct BrakeLine {
    key: &'static str,
    /// Of what.
    pub(super) name: &'static str,
    /// What was spent, for a period.
    spent_micros: Option<i64>,
    limit_micros: i64,
    /// What was spent.
    pub(super) spent: String,
    /// The limit.
    pub(super) limit: String,
    /// What happens at it.
    pub(super) then: &'static str,
}

/// The limits in force, with what was spent of them.
pub(super) async fn brakes(web: &Web) -> Result<Vec<BrakeLine>, journal::Error> {
    let settings = &web.app.settings;
    let periods = Periods::of(web.app.clock.now(), &web.zone);
    let (day, month) = tokio::try_join!(
        web.app.journal.spent_since(periods.day.as_millisecond()),
        web.app.journal.spent_since(periods.month.as_millisecond()),
    )?;
    let line = |key, name, spent_micros: Option<i64>, limit_micros, then| BrakeLine {
        key,
        name,
        spent_micros,
        limit_micros,
        spent: spent_micros.map_or_else(|| "–".to_owned(), format::dollars),
        limit: format::dollars(limit_micros),
        then,
    };
    let waits = "no further model call starts; runs wait, then go to a person";
    Ok(vec![
        line("run", "One run", None, settings.cost_max_micros, "the ticket goes to a person"),
        line("day", "Today", Some(day), settings.spend.day_max_micros, waits),
        line("month", "This month", Some(month), settings.spend.month_max_micros, waits),
    ])
}

/// Both for a machine.
pub(super) fn json(savings: &[Saving], brakes: &[BrakeLine]) -> (Value, Value) {
    let saving = |line: &Saving| json!({"key": line.key, "name": line.name, "formula": line.formula, "cost_micros": line.micros});
    let brake = |line: &BrakeLine| json!({"key": line.key, "spent_micros": line.spent_micros, "limit_micros": line.limit_micros, "then": line.then});
    (savings.iter().map(saving).collect(), brakes.iter().map(brake).collect())
}
