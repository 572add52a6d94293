//! Whether a started step may be tried now: its vendors must not count as away, and a model call must be paid for. What may not
//! is put off as a row, without a request.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::agent::hold::Hold;
use crate::agent::perform::Tried;
use crate::clients::OURSELVES;
use crate::failure::{Failure, FailureClass};
use crate::health::Probes;
use crate::intent::Intent;
use crate::run::entry::{Body, LostCall, ModelCall, StepResult, Work};
use crate::run::next::Limits;
use crate::run::retry::spread_ms;
use crate::run::state::{OpenStep, RunState};

/// The longest pause of a step whose vendor is away, in milliseconds: a run waits at most so much longer than the outage.
const AWAY_LONGEST_MS: i64 = 300_000;
/// The pause of a step that waits for money, in milliseconds; a limit that somebody raised is noticed within as long.
const SPENT_PAUSE_MS: i64 = 600_000;

/// The vendors that a step surely asks. A read that is answered from what is known already names none.
fn vendors(state: &RunState, work: &Work) -> &'static [&'static str] {
    match work {
        Work::ReadFacts if state.ticket.requester.address.is_none() => &["zendesk"],
        // A billing API that is not there has never failed, and so may always be asked.
        Work::ReadFacts => &["zendesk", "billing", "stripe"],
        Work::Route { .. } | Work::Model { .. } => &["claude"],
        Work::Mail { .. } => &["zendesk", "email"],
        Work::Note { .. } => &["zendesk"],
        Work::Tool { intent, .. } => match intent {
            Intent::CreateRefund(_) => &["zendesk", "stripe"],
            Intent::UpdateSubscription(_) => &["zendesk", "billing"],
            Intent::SendFollowupEmail(mail) if mail.after_s == 0 => &["zendesk", "email"],
            Intent::LogResolution(_) | Intent::EscalateToHuman(_) => &["zendesk"],
            _ => &[],
        },
    }
}

/// The permission to try a step, which gives back what is not used of it; or why it is not tried now, as the line to write
/// instead.
///
/// `may_have_acted` says that an earlier try's end is not known; that stays so, whatever holds the next one back.
pub(super) async fn hold_back<'a>(
    hold: &'a Hold,
    state: &RunState,
    open: &OpenStep,
    may_have_acted: bool,
    limits: &Limits,
    now: jiff::Timestamp,
) -> Result<Probes<'a>, Body> {
    let now_ms = now.as_millisecond();
    let is_model_call = matches!(open.work, Work::Route { .. } | Work::Model { .. });
    if is_model_call && let Some(body) = spent(hold, state, open, limits, now).await {
        return Err(body);
    }
    if is_model_call && let Some(body) = dear(state, open, limits) {
        return Err(body);
    }
    let wait = match hold.health.ask(vendors(state, &open.work), now_ms) {
        Ok(probes) => return Ok(probes),
        Err(wait) => wait,
    };
    // At most half as long again as it has waited already, so that a short outage is over quickly for everybody and a long one
    // fills no journal; spread, so that five hundred runs do not come back together.
    let waited_ms = (now_ms - open.started_at.as_millisecond()).max(0);
    let pause = (waited_ms / 2).clamp(wait.until_ms - now_ms, AWAY_LONGEST_MS.max(wait.until_ms - now_ms));
    let class = if may_have_acted { FailureClass::Unknown } else { FailureClass::Retry };
    let failure = Failure { class, vendor: wait.vendor.to_owned(), message: wait.said };
    // An outage is waited for as long as a run may take; then a person gets the ticket.
    if waited_ms / 1_000 >= limits.wall_time_max_s {
        let result = StepResult::Failed { failure, call: None };
        return Err(Body::StepFinished { step: open.step, result, took_ms: 0 });
    }
    Err(put_off(state, open, failure, now_ms, pause))
}

/// A call whose answers are lost again and again is paid for each time: it ends at the run's limit like any other spending.
fn dear(state: &RunState, open: &OpenStep, limits: &Limits) -> Option<Body> {
    if state.lost.calls == 0 || state.cost.micros() < limits.cost_max_micros {
        return None;
    }
    let message = format!("{} was spent, {} of it for {} lost answers", state.cost, state.lost.cost, state.lost.calls);
    let failure = Failure { class: FailureClass::Refused, vendor: OURSELVES.to_owned(), message };
    Some(Body::StepFinished { step: open.step, result: StepResult::Failed { failure, call: None }, took_ms: 0 })
}

fn lost(call: ModelCall) -> LostCall {
    let ModelCall { model, request_id, usage, cost, .. } = call;
    LostCall { model, request_id, usage: Some(usage), cost, by_death: false }
}

