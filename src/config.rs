//! Flags, environment and file → a checked [`Config`]. Every mistake is reported at once, with its key and a hint; a key that
//! nobody reads is a mistake too. Built once; nothing else reads the environment.
//!
//! Layers, later ones win: built-in defaults, `deskhand.toml`, environment (`DESKHAND_ZENDESK__BASE_URL`), flags. A secret may
//! stand in a file instead: `zendesk.client_secret_file`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::ids::GroupId;
use crate::money::Currency;
use crate::policy::Policy;
use crate::run::cost::{PriceTable, Prices};
use crate::run::next::{Limits, Mode, Models};

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

/// How we sign in at the helpdesk.
#[derive(Debug, Clone)]
pub enum ZendeskAuth {
    /// OAuth client credentials: the one that lasts.
    OAuth {
        /// The client's unique identifier.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// An API token; all of them end on 2027-04-30.
    ApiToken {
        /// The agent's address.
        email: String,
        /// The token.
        token: SecretString,
    },
}

/// The helpdesk.
#[derive(Debug, Clone)]
pub struct Zendesk {
    /// `https://acme.zendesk.com`.
    pub base_url: String,
    /// How we sign in.
    pub auth: ZendeskAuth,
    /// How often the ticket list is read, in milliseconds.
    pub poll_every_ms: u64,
    /// How often the incremental export is read, in seconds; at least 6 (ten calls a minute are allowed for all exports).
    pub incremental_every_s: u64,
    /// Channels in which an answer reaches the customer.
    pub channels: Vec<String>,
    /// Group per rule id; `default` for the rest.
    pub groups: BTreeMap<String, GroupId>,
}

/// The model.
#[derive(Debug, Clone)]
pub struct Claude {
    /// `https://api.anthropic.com`, or any server that speaks the Messages API.
    pub base_url: String,
    /// The key.
    pub api_key: SecretString,
    /// The header `anthropic-version`.
    pub version: String,
    /// Which model does what.
    pub models: Models,
    /// `output_config.effort` for simple tickets.
    pub simple_effort: String,
    /// `output_config.effort` for complex tickets.
    pub complex_effort: String,
    /// Adaptive thinking on complex tickets.
    pub complex_thinking: bool,
    /// `max_tokens` of a turn.
    pub tokens_max: u32,
    /// Life of the static prefix in the cache.
    pub prefix_ttl: String,
    /// Calls in flight at once.
    pub concurrent_calls: usize,
}

/// Payments.
#[derive(Debug, Clone)]
pub struct Stripe {
    /// `https://api.stripe.com`.
    pub base_url: String,
    /// A restricted key.
    pub api_key: SecretString,
}

/// Accounts, orders, subscriptions.
#[derive(Debug, Clone)]
pub struct Billing {
    /// Where the team serves the billing API.
    pub base_url: String,
    /// Its bearer token.
    pub token: SecretString,
}

/// Mail.
#[derive(Debug, Clone)]
pub struct Email {
    /// The SMTP relay.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `tls`, `starttls` or `none` (loopback only).
    pub security: String,
    /// User and password, where the relay asks for them.
    pub login: Option<(String, SecretString)>,
    /// The address that mails come from.
    pub from: String,
}

/// The pages.
#[derive(Debug, Clone)]
pub struct Web {
    /// Where they listen.
    pub listen: String,
    /// How people reach them, for links in mails and the sign-in link.
    pub public_url: Option<String>,
    /// IANA name; times are shown in it.
    pub time_zone: String,
    /// How long a decision rests before it is carried out, in seconds.
    pub undo_window_s: i64,
}

/// The shop.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// Its support address.
    pub support_address: String,
    /// Domains that an answer may link to.
    pub link_domains: Vec<String>,
}

/// Everything, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
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
    /// Runs of a ticket in a day.
    pub runs_per_ticket_per_day_max: u32,
    /// Runs that move at once.
    pub concurrent_runs: usize,
    /// Prices of models.
    pub prices: PriceTable,
    /// The pages.
    pub web: Web,
}

/// Values by key, `section.name`, from all layers.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, toml::Value>,
    mistakes: Vec<Mistake>,
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

/// Reads values out of the layers, remembers what was asked for, collects mistakes.
struct Reader {
    values: BTreeMap<String, toml::Value>,
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Reader {
    fn mistake(&self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { key: key.to_owned(), what: what.into(), hint: hint.into() });
    }

