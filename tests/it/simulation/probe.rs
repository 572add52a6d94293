//! A journal with a hand on it: it passes everything on, and at a chosen call it lets the caller die or stand still, before
//! the call or after it. It also keeps what the store answered, for the checks: tokens, lengths, which runs moved.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deskhand::ids::{RunId, TicketId};
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{
    Admitted, Arrival, Aside, Claimed, Conditions, Cursor, Error, Journal, Lease, Switch, TicketHistory,
};
use deskhand::money::Currency;
use deskhand::run::entry::Entry;
use deskhand::run::row::Projection;
use tokio::sync::watch;

/// What happens to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The process dies; the call was not made.
    DieBefore,
    /// The process dies; the call was made and nobody hears of it.
    DieAfter,
    /// The caller stands still before the call.
    StopBefore,
    /// The caller stands still after the call.
    StopAfter,
}

/// Where the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It goes on.
    Open,
    /// It stands still until the gate is opened.
    Stopped,
    /// It waits for the end of its process.
    Dead,
}

/// What the store answered, over all processes of one world.
#[derive(Debug, Default)]
pub struct Seen {
    /// The newest token of each run.
    pub tokens: BTreeMap<RunId, u64>,
    /// Runs that may have moved since the last look.
    pub moved: BTreeSet<RunId>,
    /// How often a stale lease was refused.
    pub stale: u64,
    /// What the store should not have done.
    pub wrong: Vec<String>,
}

/// The journal as one worker, or intake, sees it.
pub struct Probe {
    inner: Arc<SqliteJournal>,
    seen: Arc<Mutex<Seen>>,
    /// Calls that are left until it happens, and what happens.
    plan: Mutex<Option<(usize, Fate)>>,
    /// Where the caller is.
    pub gate: watch::Sender<Gate>,
    /// Calls so far, renewals of a lease left out.
    pub calls: AtomicU64,
    /// Calls so far, all of them: a plan of so many names the next one.
    pub passed: AtomicUsize,
    /// The call at which the caller stands still or died.
    pub at: Mutex<String>,
}

impl Probe {
    /// A probe without a plan.
    pub fn new(inner: Arc<SqliteJournal>, seen: Arc<Mutex<Seen>>) -> Self {
        let (plan, gate, calls) = (Mutex::default(), watch::Sender::new(Gate::Open), AtomicU64::new(0));
        Self { inner, seen, plan, gate, calls, passed: AtomicUsize::new(0), at: Mutex::default() }
    }

    /// After so many calls that pass, the next one has this fate.
    pub fn plan(&self, plan: Option<(usize, Fate)>) {
        *self.plan.lock().unwrap() = plan;
    }

    fn fate(&self) -> Option<Fate> {
        let mut plan = self.plan.lock().unwrap();
        match plan.as_mut() {
            Some((0, fate)) => {
                let fate = *fate;
                *plan = None;
                Some(fate)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }

    async fn meet(&self, call: &str, fate: Fate) {
        *self.at.lock().unwrap() = format!("{fate:?} {call}");
        match fate {
            Fate::DieBefore | Fate::DieAfter => {
                self.gate.send_replace(Gate::Dead);
                std::future::pending::<()>().await;
            }
            Fate::StopBefore | Fate::StopAfter => {
                self.gate.send_replace(Gate::Stopped);
                let mut gate = self.gate.subscribe();
                // The probe holds the sender: the gate cannot go away.
                let _ = gate.wait_for(|gate| *gate == Gate::Open).await;
            }
        }
    }

    async fn through<T>(&self, call: &str, work: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let fate = self.fate();
        self.passed.fetch_add(1, Ordering::Relaxed);
        let counts = u64::from(call != "renew"); // A lease is renewed by the clock alone.
        self.calls.fetch_add(counts, Ordering::Relaxed);
        if let Some(before @ (Fate::DieBefore | Fate::StopBefore)) = fate {
            self.meet(call, before).await;
        }
        let result = work.await;
        self.calls.fetch_add(counts, Ordering::Relaxed);
        if let Some(after @ (Fate::DieAfter | Fate::StopAfter)) = fate {
            self.meet(call, after).await;
        }
        result
    }

    /// The run's newest token before a write, for [`Probe::note_write`].
    fn newest(&self, lease: &Lease) -> u64 {
        let mut seen = self.seen.lock().unwrap();
        seen.moved.insert(lease.run.clone());
        seen.tokens.get(&lease.run).copied().unwrap_or(0)
    }

    fn note_write(&self, lease: &Lease, newest: u64, result: &Result<(), Error>) {
        self.note(|seen| match result {
            Ok(()) if lease.token < newest => {
                let token = lease.token;
                seen.wrong.push(format!("`{}` was written under token {token}, not {newest}", lease.run));
            }
            Err(Error::StaleLease { .. }) => seen.stale += 1,
            _ => {}
        });
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap());
    }
}

#[async_trait]
impl Journal for Probe {
    async fn admit(&self, arrivals: Vec<Arrival>, cursor: Option<Cursor>) -> Result<Vec<Admitted>, Error> {
        self.note(|seen| {
            seen.moved.extend(arrivals.iter().filter_map(|arrival| match arrival {
                Arrival::Open { projection, .. } => Some(projection.row.run.clone()),
                Arrival::Join { run, .. } => Some(run.clone()),
                Arrival::SetAside { .. } | Arrival::BackIn { .. } => None,
            }));
        });
        self.through("admit", self.inner.admit(arrivals, cursor)).await
    }

