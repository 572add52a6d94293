//! Shadow mode: nothing leaves. A run ends where its next effect would have been; what was begun or promised while effects
//! were still allowed is looked for, held back and shown, and goes on if the mode returns. Pure.

use jiff::Timestamp;

use crate::intent::Intent;
use crate::run::entry::{Body, FailureClass, Outcome, Work};
use crate::run::handover::effects_line;
use crate::run::next::Next;
use crate::run::state::RunState;

/// How often a run that ended and holds something back looks whether it may go on, in milliseconds. The mode changes with a
/// restart, so a quarter of an hour is soon enough, and thousands of such runs cost little.
pub const LOOK_AGAIN_MS: i64 = 15 * 60_000;

/// What happens in shadow mode instead of starting these steps.
pub fn instead(state: &RunState, works: Vec<Work>, now: Timestamp) -> Next {
    let Some(held) = works.iter().find(|work| work.is_effect()) else { return Next::Start(works) };
    let outcome = match held {
        Work::Tool { intent, .. } => end(state, intent, None),
        _ if state.outcome.is_some() => return hold_back(state, held, now),
        Work::Note { text } => Outcome::Failed {
            message: format!(
                "in shadow mode nothing is written, so the colleagues could not be told on the ticket: {text}"
            ),
        },
        _ => return Next::Done, // A mail is due after the end only, and reads are no effects.
    };
    Next::Record(vec![Body::RunClosed { outcome }])
}

/// How a run ends whose next effect may not leave: plainly when nothing has left before, else parked, because the ticket is
/// half done and a person must see what was done. `found` is what an earlier try of this very effect did of it.
pub fn end(state: &RunState, would: &Intent, found: Option<&str>) -> Outcome {
    let unknown = state.failures.iter().filter_map(|(work, failure)| match work {
        Work::Tool { intent, .. } if work.is_effect() && failure.class == FailureClass::Unknown => {
            Some(format!(" It is not known whether `{}` had an effect: {}.", intent.tool(), failure.message))
        }
        _ => None,
    });
    let unknown: String = unknown.collect();
    if state.effects.is_empty() && unknown.is_empty() && found.is_none() {
        return Outcome::Shadowed { would: would.clone() };
    }
    let message = format!(
        "shadow mode came in between, so `{}` was not done{} and the customer was not answered. {}{unknown}{}",
        would.tool(),
        if found.is_some() { " to its end" } else { "" },
        effects_line(state),
        found.map_or_else(String::new, |found| format!(" {found}"))
    );
    Outcome::Failed { message }
}

/// The run ended, and something that was promised before is due: taken down once, for people to see.
fn hold_back(state: &RunState, held: &Work, now: Timestamp) -> Next {
    let what = match held {
        Work::Mail { .. } => "A follow-up mail is due and is held back by shadow mode".to_owned(),
        Work::Note { text } => format!("A note to the colleagues is held back by shadow mode: {text}"),
        _ => return Next::Done,
    };
    match &state.held_back {
        Some((known, _)) if *known == what => {
            Next::Wait { until_ms: now.as_millisecond().saturating_add(LOOK_AGAIN_MS) }
        }
        _ => Next::Record(vec![Body::HeldBack { what }]),
    }
}
