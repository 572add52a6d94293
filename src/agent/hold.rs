//! What holds the agent back: brakes that people pull, the end of the process, money that is used up, vendors that are away.
//! Shared by all workers. The comparisons that must not be raced past stand in the journal's commit; here is what may be a
//! moment old.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::intent::Intent;
use crate::journal::brake::{self, Brake, NO_STEP_UNDER, Pulled};
use crate::journal::{self, Conditions, Journal, OnlyRefund, RefundDay};
use crate::policy::{Policy, RuleId};
use crate::run::entry::Work;
use crate::run::spend::{self, Periods, Reached, Spend};
use crate::run::state::RunState;

/// The brakes are looked at this often even when no bell rang: another process may have pulled one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two looks: a busy desk rings often.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long a suspect has its turn for itself, in milliseconds.
const SUSPECT_ALONE_MS: i64 = 30_000;
/// How old the known sum of what was spent may be, in milliseconds.
const SPENT_KNOWN_MS: i64 = 2_000;

/// Shared by all workers of a process.
pub struct Hold {
    journal: Arc<dyn Journal>,
    clock: Clock,
    /// What is wrong right now, for pages.
    pub health: Arc<Health>,
    zone: TimeZone,
    spend: Spend,
    pulled: watch::Sender<Option<Pulled>>,
    /// No step starts any more; those in flight get a moment.
    closing: CancellationToken,
    /// Steps in flight are dropped.
    dropping: CancellationToken,
    /// Since when a run moves that may have ended a process before, in milliseconds since the Unix epoch.
    suspect: std::sync::Mutex<Option<i64>>,
    spent: Mutex<Spent>,
}

/// Ends when it is dropped.
pub(super) struct SuspectTurn<'a> {
    hold: &'a Hold,
    since_ms: i64,
}

impl Drop for SuspectTurn<'_> {
    fn drop(&mut self) {
        let mut since = self.hold.suspect.lock().unwrap_or_else(PoisonError::into_inner);
        if *since == Some(self.since_ms) {
            *since = None;
        }
    }
}

struct Spent {
    read_at_ms: i64,
    reached: Option<Reached>,
}

impl Hold {
    /// Nothing is held back yet. `zone` is the shop's: its days and months are counted.
    pub fn new(journal: Arc<dyn Journal>, clock: Clock, health: Arc<Health>, zone: TimeZone, spend: Spend) -> Self {
        Self {
            journal,
            clock,
            health,
            zone,
            spend,
            pulled: watch::Sender::new(None),
            closing: CancellationToken::new(),
            dropping: CancellationToken::new(),
            suspect: std::sync::Mutex::new(None),
            spent: Mutex::new(Spent { read_at_ms: i64::MIN, reached: None }),
        }
    }

    /// Reads which brake is pulled, and tells whoever waits for it.
    pub async fn look(&self) -> Result<Option<Pulled>, journal::Error> {
        let found = brake::pulled(&*self.journal).await?;
        self.pulled.send_if_modified(|known| {
            let changed = *known != found;
            if changed {
                match &found {
                    Some(pulled) => warn!("{} by {}: {}", pulled.brake.as_str(), pulled.by, pulled.reason),
                    None => info!("no brake is pulled any more"),
                }
                known.clone_from(&found);
            }
            changed
        });
        Ok(found)
    }

