//! Each limit of a run, at its boundary.

use super::*;
use crate::ids::{CommentId, RunId, TicketId};
use crate::run::cost::Usage;
use crate::run::entry::Entry;

fn opened() -> RunState {
    let ticket = serde_json::from_value(serde_json::json!({
        "id": 7, "subject": "x", "status": "open", "channel": "email",
        "requester": {"id": 5, "name": "Ada", "verified": false},
        "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "messages": [],
    }));
    let run = RunId::for_trigger(TicketId(7), CommentId(1));
    let ticket = Box::new(ticket.unwrap());
    let body = Body::RunOpened { run, ticket, trigger: CommentId(1), prompts: "p".to_owned() };
    RunState::fold(&[Entry::new(Timestamp::UNIX_EPOCH, body)]).unwrap()
}

#[test]
fn at_a_limit_of_the_run_no_further_model_call_starts() {
    let limits =
        Limits { steps_max: 10, tokens_max: 1_000, cost_max_micros: 500, wall_time_max_s: 60, ..Limits::default() };
    let check = |what: &str, change: &dyn Fn(&mut RunState), now_ms: i64, reached: bool| {
        let mut state = opened();
        change(&mut state);
        let said = limit_reached(&state, &limits, now_ms);
        assert_eq!(said.is_some(), reached, "{what}: {said:?}");
        let rules = Rules {
            mode: Mode::Auto,
            policy: Policy::default(),
            limits: limits.clone(),
            models: Models::default(),
            holding: HoldingTexts::new(),
        };
        match model_step(&state, &rules, now_ms) {
            Next::Start(_) => assert!(!reached, "{what}"),
            Next::Record(bodies) => {
                let [Body::Judged { call: None, judgement }] = &bodies[..] else { panic!("{bodies:?}") };
                assert_eq!((judgement.rule, &judgement.verdict), (RuleId::Limits, &Verdict::Escalate), "{what}");
                assert!(reached, "{what}");
            }
            other => panic!("{other:?}"),
        }
    };
    check("nothing", &|_| {}, 0, false);
    check("steps below", &|state| state.steps = 9, 0, false);
    check("steps at", &|state| state.steps = 10, 0, true);
    let tokens = |input, output| move |state: &mut RunState| state.usage = Usage { input, output, ..Usage::default() };
    check("tokens below", &tokens(900, 99), 0, false);
    check("tokens at", &tokens(900, 100), 0, true);
    check("cost below", &|state| state.cost = Cost(499), 0, false);
    check("cost at", &|state| state.cost = Cost(500), 0, true);
    check("time below", &|_| {}, 59_999, false);
    check("time at", &|_| {}, 60_000, true);
}

#[test]
fn a_pause_ends_at_its_time_or_when_the_clock_was_set_back_behind_its_beginning() {
    let check = |now_s: i64, goes_on: bool| {
        let mut state = opened();
        let at = |second| Timestamp::from_second(second).unwrap();
        let failure = crate::failure::Failure {
            class: FailureClass::Retry,
            vendor: "stripe".to_owned(),
            message: "away".to_owned(),
        };
        let step = crate::ids::StepNo(1);
        for (second, body) in [
            (7_000, Body::StepStarted { step, work: Work::ReadFacts }),
            (7_200, Body::StepDelayed { step, attempt: 1, failure, retry_at_ms: 7_260_000 }),
        ] {
            state.apply(&Entry::new(at(second), body)).unwrap();
        }
        let expected = if goes_on { "Resume" } else { "Wait" };
        let next = resume(&state, now_s * 1_000);
        assert!(format!("{next:?}").starts_with(expected), "at {now_s}: {next:?}");
    };
    check(7_200, false);
    check(7_259, false);
    check(7_260, true);
    check(3_600, true);
}

#[test]
fn money_that_is_used_up_is_a_limit_and_a_crash_is_the_models_failure() {
    let check = |vendor: &str, class: FailureClass, rule: RuleId| {
        let mut state = opened();
        let failure = crate::failure::Failure { class, vendor: vendor.to_owned(), message: "so it is".to_owned() };
        state.failures.push((Work::Route { model: "m".to_owned() }, failure));
        let judgement = failure_judgement(&state).unwrap();
        assert_eq!((judgement.rule, judgement.why.contains("so it is")), (rule, true), "{vendor} {class:?}");
    };
    check("deskhand", FailureClass::Refused, RuleId::Limits);
    check("deskhand", FailureClass::Unknown, RuleId::ModelFailed);
    check("claude", FailureClass::Refused, RuleId::ModelFailed);
    check("claude", FailureClass::Retry, RuleId::ModelFailed);
}
