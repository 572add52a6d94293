//! Appends that hold only under conditions, and what refunds take of a day.

use super::*;
use crate::ids::{ApprovalId, PaymentId, ToolCallId};
use crate::intent::{CreateRefund, Intent, RefundReason};
use crate::journal::{Conditions, OnlyRefund, RefundDay, brake};
use crate::money::{Currency, Money};
use crate::policy::facts::ConfirmedEffect;
use crate::run::entry::{Body, Decision, Failure, FailureClass, Outcome, StepResult, Work};

fn refund(minor: i64) -> Intent {
    Intent::CreateRefund(CreateRefund {
        payment: PaymentId::from("pay_1"),
        amount_minor: minor,
        currency: Currency::USD,
        reason: RefundReason::RequestedByCustomer,
        explanation: String::new(),
    })
}

fn at(body: Body) -> Entry {
    Entry { at_ms: MONDAY_MS, body }
}

fn started(step: u32, minor: i64, approval: Option<ApprovalId>) -> Entry {
    let work = Work::Tool { call: ToolCallId::from("c"), intent: refund(minor), approval };
    at(Body::StepStarted { step: StepNo(step), work })
}

fn finished(step: u32, result: StepResult) -> Entry {
    at(Body::StepFinished { step: StepNo(step), result, took_ms: 1 })
}

fn done(minor: i64) -> StepResult {
    let effect = ConfirmedEffect::Refund {
        payment: PaymentId::from("pay_1"),
        order: None,
        amount: Money::usd(minor),
        status: "succeeded".to_owned(),
    };
    StepResult::Tool {
        output: serde_json::Value::Null,
        is_error: false,
        effect: Some(effect),
        reference: None,
        stamp: None,
    }
}

fn failed(class: FailureClass) -> StepResult {
    let failure = Failure { class, vendor: "stripe".to_owned(), message: "no".to_owned() };
    StepResult::Failed { failure, call: None }
}

fn asked(approval: &ApprovalId, step: u32, minor: i64) -> Entry {
    at(Body::ApprovalRequested {
        approval: approval.clone(),
        step: StepNo(step),
        call: ToolCallId::from("c"),
        intent: refund(minor),
        digest: String::new(),
        due_ms: 0,
    })
}

fn decided(approval: &ApprovalId, decision: Decision) -> Entry {
    at(Body::ApprovalDecided {
        approval: approval.clone(),
        decision,
        by: "ada".to_owned(),
        note: String::new(),
        hold_until_ms: 0,
    })
}

/// A run that is ended by its row: what was asked for is free again, what was in flight may have happened and counts.
#[tokio::test]
async fn a_parked_run_holds_no_money_but_what_may_have_gone_back() {
    let id = ApprovalId::for_step(&run_id(1), StepNo(1));
    for (entry, sum) in [(asked(&id, 1, 900), 0), (started(1, 700, None), 700)] {
        let (_folder, journal) = store();
        admit_one(&journal, 1, Some(0)).await;
        let lease = claim(&journal, 0).await.unwrap();
        journal.append(&lease, 1, vec![entry], rows(1, Some(0))).await.unwrap();
        journal.park(&lease, "it cannot be read", MONDAY_MS).await.unwrap();
        assert_eq!(journal.refunded_since(Currency::USD, MONDAY_MS).await.unwrap(), sum);
        let history = journal.ticket_history(TicketId(1), 0).await.unwrap();
        assert!(history.open.is_none() && history.unreadable);
        assert_eq!(journal.set_aside().await.unwrap().len(), 1, "intake looks at its ticket");
    }
}

/// At a start with a clock that was set back: what rests by the old time goes on, what was put off by this one does not.
#[tokio::test]
async fn runs_that_rest_by_a_clock_that_was_set_back_can_be_claimed() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(MONDAY_MS + 500)).await; // Its entry was written on Monday.
    assert_eq!(journal.wake_the_future(MONDAY_MS + 100).await.unwrap(), 0);
    assert!(claim(&journal, MONDAY_MS + 100).await.is_none());
    assert_eq!(journal.wake_the_future(MONDAY_MS - 3_600_000).await.unwrap(), 1);
    assert!(claim(&journal, MONDAY_MS - 3_600_000).await.is_some());
}

