//! claim → fold → next → perform → append, until nothing is left to do. First try and recovery are the same path: a step that
//! is found open is done again under its key.
//!
//! What holds steps back stands in `hold.rs` (brakes, the end of the process, money) and `gate.rs` (vendors that are away);
//! what becomes of a run that breaks its worker in `poison.rs`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::agent::gate;
use crate::agent::hold::Hold;
use crate::agent::perform::{Performer, Tried, Try, is_own_delay};
use crate::clients::{self, Acting, LEASE_LEFT_MIN};
use crate::clock::Clock;
use crate::crash;
use crate::ids::StepNo;
use crate::journal::brake;
use crate::journal::{self, Claimed, Conditions, Journal, Lease};
use crate::policy::rules;
use crate::run::draft::Draft;
use crate::run::entry::{Body, Entry, LostCall, Outcome, StepResult, Work};
use crate::run::next::{self, Mode, Next, Rules, next};
use crate::run::retry::pause_ms;
use crate::run::row::Projection;
use crate::run::state::{Broken, OpenStep, RunState};
use crate::tools::STILL_RUNNING;
use crate::usage::Usage;

/// How long a lease holds. A live worker renews it when a third has passed; a dead one's runs go on when it has passed.
pub const LEASE_TTL: Duration = Duration::from_secs(9);

/// So much of a lease is left when it is renewed, before a step and beside it.
const LEASE_RENEWED_AT: Duration = Duration::from_secs(6);
/// The shortest pause between two renewals: one that the disk refused is tried again after this long.
const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(1);
// A worker that lives has always enough of its lease left to let an effect leave, even when a renewal takes two seconds.
const _: () = assert!(
    LEASE_RENEWED_AT.as_millis() >= (LEASE_LEFT_MIN.as_millis() + LEASE_RENEWED_EVERY.as_millis() + 2_000)
        && LEASE_RENEWED_AT.as_millis() + 2 * LEASE_RENEWED_EVERY.as_millis() < LEASE_TTL.as_millis()
);

/// A finished result that cannot be written is kept and written again for this long. By then somebody has freed the disk, or
/// the run is better left to whoever claims it next.
const WRITE_AGAIN_FOR_MS: i64 = 15 * 60_000;
/// The longest pause between two such tries.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// From which claim without progress on a run is a suspect. A process that ends takes all that it worked on with it: the first
/// time says little, and the third is the last.
const SUSPECT_FROM_CLAIM: u32 = 3;
/// A suspect that finds another one moving looks again after this long, in milliseconds.
const SUSPECT_WAITS_MS: i64 = 500;
/// The shortest rest of a run for which there is nothing to do, in milliseconds, whatever its row says.
const REST_MIN_MS: i64 = 1_000;

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
    /// What holds back.
    pub hold: Arc<Hold>,
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
pub(super) enum Left {
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A brake, or the end of the process: no further step starts, or those in flight were dropped.
    #[error("the agent is held back")]
    Held,
}

/// What became of lines that were to be written.
#[derive(Debug, PartialEq)]
enum Written {
    /// They are on disk.
    Yes,
    /// The run moved meanwhile, and was read anew.
    Moved,
    /// A brake is pulled: what happened is on disk, what was to start is not.
    Held,
    /// The day's refunds are used up: what happened is on disk, the refund was not started.
    DayFull,
    /// Another refund is in the way, in these words; the same.
    Twin(String),
}

