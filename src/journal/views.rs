//! What pages read of the journal: rows and sums, never entries. Read-only; nothing here decides anything.
//!
//! All times are milliseconds since the Unix epoch, costs micro-dollars. A day is a day of the shop: pages hand in how far
//! its time is ahead of UTC. Sums count by the time a run was opened, calls and tool uses by the time they
//! ended, to the quarter of an hour in which `since_ms` lies.

use async_trait::async_trait;
use jiff::civil::Date;

use crate::ids::{ApprovalId, RunId, TicketId};
use crate::journal::Error;
use crate::journal::accounts::AuditLine;
use crate::run::cost::Usage;
use crate::run::row::{ApprovalRow, RunRow, RunStatus};

/// Which runs a list shows. What is `None` does not narrow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// How they stand.
    pub status: Option<RunStatus>,
    /// How they ended, as stored: `resolved`, `escalated` and so on.
    pub outcome: Option<String>,
    /// The router's category.
    pub category: Option<String>,
    /// The model that worked them.
    pub model: Option<String>,
    /// Words that must all stand in the subject or the requester's name, in any order and case; or a ticket's number; or a
    /// run's id. Words find the newest 2,000 runs that hold them.
    pub text: Option<String>,
    /// The ticket.
    pub ticket: Option<TicketId>,
    /// Ended, and a person must look at something all the same.
    pub attention: bool,
    /// Opened at this time or later.
    pub since_ms: Option<i64>,
}

/// Which approvals a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalFilter {
    /// Those that a person is asked for now, the most urgent first.
    Waiting,
    /// All others, the newest first.
    Decided,
    /// All, the newest first.
    All,
}

/// The figures in a page's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Approvals that wait for a person.
    pub waiting_approvals: u64,
    /// Approvals that are decided and can still be undone.
    pub held: u64,
    /// Runs that have not ended, however they stand.
    pub open: u64,
    /// Of these, runs that wait for a vendor.
    pub waiting_vendor: u64,
    /// Runs that failed and ended within the last seven days, today included.
    pub failed: u64,
    /// Runs that ended today.
    pub closed_today: u64,
}

/// How the runs that were opened on one day stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOutcomes {
    /// The day.
    pub day: Date,
    /// Answered and solved.
    pub resolved: u64,
    /// Answered with a question.
    pub waiting_customer: u64,
    /// Handed to a person.
    pub escalated: u64,
    /// Not answered on purpose.
    pub skipped: u64,
    /// Taken by a person.
    pub taken_over: u64,
    /// Parked.
    pub failed: u64,
    /// Not ended.
    pub open: u64,
}

/// One category of tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryRow {
    /// The router's word; `None`: never routed, as skipped runs are.
    pub category: Option<String>,
    /// Runs.
    pub runs: u64,
    /// Of these, answered and solved.
    pub resolved: u64,
    /// Of these, handed to a person.
    pub escalated: u64,
    /// What they cost.
    pub cost_micros: i64,
}

/// What the runs since a time cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CostTotals {
    /// Runs that were not skipped.
    pub runs: u64,
    /// Of these, answered and solved.
    pub resolved: u64,
    /// Model calls.
    pub calls: u64,
    /// Of these, calls whose price is not known; they are not in `cost_micros`.
    pub unpriced_calls: u64,
    /// Tokens of all calls.
    pub usage: Usage,
    /// Cost of the priced calls.
    pub cost_micros: i64,
}

/// What one model cost: on one day, or altogether.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCosts {
    /// The day; `None` where days are not told apart.
    pub day: Option<Date>,
    /// Which model.
    pub model: String,
    /// Its calls.
    pub calls: u64,
    /// Of these, calls whose price is not known.
    pub unpriced_calls: u64,
    /// Its tokens.
    pub usage: Usage,
    /// Cost of the priced calls.
    pub cost_micros: i64,
}

/// What the runs of one kind cost: of a category, or of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindCosts {
    /// The router's category, or the outcome; `None`: not known, or not yet.
    pub kind: Option<String>,
    /// Runs that were not skipped.
    pub runs: u64,
    /// Of these, answered and solved.
    pub resolved: u64,
    /// Calls whose price is not known; they are not in `cost_micros`.
    pub unpriced_calls: u64,
    /// Their tokens.
    pub usage: Usage,
    /// Cost of the priced calls.
    pub cost_micros: i64,
}

/// By what runs are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The router's category.
    Category,
    /// How they ended.
    Outcome,
}

