//! Flags, environment and file → a checked [`Config`]. Every mistake is reported at once, with its key and a hint; a key that
//! nobody reads is a mistake too. Built once; nothing else reads the environment.
//!
//! Layers, later ones win: built-in defaults, `deskhand.toml`, environment (`DESKHAND_ZENDESK__BASE_URL`), flags. A secret may
//! stand in a file instead: `zendesk.client_secret_file`.
//!
//! Here is the whole; `settings.rs` holds its parts, `layers.rs` where values come from, `reader.rs` how one value is read and
//! checked, `sections.rs` which keys there are with their defaults and bounds.

mod layers;
mod reader;
mod sections;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use self::layers::Layers;
use self::reader::Reader;
pub use self::settings::{Billing, Claude, Email, Shop, Stripe, Web, Zendesk, ZendeskAuth};
use crate::policy::Policy;
use crate::run::cost::PriceTable;
use crate::run::next::{Limits, Mode};
use crate::run::spend::Spend;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The key, `section.name`.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        writeln!(f, "the configuration has {} {many}:", self.0.len())?;
        for mistake in &self.0 {
            writeln!(f, "  {}: {}\n    hint: {}", mistake.key, mistake.what, mistake.hint)?;
        }
        Ok(())
    }
}

/// Everything, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// After how many days the entries of a run that has ended are removed; 0: never.
    pub retention_days: u32,
    /// A folder with prompts in place of those in the binary.
    pub prompts_dir: Option<PathBuf>,
    /// Whether effects happen.
    pub mode: Mode,
    /// The shop.
    pub shop: Shop,
    /// The helpdesk.
    pub zendesk: Zendesk,
    /// The model.
    pub claude: Claude,
    /// Payments.
    pub stripe: Stripe,
    /// Accounts, orders, subscriptions; absent where a team has only Stripe.
    pub billing: Option<Billing>,
    /// Mail; absent: the tool says that no mail can be sent.
    pub email: Option<Email>,
    /// What the rules compare with.
    pub policy: Policy,
    /// Limits of one run.
    pub limits: Limits,
    /// What the model calls of the whole shop may cost.
    pub spend: Spend,
    /// Runs of a ticket in a day.
    pub runs_per_ticket_per_day_max: u32,
    /// Runs that move at once.
    pub concurrent_runs: usize,
    /// Prices of models.
    pub prices: PriceTable,
    /// The pages.
    pub web: Web,
}

impl Config {
    /// Reads and checks everything.
    pub fn read(layers: Layers) -> Result<Config, Mistakes> {
        let reader = Reader::new(layers);
        let config = sections::read_all(&reader);
        let mut mistakes = reader.into_mistakes();
        if mistakes.is_empty() {
            return Ok(config);
        }
        mistakes.sort();
        mistakes.dedup();
        Err(Mistakes(mistakes))
    }
}
