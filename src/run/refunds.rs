//! What refunds take of their payment and of the shop's day: rows that follow from entries alone, so that a store can keep their sum in the commit
//! of the entries themselves. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::{ApprovalId, PaymentId, StepNo};
use crate::intent::Intent;
use crate::money::Money;
use crate::policy::facts::ConfirmedEffect;
use crate::run::entry::{Body, Decision, Entry, FailureClass, StepResult, Work};

/// How a refund stands in the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// A person is asked, or has agreed and it was not started yet.
    Awaiting,
    /// Its step is open.
    InFlight,
    /// It happened.
    Done,
    /// Nobody knows whether it happened; it counts.
    Unknown,
    /// It takes nothing: it did not happen and will not, or another row stands for it.
    Released,
}

impl RefundState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            RefundState::Awaiting => "awaiting",
            RefundState::InFlight => "in_flight",
            RefundState::Done => "done",
            RefundState::Unknown => "unknown",
            RefundState::Released => "released",
        }
    }
}

/// One change of the sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundMove {
    /// A refund takes its part.
    Take {
        /// The step that makes it, or that its approval takes.
        step: StepNo,
        /// The approval that it waits for.
        approval: Option<ApprovalId>,
        /// How it stands.
        state: RefundState,
        /// Of which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
        /// When, in milliseconds since the Unix epoch: the day that it counts to.
        at_ms: i64,
    },
    /// The step ended. Names any step that did not plainly succeed; one that is no refund has no row.
    Settle {
        /// Which step.
        step: StepNo,
        /// How the refund stands now.
        state: RefundState,
        /// What really went back, in minor units; absent: as asked.
        minor: Option<i64>,
    },
    /// A person decided, took it back, or time ran out.
    Decided {
        /// Which approval.
        approval: ApprovalId,
        /// How the refund stands now.
        state: RefundState,
        /// Another amount, in minor units; absent: as first asked.
        minor: Option<i64>,
    },
    /// The run ended: nothing of it awaits a person any more.
    Closed,
}

/// What these entries change, in order.
pub fn moves(entries: &[Entry]) -> Vec<RefundMove> {
    let mut moves = Vec::new();
    for entry in entries {
        let decided =
            |approval: &ApprovalId, state, minor| RefundMove::Decided { approval: approval.clone(), state, minor };
        match &entry.body {
            Body::StepStarted { step, work: Work::Tool { intent: Intent::CreateRefund(refund), approval, .. } } => {
                moves.extend(approval.as_ref().map(|id| decided(id, RefundState::Released, None)));
                moves.push(RefundMove::Take {
                    step: *step,
                    approval: None,
                    state: RefundState::InFlight,
                    payment: refund.payment.clone(),
                    amount: refund.amount(),
                    at_ms: entry.at_ms,
                });
            }
            Body::StepFinished { step, result, .. } => {
                let settle = |state, minor| RefundMove::Settle { step: *step, state, minor };
                moves.extend(match result {
                    StepResult::Tool { effect: Some(ConfirmedEffect::Refund { amount, .. }), .. } => {
                        Some(settle(RefundState::Done, Some(amount.minor)))
                    }
                    StepResult::Failed { failure, .. } if failure.class == FailureClass::Unknown => {
                        Some(settle(RefundState::Unknown, None))
                    }
                    StepResult::Tool { is_error: true, .. }
                    | StepResult::Failed { .. }
                    | StepResult::HeldBack { .. }
                    | StepResult::CustomerWroteFirst { .. }
                    | StepResult::PersonFirst { .. } => Some(settle(RefundState::Released, None)),
                    _ => None,
                });
            }
            Body::ApprovalRequested { approval, step, intent: Intent::CreateRefund(refund), .. } => {
                moves.push(RefundMove::Take {
                    step: *step,
                    approval: Some(approval.clone()),
                    state: RefundState::Awaiting,
                    payment: refund.payment.clone(),
                    amount: refund.amount(),
                    at_ms: entry.at_ms,
                });
            }
            Body::ApprovalDecided { approval, decision, .. } => moves.push(match decision {
                Decision::Approve => decided(approval, RefundState::Awaiting, None),
                Decision::Amount { amount } => decided(approval, RefundState::Awaiting, Some(amount.minor)),
                Decision::Reject => decided(approval, RefundState::Released, None),
            }),
            Body::DecisionUndone { approval, .. } => moves.push(decided(approval, RefundState::Awaiting, None)),
            Body::ApprovalExpired { approval } => moves.push(decided(approval, RefundState::Released, None)),
            Body::RunClosed { .. } => moves.push(RefundMove::Closed),
            _ => {}
        }
    }
    moves
}

/// A refund's row, as all entries of its run leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundRow {
    /// The step that makes it, or that its approval takes.
    pub step: u64,
    /// The approval that it waits for.
    pub approval: Option<String>,
    /// Of which payment.
    pub payment: String,
    /// How it stands, as stored.
    pub state: String,
    /// In which currency.
    pub currency: String,
    /// How much it takes, in minor units.
    pub minor: i64,
    /// How much was first asked for, in minor units.
    pub asked_minor: i64,
    /// The moment that it counts to, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The rows that these entries, all of one run, must have led to. The store makes the same of [`moves`], one append after the
/// other.
pub fn rows(entries: &[Entry]) -> Vec<RefundRow> {
    let mut rows: BTreeMap<u64, RefundRow> = BTreeMap::new();
    for change in moves(entries) {
        match change {
            RefundMove::Take { step, approval, state, payment, amount, at_ms } => {
                let step = u64::from(step.0);
                let row = RefundRow {
                    step,
                    approval: approval.map(|id| id.as_str().to_owned()),
                    payment: payment.as_str().to_owned(),
                    state: state.as_str().to_owned(),
                    currency: amount.currency.as_str().to_owned(),
                    minor: amount.minor,
                    asked_minor: amount.minor,
                    at_ms,
                };
                rows.insert(step, row);
            }
            RefundMove::Settle { step, state, minor } => {
                if let Some(row) = rows.get_mut(&u64::from(step.0)) {
                    row.state = state.as_str().to_owned();
                    row.minor = minor.unwrap_or(row.minor);
                }
            }
            RefundMove::Decided { approval, state, minor } => {
                for row in rows.values_mut().filter(|row| row.approval.as_deref() == Some(approval.as_str())) {
                    row.state = state.as_str().to_owned();
                    row.minor = minor.unwrap_or(row.asked_minor);
                }
            }
            RefundMove::Closed => {
                for row in rows.values_mut().filter(|row| row.state == RefundState::Awaiting.as_str()) {
                    row.state = RefundState::Released.as_str().to_owned();
                }
            }
        }
    }
    rows.into_values().collect()
}