impl Worker {
    /// One turn: claims a run and moves it as far as it goes. `false`: there was nothing to claim, or nothing may be done.
    pub async fn tick(&self) -> Result<bool, journal::Error> {
        match self.claim().await? {
            Some(claimed) => self.work(claimed).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The first half of a turn: `None` when there is nothing to claim, or nothing may be done.
    pub async fn claim(&self) -> Result<Option<Claimed>, journal::Error> {
        loop {
            if self.hold.is_closing() || self.hold.look().await?.is_some_and(|pulled| pulled.brake.holds_steps()) {
                return Ok(None);
            }
            match self.journal.claim(&self.name, self.clock.now_ms(), LEASE_TTL).await {
                Err(journal::Error::Unreadable { lease, why }) => self.park_unreadable(&lease, &why).await?,
                claimed => return claimed,
            }
        }
    }

    /// The second half: moves a claimed run as far as it goes.
    pub async fn work(&self, claimed: Claimed) -> Result<(), journal::Error> {
        // A run that was claimed again and again without a trace may have ended its process: suspects go one after the other,
        // so that the innocent ones show that they are.
        let turn = match claimed.claims_without_progress {
            ..SUSPECT_FROM_CLAIM => None,
            _ => match self.hold.suspect(self.clock.now_ms()) {
                Some(turn) => Some(turn),
                None => {
                    return self.journal.put_back(claimed.lease, self.clock.now_ms() + SUSPECT_WAITS_MS).await;
                }
            },
        };
        let lease = claimed.lease.clone();
        let run = lease.run.clone();
        let span = info_span!("run", run.id = %run);
        // A panic costs this run its turn, never the process.
        let moving = tokio::spawn({
            let worker = self.clone();
            async move { worker.move_run(claimed).await }.instrument(span)
        });
        let moved = moving.await;
        drop(turn);
        match moved {
            Ok(Ok(())) => {}
            Ok(Err(Left::Held)) => debug!(run.id = %run, "held back"),
            Ok(Err(Left::Journal(journal::Error::StaleLease { .. }))) => {
                warn!(run.id = %run, "another worker has the run; this one lets go");
            }
            Ok(Err(Left::Journal(failed))) => return Err(failed),
            Ok(Err(Left::Broken(broken))) => self.park_unreadable(&lease, &broken.to_string()).await?,
            Err(broke) => self.record_panic(&lease, broke).await,
        }
        Ok(())
    }

    /// Moves the run, then gives it back, whatever came of it but a journal that refuses.
    async fn move_run(&self, claimed: Claimed) -> Result<(), Left> {
        let Claimed { mut lease, entries, claims_without_progress, forgot_since_ms } = claimed;
        let forgot_since = forgot_since_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let mut draft = Draft::new(RunState::fold(&entries)?);
        drop(entries);
        if claims_without_progress > super::poison::CLAIMS_WITHOUT_PROGRESS_MAX {
            self.park(&mut draft)?;
        }
        let moved = self.go(&mut lease, &mut draft, forgot_since).await;
        if matches!(moved, Ok(()) | Err(Left::Held)) {
            self.journal.release(lease).await?;
        }
        moved
    }

    async fn go(&self, lease: &mut Lease, draft: &mut Draft, forgot_since: Option<Timestamp>) -> Result<(), Left> {
        let mut wrote = false;
        loop {
            let now = self.clock.now();
            match next(&draft.state, &self.rules, now) {
                Next::Record(bodies) => {
                    for body in bodies {
                        draft.push(Entry::new(self.clock.now(), body))?;
                    }
                }
                Next::Start(works) => {
                    if self.hold.is_closing() {
                        self.flush(lease, draft).await?;
                        return Err(Left::Held);
                    }
                    let conditions = self.hold.conditions(&draft.state, &works, &self.rules.policy, now);
                    let mut started = Vec::with_capacity(works.len());
                    for work in works.clone() {
                        let step = draft.state.next_step;
                        draft.push(Entry::new(self.clock.now(), Body::StepStarted { step, work }))?;
                        started.push(step);
                    }
                    wrote = true;
                    match self.commit_if(lease, draft, conditions).await? {
                        Written::Yes => {
                            let open = open_steps(draft, &started);
                            let before = Before { again: false, forgot_since };
                            self.perform_all(lease, draft, open, before).await?;
                        }
                        Written::Moved => {}
                        Written::Held => return Err(Left::Held),
                        Written::DayFull => self.ask_for_the_day(draft, &works).await?,
                        Written::Twin(other) => {
                            let bodies = next::ask_for_a_twin(&draft.state, &works, &other, &self.rules, now);
                            bodies.into_iter().try_for_each(|body| draft.push(Entry::new(self.clock.now(), body)))?;
                        }
                    }
                }
                Next::Resume(open) => {
                    let held = self.hold.look().await?.is_some_and(|pulled| pulled.brake.holds_steps());
                    if held || self.hold.is_closing() {
                        self.flush(lease, draft).await?;
                        return Err(Left::Held);
                    }
                    wrote = true;
                    // They are performed as they were found: this line must not hide that a try's end is not known.
                    for found in open.iter().filter(|open| open.work.is_effect() && !open.under_way) {
                        let body = Body::StepRetried { step: found.step, attempt: found.attempts + 1 };
                        draft.push(Entry::new(self.clock.now(), body))?;
                    }
                    // Written even when there is no line: a brake that was acknowledged meanwhile must be seen.
                    let conditions = Conditions { switches_off: brake::NO_STEP_UNDER, ..Conditions::default() };
                    match self.commit_always(lease, draft, conditions).await? {
                        Written::Yes => {
                            let before = Before { again: true, forgot_since };
                            self.perform_all(lease, draft, open, before).await?;
                        }
                        Written::Moved => {}
                        Written::Held | Written::DayFull | Written::Twin(_) => return Err(Left::Held),
                    }
                }
                Next::Wait { until_ms } => {
                    wrote |= !draft.is_empty();
                    if self.commit(lease, draft).await? == Written::Yes
                        && self.rest(lease, draft, Some(until_ms), now.as_millisecond(), wrote).await?
                    {
                        return Ok(());
                    }
                }
                Next::Done => {
                    wrote |= !draft.is_empty();
                    if self.commit(lease, draft).await? == Written::Yes
                        && self.rest(lease, draft, None, now.as_millisecond(), wrote).await?
                    {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Makes sure that a run for which there is nothing to do is not claimed again at once: where its row may say otherwise,
    /// the row is set right. `false`: the run moved meanwhile.
    async fn rest(
        &self,
        lease: &Lease,
        draft: &mut Draft,
        until_ms: Option<i64>,
        now_ms: i64,
        wrote: bool,
    ) -> Result<bool, Left> {
        let (_, wake_ms) = draft.state.rest();
        let is_early = wake_ms.is_some_and(|wake| wake <= now_ms);
        let is_held = draft.state.held_back.is_some();
        if wrote && !is_early {
            return Ok(true);
        }
        let (expected_len, entries, mut projection) = draft.take();
        if is_early {
            if !is_held {
                warn!(run.id = %lease.run, "the run can be claimed, but nothing can be done; it rests");
            }
            projection.row.wake_ms = until_ms.map(|until| until.max(now_ms + REST_MIN_MS));
        }
        match self.write(lease, expected_len, &entries, projection, Conditions::default()).await {
            Ok(()) => Ok(true),
            Err(journal::Error::Moved { .. }) => {
                *draft = Draft::new(RunState::fold(&self.journal.entries(&lease.run).await?)?);
                Ok(false)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn commit(&self, lease: &Lease, draft: &mut Draft) -> Result<Written, Left> {
        self.commit_if(lease, draft, Conditions::default()).await
    }

    /// Writes what waits. When the run moved (a person decided, the customer wrote), the draft is read anew and keeps only what
    /// really happened, the ends of steps; when a condition does not hold, it keeps all but the steps that were to start.
    async fn commit_if(&self, lease: &Lease, draft: &mut Draft, conditions: Conditions) -> Result<Written, Left> {
        if draft.is_empty() {
            return Ok(Written::Yes);
        }
        self.commit_always(lease, draft, conditions).await
    }

    /// Writes what happened until it is on disk, however often the run moves meanwhile.
    async fn flush(&self, lease: &Lease, draft: &mut Draft) -> Result<(), Left> {
        while self.commit(lease, draft).await? == Written::Moved {}
        Ok(())
    }

    async fn commit_always(&self, lease: &Lease, draft: &mut Draft, conditions: Conditions) -> Result<Written, Left> {
        let (expected_len, entries, projection) = draft.take();
        match self.write(lease, expected_len, &entries, projection, conditions).await {
            Ok(()) => {
                if draft.state.outcome.is_some() && entries.iter().any(|e| matches!(e.body, Body::RunClosed { .. })) {
                    let outcome = draft.state.outcome.as_ref().map_or("", Outcome::as_str);
                    info!(ticket.id = %draft.state.ticket.id, run.steps = draft.state.steps, "run ended: {outcome}");
                }
                Ok(Written::Yes)
            }
            Err(journal::Error::Moved { .. }) => {
                debug!("the run moved meanwhile; reading it again");
                let happened = |state: &RunState, body: &Body| match body {
                    Body::StepFinished { step, .. } | Body::StepDelayed { step, .. } | Body::CallLost { step, .. } => {
                        state.open.contains_key(step)
                    }
                    _ => false,
                };
                *draft = self.read_anew(lease, entries, happened).await?;
                Ok(Written::Moved)
            }
            Err(journal::Error::SwitchedOn { switch, .. }) => {
                debug!("no step starts: {switch}");
                *draft = self.read_anew(lease, entries, |_, body| !begins(body)).await?;
                Box::pin(self.flush(lease, draft)).await?;
                Ok(Written::Held)
            }
            // Nothing may begin while the disk is nearly full; what has ended is written all the same.
            Err(journal::Error::Storage { .. }) if entries.iter().any(|entry| begins(&entry.body)) => {
                *draft = self.read_anew(lease, entries, |_, body| !begins(body)).await?;
                Box::pin(self.flush(lease, draft)).await?;
                Ok(Written::Held)
            }
            Err(journal::Error::DayFull { sum_minor, limit_minor, .. }) => {
                info!("the day's refunds are used up: {sum_minor} of {limit_minor}");
                *draft = self.read_anew(lease, entries, |_, body| !begins(body)).await?;
                Ok(Written::DayFull)
            }
            Err(journal::Error::Twin { run, state, amount }) => {
                info!("the refund is not started: `{run}` has one of {amount} of the same payment, {state}");
                *draft = self.read_anew(lease, entries, |_, body| !begins(body)).await?;
                Ok(Written::Twin(format!("{amount} by run `{run}`, {}", state.replace('_', " "))))
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// The run as it is on disk, with those of the lines that still hold.
    async fn read_anew(
        &self,
        lease: &Lease,
        entries: Vec<Entry>,
        holds: impl Fn(&RunState, &Body) -> bool,
    ) -> Result<Draft, Left> {
        let mut fresh = Draft::new(RunState::fold(&self.journal.entries(&lease.run).await?)?);
        for entry in entries {
            if holds(&fresh.state, &entry.body) {
                fresh.push(entry)?;
            }
        }
        Ok(fresh)
    }

    /// The day's refunds are used up: the call that wanted one more is judged anew, and a person is asked.
    async fn ask_for_the_day(&self, draft: &mut Draft, works: &[Work]) -> Result<(), Left> {
        for work in works {
            let Work::Tool { call, intent: crate::intent::Intent::CreateRefund(refund), .. } = work else { continue };
            let amount = refund.amount();
            let since_ms = self.hold.day_began(self.clock.now()).as_millisecond();
            let taken_minor = self.journal.refunded_since(amount.currency, since_ms).await?;
            let judgement = rules::judge_day(amount, taken_minor, &self.rules.policy);
            draft.push(Entry::new(self.clock.now(), Body::Judged { call: Some(call.clone()), judgement }))?;
        }
        Ok(())
    }

    /// Appends, and keeps trying while the file cannot be written: a finished step that was paid for is not dropped because
    /// the disk was full for a while. The token keeps this from harming: once another worker has the run, it is refused.
    async fn write(
        &self,
        lease: &Lease,
        expected_len: u64,
        entries: &[Entry],
        projection: Projection,
        conditions: Conditions,
    ) -> Result<(), journal::Error> {
        let began_ms = self.clock.now_ms();
        let can_wait = !entries.iter().any(|entry| begins(&entry.body)); // What has not begun is better left.
        let mut pause = Duration::from_millis(50);
        loop {
            let written =
                self.journal.append_if(lease, expected_len, entries, projection.clone(), conditions.clone()).await;
            let now_ms = self.clock.now_ms();
            match written {
                Err(journal::Error::Storage { doing, reason, hint })
                    if can_wait && now_ms - began_ms < WRITE_AGAIN_FOR_MS && !self.hold.is_closing() =>
                {
                    self.hold.health.set_journal(now_ms, Some(reason.clone()));
                    if pause < WRITE_AGAIN_AFTER {
                        warn!(run.id = %lease.run, "the journal cannot be {doing}, trying again: {reason}; {hint}");
                    }
                }
                Err(failed) => {
                    if let journal::Error::Storage { reason, .. } = &failed {
                        self.hold.health.set_journal(now_ms, Some(reason.clone()));
                    }
                    return Err(failed);
                }
                Ok(()) => {
                    self.hold.health.set_journal(now_ms, None);
                    return Ok(());
                }
            }
            pause = (pause * 2).min(WRITE_AGAIN_AFTER);
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = self.hold.dropped(), if self.hold.is_closing() => {}
            }
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
        // In shadow mode there is no permission: what performs effects cannot be called.
        let acting = self.permission(lease);
        let tries = open.iter().map(|open| self.try_step(before.clone(), open, known, acting.clone()));
        let mut running = tries.collect::<FuturesUnordered<_>>().ready_chunks(16);
        drop(before); // The last look at the state ends with the last try: its lines are then added without a copy.
        let mut left = open.len();
        // A time and no pause: steps that end meanwhile must not put the renewal off.
        let mut renew_at = self.renew_at(lease);
        loop {
            let ended = tokio::select! {
                ended = running.next() => ended,
                () = self.clock.sleep_until(renew_at) => {
                    self.renew(lease).await?;
                    acting.iter().for_each(|acting| acting.extend(lease.until_ms));
                    renew_at = self.renew_at(lease);
                    continue;
                }
                () = self.hold.dropped() => {
                    warn!("{left} steps in flight are dropped; they are looked for when the run goes on");
                    self.flush(lease, draft).await?;
                    return Err(Left::Held);
                }
            };
            let Some(ended) = ended else { return Ok(()) };
            left -= ended.len();
            for body in ended.into_iter().flatten() {
                draft.push(Entry::new(self.clock.now(), body))?;
            }
            if left > 0 {
                // A run that moved is read again; what was started is still open in it and is waited for here.
                self.commit(lease, draft).await?;
            }
        }
    }

    /// Tries a step once. The lines that say how it ended: calls whose answers were lost, then the step's own.
    async fn try_step(
        &self,
        state: Arc<RunState>,
        open: &OpenStep,
        known: Before,
        acting: Option<Acting>,
    ) -> Vec<Body> {
        let (lost, body) = self.try_once(&state, open, known, acting).await;
        // Whoever tried it before died in it: the call may have left, and then it was paid for.
        let died = known.again && open.under_way;
        let by_death = open.work.model().filter(|_| died).map(|model| lost_by_death(model, &body, &self.performer));
        let lost = by_death.into_iter().chain(lost.map(|call| *call));
        let lost = lost.map(|call| Body::CallLost { step: open.step, call });
        lost.chain([body]).collect()
    }

    async fn try_once(
        &self,
        state: &RunState,
        open: &OpenStep,
        known: Before,
        acting: Option<Acting>,
    ) -> (Option<Box<LostCall>>, Body) {
        let (step, attempts, limits) = (open.step, open.attempts, &self.rules.limits);
        let found = known.forgot_since.is_some() || known.again && open.may_have_acted();
        let probes = match gate::hold_back(&self.hold, state, open, found, limits, self.clock.now()).await {
            Ok(probes) => probes,
            Err(instead) => return (None, instead),
        };
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
            acting,
        };
        let doing = Box::pin(self.performer.perform(state, &this).instrument(span));
        let doing = clients::hearing(crash::within(|| format!("{} step={step}", state.run), doing));
        let (tried, heard) = doing.await;
        let now_ms = self.clock.now_ms();
        gate::tell(&self.hold, &tried, &heard, now_ms);
        if matches!(open.work, Work::Route { .. } | Work::Model { .. }) {
            self.hold.health.set_limited(now_ms, self.performer.limiter.said(now_ms));
        }
        drop(probes);
        match gate::outlast(&self.hold, open, tried, limits, self.clock.now()) {
            Tried::Finished(result) | Tried::Known(result) => {
                if let StepResult::Failed { failure, .. } = &result {
                    warn!(step.no = step.0, "step failed: {}: {}", failure.vendor, failure.message);
                }
                (None, Body::StepFinished { step, result, took_ms: watch.elapsed_ms() })
            }
            Tried::InLine { failure, until_ms, .. } => {
                // Like an outage: waited for as long as a run may take, then a person gets the ticket.
                if (now_ms - open.started_at.as_millisecond()) / 1_000 >= limits.wall_time_max_s {
                    let result = StepResult::Failed { failure, call: None };
                    return (None, Body::StepFinished { step, result, took_ms: 0 });
                }
                debug!(step.no = step.0, "in line for the model for {} ms: {}", until_ms - now_ms, failure.message);
                (None, Body::StepDelayed { step, attempt: attempts, failure, retry_at_ms: until_ms })
            }
            Tried::Later { failure, after, lost } => {
                let attempt = if is_own_delay(&failure) { attempts } else { attempts + 1 };
                let asked_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let pause = pause_ms(&state.run, step, attempt, asked_ms);
                let retry_at_ms = self.clock.now_ms().saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
                warn!(
                    step.no = step.0,
                    "try {attempt} failed, next in {pause} ms: {}: {}", failure.vendor, failure.message
                );
                (lost, Body::StepDelayed { step, attempt, failure, retry_at_ms })
            }
        }
    }

    /// Whether a try of a step that was found open may still be running at the vendor: a worker died in it, nobody knows how
    /// short ago, or its answer was lost a moment ago.
    fn may_still_run(&self, found: &OpenStep) -> bool {
        let since = self.clock.now().duration_since(found.touched_at);
        found.under_way || (found.unsure && since.unsigned_abs() < STILL_RUNNING)
    }

    /// The permission to act under a lease; `None` in shadow mode. Made here and nowhere else.
    fn permission(&self, lease: &Lease) -> Option<Acting> {
        match self.rules.mode {
            Mode::Auto => Some(Acting::until(self.clock.clone(), lease.until_ms)),
            Mode::Shadow => None,
        }
    }

    /// Makes sure that the lease holds for a while.
    async fn keep(&self, lease: &mut Lease) -> Result<(), Left> {
        if self.clock.now() >= renewal_due(lease) {
            self.renew(lease).await?;
        }
        Ok(())
    }

    /// When to renew a lease beside steps in flight.
    fn renew_at(&self, lease: &Lease) -> Timestamp {
        renewal_due(lease).max(self.clock.now() + LEASE_RENEWED_EVERY)
    }

    /// Makes the lease hold longer. A file that cannot be written is no reason to drop what is in flight: nobody else can claim
    /// the run either, and the token is compared when it counts.
    async fn renew(&self, lease: &mut Lease) -> Result<(), Left> {
        let ttl_ms = i64::try_from(LEASE_TTL.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.clock.now_ms();
        match self.journal.renew(lease, now_ms.saturating_add(ttl_ms)).await {
            Ok(longer) => *lease = longer,
            Err(journal::Error::Storage { reason, .. }) => {
                warn!("the lease cannot be renewed: {reason}");
                self.hold.health.set_journal(now_ms, Some(reason));
            }
            Err(failed) => return Err(failed.into()),
        }
        Ok(())
    }
}

/// When a lease has no more left than it needs to be renewed in time.
fn renewal_due(lease: &Lease) -> Timestamp {
    let margin_ms = i64::try_from(LEASE_RENEWED_AT.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(lease.until_ms.saturating_sub(margin_ms)).unwrap_or(Timestamp::MAX)
}

/// What is known of a call in which a worker died: the prompt that the same request had when it was asked again, where it was
/// answered now.
fn lost_by_death(model: &str, repeated: &Body, performer: &Performer) -> LostCall {
    let usage = match repeated {
        Body::StepFinished { result: StepResult::Routed { call, .. } | StepResult::Model { call, .. }, .. } => {
            Some(Usage { output: 0, ..call.usage })
        }
        _ => None,
    };
    let cost = usage.and_then(|usage| performer.prices.cost(model, &usage));
    LostCall { model: model.to_owned(), request_id: None, usage, cost, by_death: true }
}

/// A line without which nothing leaves the process.
fn begins(body: &Body) -> bool {
    matches!(body, Body::StepStarted { .. } | Body::StepRetried { .. })
}

/// The open ones among these steps.
fn open_steps(draft: &Draft, steps: &[StepNo]) -> Vec<OpenStep> {
    steps.iter().filter_map(|step| draft.state.open.get(step).cloned()).collect()
}

pub(super) fn kind_of(work: &Work) -> &'static str {
    match work {
        Work::ReadFacts => "facts",
        Work::Route { .. } => "route",
        Work::Model { .. } => "model",
        Work::Tool { intent, .. } => intent.tool().as_str(),
        Work::Mail { .. } => "mail",
        Work::Note { .. } => "note",
    }
}
