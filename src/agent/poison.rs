//! What becomes of a run that breaks whoever works on it: it is parked with its message and goes to a person. A step that fails
//! the same way again and again counts as failed; a run that no step is to blame for is handed over by a rule; one whose
//! journal cannot be read is ended by its row.

use std::any::Any;

use jiff::Timestamp;
use tokio::task::JoinError;
use tracing::error;

use crate::agent::worker::{Left, Worker};
use crate::clients::OURSELVES;
use crate::failure::{Failure, FailureClass};
use crate::journal::{self, Lease};
use crate::policy::{Judgement, RuleId, Verdict};
use crate::run::draft::Draft;
use crate::run::entry::{Body, Entry, Outcome, StepResult};
use crate::run::retry::pause_ms;
use crate::run::state::{Broken, OpenStep, RunState};

/// How often a run may be claimed without progress before its open step counts as the cause.
pub(super) const CLAIMS_WITHOUT_PROGRESS_MAX: u32 = 3;
/// What stands in the message of a step or run that was given up because whoever worked on it ended, each time.
pub const ENDED_EACH_TIME: &str = "ended its worker each time";
/// What stands at the beginning of the message of a step whose worker panicked.
pub const MISTAKE: &str = "a mistake in deskhand, not at a vendor";
/// How often a step may break its worker before it counts as failed.
const PANICS_MAX: u32 = 3;
/// So many panics of one step count as failed whatever they said: a message may hold an index or a time.
const DIFFERENT_PANICS_MAX: u32 = 8;
/// How much of a panic's message is kept, in characters.
const MESSAGE_MAX: usize = 300;

impl Worker {
    /// A run that ended its worker each time it was taken up.
    pub(super) fn park(&self, draft: &mut Draft) -> Result<(), Broken> {
        let said = self.hold.health.last_panic(&draft.state.run);
        error!(run.id = %draft.state.run, "the run is parked: it {ENDED_EACH_TIME}: {}", said.as_deref().unwrap_or("no word"));
        for body in parked(&draft.state, said.as_deref()) {
            draft.push(Entry::new(self.clock.now(), body))?;
        }
        Ok(())
    }

    /// Ends a run whose entries cannot be read or folded; a page shows it to a person.
    pub(super) async fn park_unreadable(&self, lease: &Lease, why: &str) -> Result<(), journal::Error> {
        error!(run.id = %lease.run, "the run is parked, its journal cannot be read: {why}");
        let reason = format!("its journal cannot be read: {why}");
        match self.journal.park(lease, &reason, self.clock.now_ms()).await {
            Err(journal::Error::StaleLease { .. }) => Ok(()),
            parked => parked,
        }
    }

    /// Takes down what a panic said. With no step in flight nothing is written: the lease runs out, and the claim that led to
    /// nothing is what counts.
    pub(super) async fn record_panic(&self, lease: &Lease, broke: JoinError) {
        let message = match broke.try_into_panic() {
            Ok(panic) => words(&*panic),
            Err(broke) => broke.to_string(),
        };
        error!(run.id = %lease.run, "a step broke off: {message}");
        self.hold.health.note_panic(&lease.run, &message);
        if let Err(failed) = self.put_off_broken(lease, &message).await {
            error!(run.id = %lease.run, "what broke off could not be taken down: {failed}");
        }
    }

    async fn put_off_broken(&self, lease: &Lease, said: &str) -> Result<(), Left> {
        let state = RunState::fold(&self.journal.entries(&lease.run).await?)?;
        let now = self.clock.now();
        let bodies = broken_off(&state, said, now);
        if bodies.is_empty() {
            return Ok(());
        }
        let mut draft = Draft::new(state);
        for body in bodies {
            draft.push(Entry::new(now, body))?;
        }
        let (expected_len, entries, projection) = draft.take();
        self.journal.append(lease, expected_len, entries, projection).await?;
        self.journal.release(lease.clone()).await?;
        Ok(())
    }
}