#[tokio::test]
async fn a_refund_takes_its_part_of_the_day_from_its_start_until_it_surely_did_not_happen() {
    let id = ApprovalId::for_step(&run_id(1), StepNo(1));
    let amount = |minor| Decision::Amount { amount: Money::usd(minor) };
    let check = async |entries: Vec<Entry>, expected: i64| {
        let (_folder, journal) = store();
        admit_one(&journal, 1, Some(0)).await;
        let lease = claim(&journal, 0).await.unwrap();
        // One by one, so that each is a commit of its own.
        let shown = format!("{entries:?}");
        for (len, entry) in (1..).zip(entries) {
            journal.append(&lease, len, vec![entry], rows(1, None)).await.unwrap();
        }
        let sum = journal.refunded_since(Currency::USD, MONDAY_MS).await.unwrap();
        assert_eq!(sum, expected, "{shown}");
        assert_eq!(journal.refunded_since(Currency::USD, MONDAY_MS + 1).await.unwrap(), 0, "another day");
        assert_eq!(journal.refunded_since("eur".parse().unwrap(), MONDAY_MS).await.unwrap(), 0, "another currency");
    };
    check(vec![started(1, 700, None)], 700).await;
    check(vec![started(1, 700, None), finished(1, done(650))], 650).await;
    check(vec![started(1, 700, None), finished(1, failed(FailureClass::Unknown))], 700).await;
    check(vec![started(1, 700, None), finished(1, failed(FailureClass::Refused))], 0).await;
    check(vec![asked(&id, 1, 900)], 900).await;
    check(vec![asked(&id, 1, 900), decided(&id, Decision::Approve)], 900).await;
    check(vec![asked(&id, 1, 900), decided(&id, amount(300))], 300).await;
    check(vec![asked(&id, 1, 900), decided(&id, Decision::Reject)], 0).await;
    let undone = at(Body::DecisionUndone { approval: id.clone(), by: "ada".to_owned() });
    check(vec![asked(&id, 1, 900), decided(&id, amount(300)), undone.clone()], 900).await;
    check(vec![asked(&id, 1, 900), decided(&id, Decision::Reject), undone], 900).await;
    check(vec![asked(&id, 1, 900), at(Body::ApprovalExpired { approval: id.clone() })], 0).await;
    let closed = at(Body::RunClosed { outcome: Outcome::TakenOver });
    check(vec![asked(&id, 1, 900), closed.clone()], 0).await;
    let carried_out = vec![asked(&id, 1, 900), decided(&id, amount(300)), started(2, 300, Some(id.clone()))];
    check(carried_out.clone(), 300).await;
    check([carried_out, vec![finished(2, done(300)), closed]].concat(), 300).await;
}

#[tokio::test]
async fn two_that_race_for_the_last_of_a_day_do_not_both_find_room() {
    let (_folder, journal) = store();
    let journal = std::sync::Arc::new(journal);
    let mut leases = Vec::new();
    for ticket in 1..=8 {
        admit_one(&*journal, ticket, Some(0)).await;
        leases.push(claim(&*journal, 0).await.unwrap());
    }
    let day = |minor| RefundDay { amount: Money::usd(minor), since_ms: MONDAY_MS, limit_minor: 1_000 };
    let tries = leases.iter().zip(1..).map(|(lease, ticket)| {
        let conditions = Conditions { refund_day: Some(day(300)), ..Conditions::default() };
        let journal = journal.clone();
        async move { journal.append_if(lease, 1, &[started(1, 300, None)], rows(ticket, None), conditions).await }
    });
    let results = join_all(tries).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    let full = |result: &&Result<(), Error>| {
        matches!(result, Err(Error::DayFull { asked_minor: 300, sum_minor: 900, limit_minor: 1_000, .. }))
    };
    assert_eq!(results.iter().filter(full).count(), 5, "{results:?}");
    assert_eq!(journal.refunded_since(Currency::USD, MONDAY_MS).await.unwrap(), 900);
    // Exactly the limit is allowed.
    let (refused, lease) = results.iter().zip(&leases).find(|(result, _)| result.is_err()).unwrap();
    assert!(refused.is_err());
    let ticket = leases.iter().position(|other| other == lease).unwrap() as i64 + 1;
    for (minor, fits) in [(101, false), (100, true)] {
        let conditions = Conditions { refund_day: Some(day(minor)), ..Conditions::default() };
        let result = journal.append_if(lease, 1, &[started(1, minor, None)], rows(ticket, None), conditions).await;
        assert_eq!(result.is_ok(), fits, "{minor}: {result:?}");
    }
}

