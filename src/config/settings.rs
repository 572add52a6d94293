//! The parts of a configuration, checked. Which keys they come from stands in `sections.rs`.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::ids::GroupId;
use crate::run::next::Models;
use crate::run::ttl::Ttl;

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
    /// Life of the shared prefixes in the cache; `None`: chosen from the arrival rate.
    pub prefix_ttl: Option<Ttl>,
    /// The shortest prefix that the vendor caches, in tokens, by model, where it differs from what is known.
    pub floors: BTreeMap<String, u64>,
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