    fn value(&self, key: &str) -> Option<&toml::Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.values.get(key)
    }

    fn given(&self, section: &str) -> bool {
        let prefix = format!("{section}.");
        self.values.keys().any(|key| key.starts_with(&prefix))
    }

    fn text_or_none(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            toml::Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => {
                self.mistake(key, format!("must be a text, not {}", other.type_str()), "put it in quotes");
                None
            }
        }
    }

    fn text(&self, key: &str, default: &str) -> String {
        self.text_or_none(key).unwrap_or_else(|| default.to_owned())
    }

    fn required(&self, key: &str, hint: &str) -> String {
        let wrong_kind = matches!(self.values.get(key), Some(value) if !value.is_str());
        self.text_or_none(key).unwrap_or_else(|| {
            if !wrong_kind {
                self.mistake(key, "is missing", hint);
            }
            String::new()
        })
    }

    fn secret_or_none(&self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        let direct = self.text_or_none(key);
        let file = self.text_or_none(&file_key);
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.mistake(key, format!("is given twice, also as `{file_key}`"), "keep one of the two");
                None
            }
            (Some(secret), None) => Some(secret.into()),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(secret) if !secret.trim().is_empty() => Some(secret.trim().to_owned().into()),
                Ok(_) => {
                    self.mistake(&file_key, format!("`{path}` is empty"), "write the secret into it");
                    None
                }
                Err(error) => {
                    self.mistake(
                        &file_key,
                        format!("`{path}` cannot be read: {error}"),
                        "check the path and its rights",
                    );
                    None
                }
            },
            (None, None) => None,
        }
    }

    fn secret(&self, key: &str, hint: &str) -> SecretString {
        let before = self.mistakes.borrow().len();
        self.secret_or_none(key).unwrap_or_else(|| {
            if self.mistakes.borrow().len() == before {
                self.mistake(key, "is missing", format!("{hint}; or give `{key}_file`"));
            }
            SecretString::default()
        })
    }

    fn whole(&self, key: &str, default: i64, range: std::ops::RangeInclusive<i64>) -> i64 {
        let Some(value) = self.value(key) else { return default };
        let number = match value {
            toml::Value::Integer(number) => Some(*number),
            toml::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let bounds = format!("give a whole number between {} and {}", range.start(), range.end());
        match number {
            Some(number) if range.contains(&number) => number,
            Some(number) => {
                self.mistake(key, format!("`{number}` is out of bounds"), bounds);
                default
            }
            None => {
                self.mistake(key, format!("`{value}` is no whole number"), bounds);
                default
            }
        }
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(toml::Value::Boolean(flag)) => *flag,
            Some(toml::Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(other) => {
                self.mistake(key, format!("`{other}` is neither true nor false"), "give true or false");
                default
            }
        }
    }

    fn list(&self, key: &str, default: &[&str]) -> Vec<String> {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        match self.value(key) {
            None => owned(default),
            Some(toml::Value::String(text)) => {
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
            }
            Some(toml::Value::Array(items)) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                texts.unwrap_or_else(|| {
                    self.mistake(key, "must be a list of texts", "for example [\"email\", \"web\"]");
                    owned(default)
                })
            }
            Some(other) => {
                self.mistake(
                    key,
                    format!("must be a list, not {}", other.type_str()),
                    "for example [\"email\", \"web\"]",
                );
                owned(default)
            }
        }
    }

    fn choice(&self, key: &str, default: &str, choices: &[&str]) -> String {
        let text = self.text(key, default);
        if !choices.contains(&text.as_str()) {
            self.mistake(
                key,
                format!("`{text}` is not one of the choices"),
                format!("give one of: {}", choices.join(", ")),
            );
            return default.to_owned();
        }
        text
    }

    /// An address of a server: `https`, or `http` on this machine.
    fn url(&self, key: &str, default: Option<&str>, hint: &str) -> String {
        let text = match default {
            Some(default) => self.text(key, default),
            None => self.required(key, hint),
        };
        if text.is_empty() {
            return text;
        }
        match reqwest::Url::parse(&text) {
            Ok(url) if url.host_str().is_some() => {
                let host = url.host_str().unwrap_or_default();
                let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
                if url.scheme() != "https" && !(url.scheme() == "http" && local) {
                    self.mistake(key, format!("`{text}` is not encrypted"), "use https; http is for this machine only");
                }
            }
            _ => self.mistake(key, format!("`{text}` is no address of a server"), hint),
        }
        text.trim_end_matches('/').to_owned()
    }

    /// All keys below a section, with their last part.
    fn below(&self, section: &str) -> Vec<(String, String)> {
        let prefix = format!("{section}.");
        let keys = self.values.keys().filter_map(|key| Some((key.clone(), key.strip_prefix(&prefix)?.to_owned())));
        keys.collect()
    }

    fn unknown_keys(&self) {
        let asked = self.asked.borrow().clone();
        for key in self.values.keys().filter(|key| !asked.contains(*key)) {
            let near = asked
                .iter()
                .map(|known| (strsim::normalized_damerau_levenshtein(key, known), known))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(likeness, _)| *likeness > 0.7);
            let hint = match near {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => "remove it; README.md lists all keys".to_owned(),
            };
            self.mistake(key, "is not a key that anything reads", hint);
        }
    }
}

