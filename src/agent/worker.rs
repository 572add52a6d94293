//! claim → fold → next → perform → append, until nothing is left to do. First try and recovery are the same path: a step that
//! is found open is done again under its key.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::agent::perform::{Performer, Tried, Try};
use crate::clock::Clock;
use crate::crash;
use crate::failure::{Failure, FailureClass};
use crate::ids::StepNo;
use crate::journal::{self, Claimed, Journal, Lease};
use crate::run::draft::Draft;
use crate::run::entry::{Body, Entry, Outcome, StepResult, Work};
use crate::run::next::{Next, Rules, next};
use crate::run::retry::pause_ms;
use crate::run::state::{Broken, OpenStep, RunState};
use crate::tools::STILL_RUNNING;

/// How long a lease holds. A live worker renews it at a third; a dead one's runs go on when it has passed.
pub const LEASE_TTL: Duration = Duration::from_secs(9);

/// How often a run may be claimed without progress before its open step counts as the cause.
const CLAIMS_WITHOUT_PROGRESS_MAX: u32 = 3;

/// The switch that keeps effects from happening.
pub const PAUSED: &str = "paused";

/// Moves runs, one at a time.
#[derive(Clone)]
pub struct Worker {
    /// Who claims, for people who look at the journal.
    pub name: String,
    /// Where runs are.
    pub journal: Arc<dyn Journal>,
    /// What steps are done with.
    pub performer: Arc<Performer>,
    /// What decides.
    pub rules: Arc<Rules>,
    /// The time.
    pub clock: Clock,
}

/// What may have been done before a step is tried.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// The step was started before.
    again: bool,
    /// The journal was put back from a backup; what the run did since then stands in no entry.
    forgot_since: Option<Timestamp>,
}

