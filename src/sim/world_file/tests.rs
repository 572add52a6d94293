//! Every mistake is found, with its place and a hint.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// The tiny world with one file replaced, or taken away.
fn with(file: &str, text: Option<&str>) -> Result<WorldFiles, BadWorld> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny");
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for name in parse::FILES {
        files.insert((*name).to_owned(), std::fs::read(folder.join(name)).unwrap());
    }
    for name in ["articles/101-returns.md", "articles/102-internal.md", "articles/103-draft.md"] {
        files.insert(name.to_owned(), std::fs::read(folder.join(name)).unwrap());
    }
    match text {
        Some(text) => files.insert(file.to_owned(), text.as_bytes().to_vec()),
        None => files.remove(file),
    };
    parse::world("test", &files, Vec::new())
}

fn mistakes(file: &str, text: Option<&str>) -> Vec<String> {
    with(file, text).err().map(|bad| bad.mistakes.iter().map(Mistake::to_string).collect()).unwrap_or_default()
}

/// One line of the tiny world, changed.
fn changed(file: &str, from: &str, to: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{from} is not in {file}");
    text.replacen(from, to, 1)
}

#[test]
fn the_worlds_in_the_tree_are_good() {
    let tiny = load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny")).unwrap();
    assert_eq!((tiny.customers.len(), tiny.tickets.len(), tiny.articles.len()), (2, 3, 3));
    assert_eq!(tiny.tickets[2].decision, Decision::AmountMinor(500));
    assert_eq!(tiny.tickets[2].cc[0].address, "stranger@else.example");
    assert_eq!(tiny.customers[0].known_to.len(), 3);
    assert_eq!(tiny.customers[1].stripe_id(), "cus_c_2");
    match shipped() {
        Ok(world) => assert!(!world.tickets.is_empty()),
        Err(bad) => panic!("{bad}"),
    }
}

#[test]
fn each_mistake_has_its_place_and_a_hint() {
    let check = |file: &str, from: &str, to: &str, expected: &[&str]| {
        let found = mistakes(file, Some(&changed(file, from, to)));
        assert_eq!(found, expected, "{file}: {from} -> {to}");
    };
    check(
        "customers.jsonl",
        r#""addresses":[{"address":"bo@"#,
        r#""adresses":[{"address":"bo@"#,
        &[
            "customers.jsonl:2: `addresses` is missing; hint: add it; the format says what it holds",
            "customers.jsonl:2: unknown key `adresses`; hint: did you mean `addresses`?",
            "customers.jsonl:2: customer `c_2` has no address; hint: a customer without an address can never be found; add { \"address\": … }",
        ],
    );
    check(
        "payments.jsonl",
        r#""id":"pay_1","customer":"c_1""#,
        r#""id":"pay_1","customer":"c_99""#,
        &[
            "orders.jsonl:1: order `o_1` of customer `c_1` names payment `pay_1` of customer `c_99`; hint: an order is paid by its own customer",
            "payments.jsonl:1: customer `c_99` does not exist; hint: known are `c_1`, `c_2`",
            "payments.jsonl:1: payment `pay_1` of customer `c_99` names order `o_1` of customer `c_1`; hint: both must belong to the same customer",
        ],
    );
    check(
        "orders.jsonl",
        r#""total_minor":6000"#,
        r#""total_minor":6100"#,
        &[
            "orders.jsonl:1: order `o_1`: `total_minor` is 6100 and the items' sum is 6000; hint: `total_minor` is the sum of the items' `amount_minor` (each for all pieces of its line)",
        ],
    );
    check(
        "subscriptions.jsonl",
        "past_due",
        "past-due",
        &["subscriptions.jsonl:1: `status` is `past-due`; hint: did you mean `past_due`?"],
    );
    check(
        "payments.jsonl",
        r#""currency":"usd","created":"2026-11-02T10:00:05Z""#,
        r#""currency":"US$","created":"yesterday""#,
        &[
            "payments.jsonl:1: `currency` is `US$`; hint: write a lower-case ISO 4217 code: usd",
            "payments.jsonl:1: `created` is `yesterday`, which is no time; hint: write RFC 3339 in UTC: 2026-11-20T09:00:00Z",
        ],
    );
    check(
        "tickets.jsonl",
        r#"{"id":2,"#,
        r#"{"id":1,"#,
        &["tickets.jsonl:2: ticket `1` stands twice; hint: it stands first at tickets.jsonl:1; ids are unique"],
    );
    check(
        "tickets.jsonl",
        r#""assignee":"omar""#,
        r#""assignee":"omer""#,
        &["tickets.jsonl:3: person `omer` does not exist; hint: did you mean `omar`?"],
    );
    check(
        "articles/101-returns.md",
        "updated: 2026-10-01T08:00:00Z",
        "updatd: 2026-10-01T08:00:00Z",
        &[
            "articles/101-returns.md:1: `updated` is missing; hint: add a time such as 2026-11-20T09:00:00Z",
            "articles/101-returns.md:6: unknown key `updatd`; hint: did you mean `updated`?",
        ],
    );
    check(
        "world.json",
        r#""time_zone": "Europe/Berlin""#,
        r#""time_zone": "Europa/Berlin""#,
        &[
            "world.json:8: `shop.time_zone` is `Europa/Berlin`, which is no time zone; hint: write an IANA name: Europe/Berlin",
        ],
    );
}

#[test]
fn files_that_are_missing_or_no_json() {
    let check = |file: &str, text: Option<&str>, expected: &str| {
        let found = mistakes(file, text);
        assert!(found.iter().any(|mistake| mistake.starts_with(expected)), "{expected}: {found:#?}");
    };
    check("tickets.jsonl", None, "tickets.jsonl: is missing; hint: a world needs");
    check("world.json", Some("{\n  \"name\": \n}"), "world.json:3: is not JSON: expected value at column 1");
    check("tickets.jsonl", Some("\n{\"id\": 1,\n"), "tickets.jsonl:2: is not JSON: EOF while parsing");
    check("tickets.jsonl", Some("[1]"), "tickets.jsonl:1: expected an object");
    check("articles/101-returns.md", Some("# Returns"), "articles/101-returns.md:1: has no front matter");
    for optional in ["subscriptions.jsonl", "orders.jsonl"] {
        // What names them dangles, but their absence is no mistake by itself.
        assert!(mistakes(optional, None).iter().all(|mistake| !mistake.starts_with(optional)));
    }
    let bad = load_dir(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(bad.to_string().contains("is not a folder"), "{bad}");
}

#[test]
fn a_happening_after_seconds_can_be_written_in_two_ways() {
    for when in [r#""when":{"after_s":600}"#, r#""after_s":600"#] {
        let text = changed("tickets.jsonl", r#""when":"after_s","after_s":600"#, when);
        let world = with("tickets.jsonl", Some(&text)).unwrap();
        let then = &world.tickets[2].then[1];
        assert_eq!((then.when, then.after_s), (When::After, 600.0), "{when}");
    }
}
