//! New tickets → runs, the cursor moved in the same commit.
//!
//! Two lanes into one queue, both idempotent on (ticket, newest requester comment): the ticket list, polled every few seconds,
//! is fast and may miss; the incremental export lags by a minute and never loses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, error, info, warn};

use crate::clients::zendesk::{IncrementalFrom, TicketHead, Zendesk, own_words};
use crate::clients::{self};
use crate::clock::Clock;
use crate::ids::{RunId, TicketId, UserId};
use crate::journal::brake::{self, Brake};
use crate::journal::{self, Arrival, Cursor, Journal, TicketHistory};
use crate::policy::{Judgement, RuleId, Verdict, signals};
use crate::run::draft::Draft;
use crate::run::entry::{Body, Entry, Outcome};
use crate::run::state::{Broken, RunState};
use crate::ticket::{Author, Overtaken, Ticket, TicketStatus, overtaken};

/// The lane whose cursor is kept.
const INCREMENTAL: &str = "incremental";
/// The list is read back this far behind what was seen, in seconds: its stamps have a resolution of one second and two
/// readers' clocks differ.
const LIST_OVERLAP_S: i64 = 10;
/// How many pages of the list are read in one turn at most.
const LIST_PAGES_MAX: u32 = 10;
/// The incremental export refuses a start that is younger than a minute.
///
/// Source: <https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/>, 2026-11.
const INCREMENTAL_START_MIN_S: i64 = 120;
/// Stamps count whole seconds: after one, a ticket's stamp stands for one state of it only.
const STAMP_SETTLES_S: i64 = 1;
/// So often in a row a ticket's messages may be unreadable, while the list of tickets is answered, before it is set aside: the
/// helpdesk as a whole may be in trouble for a moment.
const READS_FAILED_MAX: u32 = 3;
/// More tickets than this that cannot be read, with none between them that can, are perhaps no trouble of single tickets: the
/// turn ends there, those are set aside, and the next turn goes on behind them.
const UNREADABLE_IN_A_ROW_MAX: usize = 10;
/// So many of the tickets that were set aside are tried in one turn.
const ASIDE_TRIES_MAX: usize = 10;
/// For so long one turn tries tickets that were set aside, in seconds: the patience for one answer, so that a ticket that hangs
/// costs the others no more than that.
const ASIDE_TURN_S: i64 = 60;
/// How many tickets' failed reads are counted. More fail at once only when the helpdesk as a whole is in trouble.
const FAILING_MAX: usize = 1_000;
/// How many tickets' stamps are remembered, to spare reading a ticket that did not change.
const SEEN_MAX: usize = 10_000;

/// How intake is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who we are at the helpdesk.
    pub me: UserId,
    /// How many runs a ticket may have in a day; more than that is a loop or a fight.
    pub runs_per_ticket_per_day_max: u32,
    /// Channels in which an answer reaches the customer.
    pub channels: Vec<String>,
    /// How far back tickets are picked up at the very first start.
    pub first_start_at: Timestamp,
    /// Hash of the prompts, kept with each run.
    pub prompts: String,
}

/// Looks for tickets that changed.
pub struct Poller {
    journal: Arc<dyn Journal>,
    zendesk: Zendesk,
    clock: Clock,
    settings: Settings,
    /// The newest stamp that the list lane has seen.
    watermark: Timestamp,
    /// Stamps of tickets as last looked at.
    seen: BTreeMap<TicketId, Timestamp>,
    /// How often in a row a ticket could not be read although the helpdesk answers.
    failing: BTreeMap<TicketId, u32>,
    /// Where among the tickets that were set aside the next turn goes on.
    aside_from: usize,
}