async fn spent(hold: &Hold, state: &RunState, open: &OpenStep, limits: &Limits, now: jiff::Timestamp) -> Option<Body> {
    let reached = match hold.spent(now).await {
        Ok(reached) => reached?,
        // What cannot be read holds nothing back: the journal says so elsewhere, and the next commit fails as well.
        Err(failed) => {
            warn!("what was spent cannot be read: {failed}");
            return None;
        }
    };
    let failure = |class| Failure { class, vendor: OURSELVES.to_owned(), message: reached.said.clone() };
    if now.as_second() - state.opened_at.as_second() >= limits.spend_wait_max_s {
        let result = StepResult::Failed { failure: failure(FailureClass::Refused), call: None };
        return Some(Body::StepFinished { step: open.step, result, took_ms: 0 });
    }
    let now_ms = now.as_millisecond();
    let pause = SPENT_PAUSE_MS.min((reached.until.as_millisecond() - now_ms).max(1_000));
    Some(put_off(state, open, failure(FailureClass::Retry), now_ms, pause))
}

/// Puts a step off without a try: the number of tries stays as it is.
fn put_off(state: &RunState, open: &OpenStep, failure: Failure, now_ms: i64, pause_ms: i64) -> Body {
    let pause = u64::try_from(pause_ms).unwrap_or(0);
    // The number of entries tells one putting-off from the next.
    let spread = spread_ms(&state.run, open.step, u32::try_from(state.len).unwrap_or(u32::MAX), pause / 2 + 500);
    let retry_at_ms = now_ms.saturating_add(i64::try_from(pause.saturating_add(spread)).unwrap_or(i64::MAX));
    Body::StepDelayed { step: open.step, attempt: open.attempts, failure, retry_at_ms }
}

/// The vendors by name, as breakers know them.
const VENDORS: [&str; 5] = ["zendesk", "stripe", "billing", "claude", "email"];

/// Tells the breakers how a try ended, and who answered in it.
pub(super) fn tell(hold: &Hold, tried: &Tried, heard: &BTreeSet<&'static str>, now_ms: i64) {
    let named = |failure: &Failure| VENDORS.into_iter().find(|vendor| *vendor == failure.vendor);
    let (failure, after) = match tried {
        Tried::Later { failure, after, .. } => (failure, *after),
        Tried::Finished(StepResult::Failed { failure, .. }) => (failure, None),
        // A vendor that says how busy it is has answered; the limiter, not the breaker, keeps us from asking too much.
        Tried::InLine { asked, .. } => return welcome(hold, asked.then_some("claude")),
        // Much ends by what is known already: whoever was not asked is not heard of.
        Tried::Known(_) | Tried::Finished(_) => return welcome(hold, heard.iter().copied()),
    };
    let Some(vendor) = named(failure) else { return };
    if failure.class == FailureClass::Refused {
        return welcome(hold, [vendor]);
    }
    let asks_ms = after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    if hold.health.failed(vendor, now_ms, &failure.message, asks_ms) {
        warn!("{vendor} counts as away: {}", failure.message);
    }
}

fn welcome(hold: &Hold, vendors: impl IntoIterator<Item = &'static str>) {
    let vendors: Vec<&'static str> = vendors.into_iter().collect();
    for vendor in hold.health.answered(&vendors) {
        info!("{vendor} answers again");
    }
}

