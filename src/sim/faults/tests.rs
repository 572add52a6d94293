//! The words of a specification, and which requests it strikes.

use super::*;

#[test]
fn specifications_parse_and_print() {
    let check = |spec: &str, printed: &str| assert_eq!(spec.parse::<Faults>().unwrap().to_string(), printed);
    check("", "");
    check("none", "");
    check("zendesk.lost_after=0.05, stripe.500=2x", "zendesk.lost_after=0.05,stripe.500=2x");
    check("claude.late:1500=0.1,zendesk.409/put=1x", "claude.late:1500=0.1,zendesk.409/PUT=1x");
    check("stripe.429_bare=1", "stripe.429_bare=1");
    check("zendesk.lost_after/PUT/tickets=1x", "zendesk.lost_after/PUT/tickets=1x");
    check("zendesk.500/tickets/*$=3+2x", "zendesk.500/tickets/*$=3+2x");
    check("claude.cut_stream:3@agent=1x,claude.529@7001=1", "claude.cut_stream:3@agent=1x,claude.529@7001=1");
    check("clock.jump:-3600=1x", "clock.jump:-3600=1x");
}

#[test]
fn what_is_wrong_is_said() {
    let check = |spec: &str, start: &str, holds: &str| {
        let error = spec.parse::<Faults>().unwrap_err().to_string();
        assert!(error.starts_with(start), "{spec}: {error}");
        assert!(error.contains("\nhint: ") && error.contains(holds), "{spec}: {error}");
    };
    check("zendesc.500=1x", "`zendesc.500=1x` is no fault: no vendor `zendesc`", "did you mean `zendesk`?");
    check("smtp.500=1x", "`smtp.500=1x` is no fault: smtp has no fault `500`", "421_after");
    check("stripe.often", "`stripe.often` is no fault: it has no `=`", "stripe.500=2x");
    check("stripe.500=often", "`stripe.500=often` is no fault: `often` says not how often", "3+2x");
    check("500=1x", "`500=1x` is no fault: it names no vendor", "vendor.name=how");
    check("stripe.500=1.5", "`stripe.500=1.5` is no fault", "from 0 to 1");
    check("stripe.500:3=1x", "`stripe.500:3=1x` is no fault: `500` takes no number", "leave out `:3`");
    check("stripe.late:x=1", "`stripe.late:x=1` is no fault: `x` is no whole number", "a number");
    check("stripe.late:-5=1", "`stripe.late:-5=1` is no fault: `-5` is no whole number", "a number");
    check("stripe.500/DO=1x", "`stripe.500/DO=1x` is no fault: `DO` is no method", "DELETE");
    check("stripe.500@agent=1x", "`stripe.500@agent=1x` is no fault: stripe takes no `@agent`", "only claude");
    check("claude.500@boss=1x", "`claude.500@boss=1x` is no fault: nobody is called `boss`", "router");
    check("smtp.451/tickets=1x", "`smtp.451/tickets=1x` is no fault: smtp has no paths", "leave out");
}

#[test]
fn every_fault_is_in_the_help_and_in_the_list() {
    let (help, list) = (help(), listed());
    for vendor in catalog::VENDORS {
        for known in catalog::of(vendor) {
            assert!(help.contains(known.does), "{}", known.name);
            assert!(list[vendor][known.name].as_str().unwrap().starts_with(known.does), "{vendor}.{}", known.name);
            assert!(format!("{vendor}.{}=1x", known.name).parse::<Faults>().is_ok(), "{vendor}.{}", known.name);
        }
    }
    for known in catalog::FAULTS {
        let same = catalog::FAULTS.iter().filter(|other| other.name == known.name).count();
        assert_eq!(same, 1, "{} stands there twice", known.name);
    }
}