    async fn cursor(&self, lane: &str) -> Result<Option<String>, Error> {
        self.through("cursor", self.inner.cursor(lane)).await
    }

    async fn set_aside(&self) -> Result<Vec<Aside>, Error> {
        self.inner.set_aside().await
    }

    async fn ticket_history(&self, ticket: TicketId, since_ms: i64) -> Result<TicketHistory, Error> {
        self.through("ticket_history", self.inner.ticket_history(ticket, since_ms)).await
    }

    async fn claim(&self, owner: &str, now_ms: i64, ttl: Duration) -> Result<Option<Claimed>, Error> {
        let claim = async {
            let claimed = self.inner.claim(owner, now_ms, ttl).await?;
            if let Some(claimed) = &claimed {
                let (run, token) = (claimed.lease.run.clone(), claimed.lease.token);
                self.note(|seen| {
                    if let Some(before) = seen.tokens.insert(run.clone(), token).filter(|before| *before >= token) {
                        seen.wrong.push(format!("`{run}` was claimed with token {token} after token {before}"));
                    }
                });
            }
            Ok(claimed)
        };
        self.through("claim", claim).await
    }

    async fn renew(&self, lease: &Lease, until_ms: i64) -> Result<Lease, Error> {
        let renew = async {
            let result = self.inner.renew(lease, until_ms).await;
            self.note(|seen| seen.stale += u64::from(matches!(result, Err(Error::StaleLease { .. }))));
            result
        };
        self.through("renew", renew).await
    }

    async fn release(&self, lease: Lease) -> Result<(), Error> {
        self.through("release", self.inner.release(lease)).await
    }

    async fn put_back(&self, lease: Lease, wake_ms: i64) -> Result<(), Error> {
        self.through("put_back", self.inner.put_back(lease, wake_ms)).await
    }

    async fn append_if(
        &self,
        lease: &Lease,
        expected_len: u64,
        entries: &[Entry],
        projection: Projection,
        conditions: Conditions,
    ) -> Result<(), Error> {
        let kinds: Vec<String> = entries.iter().map(kind).collect();
        let append = async {
            let newest = self.newest(lease);
            let result = self.inner.append_if(lease, expected_len, entries, projection, conditions).await;
            self.note_write(lease, newest, &result);
            result
        };
        self.through(&format!("append {} {}", lease.run, kinds.join("+")), append).await
    }

    async fn park(&self, lease: &Lease, reason: &str, now_ms: i64) -> Result<(), Error> {
        let park = async {
            let newest = self.newest(lease);
            let result = self.inner.park(lease, reason, now_ms).await;
            self.note_write(lease, newest, &result);
            result
        };
        self.through("park", park).await
    }

    async fn interject(
        &self,
        run: &RunId,
        expected_len: u64,
        entries: Vec<Entry>,
        projection: Projection,
    ) -> Result<(), Error> {
        self.note(|seen| {
            seen.moved.insert(run.clone());
        });
        self.through("interject", self.inner.interject(run, expected_len, entries, projection)).await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, Error> {
        self.through("entries", self.inner.entries(run)).await
    }

    async fn next_wake(&self) -> Result<Option<i64>, Error> {
        self.inner.next_wake().await
    }

    async fn switch(&self, name: &str) -> Result<Option<String>, Error> {
        self.inner.switch(name).await
    }

    async fn switches(&self) -> Result<Vec<Switch>, Error> {
        self.inner.switches().await
    }

    async fn spent_since(&self, since_ms: i64) -> Result<i64, Error> {
        self.inner.spent_since(since_ms).await
    }

    async fn refunded_since(&self, currency: Currency, since_ms: i64) -> Result<i64, Error> {
        self.inner.refunded_since(currency, since_ms).await
    }

    async fn switch_on(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<Option<Switch>, Error> {
        self.inner.switch_on(name, value, by, now_ms).await
    }

    async fn set_switch(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<(), Error> {
        self.inner.set_switch(name, value, by, now_ms).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.inner.bell()
    }
}

/// An entry in a word.
pub fn kind(entry: &Entry) -> String {
    let value = serde_json::to_value(entry).expect("an entry serialises");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let step = value["step"].as_u64().map_or(String::new(), |step| format!(" {step}"));
    let what = match (&value["work"], &value["result"]) {
        (serde_json::Value::Object(work), _) => word(work.get("work").unwrap_or(&serde_json::Value::Null)),
        (_, serde_json::Value::Object(result)) => word(result.get("result").unwrap_or(&serde_json::Value::Null)),
        _ => String::new(),
    };
    format!("{}{step} {what}", word(&value["entry"])).trim().to_owned()
}