/// A step that used up its tries while its vendor is away goes on waiting: an outage is not the step's fault. What may have
/// happened and cannot be repeated stays as it is.
pub(super) fn outlast(hold: &Hold, open: &OpenStep, tried: Tried, limits: &Limits, now: jiff::Timestamp) -> Tried {
    match tried {
        Tried::Finished(StepResult::Failed { failure, call })
            if failure.class != FailureClass::Refused
                && (failure.class == FailureClass::Retry || failure.vendor != "email")
                && hold.health.is_away(&failure.vendor)
                && now.as_second() - open.started_at.as_second() < limits.wall_time_max_s =>
        {
            Tried::Later { failure, after: None, lost: call.map(|call| Box::new(lost(call))) }
        }
        tried => tried,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::breaker::FAILURES_BEFORE_AWAY;
    use crate::clock::Clock;
    use crate::health::Health;
    use crate::ids::{CommentId, RunId, StepNo, TicketId, ToolCallId};
    use crate::intent::SendFollowupEmail;
    use crate::journal::sqlite::SqliteJournal;
    use crate::run::entry::Entry;
    use crate::run::spend::Spend;
    use crate::run::state::RULE_CALL;

    /// A run with one step that was started then.
    fn run(at: Timestamp, work: Work) -> RunState {
        let ticket = serde_json::from_value(serde_json::json!({
            "id": 7, "subject": "x", "status": "open", "channel": "email",
            "requester": {"id": 5, "name": "Ada Low", "address": "ada@low.example", "verified": false},
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "messages": [],
        }));
        let (run, ticket) = (RunId::for_trigger(TicketId(7), CommentId(1)), Box::new(ticket.unwrap()));
        let opened = Body::RunOpened { run, ticket, trigger: CommentId(1), prompts: "p".to_owned() };
        let started = Body::StepStarted { step: StepNo(1), work };
        RunState::fold(&[Entry::new(at, opened), Entry::new(at, started)]).unwrap()
    }

    fn mail(after_s: i64) -> Work {
        let mail = SendFollowupEmail { after_s, subject: "x".to_owned(), body: "y".to_owned() };
        Work::Tool { call: ToolCallId::new(RULE_CALL), intent: Intent::SendFollowupEmail(mail), approval: None }
    }

    struct House {
        hold: Hold,
        clock: Clock,
        limits: Limits,
        _folder: tempfile::TempDir,
    }

    /// Nobody works; this vendor counts as away and may be probed in a second.
    fn house(away: &'static str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(SqliteJournal::open(folder.path()).unwrap());
        let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
        let health = Arc::new(Health::default());
        let spend = Spend { day_max_micros: i64::MAX, month_max_micros: i64::MAX };
        for _ in 0..FAILURES_BEFORE_AWAY {
            health.failed(away, clock.now_ms(), "busy", None);
        }
        let hold = Hold::new(journal, clock.clone(), health, TimeZone::UTC, spend);
        House { hold, clock, limits: Limits { wall_time_max_s: 3_600, ..Limits::default() }, _folder: folder }
    }

    #[tokio::test]
    async fn a_step_waits_for_a_vendor_as_long_as_a_run_may_take() {
        let House { hold, clock, limits, _folder } = house("stripe");
        for (waited_s, ends) in [(0, false), (3_599, false), (3_600, true)] {
            let now = clock.now();
            let state = run(now - SignedDuration::from_secs(waited_s), Work::ReadFacts);
            let instead = hold_back(&hold, &state, &state.open[&StepNo(1)], false, &limits, now).await.unwrap_err();
            let ended = matches!(instead, Body::StepFinished { result: StepResult::Failed { .. }, .. });
            assert_eq!(ended, ends, "after {waited_s} s: {instead:?}");
        }
    }

    #[tokio::test]
    async fn a_mail_asks_the_mail_servers_breaker_when_it_is_sent_and_only_then() {
        let House { hold, clock, limits, _folder } = house("email");
        for (work, held) in [(mail(0), true), (mail(60), false), (Work::Mail { scheduled: StepNo(1) }, true)] {
            let state = run(clock.now(), work);
            let open = &state.open[&StepNo(1)];
            let refused = hold_back(&hold, &state, open, false, &limits, clock.now()).await.is_err();
            assert_eq!(refused, held, "{:?}", open.work);
        }
    }

    #[tokio::test]
    async fn a_probe_that_was_not_used_is_given_back_and_what_is_known_anyway_tells_a_breaker_nothing() {
        let House { hold, clock, limits, _folder } = house("stripe");
        clock.advance(std::time::Duration::from_secs(2));
        let state = run(clock.now(), Work::ReadFacts);
        let open = &state.open[&StepNo(1)];
        let failure = |vendor: &str| Failure {
            class: FailureClass::Unknown,
            vendor: vendor.to_owned(),
            message: "lost".to_owned(),
        };
        let failed = |vendor| StepResult::Failed { failure: failure(vendor), call: None };
        for tried in [
            Tried::Later { failure: failure("zendesk"), after: None, lost: None }, // It failed before Stripe was asked.
            Tried::Known(failed("stripe")),
            // It was known already; Stripe was not asked.
            Tried::Finished(StepResult::Facts { account: Box::default() }),
            Tried::Finished(failed("deskhand")),
        ] {
            let probes = hold_back(&hold, &state, open, false, &limits, clock.now()).await.expect("the probe is free");
            assert!(hold_back(&hold, &state, open, false, &limits, clock.now()).await.is_err(), "one at a time");
            tell(&hold, &tried, &BTreeSet::from(["zendesk"]), clock.now_ms());
            drop(probes);
        }
        let away: Vec<&str> = hold.health.away().into_iter().map(|(vendor, _)| vendor).collect();
        assert_eq!(away, ["stripe"], "it was not heard of");
    }
}