impl Config {
    /// Reads and checks everything.
    pub fn read(layers: Layers) -> Result<Config, Mistakes> {
        let reader = Reader {
            values: layers.values,
            mistakes: RefCell::new(layers.mistakes),
            asked: RefCell::new(BTreeSet::new()),
        };
        let config = read_all(&reader);
        reader.unknown_keys();
        let mut mistakes = reader.mistakes.into_inner();
        if mistakes.is_empty() {
            return Ok(config);
        }
        mistakes.sort();
        mistakes.dedup();
        Err(Mistakes(mistakes))
    }
}

fn read_all(reader: &Reader) -> Config {
    let shop = Shop {
        name: reader.required("shop.name", "the name that customers know you by"),
        support_address: address(reader, "shop.support_address", "the address that customers write to"),
        link_domains: reader.list("shop.link_domains", &[]),
    };
    let mut policy = read_policy(reader);
    policy.link_domains.clone_from(&shop.link_domains);
    policy.shop_name.clone_from(&shop.name);
    let mode = match reader.choice("mode", "shadow", &["shadow", "auto"]).as_str() {
        "auto" => Mode::Auto,
        _ => Mode::Shadow,
    };
    Config {
        data_dir: PathBuf::from(reader.text("data_dir", "deskhand-data")),
        mode,
        zendesk: read_zendesk(reader),
        claude: read_claude(reader),
        stripe: read_stripe(reader),
        billing: reader.given("billing").then(|| Billing {
            base_url: reader.url("billing.base_url", None, "where your billing API is served"),
            token: reader.secret("billing.token", "the bearer token of your billing API"),
        }),
        email: reader.given("email").then(|| read_email(reader)),
        policy,
        limits: read_limits(reader),
        runs_per_ticket_per_day_max: small(reader.whole("limits.runs_per_ticket_per_day_max", 5, 1..=100)),
        concurrent_runs: usize::from(small_u16(reader.whole("limits.concurrent_runs", 8, 1..=256))),
        prices: read_prices(reader),
        web: Web {
            listen: listen(reader),
            public_url: reader
                .value("web.public_url")
                .is_some()
                .then(|| reader.url("web.public_url", Some(""), "for example https://deskhand.acme.example")),
            time_zone: time_zone(reader),
            undo_window_s: reader.whole("web.undo_window_s", 60, 0..=3_600),
        },
        shop,
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn small_u16(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn address(reader: &Reader, key: &str, hint: &str) -> String {
    let text = reader.required(key, hint);
    let plausible = text.split_once('@').is_some_and(|(left, right)| !left.is_empty() && right.contains('.'));
    if !text.is_empty() && !plausible {
        reader.mistake(key, format!("`{text}` is no mail address"), hint);
    }
    text
}

fn listen(reader: &Reader) -> String {
    let text = reader.text("web.listen", "127.0.0.1:8484");
    if text.parse::<std::net::SocketAddr>().is_err() {
        reader.mistake("web.listen", format!("`{text}` is no address to listen on"), "for example 127.0.0.1:8484");
    }
    text
}

fn time_zone(reader: &Reader) -> String {
    let name = reader.text("web.time_zone", "UTC");
    if jiff::tz::TimeZone::get(&name).is_err() {
        reader.mistake("web.time_zone", format!("`{name}` is no time zone"), "for example Europe/Berlin");
    }
    name
}

fn read_policy(reader: &Reader) -> Policy {
    let mut policy = Policy::default();
    for (key, code) in reader.below("policy.refund_limit_minor") {
        match code.parse::<Currency>() {
            Ok(currency) => {
                let default = policy.refund_limit_minor.get(&currency).copied().unwrap_or(0);
                let limit = reader.whole(&key, default, 0..=100_000_000);
                policy.refund_limit_minor.insert(currency, limit);
            }
            Err(bad) => {
                reader.value(&key);
                reader.mistake(&key, bad.to_string(), "use codes like usd, eur, gbp");
            }
        }
    }
    policy.refund_window_days = small(reader.whole("policy.refund_window_days", 30, 1..=366));
    policy.answer_refusals_max = small(reader.whole("policy.answer_refusals_max", 2, 0..=10));
    policy
}

fn read_limits(reader: &Reader) -> Limits {
    let default = Limits::default();
    let count = |key: &str, default: u32, max: i64| small(reader.whole(key, i64::from(default), 1..=max));
    let tokens = i64::try_from(default.tokens_max).unwrap_or(i64::MAX);
    Limits {
        steps_max: count("limits.steps_max", default.steps_max, 500),
        tokens_max: u64::try_from(reader.whole("limits.tokens_max", tokens, 1_000..=100_000_000)).unwrap_or(0),
        cost_max_micros: reader.whole("limits.cost_max_micros", default.cost_max_micros, 1_000..=1_000_000_000),
        wall_time_max_s: reader.whole("limits.wall_time_max_s", default.wall_time_max_s, 60..=31_536_000),
        approval_due_s: reader.whole("limits.approval_due_s", default.approval_due_s, 60..=31_536_000),
        retries_max: count("limits.retries_max", default.retries_max, 100),
        model_retries_max: count("limits.model_retries_max", default.model_retries_max, 10_000),
    }
}

fn read_zendesk(reader: &Reader) -> Zendesk {
    let base_url = reader.url("zendesk.base_url", None, "for example https://acme.zendesk.com");
    let token = reader.secret_or_none("zendesk.api_token");
    let auth = match token {
        Some(token) => ZendeskAuth::ApiToken {
            email: address(reader, "zendesk.email", "the agent's address that the token is used with"),
            token,
        },
        None => {
            reader.value("zendesk.email");
            ZendeskAuth::OAuth {
                client_id: reader.required("zendesk.client_id", "the unique identifier of your OAuth client"),
                client_secret: reader.secret("zendesk.client_secret", "the secret of your OAuth client"),
            }
        }
    };
    let mut groups = BTreeMap::new();
    for (key, rule) in reader.below("zendesk.groups") {
        groups.insert(rule, GroupId(reader.whole(&key, 0, 1..=i64::MAX)));
    }
    Zendesk {
        base_url,
        auth,
        poll_every_ms: reader.whole("zendesk.poll_every_ms", 5_000, 50..=600_000).unsigned_abs(),
        incremental_every_s: reader.whole("zendesk.incremental_every_s", 45, 6..=3_600).unsigned_abs(),
        channels: reader.list("zendesk.channels", &["email", "web", "api", "help_center", "web_form", "mobile"]),
        groups,
    }
}

fn read_claude(reader: &Reader) -> Claude {
    let models = Models::default();
    let efforts = ["low", "medium", "high", "xhigh", "max"];
    Claude {
        base_url: reader.url("claude.base_url", Some("https://api.anthropic.com"), "the Messages API's server"),
        api_key: reader.secret("claude.api_key", "the key of your workspace"),
        version: reader.choice("claude.version", "2026-10-21", &["2023-06-01", "2026-10-21"]),
        models: Models {
            router: reader.text("claude.router_model", &models.router),
            simple: reader.text("claude.simple_model", &models.simple),
            complex: reader.text("claude.complex_model", &models.complex),
        },
        simple_effort: reader.choice("claude.simple_effort", "medium", &efforts),
        complex_effort: reader.choice("claude.complex_effort", "high", &efforts),
        complex_thinking: reader.flag("claude.complex_thinking", true),
        tokens_max: small(reader.whole("claude.tokens_max", 8_000, 256..=64_000)),
        prefix_ttl: reader.choice("claude.prefix_ttl", "5m", &["5m", "1h"]),
        concurrent_calls: usize::from(small_u16(reader.whole("claude.concurrent_calls", 16, 1..=512))),
    }
}

fn read_stripe(reader: &Reader) -> Stripe {
    Stripe {
        base_url: reader.url("stripe.base_url", Some("https://api.stripe.com"), "Stripe's server"),
        api_key: reader.secret("stripe.api_key", "a restricted key, rk_live_… or rk_test_…"),
    }
}

fn read_email(reader: &Reader) -> Email {
    let user = reader.text_or_none("email.user");
    let password = reader.secret_or_none("email.password");
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            reader.mistake("email.user", "comes without its other half", "give both `email.user` and `email.password`");
            None
        }
    };
    Email {
        host: reader.required("email.host", "the SMTP relay, for example smtp.acme.example"),
        port: small_u16(reader.whole("email.port", 587, 1..=65_535)),
        security: reader.choice("email.security", "starttls", &["starttls", "tls", "none"]),
        login,
        from: address(reader, "email.from", "the address that follow-up mails come from"),
    }
}

fn read_prices(reader: &Reader) -> PriceTable {
    let mut table = PriceTable::default();
    table.as_of = reader.text("prices.as_of", &table.as_of);
    let models: BTreeSet<String> =
        reader.below("prices").into_iter().filter_map(|(_, rest)| Some(rest.rsplit_once('.')?.0.to_owned())).collect();
    for model in models {
        let price = |name: &str| {
            let key = format!("prices.{model}.{name}");
            if reader.values.contains_key(&key) {
                reader.whole(&key, 0, 0..=10_000_000)
            } else {
                reader.mistake(
                    &key,
                    "is missing",
                    "a model's five prices go together, in micro-dollars per 1,000 tokens",
                );
                0
            }
        };
        let prices = Prices {
            input: price("input"),
            output: price("output"),
            cache_write_5m: price("cache_write_5m"),
            cache_write_1h: price("cache_write_1h"),
            cache_read: price("cache_read"),
        };
        table.models.insert(model, prices);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        mode = "auto"
        [shop]
        name = "Acme"
        support_address = "support@acme.example"
        link_domains = ["acme.example"]
        [zendesk]
        base_url = "https://acme.zendesk.com"
        client_id = "deskhand"
        client_secret = "s"
        groups.default = 12
        [claude]
        api_key = "k"
        [stripe]
        api_key = "rk_test_1"
        [policy.refund_limit_minor]
        usd = 30000
    "#;

    fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let mut layers = Layers::default();
        layers.add_toml(text, "deskhand.toml");
        layers.add_env(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Config::read(layers)
    }

    #[test]
    fn layers_win_in_order() {
        let config = read(WHOLE, &[("DESKHAND_SHOP__NAME", "Other"), ("DESKHAND_LIMITS__STEPS_MAX", "7")]).unwrap();
        assert_eq!(config.shop.name, "Other");
        assert_eq!(config.limits.steps_max, 7);
        assert_eq!(config.policy.refund_limit_minor[&Currency::USD], 30_000);
        assert_eq!(config.zendesk.groups["default"], GroupId(12));
        assert_eq!(config.mode, Mode::Auto);
    }

    #[test]
    fn all_mistakes_come_at_once_with_key_and_hint() {
        let text = r#"
            modee = "auto"
            [zendesk]
            base_url = "acme"
            poll_every_ms = "soon"
            [web]
            listen = "here"
            [limits]
            steps_max = 0
        "#;
        let mistakes = read(text, &[]).unwrap_err().0;
        let of = |key: &str| mistakes.iter().find(|m| m.key == key).unwrap_or_else(|| panic!("{key}: {mistakes:?}"));
        for key in [
            "shop.name",
            "shop.support_address",
            "zendesk.client_id",
            "zendesk.client_secret",
            "claude.api_key",
            "stripe.api_key",
        ] {
            assert_eq!(of(key).what, "is missing");
            assert!(!of(key).hint.is_empty());
        }
        assert!(of("modee").hint.contains("`mode`"), "{:?}", of("modee"));
        assert!(of("zendesk.base_url").what.contains("acme"));
        assert!(of("zendesk.poll_every_ms").what.contains("soon"));
        assert!(of("web.listen").hint.contains("127.0.0.1"));
        assert!(of("limits.steps_max").what.contains("out of bounds"));
    }

    #[test]
    fn secrets_do_not_print() {
        let config = read(WHOLE, &[]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("rk_test_1"), "{shown}");
    }

    #[test]
    fn http_is_for_this_machine_only() {
        let check = |url: &str, good: bool| {
            let result = read(WHOLE, &[("DESKHAND_CLAUDE__BASE_URL", url)]);
            assert_eq!(result.is_ok(), good, "{url}");
        };
        check("http://127.0.0.1:9000", true);
        check("https://gateway.acme.example/claude", true);
        check("http://gateway.acme.example", false);
        check("ftp://x", false);
    }
}
