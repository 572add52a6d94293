//! Whether a started step may be tried now: its vendors must not count as away, and a model call must be paid for. What may not
//! is put off as a row, without a request.

use tracing::{info, warn};

use crate::agent::hold::Hold;
use crate::agent::perform::Tried;
use crate::failure::{Failure, FailureClass};
use crate::intent::Intent;
use crate::run::entry::{Body, StepResult, Work};
use crate::run::next::Limits;
use crate::run::retry::spread_ms;
use crate::run::state::{OpenStep, RunState};

/// The longest pause of a step whose vendor is away, in milliseconds: a run waits at most so much longer than the outage.
const AWAY_LONGEST_MS: i64 = 300_000;
/// The pause of a step that waits for money, in milliseconds; a limit that somebody raised is noticed within as long.
const SPENT_PAUSE_MS: i64 = 600_000;
/// Who is named where we hold ourselves back.
pub(super) const OURSELVES: &str = "deskhand";

/// The vendors that a step surely asks. A read that is answered from what is known already names none.
fn vendors(state: &RunState, work: &Work) -> &'static [&'static str] {
    match work {
        Work::ReadFacts if state.ticket.requester.address.is_none() => &["zendesk"],
        Work::ReadFacts => &["zendesk", "stripe"],
        Work::Route { .. } | Work::Model { .. } => &["claude"],
        Work::Mail { .. } => &["zendesk", "email"],
        Work::Note { .. } => &["zendesk"],
        Work::Tool { intent, .. } => match intent {
            Intent::CreateRefund(_) => &["zendesk", "stripe"],
            Intent::UpdateSubscription(_) => &["zendesk", "billing"],
            Intent::SendFollowupEmail(_) | Intent::LogResolution(_) | Intent::EscalateToHuman(_) => &["zendesk"],
            _ => &[],
        },
    }
}

/// Why a step is not tried now: the line to write instead. `None`: it may be.
///
/// `may_have_acted` says that an earlier try's end is not known; that stays so, whatever holds the next one back.
pub(super) async fn hold_back(
    hold: &Hold,
    state: &RunState,
    open: &OpenStep,
    may_have_acted: bool,
    limits: &Limits,
    now: jiff::Timestamp,
) -> Option<Body> {
    let now_ms = now.as_millisecond();
    let is_model_call = matches!(open.work, Work::Route { .. } | Work::Model { .. });
    if is_model_call && let Some(body) = spent(hold, state, open, limits, now).await {
        return Some(body);
    }
    let wait = hold.health.ask(vendors(state, &open.work), now_ms).err()?;
    // At most half as long again as it has waited already, so that a short outage is over quickly for everybody and a long one
    // fills no journal; spread, so that five hundred runs do not come back together.
    let waited_ms = (now_ms - open.started_at.as_millisecond()).max(0);
    let pause = (waited_ms / 2).clamp(wait.until_ms - now_ms, AWAY_LONGEST_MS.max(wait.until_ms - now_ms));
    let class = if may_have_acted { FailureClass::Unknown } else { FailureClass::Retry };
    let failure = Failure { class, vendor: wait.vendor.to_owned(), message: wait.said };
    Some(put_off(state, open, failure, now_ms, pause))
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

/// Tells the breakers how a try ended.
pub(super) fn tell(hold: &Hold, state: &RunState, work: &Work, tried: &Tried, now_ms: i64) {
    let named = |failure: &Failure| VENDORS.into_iter().find(|vendor| *vendor == failure.vendor);
    let (failure, after) = match tried {
        Tried::Later { failure, after } => (failure, *after),
        Tried::Finished(StepResult::Failed { failure, .. }) => (failure, None),
        // The effect was not sent; the helpdesk alone was asked.
        Tried::Finished(StepResult::CustomerWroteFirst { .. } | StepResult::PersonFirst { .. }) => {
            return welcome(hold, &["zendesk"]);
        }
        Tried::Finished(StepResult::HeldBack) => return, // Nobody need have been asked.
        Tried::Finished(_) => return welcome(hold, vendors(state, work)),
    };
    let Some(vendor) = named(failure) else { return };
    if failure.class == FailureClass::Refused {
        return welcome(hold, &[vendor]);
    }
    let asks_ms = after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    if hold.health.failed(vendor, now_ms, &failure.message, asks_ms) {
        warn!("{vendor} counts as away: {}", failure.message);
    }
}

fn welcome(hold: &Hold, vendors: &[&'static str]) {
    for vendor in hold.health.answered(vendors) {
        info!("{vendor} answers again");
    }
}

/// A step that used up its tries while its vendor is away goes on waiting: an outage is not the step's fault. What may have
/// happened and cannot be repeated stays as it is.
pub(super) fn outlast(hold: &Hold, open: &OpenStep, tried: Tried, limits: &Limits, now: jiff::Timestamp) -> Tried {
    match tried {
        Tried::Finished(StepResult::Failed { failure, call: None })
            if failure.class != FailureClass::Refused
                && (failure.class == FailureClass::Retry || failure.vendor != "email")
                && hold.health.is_away(&failure.vendor)
                && now.as_second() - open.started_at.as_second() < limits.wall_time_max_s =>
        {
            Tried::Later { failure, after: None }
        }
        tried => tried,
    }
}