/// Why a run was left as it is. Another claim goes on from what is on disk.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Worker {
    /// One turn: claims a run and moves it as far as it goes. `false`: there was nothing to claim.
    pub async fn tick(&self) -> Result<bool, journal::Error> {
        if self.journal.switch(PAUSED).await?.is_some_and(|value| !value.is_empty()) {
            return Ok(false);
        }
        let Some(claimed) = self.journal.claim(&self.name, self.clock.now_ms(), LEASE_TTL).await? else {
            return Ok(false);
        };
        let run = claimed.lease.run.clone();
        let span = info_span!("run", run.id = %run);
        // A panic costs this run its turn, never the process; claimed three times like this, the run is parked.
        let moving = tokio::spawn({
            let worker = self.clone();
            async move { worker.move_run(claimed).await }.instrument(span)
        });
        match moving.await {
            Ok(Ok(())) => {}
            Ok(Err(Left::Journal(journal::Error::StaleLease { .. }))) => {
                warn!(run.id = %run, "another worker has the run; this one lets go");
            }
            Ok(Err(Left::Journal(failed))) => return Err(failed),
            Ok(Err(Left::Broken(broken))) => error!(run.id = %run, "the run's journal cannot be read: {broken}"),
            Err(panicked) => error!(run.id = %run, "a step panicked: {panicked}"),
        }
        Ok(true)
    }

    async fn move_run(&self, claimed: Claimed) -> Result<(), Left> {
        let Claimed { mut lease, entries, claims_without_progress, forgot_since_ms } = claimed;
        let forgot_since = forgot_since_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let mut draft = Draft::new(RunState::fold(&entries)?);
        if claims_without_progress > CLAIMS_WITHOUT_PROGRESS_MAX {
            self.park(&mut draft)?;
        }
        loop {
            match next(&draft.state, &self.rules, self.clock.now()) {
                Next::Record(bodies) => {
                    for body in bodies {
                        draft.push(Entry::new(self.clock.now(), body))?;
                    }
                }
                Next::Start(works) => {
                    let mut started = Vec::with_capacity(works.len());
                    for work in works {
                        let step = draft.state.next_step;
                        draft.push(Entry::new(self.clock.now(), Body::StepStarted { step, work }))?;
                        started.push(step);
                    }
                    if self.commit(&lease, &mut draft).await? {
                        let open = open_steps(&draft, &started);
                        let before = Before { again: false, forgot_since };
                        self.perform_all(&mut lease, &mut draft, open, before).await?;
                    }
                }
                Next::Resume(open) => {
                    // They are performed as they were found: this line must not hide that a try's end is not known.
                    for found in open.iter().filter(|open| open.work.is_effect() && !open.under_way) {
                        let body = Body::StepRetried { step: found.step, attempt: found.attempts + 1 };
                        draft.push(Entry::new(self.clock.now(), body))?;
                    }
                    if self.commit(&lease, &mut draft).await? {
                        let before = Before { again: true, forgot_since };
                        self.perform_all(&mut lease, &mut draft, open, before).await?;
                    }
                }
                Next::Wait { .. } | Next::Done => {
                    if self.commit(&lease, &mut draft).await? {
                        self.journal.release(lease).await?;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Writes what waits. `false`: the run moved meanwhile (a person decided, the customer wrote); the draft is read anew and
    /// keeps only what really happened, the ends of steps.
    async fn commit(&self, lease: &Lease, draft: &mut Draft) -> Result<bool, Left> {
        if draft.is_empty() {
            return Ok(true);
        }
        let (expected_len, entries, projection) = draft.take();
        match self.journal.append(lease, expected_len, entries.clone(), projection).await {
            Ok(()) => {
                if draft.state.outcome.is_some() && entries.iter().any(|e| matches!(e.body, Body::RunClosed { .. })) {
                    let outcome = draft.state.outcome.as_ref().map_or("", Outcome::as_str);
                    info!(ticket.id = %draft.state.ticket.id, run.steps = draft.state.steps, "run ended: {outcome}");
                }
                Ok(true)
            }
            Err(journal::Error::Moved { .. }) => {
                debug!("the run moved meanwhile; reading it again");
                let stored = self.journal.entries(&lease.run).await?;
                let mut fresh = Draft::new(RunState::fold(&stored)?);
                for entry in entries {
                    let happened = match &entry.body {
                        Body::StepFinished { step, .. } | Body::StepDelayed { step, .. } => {
                            fresh.state.open.contains_key(step)
                        }
                        _ => false,
                    };
                    if happened {
                        fresh.push(entry)?;
                    }
                }
                *draft = fresh;
                Ok(false)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// Does these steps side by side and takes down each end as it comes; the last ones wait for the next commit.
    async fn perform_all(
        &self,
        lease: &mut Lease,
        draft: &mut Draft,
        open: Vec<OpenStep>,
        known: Before,
    ) -> Result<(), Left> {
        self.keep(lease).await?;
        let before = draft.state.clone();
        let tries = open.iter().map(|open| self.try_step(&before, open, known));
        let mut running = tries.collect::<FuturesUnordered<_>>().ready_chunks(16);
        let mut left = open.len();
        loop {
            let ended = tokio::select! {
                ended = running.next() => ended,
                () = self.clock.sleep(LEASE_TTL / 3) => { *lease = self.renew(lease).await?; continue; }
            };
            let Some(ended) = ended else { return Ok(()) };
            left -= ended.len();
            for body in ended {
                draft.push(Entry::new(self.clock.now(), body))?;
            }
            if left > 0 {
                // A run that moved is read again; what was started is still open in it and is waited for here.
                self.commit(lease, draft).await?;
            }
        }
    }

    async fn try_step(&self, state: &RunState, open: &OpenStep, known: Before) -> Body {
        let (step, attempts) = (open.step, open.attempts);
        let watch = self.clock.stopwatch();
        let span = info_span!("step", step.no = step.0, step.kind = kind_of(&open.work));
        // Work under a key is looked for before any further try; work without one must not be repeated when it may have left.
        // A journal that was put back may have forgotten this very step: then it is looked for from that time on.
        let again = known.forgot_since.is_some() || known.again && (open.work.is_repeatable() || open.may_have_acted());
        let started_at = known.forgot_since.map_or(open.started_at, |since| since.min(open.started_at));
        let this = Try {
            step,
            work: &open.work,
            again,
            may_still_run: known.again && self.may_still_run(open),
            known: (open.stamp, open.messages),
            started_at,
            attempts,
            forgot_since: known.forgot_since,
        };
        let doing = Box::pin(self.performer.perform(state, &this).instrument(span));
        let tried = crash::within(|| format!("{} step={step}", state.run), doing).await;
        match tried {
            Tried::Finished(result) => {
                if let StepResult::Failed { failure, .. } = &result {
                    warn!(step.no = step.0, "step failed: {}: {}", failure.vendor, failure.message);
                }
                Body::StepFinished { step, result, took_ms: watch.elapsed_ms() }
            }
            Tried::Later { failure, after } => {
                let attempt = attempts + 1;
                let asked_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let pause = pause_ms(&state.run, step, attempt, asked_ms);
                let retry_at_ms = self.clock.now_ms().saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
                warn!(
                    step.no = step.0,
                    "try {attempt} failed, next in {pause} ms: {}: {}", failure.vendor, failure.message
                );
                Body::StepDelayed { step, attempt, failure, retry_at_ms }
            }
        }
    }

    /// Whether a try of a step that was found open may still be running at the vendor: a worker died in it, nobody knows how
    /// short ago, or its answer was lost a moment ago.
    fn may_still_run(&self, found: &OpenStep) -> bool {
        let since = self.clock.now().duration_since(found.touched_at);
        found.under_way || (found.unsure && since.unsigned_abs() < STILL_RUNNING)
    }

    /// Makes sure that the lease holds for a while.
    async fn keep(&self, lease: &mut Lease) -> Result<(), Left> {
        let half_ms = i64::try_from(LEASE_TTL.as_millis() / 2).unwrap_or(i64::MAX);
        if lease.until_ms - self.clock.now_ms() < half_ms {
            *lease = self.renew(lease).await?;
        }
        Ok(())
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Left> {
        let ttl_ms = i64::try_from(LEASE_TTL.as_millis()).unwrap_or(i64::MAX);
        Ok(self.journal.renew(lease, self.clock.now_ms().saturating_add(ttl_ms)).await?)
    }

    /// A run that kills whoever works on it: its open steps count as failed, and the rules send it to a person; with none
    /// open it is closed as failed.
    fn park(&self, draft: &mut Draft) -> Result<(), Broken> {
        let message = format!("the step was tried {CLAIMS_WITHOUT_PROGRESS_MAX} times and ended the worker each time");
        let now = self.clock.now();
        let open: Vec<StepNo> = draft.state.open.keys().copied().collect();
        error!(run.id = %draft.state.run, "the run is parked: {message}");
        for step in &open {
            let failure =
                Failure { class: FailureClass::Unknown, vendor: "deskhand".to_owned(), message: message.clone() };
            let result = StepResult::Failed { failure, call: None };
            draft.push(Entry::new(now, Body::StepFinished { step: *step, result, took_ms: 0 }))?;
        }
        if open.is_empty() && draft.state.outcome.is_none() {
            draft.push(Entry::new(now, Body::RunClosed { outcome: Outcome::Failed { message } }))?;
        }
        Ok(())
    }
}

/// The open ones among these steps.
fn open_steps(draft: &Draft, steps: &[StepNo]) -> Vec<OpenStep> {
    steps.iter().filter_map(|step| draft.state.open.get(step).cloned()).collect()
}

fn kind_of(work: &Work) -> &'static str {
    match work {
        Work::ReadFacts => "facts",
        Work::Route { .. } => "route",
        Work::Model { .. } => "model",
        Work::Tool { intent, .. } => intent.tool().as_str(),
        Work::Mail { .. } => "mail",
        Work::Note { .. } => "note",
    }
}