    /// Looks again and again: at the bell, and every second.
    pub async fn keep_looking(&self, stop: CancellationToken) {
        let mut bell = self.journal.bell();
        while !stop.is_cancelled() {
            bell.borrow_and_update(); // Register, then look.
            if let Err(failed) = self.look().await {
                warn!("the brakes cannot be read, trying again: {failed}");
            }
            let pause = async {
                self.clock.sleep(LOOK_PAUSE).await;
                tokio::select! {
                    rung = bell.changed() => drop(rung),
                    () = self.clock.sleep(LOOK_EVERY) => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = pause => {}
            }
        }
    }

    /// Which brake was pulled when somebody looked last.
    pub fn known(&self) -> Option<Brake> {
        self.pulled.borrow().as_ref().map(|pulled| pulled.brake)
    }

    /// From now on no step starts.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// From now on steps in flight are dropped; they are looked for when their runs go on.
    pub fn drop_steps(&self) {
        self.closing.cancel();
        self.dropping.cancel();
    }

    /// Whether no step starts any more.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns when steps in flight are to be dropped: the process ends, or the kill switch is thrown. Safe to drop.
    pub async fn dropped(&self) {
        let mut pulled = self.pulled.subscribe();
        let stopped = pulled.wait_for(|pulled| pulled.as_ref().is_some_and(|pulled| pulled.brake == Brake::Stopped));
        tokio::select! {
            () = self.dropping.cancelled() => {}
            _ = stopped => {}
        }
    }

    /// A turn for a run that may have ended a process before: one at a time. What ends a process does so soon; after a while the
    /// next one may go, so that a slow vendor does not hold up all of them. `None`: another has it.
    pub(super) fn suspect(&self, now_ms: i64) -> Option<SuspectTurn<'_>> {
        let mut since = self.suspect.lock().unwrap_or_else(PoisonError::into_inner);
        // One that began after now is of a clock that was set back.
        if since.is_some_and(|since| (0..SUSPECT_ALONE_MS).contains(&(now_ms - since))) {
            return None;
        }
        *since = Some(now_ms);
        Some(SuspectTurn { hold: self, since_ms: now_ms })
    }

    /// Whether no model call may start, because the money for them is used up. At most two seconds old.
    pub async fn spent(&self, now: Timestamp) -> Result<Option<Reached>, journal::Error> {
        let mut spent = self.spent.lock().await;
        let now_ms = now.as_millisecond();
        if now_ms.saturating_sub(spent.read_at_ms) >= SPENT_KNOWN_MS || now_ms < spent.read_at_ms {
            let periods = Periods::of(now, &self.zone);
            let (day, month) = tokio::try_join!(
                self.journal.spent_since(periods.day.as_millisecond()),
                self.journal.spent_since(periods.month.as_millisecond()),
            )?;
            let reached = spend::reached(&self.spend, day, month, &periods);
            self.health.set_spend(now_ms, reached.as_ref().map(|reached| reached.said.clone()));
            *spent = Spent { read_at_ms: now_ms, reached };
        }
        Ok(spent.reached.clone())
    }

    /// When the shop's day began.
    pub fn day_began(&self, now: Timestamp) -> Timestamp {
        Periods::of(now, &self.zone).day
    }

    /// What must hold in the commit that starts these steps.
    pub fn conditions(&self, state: &RunState, works: &[Work], policy: &Policy, now: Timestamp) -> Conditions {
        let mut conditions = Conditions { switches_off: NO_STEP_UNDER, ..Conditions::default() };
        let refund = works.iter().find_map(|work| match work {
            Work::Tool { intent: Intent::CreateRefund(refund), approval, .. } => Some((refund, approval.as_ref())),
            _ => None,
        });
        let Some((refund, approval)) = refund else { return conditions };
        let amount = refund.amount();
        // A person who was told of the other refund agreed to one more.
        let was_told = approval
            .and_then(|id| state.approval(id))
            .is_some_and(|approval| approval.judgement.rule == RuleId::Repeated);
        if !was_told {
            conditions.only_refund = Some(OnlyRefund { payment: refund.payment.clone(), amount });
        }
        // One that a person agreed to counts, and is not held back by the sum.
        if let (None, Some(limit_minor)) = (approval, policy.refund_daily_limit(amount.currency)) {
            let since_ms = self.day_began(now).as_millisecond();
            conditions.refund_day = Some(RefundDay { amount, since_ms, limit_minor });
        }
        conditions
    }
}
