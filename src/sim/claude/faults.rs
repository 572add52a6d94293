//! What the simulated API does wrong when told to: each fault is armed for certain calls and a number of times.

use serde::{Deserialize, Serialize};

use super::errors::ApiError;

/// A way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// `end_turn` with no content.
    EmptyEndTurn,
    /// `max_tokens` in the middle of the last tool call.
    MaxTokensInToolUse,
    /// `refusal` with `stop_details`, after some text.
    Refusal,
    /// A stop reason that no client knows yet.
    UnknownStopReason,
    /// A content block of a type that no client knows yet, in front of the rest.
    UnknownBlock,
    /// Events, deltas and fields that no client knows yet.
    UnknownEvent,
    /// Many pings between the events.
    PingStorm,
    /// The connection ends before `message_stop`.
    CutStream,
    /// An `error` event after some deltas (a plain 529 when the request does not stream).
    StreamError,
    /// A tool call whose input does not fit its schema.
    InvalidToolInput,
    /// A call of a tool that does not exist.
    HallucinatedTool,
    /// Text alone where a tool call was due.
    TextOnly,
    /// So many milliseconds before the first byte.
    SlowFirstByte(u64),
    /// 529.
    Overloaded,
    /// 429, with `retry-after` in seconds or without.
    RateLimited(Option<u64>),
    /// 429 of the monthly cap, without `retry-after`.
    SpendCap,
    /// 400 of the organisation's own limit.
    OwnLimit,
    /// 500.
    ServerError,
    /// 500 with `x-should-retry: false`.
    DoNotRetry,
    /// 504.
    Timeout,
    /// 502 with an HTML body.
    BadGateway,
    /// 413 with an HTML body.
    TooLarge,
}

impl FaultKind {
    /// The refusal that this fault answers instead of a message, if it is one of that kind.
    pub fn refusal(&self) -> Option<ApiError> {
        Some(match self {
            FaultKind::Overloaded => ApiError::overloaded(),
            FaultKind::RateLimited(after) => {
                ApiError::rate_limited("Number of requests has exceeded your rate limit", *after)
            }
            FaultKind::SpendCap => ApiError::spend_cap(),
            FaultKind::OwnLimit => ApiError::own_limit(),
            FaultKind::ServerError => ApiError::internal(),
            FaultKind::DoNotRetry => ApiError::internal().with_header("x-should-retry", "false"),
            FaultKind::Timeout => ApiError::timeout(),
            FaultKind::BadGateway => ApiError::bad_gateway(),
            FaultKind::TooLarge => {
                let mut error = ApiError::too_large();
                error.raw_body = Some("<html><body>413 Request Entity Too Large</body></html>".into());
                error
            }
            _ => return None,
        })
    }
}

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only for this ticket.
    #[serde(default)]
    pub ticket: Option<i64>,
    /// Only at this turn of the agent's conversation, counted from 0.
    #[serde(default)]
    pub turn: Option<usize>,
    /// Only for calls of the router (`true`) or of the agent (`false`).
    #[serde(default)]
    pub router: Option<bool>,
    /// How often it strikes before it is spent.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// A fault for the next call, whatever it is.
    pub fn next_call(kind: FaultKind) -> Self {
        Self { kind, ticket: None, turn: None, router: None, times: 1 }
    }
}

/// What is known of a call when faults are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The ticket, if the conversation names one.
    pub ticket: Option<i64>,
    /// The turn of the agent's conversation, counted from 0.
    pub turn: usize,
    /// Whether the router asks.
    pub router: bool,
}

/// The faults that are armed, oldest first.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Vec<Fault>,
}

impl Faults {
    /// Arms these.
    pub fn new(armed: Vec<Fault>) -> Self {
        Self { armed }
    }

    /// Arms one more.
    pub fn add(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    /// Disarms all.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault that strikes this call; it is counted down.
    pub fn strike(&mut self, call: Call) -> Option<FaultKind> {
        let fits = |fault: &Fault| {
            fault.times > 0
                && fault.ticket.is_none_or(|ticket| call.ticket == Some(ticket))
                && fault.turn.is_none_or(|turn| call.turn == turn)
                && fault.router.is_none_or(|router| call.router == router)
        };
        let fault = self.armed.iter_mut().find(|fault| fits(fault))?;
        fault.times -= 1;
        let kind = fault.kind.clone();
        self.armed.retain(|fault| fault.times > 0);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_where_and_as_often_as_told() {
        let mut faults = Faults::new(vec![Fault {
            kind: FaultKind::Refusal,
            ticket: Some(7),
            turn: Some(1),
            router: Some(false),
            times: 2,
        }]);
        let mut check = |ticket: i64, turn: usize, router: bool, strikes: bool| {
            let call = Call { ticket: Some(ticket), turn, router };
            assert_eq!(faults.strike(call).is_some(), strikes, "{call:?}");
        };
        check(8, 1, false, false);
        check(7, 0, false, false);
        check(7, 1, true, false);
        check(7, 1, false, true);
        check(7, 1, false, true);
        check(7, 1, false, false);
    }

    #[test]
    fn faults_read_from_json() {
        let fault: Fault = serde_json::from_str(r#"{"kind": {"rate_limited": 3}, "ticket": 9}"#).unwrap();
        assert_eq!(fault, Fault { ticket: Some(9), ..Fault::next_call(FaultKind::RateLimited(Some(3))) });
        assert!(serde_json::from_str::<Fault>(r#"{"kind": "explode"}"#).is_err());
    }
}