#[tokio::test]
async fn a_refund_that_repeats_another_or_may_is_not_started() {
    let unknown = || failed(FailureClass::Unknown);
    // Entries of another run or of its own, the refund that is asked for then, how the one in the way stands.
    let check = async |others: bool, entries: Vec<Entry>, (payment, minor): (&str, i64), expected: Option<&str>| {
        let (_folder, journal) = store();
        admit_one(&journal, 1, Some(0)).await;
        let lease = claim(&journal, 0).await.unwrap();
        let shown = format!("others {others}: {entries:?}, then {minor} of {payment}");
        let mut next = 1;
        for entry in entries {
            journal.append(&lease, next, vec![entry], rows(1, None)).await.unwrap();
            next += 1;
        }
        let (ticket, lease) = match others {
            false => (1, lease),
            true => {
                admit_one(&journal, 2, Some(0)).await;
                (2, claim(&journal, 0).await.unwrap())
            }
        };
        let only = OnlyRefund { payment: PaymentId::from(payment), amount: Money::usd(minor) };
        let conditions = Conditions { only_refund: Some(only), ..Conditions::default() };
        let expected_len = if others { 1 } else { next };
        let start = vec![started(9, minor, None)];
        let found = match journal.append_if(&lease, expected_len, &start, rows(ticket, None), conditions).await {
            Ok(()) => None,
            Err(Error::Twin { run, state, amount }) => {
                assert_eq!((run, amount), (run_id(1), Money::usd(500)), "{shown}");
                Some(state)
            }
            Err(error) => panic!("{shown}: {error}"),
        };
        assert_eq!(found.as_deref(), expected, "{shown}");
    };
    let equal = ("pay_1", 500);
    check(true, vec![started(1, 500, None)], equal, Some("in_flight")).await;
    check(true, vec![started(1, 500, None), finished(1, done(500))], equal, Some("done")).await;
    check(true, vec![started(1, 500, None), finished(1, unknown())], equal, Some("unknown")).await;
    check(true, vec![started(1, 500, None), finished(1, unknown())], ("pay_1", 499), Some("unknown")).await;
    check(true, vec![started(1, 500, None), finished(1, unknown())], ("pay_2", 500), None).await;
    check(true, vec![started(1, 500, None), finished(1, failed(FailureClass::Refused))], equal, None).await;
    check(true, vec![started(1, 500, None), finished(1, done(500))], ("pay_1", 499), None).await;
    check(true, vec![started(1, 500, None)], ("pay_2", 500), None).await;
    // The run's own: what is done stands in its entries and is judged there; what is unknown may be asked for again after a
    // person let the run go on.
    check(false, vec![started(1, 500, None), finished(1, done(500))], equal, None).await;
    check(false, vec![started(1, 500, None), finished(1, unknown())], equal, Some("unknown")).await;
}

#[tokio::test]
async fn no_step_starts_in_a_commit_after_the_brake() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let lease = claim(&journal, 0).await.unwrap();
    let conditions = Conditions { switches_off: brake::NO_STEP_UNDER, ..Conditions::default() };
    for (name, held) in [("draining", false), ("paused", true), ("stopped", true)] {
        let before = len(&journal, 1).await as u64;
        let brake = brake::Brake::parse(name).unwrap();
        brake::pull(&journal, brake, "", "ada", MONDAY_MS).await.unwrap();
        let stale = journal.append_if(&lease, before - 1, &[note(1)], rows(1, None), conditions.clone()).await;
        assert!(matches!(stale, Err(Error::Moved { .. })), "what was seen is compared first: {stale:?}");
        let result = journal.append_if(&lease, before, &[note(1)], rows(1, None), conditions.clone()).await;
        match held {
            true => {
                assert!(matches!(result, Err(Error::SwitchedOn { ref switch, .. }) if switch == name), "{result:?}")
            }
            false => result.unwrap(),
        }
        let again = brake::pull(&journal, brake, "mine", "bea", MONDAY_MS + 1).await.unwrap();
        let pulled = brake::pulled(&journal).await.unwrap().unwrap();
        assert_eq!(again, Some(pulled.clone()), "the first one stands");
        assert_eq!((pulled.brake, pulled.by.as_str(), pulled.at_ms), (brake, "ada", MONDAY_MS));
        let audit = crate::journal::views::Views::audit(&journal, None, 1).await.unwrap().remove(0);
        let line = (audit.what.as_str(), audit.who.as_str(), audit.subject.as_str(), audit.detail.as_str());
        assert_eq!(line, ("switch_kept", "bea", name, "mine"), "the second reason is kept");
        assert!(!pulled.reason.is_empty());
        assert_eq!(brake::resume(&journal, "ada", MONDAY_MS).await.unwrap(), [brake]);
        assert_eq!(brake::pulled(&journal).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_run_is_parked_by_its_row_and_put_back_uncounted() {
    let (_folder, journal) = store();
    admit_one(&journal, 1, Some(0)).await;
    let lease = claim(&journal, 0).await.unwrap();
    journal.put_back(lease.clone(), 700).await.unwrap();
    assert_eq!(claim(&journal, 699).await, None);
    let claimed = journal.claim("worker", 700, TTL).await.unwrap().unwrap();
    assert_eq!(claimed.claims_without_progress, 1);
    assert!(matches!(journal.park(&lease, "cannot be read", 900).await, Err(Error::StaleLease { .. })));
    journal.park(&claimed.lease, "cannot be read", 900).await.unwrap();
    assert_eq!(claim(&journal, i64::MAX).await, None);
    let row = crate::journal::views::Views::run(&journal, &run_id(1)).await.unwrap().unwrap();
    assert_eq!((row.outcome.as_deref(), row.reason.as_deref()), (Some("failed"), Some("cannot be read")));
    assert_eq!((row.status, row.closed_ms, row.wake_ms), (RunStatus::Closed, Some(900), None));
}