/// A run that was claimed again and again without a trace: its open steps count as failed, and the rules send it to a person;
/// with none open it is handed over by a rule of its own, and if that breaks as well, closed as failed.
fn parked(state: &RunState, said: Option<&str>) -> Vec<Body> {
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    let times = CLAIMS_WITHOUT_PROGRESS_MAX;
    if !state.open.is_empty() {
        let message = format!("the step was tried {times} times and {ENDED_EACH_TIME}{said}");
        let failure = Failure { class: FailureClass::Unknown, vendor: OURSELVES.to_owned(), message };
        let failed = |open: &OpenStep| Body::StepFinished {
            step: open.step,
            result: StepResult::Failed { failure: failure.clone(), call: None },
            took_ms: 0,
        };
        return state.open.values().map(failed).collect();
    }
    if state.outcome.is_some() {
        return Vec::new();
    }
    let message = format!("the run was taken up {times} times and {ENDED_EACH_TIME}{said}");
    let handed_over = state.ticket_judgement.as_ref().is_some_and(|judgement| judgement.rule == RuleId::AgentBroke);
    vec![match handed_over {
        false => Body::Judged { call: None, judgement: Judgement::new(RuleId::AgentBroke, Verdict::Escalate, message) },
        true => Body::RunClosed { outcome: Outcome::Failed { message } },
    }]
}

/// The worker broke in the steps in flight: each is put off, and the third time in the same way counts as failed, or the eighth
/// in whatever way, with the message that a person will read. Whether it acted is not known.
fn broken_off(state: &RunState, said: &str, now: Timestamp) -> Vec<Body> {
    let now_ms = now.as_millisecond();
    let in_flight = state.open.values().filter(|open| open.retry_at_ms.is_none_or(|at| at <= now_ms));
    let bodies = in_flight.map(|open| {
        let (step, attempt) = (open.step, open.attempts + 1);
        let message = format!("{MISTAKE}: {said}");
        let last = open.failure.as_ref().filter(|last| last.vendor == OURSELVES);
        let same = last.is_some_and(|last| last.message == message);
        let failure = Failure { class: FailureClass::Unknown, vendor: OURSELVES.to_owned(), message };
        if same && attempt >= PANICS_MAX || last.is_some() && attempt >= DIFFERENT_PANICS_MAX {
            return Body::StepFinished { step, result: StepResult::Failed { failure, call: None }, took_ms: 0 };
        }
        let pause = i64::try_from(pause_ms(&state.run, step, attempt, None)).unwrap_or(i64::MAX);
        Body::StepDelayed { step, attempt, failure, retry_at_ms: now_ms.saturating_add(pause) }
    });
    bodies.collect()
}

