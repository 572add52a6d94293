use super::*;
use crate::ids::GroupId;
use crate::money::Currency;

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
