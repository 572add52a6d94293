//! Where values come from: TOML, environment, flags, laid over each other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Mistake, Mistakes};

/// The data folder where none is given.
pub(super) const DATA_DIR: &str = "deskhand-data";

/// Values by key, `section.name`, from all layers.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub(super) values: BTreeMap<String, toml::Value>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Layers {
    /// Lays a TOML text over what is there.
    pub fn add_toml(&mut self, text: &str, file: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.add_table(&table),
            Err(error) => self.mistakes.push(Mistake {
                key: file.to_owned(),
                what: error.to_string().trim().replace('\n', "\n    "),
                hint: "the file must be valid TOML".to_owned(),
            }),
        }
    }

    /// Lays a table over what is there.
    pub fn add_table(&mut self, table: &toml::Table) {
        flatten("", table, &mut self.values);
    }

    /// Lays the environment over what is there: `DESKHAND_ZENDESK__BASE_URL` is `zendesk.base_url`.
    pub fn add_env(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("DESKHAND_") else { continue };
            if rest == "LOG" {
                continue; // Read by the subscriber of logs.
            }
            self.values.insert(rest.to_ascii_lowercase().replace("__", "."), toml::Value::String(value));
        }
    }

    /// The data folder alone, for commands that need no more of the configuration. A file that cannot be read is a mistake, and
    /// so is a folder that nobody named and that is not there: the wrong one would be copied, paused or overwritten.
    pub fn data_dir(&self) -> Result<PathBuf, Mistakes> {
        if !self.mistakes.is_empty() {
            return Err(Mistakes(self.mistakes.clone()));
        }
        let named = self.values.get("data_dir").and_then(toml::Value::as_str);
        let folder = PathBuf::from(named.unwrap_or(DATA_DIR));
        if named.is_none() && !folder.is_dir() {
            return Err(Mistakes(vec![Mistake {
                key: "data_dir".to_owned(),
                what: format!("is not named, and there is no folder `{DATA_DIR}` here"),
                hint: "give --data DIR, or --config FILE with the file that names it".to_owned(),
            }]));
        }
        Ok(folder)
    }

    /// A text as it was given, for commands that need no more of the configuration.
    pub fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).and_then(toml::Value::as_str).map(str::to_owned)
    }

    /// The values so far, by key.
    pub(crate) fn values(&self) -> &BTreeMap<String, toml::Value> {
        &self.values
    }

    /// Lays one value over what is there.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.values.insert(key.to_owned(), value.into());
    }
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, toml::Value>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, values),
            other => {
                values.insert(key, other.clone());
            }
        }
    }
}