/// What runs had cost when their workers died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deaths {
    /// How many deaths.
    pub count: u64,
    /// Tokens that the runs had used before.
    pub tokens: u64,
    /// What they had cost before.
    pub cost_micros: i64,
}

/// Model calls whose answers were lost: paid for, and asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LostCalls {
    /// How many.
    pub calls: u64,
    /// Of these, calls of which no tokens are known.
    pub unknown: u64,
    /// Tokens, as far as known.
    pub tokens: u64,
    /// What they cost, where the price is known.
    pub cost_micros: i64,
}

/// How one tool was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// Its name.
    pub tool: String,
    /// How often.
    pub uses: u64,
    /// Of these, refused or failed.
    pub errors: u64,
    /// What the model had to read of it, all together, in bytes.
    pub output_bytes: u64,
    /// How long a use took on average, in milliseconds.
    pub took_ms: u64,
}

/// How long customers waited for the first public answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Runs that were answered; the figures rest on these.
    pub count: u64,
    /// Half waited no longer than this, in milliseconds.
    pub median_ms: u64,
    /// 95 of 100 waited no longer than this, in milliseconds.
    pub p95_ms: u64,
}

/// What pages read. Every method fails with [`Error::Storage`], [`Error::Corrupt`] or [`Error::Closed`] only.
#[async_trait]
pub trait Views: Send + Sync + 'static {
    /// Runs, the newest first. `before` is the last row of the page before: its `opened_ms` and id.
    async fn runs(&self, filter: &RunFilter, before: Option<(i64, RunId)>, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// One run.
    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, Error>;

    /// When retention removed a run's entries, in milliseconds since the Unix epoch; `None`: it has them, or never was.
    async fn retired_ms(&self, run: &RunId) -> Result<Option<i64>, Error>;

    /// All runs of a ticket, the newest first.
    async fn runs_of_ticket(&self, ticket: TicketId) -> Result<Vec<RunRow>, Error>;

    /// Approvals: waiting ones by the time they are due, others the newest first.
    async fn approvals(&self, filter: ApprovalFilter, limit: u32) -> Result<Vec<ApprovalRow>, Error>;

    /// One approval.
    async fn approval(&self, approval: &ApprovalId) -> Result<Option<ApprovalRow>, Error>;

    /// The approvals of a run, oldest first.
    async fn approvals_of_run(&self, run: &RunId) -> Result<Vec<ApprovalRow>, Error>;

    /// The figures in a page's head. `today_ms` is when the shop's day began.
    async fn counts(&self, today_ms: i64) -> Result<Counts, Error>;

    /// How the runs of each day stand, oldest day first; days without runs are left out.
    async fn outcomes_by_day(&self, since_ms: i64, utc_offset_s: i32) -> Result<Vec<DayOutcomes>, Error>;

    /// The categories of the runs opened since, the largest first.
    async fn categories(&self, since_ms: i64) -> Result<Vec<CategoryRow>, Error>;

    /// What was spent since.
    async fn cost_totals(&self, since_ms: i64) -> Result<CostTotals, Error>;

    /// What was spent by day and model, oldest day first; days without calls are left out.
    async fn costs_by_day(&self, since_ms: i64, utc_offset_s: i32) -> Result<Vec<ModelCosts>, Error>;

    /// What was spent by model, the dearest first.
    async fn costs_by_model(&self, since_ms: i64) -> Result<Vec<ModelCosts>, Error>;

    /// What the runs opened since cost, by category or outcome, the dearest first.
    async fn costs_by_kind(&self, since_ms: i64, kind: Kind) -> Result<Vec<KindCosts>, Error>;

    /// What runs had cost when their workers died, since.
    async fn deaths(&self, since_ms: i64) -> Result<Deaths, Error>;

    /// The calls since whose answers were lost.
    async fn lost_calls(&self, since_ms: i64) -> Result<LostCalls, Error>;

    /// How many runs opened since each model works, the router's calls not counted.
    async fn runs_by_model(&self, since_ms: i64) -> Result<Vec<(String, u64)>, Error>;

    /// How the tools were used since, the most used first.
    async fn tool_use(&self, since_ms: i64) -> Result<Vec<ToolUse>, Error>;

    /// The runs opened since that cost most, the dearest first.
    async fn costliest(&self, since_ms: i64, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// How long the customers of the runs opened since waited; `None` when none was answered.
    async fn first_answer(&self, since_ms: i64) -> Result<Option<FirstAnswer>, Error>;

    /// Lines of the audit trail, the newest first. `before` is the last line's number of the page before.
    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditLine>, Error>;
}