/// What a panic said, in one line.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "it broke off without a word".to_owned(),
    };
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommentId, RunId, StepNo, TicketId};
    use crate::run::entry::Work;
    use crate::run::next::{Limits, Mode, Models, Next, Rules, next};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn opened() -> Draft {
        let ticket = serde_json::from_value(serde_json::json!({
            "id": 7, "subject": "x", "status": "open", "channel": "email",
            "requester": {"id": 5, "name": "Ada Low", "verified": false},
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "messages": [],
        }));
        let run = RunId::for_trigger(TicketId(7), CommentId(1));
        let ticket = Box::new(ticket.unwrap());
        let body = Body::RunOpened { run, ticket, trigger: CommentId(1), prompts: "p".to_owned() };
        Draft::open(vec![Entry::new(at(0), body)]).unwrap()
    }

    fn rules() -> Rules {
        Rules {
            mode: Mode::Auto,
            policy: crate::policy::Policy::default(),
            limits: Limits::default(),
            models: Models::default(),
            holding: std::collections::BTreeMap::new(),
        }
    }

    fn push(draft: &mut Draft, second: i64, bodies: Vec<Body>) {
        for body in bodies {
            draft.push(Entry::new(at(second), body)).unwrap();
        }
    }

    fn start(draft: &mut Draft) {
        let work = Work::Route { model: "m".to_owned() };
        let step = draft.state.next_step;
        push(draft, 1, vec![Body::StepStarted { step, work }]);
    }

    /// What the rules do with the run now, in a word, and the sentence that a colleague reads.
    fn handed_over(draft: &mut Draft) -> String {
        let mut now = 10;
        loop {
            now += 1;
            match next(&draft.state, &rules(), at(now)) {
                Next::Record(bodies) => push(draft, now, bodies),
                Next::Start(works) => {
                    let [Work::Tool { intent: crate::intent::Intent::EscalateToHuman(note), .. }] = &works[..] else {
                        panic!("{works:?}")
                    };
                    return note.found.clone();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_step_that_breaks_the_same_way_three_times_goes_to_a_person_with_its_message() {
        let mut draft = opened();
        start(&mut draft);
        for (time, said) in [(2, "index out of bounds"), (100, "index out of bounds")] {
            let bodies = broken_off(&draft.state, said, at(time));
            assert!(matches!(&bodies[..], [Body::StepDelayed { .. }]), "{bodies:?}");
            push(&mut draft, time, bodies);
            assert_eq!(broken_off(&draft.state, said, at(time)), [], "it is put off, not in flight");
        }
        let bodies = broken_off(&draft.state, "index out of bounds", at(200));
        assert!(matches!(&bodies[..], [Body::StepFinished { .. }]), "{bodies:?}");
        push(&mut draft, 200, bodies);
        let note = handed_over(&mut draft);
        assert!(note.contains("index out of bounds"), "{note}");
    }

    #[test]
    fn one_that_breaks_in_a_different_way_each_time_goes_to_a_person_as_well() {
        let mut draft = opened();
        start(&mut draft);
        for time in 1..DIFFERENT_PANICS_MAX {
            let bodies = broken_off(&draft.state, &format!("index {time}"), at(i64::from(time) * 100));
            assert!(matches!(&bodies[..], [Body::StepDelayed { .. }]), "{bodies:?}");
            push(&mut draft, i64::from(time) * 100, bodies);
        }
        let bodies = broken_off(&draft.state, "index 9", at(10_000));
        assert!(matches!(&bodies[..], [Body::StepFinished { .. }]), "{bodies:?}");
    }

    #[test]
    fn a_run_that_ends_its_worker_is_handed_over_then_closed() {
        let mut draft = opened();
        start(&mut draft);
        let bodies = parked(&draft.state, None);
        push(&mut draft, 5, bodies);
        let note = handed_over(&mut draft);
        assert!(note.contains("3 times"), "{note}");

        let mut draft = opened();
        let bodies = parked(&draft.state, Some("attempt to subtract with overflow"));
        push(&mut draft, 5, bodies);
        let note = handed_over(&mut draft);
        assert!(note.contains("The agent broke on it") && note.contains("overflow"), "{note}");
        let bodies = parked(&draft.state, Some("attempt to subtract with overflow"));
        push(&mut draft, 6, bodies);
        let Some(Outcome::Failed { message }) = &draft.state.outcome else { panic!("{:?}", draft.state.outcome) };
        assert!(message.contains("overflow"), "{message}");
        assert_eq!(parked(&draft.state, None), []);
        // And a person may let it go on.
        push(&mut draft, 7, vec![Body::Reopened { by: "ada".to_owned() }]);
        assert_eq!(draft.state.outcome, None);
        assert_eq!(draft.state.next_step, StepNo(1));
    }

    #[test]
    fn a_panic_is_one_line() {
        let said = |panic: Box<dyn Any + Send>| words(&*panic);
        assert_eq!(said(Box::new("a\n  b")), "a b");
        assert_eq!(said(Box::new("x".repeat(900))).len(), MESSAGE_MAX);
        assert_eq!(said(Box::new(5)), "it broke off without a word");
    }
}
