//! Which keys there are, with their defaults and bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::reader::Reader;
use super::{Billing, Claude, Config, Email, Shop, Stripe, Web, Zendesk, ZendeskAuth};
use crate::ids::GroupId;
use crate::money::Currency;
use crate::policy::Policy;
use crate::run::cost::{PriceTable, Prices};
use crate::run::next::{Limits, Mode, Models};
use crate::run::spend::Spend;
use crate::run::ttl::Ttl;

/// Asks for every key.
pub(super) fn read_all(reader: &Reader) -> Config {
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
        data_dir: PathBuf::from(reader.text("data_dir", super::layers::DATA_DIR)),
        retention_days: small(reader.whole("retention_days", 0, 0..=36_500)),
        prompts_dir: reader.text_or_none("prompts_dir").map(PathBuf::from),
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
        spend: read_spend(reader),
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
    let limits = |section: &str, limits: &mut BTreeMap<Currency, i64>, max: i64| {
        for (key, code) in reader.below(section) {
            match code.parse::<Currency>() {
                Ok(currency) => {
                    let default = limits.get(&currency).copied().unwrap_or(0);
                    limits.insert(currency, reader.whole(&key, default, 0..=max));
                }
                Err(bad) => {
                    reader.value(&key);
                    reader.mistake(&key, bad.to_string(), "use codes like usd, eur, gbp");
                }
            }
        }
    };
    limits("policy.refund_limit_minor", &mut policy.refund_limit_minor, 100_000_000);
    limits("policy.refund_daily_limit_minor", &mut policy.refund_daily_limit_minor, 100_000_000_000);
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
        spend_wait_max_s: reader.whole("limits.spend_wait_max_s", default.spend_wait_max_s, 0..=31_536_000),
    }
}

fn read_spend(reader: &Reader) -> Spend {
    let default = Spend::default();
    let most = 1_000_000_000_000;
    let spend = Spend {
        day_max_micros: reader.whole("limits.cost_day_max_micros", default.day_max_micros, 0..=most),
        month_max_micros: reader.whole("limits.cost_month_max_micros", default.month_max_micros, 0..=most),
    };
    if spend.month_max_micros < spend.day_max_micros && reader.has("limits.cost_month_max_micros") {
        reader.mistake(
            "limits.cost_month_max_micros",
            "is below a day's limit",
            "give at least `limits.cost_day_max_micros`",
        );
    }
    spend
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
        prefix_ttl: match reader.choice("claude.prefix_ttl", "auto", &["auto", "5m", "1h"]).as_str() {
            "5m" => Some(Ttl::FiveMinutes),
            "1h" => Some(Ttl::OneHour),
            _ => None,
        },
        floors: reader
            .below("claude.floors")
            .into_iter()
            .map(|(key, model)| (model, reader.whole(&key, 1_024, 1..=1_000_000).unsigned_abs()))
            .collect(),
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
            if reader.has(&key) {
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