/// Why a turn of intake did not come to an end; the cursor has not moved past what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The helpdesk.
    #[error(transparent)]
    Zendesk(#[from] clients::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A run's entries.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Poller {
    /// A poller that starts from the journal's cursor.
    pub fn new(journal: Arc<dyn Journal>, zendesk: Zendesk, clock: Clock, settings: Settings) -> Self {
        let watermark = settings.first_start_at;
        Self {
            journal,
            zendesk,
            clock,
            settings,
            watermark,
            seen: BTreeMap::new(),
            failing: BTreeMap::new(),
            aside_from: 0,
        }
    }

    /// One turn of the list lane: what changed since the last one. Returns how many runs were opened or joined.
    pub async fn tick_list(&mut self) -> Result<usize, Error> {
        let since = self.watermark - SignedDuration::from_secs(LIST_OVERLAP_S);
        let mut changed = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let page = self.zendesk.list_newest(after.as_deref()).await?;
            let reached_known = page.heads.iter().any(|head| head.updated_at < since);
            changed.extend(page.heads.into_iter().filter(|head| head.updated_at >= since));
            after = page.after;
            if reached_known || after.is_none() {
                break;
            }
        }
        changed.reverse(); // Oldest first: who has waited longest is served first.
        let newest = changed.iter().map(|head| head.updated_at).max();
        let Some(arrived) = self.take_in(changed, None).await? else { return Ok(0) };
        self.watermark = newest.map_or(self.watermark, |newest| newest.max(self.watermark));
        Ok(arrived)
    }

    /// One turn of the incremental lane: to the end of the stream, page by page, each page's runs and cursor in one commit.
    pub async fn tick_incremental(&mut self) -> Result<usize, Error> {
        let mut arrived = self.within_its_time().await;
        loop {
            let from = match self.journal.cursor(INCREMENTAL).await? {
                Some(cursor) => IncrementalFrom::Cursor(cursor),
                None => {
                    let latest = self.zendesk.now() - SignedDuration::from_secs(INCREMENTAL_START_MIN_S);
                    IncrementalFrom::Start(self.settings.first_start_at.min(latest))
                }
            };
            let page = self.zendesk.incremental(&from).await?;
            let cursor = page.cursor.map(|position| Cursor { lane: INCREMENTAL.to_owned(), position });
            let stuck = match (&from, &cursor) {
                (IncrementalFrom::Cursor(before), Some(now)) => *before == now.position,
                (_, None) => true,
                (IncrementalFrom::Start(_), Some(_)) => false,
            };
            let Some(count) = self.take_in(page.heads, cursor.filter(|_| !stuck)).await? else { return Ok(arrived) };
            arrived += count;
            if page.end_of_stream || stuck {
                return Ok(arrived);
            }
        }
    }

    /// Tries what was set aside, for a while. Whatever becomes of that, it keeps nothing else out: those tickets stay aside.
    async fn within_its_time(&mut self) -> usize {
        let clock = self.clock.clone();
        let ends = clock.now() + SignedDuration::from_secs(ASIDE_TURN_S);
        let tried = tokio::select! {
            tried = self.tick_aside() => tried,
            () = clock.sleep_until(ends) => {
                debug!("the tickets that are set aside take long; the next turn goes on with the others of them");
                return 0;
            }
        };
        tried.unwrap_or_else(|failed| {
            warn!("the tickets that are set aside could not be tried: {failed}");
            0
        })
    }

    /// Tries tickets that were set aside once more, some in each turn, one after the other: what one of them brings is on disk
    /// before the next is asked for.
    async fn tick_aside(&mut self) -> Result<usize, Error> {
        let aside = self.journal.set_aside().await?;
        let mut arrived = 0;
        for _ in 0..aside.len().min(ASIDE_TRIES_MAX) {
            // Moved on first: should this one hang, the next turn begins behind it.
            let at = if self.aside_from < aside.len() { self.aside_from } else { 0 };
            self.aside_from = at + 1;
            let ticket = aside[at].ticket;
            self.seen.remove(&ticket);
            match self.zendesk.head(ticket).await {
                Ok(head) => arrived += self.take_in(vec![head], None).await?.unwrap_or(0),
                Err(clients::Error::Refused { status: Some(404), .. }) => {
                    self.journal.admit(vec![Arrival::BackIn { ticket }], None).await?;
                }
                Err(failed) if failed.is_too_often() => return Err(failed.into()),
                Err(failed) => debug!(ticket.id = %ticket, "it stays set aside: {failed}"),
            }
        }
        Ok(arrived)
    }

    /// Takes in a page; `None` when it must be read again: nothing of it was written, or a brake lets no new run in. News still
    /// join open runs then; the cursor stays where it is, so that nothing is lost.
    async fn take_in(&mut self, heads: Vec<TicketHead>, cursor: Option<Cursor>) -> Result<Option<usize>, Error> {
        let mut held = false;
        let draining = match brake::pulled(&*self.journal).await?.map(|pulled| pulled.brake) {
            Some(Brake::Stopped) => return Ok(None),
            Some(Brake::Draining) => true,
            Some(Brake::Paused) | None => false,
        };
        let mut newest_by_ticket: BTreeMap<TicketId, TicketHead> = BTreeMap::new();
        let mut order = Vec::new();
        for head in heads {
            if self.seen.get(&head.id).is_some_and(|seen| *seen == head.updated_at) {
                continue;
            }
            order.retain(|id| *id != head.id);
            order.push(head.id);
            newest_by_ticket.insert(head.id, head);
        }
        let aside: BTreeSet<TicketId> = self.journal.set_aside().await?.into_iter().map(|one| one.ticket).collect();
        let mut arrivals = Vec::new();
        let mut stamps = Vec::new();
        let mut unreadable_in_a_row = 0;
        let mut stopped_by = None;
        for id in order {
            let Some(head) = newest_by_ticket.remove(&id) else { continue };
            if draining && self.journal.ticket_history(id, 0).await?.open.is_none() {
                held = true;
                continue;
            }
            // What changed in this second may change again under the same stamp, and whoever compares stamps later (a guard
            // before an effect, `seen`) would not know. Told by the helpdesk's own time, for ours may be wrong by hours.
            let settled = head.updated_at + SignedDuration::from_secs(STAMP_SETTLES_S);
            let left = settled.duration_since(self.zendesk.now());
            let longest = SignedDuration::from_secs(2 * STAMP_SETTLES_S);
            // A stamp that lies further ahead is of a clock that was set back; it is not waited for.
            let is_ahead = left > longest;
            if left > SignedDuration::ZERO && !is_ahead {
                if cursor.is_none() {
                    continue; // The list is read again in a moment.
                }
                self.clock.sleep(left.unsigned_abs()).await;
            }
            let stamp = Some((id, head.updated_at)).filter(|_| !is_ahead);
            match self.look_at(head).await {
                Ok(arrival) => {
                    unreadable_in_a_row = 0;
                    self.failing.remove(&id);
                    arrivals.extend(arrival);
                    arrivals.extend(aside.contains(&id).then_some(Arrival::BackIn { ticket: id }));
                }
                // It is known, and tried again anyway.
                Err(failed) if aside.contains(&id) => {
                    self.failing.remove(&id);
                    debug!(ticket.id = %id, "it stays set aside: {failed}");
                }
                // One ticket must not keep all others out. It is taken down in the same commit and tried again.
                Err(failed) if unreadable_in_a_row < UNREADABLE_IN_A_ROW_MAX && self.is_of_one_ticket(id, &failed) => {
                    unreadable_in_a_row += 1;
                    let why = failed.to_string().lines().next().unwrap_or_default().to_owned();
                    error!(ticket.id = %id, "the ticket is set aside and tried again: {failed}");
                    arrivals.push(Arrival::SetAside { ticket: id, why, at_ms: self.clock.now_ms() });
                }
                // What was read and set aside before is written all the same: the next turn has so much less to do.
                Err(failed) => {
                    stopped_by = Some(failed);
                    break;
                }
            }
            stamps.extend(stamp);
        }
        // Reading takes a while; a brake that was pulled meanwhile holds as well.
        let opens = arrivals.iter().any(|arrival| matches!(arrival, Arrival::Open { .. }));
        if opens && brake::pulled(&*self.journal).await?.is_some_and(|pulled| pulled.brake != Brake::Paused) {
            return Ok(None);
        }
        let is_news = |arrival: &&Arrival| matches!(arrival, Arrival::Open { .. } | Arrival::Join { .. });
        let count = arrivals.iter().filter(is_news).count();
        let cursor = cursor.filter(|_| !held && stopped_by.is_none());
        if !arrivals.is_empty() || cursor.is_some() {
            match self.journal.admit(arrivals.clone(), cursor.clone()).await {
                Ok(_) => {}
                Err(journal::Error::Moved { run, .. }) => {
                    // A run moved while its ticket was read. Nothing was written; the next turn looks again.
                    debug!(run.id = %run, "a run moved while its ticket was read; looking again next time");
                    return Ok(None);
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        if self.seen.len() + stamps.len() > SEEN_MAX {
            self.seen.clear();
        }
        self.seen.extend(stamps);
        if let Some(failed) = stopped_by {
            return Err(failed);
        }
        Ok(Some(count).filter(|_| !held))
    }

    /// Whether a failure is this ticket's alone: its run cannot be read, or the helpdesk answers and refuses this one, or
    /// fails at it again and again. That we ask too often says nothing of the ticket.
    fn is_of_one_ticket(&mut self, ticket: TicketId, failed: &Error) -> bool {
        match failed {
            Error::Journal(journal::Error::Corrupt(_) | journal::Error::NoSuchRun(_)) | Error::Broken(_) => true,
            Error::Journal(_) => false,
            Error::Zendesk(clients::Error::Refused { status, .. }) => status.is_some_and(|status| status != 401),
            Error::Zendesk(failed) if failed.is_too_often() => false,
            Error::Zendesk(_) => {
                if self.failing.len() >= FAILING_MAX && !self.failing.contains_key(&ticket) {
                    self.failing.clear();
                }
                let times = self.failing.entry(ticket).or_default();
                *times += 1;
                *times >= READS_FAILED_MAX
            }
        }
    }

    /// What a changed ticket means: a new run, news for an open one, or nothing.
    async fn look_at(&self, head: TicketHead) -> Result<Option<Arrival>, Error> {
        let now = self.clock.now();
        let day_ago_ms = (now - SignedDuration::from_hours(24)).as_millisecond();
        let history = self.journal.ticket_history(head.id, day_ago_ms).await?;
        let read = match head.status {
            TicketStatus::Deleted => None,
            _ => match self.zendesk.messages(head.id, head.requester.id, self.settings.me).await {
                Ok(messages) => Some(messages),
                Err(clients::Error::Refused { status: Some(404), .. }) => None, // Deleted meanwhile.
                Err(failed) => return Err(failed.into()),
            },
        };
        let mut ticket = head.into_ticket(Vec::new());
        match read {
            Some(messages) => ticket.messages = messages,
            None => ticket.status = TicketStatus::Deleted,
        }
        if let Some(open) = &history.open {
            let entries = self.journal.entries(&open.run).await?;
            return Ok(join(&entries, &ticket, self.settings.me, now)?);
        }
        if ticket.status == TicketStatus::Deleted {
            return Ok(None);
        }
        let Some(request) = ticket.newest_request() else {
            return Ok(None); // Opened by a colleague; nobody asked us anything.
        };
        let run = RunId::for_trigger(ticket.id, request.id);
        if history.runs.contains(&run) {
            return Ok(None);
        }
        let skip = skip_reason(&ticket, &history, &self.settings);
        let opened = Body::RunOpened {
            run: run.clone(),
            trigger: request.id,
            prompts: self.settings.prompts.clone(),
            ticket: Box::new(ticket.clone()),
        };
        let mut entries = vec![Entry::new(now, opened)];
        if let Some(reason) = skip {
            let outcome = Outcome::Skipped { reason: reason.to_owned() };
            entries.push(Entry::new(now, Body::RunClosed { outcome }));
            info!(run.id = %run, ticket.id = %ticket.id, "skipped: {reason}");
        } else {
            if history.unreadable {
                // Nobody knows what the earlier run did, so nothing is done by rules alone: a person reads these words.
                let why = "an earlier run of this ticket cannot be read, so it is not known what it did";
                let judgement = Judgement::new(RuleId::AgentBroke, Verdict::Escalate, why);
                entries.push(Entry::new(now, Body::Judged { call: None, judgement }));
            }
            info!(run.id = %run, ticket.id = %ticket.id, "picked up");
        }
        let (_, entries, projection) = Draft::open(entries)?.take();
        Ok(Some(Arrival::Open { entries, projection: Box::new(projection) }))
    }
}

/// News for an open run: the requester's comments that it does not know, or that a person has the ticket.
fn join(entries: &[Entry], ticket: &Ticket, me: UserId, now: Timestamp) -> Result<Option<Arrival>, Broken> {
    let state = RunState::fold(entries)?;
    if state.outcome.is_some() {
        return Ok(None);
    }
    let run = state.run.clone();
    let body = match overtaken(&state.ticket, ticket, me) {
        Overtaken::No => return Ok(None),
        Overtaken::Customer { messages } => {
            info!(run.id = %run, "the customer wrote again; the message joins the run");
            Body::CustomerWrote { messages, stamp: ticket.updated_at }
        }
        Overtaken::Person { .. } if state.taken_over => return Ok(None),
        Overtaken::Person { agent, how } => {
            info!(run.id = %run, "a person has the ticket ({how}); the agent's part ends");
            Body::TakenOver { by: None, agent, how: how.to_owned() }
        }
    };
    let mut draft = Draft::new(state);
    draft.push(Entry::new(now, body))?;
    let (expected_len, entries, projection) = draft.take();
    Ok(Some(Arrival::Join { run, expected_len, entries, projection: Box::new(projection) }))
}

/// Why a ticket is not answered, before any model is asked. Pure.
pub fn skip_reason(ticket: &Ticket, history: &TicketHistory, settings: &Settings) -> Option<&'static str> {
    let request = ticket.newest_request()?;
    let later = |author| {
        ticket.messages.iter().any(|message| message.public && message.author == author && message.id > request.id)
    };
    let (own, quoted) = own_words(&request.text);
    let own = if own.trim().is_empty() { quoted.unwrap_or_default() } else { own };
    if ticket.status == TicketStatus::Closed {
        Some("closed")
    } else if ticket.assignee.is_some_and(|assignee| assignee != settings.me) || later(Author::Agent) {
        Some("person_owns")
    } else if later(Author::Deskhand) {
        Some("own_write")
    } else if signals::machine_mail(request, &ticket.subject, ticket.requester.address.as_deref()).is_some() {
        Some("machine_mail")
    } else if signals::spam(&ticket.subject, &own).is_some() {
        Some("spam")
    } else if !settings.channels.is_empty() && !settings.channels.contains(&ticket.channel) {
        Some("channel")
    } else if history.recent >= settings.runs_per_ticket_per_day_max {
        warn!(ticket.id = %ticket.id, "the ticket had {} runs in a day", history.recent);
        Some("too_many_runs")
    } else {
        None
    }
}