#[test]
fn a_fault_strikes_only_the_requests_that_it_means() {
    let check = |spec: &str, method: &str, path: &str, strikes: bool| {
        let faults = FaultBox::new(format!("{spec}=1").parse().unwrap(), 7);
        let vendor = spec.split('.').next().unwrap();
        let struck = faults.strike(&Ask { vendor, method, path, caller: None });
        assert_eq!(!struck.0.is_empty(), strikes, "{spec} at {method} {path}");
    };
    for (method, path, strikes) in [
        ("PUT", "/api/v2/tickets/7.json", true),
        ("PUT", "/api/v2/tickets/7", true),
        ("PUT", "/api/v2/tickets/7/tags.json", false),
        ("GET", "/api/v2/tickets/7.json", false),
        ("PUT", "/api/v2/users/7", false),
    ] {
        check("zendesk.lost_after/PUT/tickets/*$", method, path, strikes);
    }
    check("zendesk.late/tickets", "GET", "/api/v2/incremental/tickets/cursor.json", true);
    check("zendesk.late/v2/tickets$", "GET", "/api/v2/tickets.json", true);
    check("zendesk.late/v2/tickets$", "GET", "/api/v2/tickets/8.json", false);
    check("stripe.500/POST/refunds", "POST", "/v1/refunds", true);
    check("stripe.500/POST/refunds", "GET", "/v1/refunds", false);
    check("zendesk.409", "GET", "/api/v2/tickets/8", false);
    check("zendesk.409", "POST", "/oauth/tokens", false);
    check("zendesk.401", "POST", "/oauth/tokens", false);
    check("zendesk.401", "GET", "/api/v2/tickets/8", true);
    check("zendesk.shuffled", "GET", "/api/v2/tickets.json", true);
    check("zendesk.shuffled", "GET", "/api/v2/tickets/8.json", false);
    check("zendesk.hidden", "GET", "/api/v2/incremental/tickets/cursor", false);
    check("claude.cut_stream", "POST", "/v1/messages", true);
    check("claude.cut_stream", "POST", "/v1/messages/count_tokens", false);
}

#[test]
fn a_fault_knows_who_calls_the_model() {
    let check = |who: &str, caller: Option<Caller>, strikes: bool| {
        let faults = FaultBox::new(format!("claude.529@{who}=1").parse().unwrap(), 7);
        let ask = Ask { vendor: "claude", method: "POST", path: "/v1/messages", caller };
        assert_eq!(faults.strike(&ask).has("529"), strikes, "{who} {caller:?}");
    };
    let agent = |ticket: i64| Some(Caller { ticket: Some(ticket), router: false });
    check("agent", agent(7), true);
    check("router", agent(7), false);
    check("router", Some(Caller { ticket: None, router: true }), true);
    check("7", agent(7), true);
    check("7", agent(8), false);
    check("agent", None, false);
}

#[test]
fn a_number_of_times_is_kept_and_some_may_pass_first() {
    let faults = FaultBox::new("stripe.500=2+3x".parse().unwrap(), 7);
    let ask = Ask { vendor: "stripe", method: "POST", path: "/v1/refunds", caller: None };
    let struck: Vec<bool> = (0..8).map(|_| faults.strike(&ask).has("500")).collect();
    assert_eq!(struck, [false, false, true, true, true, false, false, false]);
    assert_eq!(faults.struck("stripe", "500"), 3);
    assert_eq!(faults.report()["faults"], json!([{ "fault": "stripe.500=2+3x", "asked": 8, "struck": 3 }]));
}

#[test]
fn the_same_seed_strikes_alike_and_a_rate_is_kept() {
    let ask = |vendor: &'static str| Ask { vendor, method: "POST", path: "/v1/refunds", caller: None };
    let run = |seed: u64| -> Vec<bool> {
        let faults = FaultBox::new("stripe.500=0.2,stripe.late=0.5".parse().unwrap(), seed);
        (0..1000).map(|_| faults.strike(&ask("stripe")).has("500")).collect()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let struck = run(7).iter().filter(|struck| **struck).count();
    assert!((150..250).contains(&struck), "{struck} of 1000");
    let faults = FaultBox::new("stripe.500=0.2".parse().unwrap(), 7);
    assert!(faults.strike(&ask("zendesk")).0.is_empty());
}
