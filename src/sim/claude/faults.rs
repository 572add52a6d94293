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
    /// The connection is reset after so many events, in the middle unless said; half of the body without a stream.
    CutStream(Option<usize>),
    /// Nothing more comes after so many events, in the middle unless said, and the connection stays open.
    Stalled(Option<usize>),
    /// An `overloaded_error` event after so many events, in the middle unless said (529 when the request does not stream).
    StreamError(Option<usize>),
    /// The same with an `api_error` (500 when the request does not stream).
    StreamApiError(Option<usize>),
    /// A tool call whose input does not fit its schema.
    InvalidToolInput,
    /// A call of a tool that does not exist.
    HallucinatedTool,
    /// Text alone where a tool call was due.
    TextOnly,
    /// So many milliseconds before the first byte.
    SlowFirstByte(u64),
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 529.
    Overloaded,
    /// 503, with `retry-after` in seconds or without.
    Unavailable(Option<u64>),
    /// 429, with `retry-after` in seconds or without.
    RateLimited(Option<u64>),
    /// 429 of growing too fast, with `retry-after` in seconds.
    RampLimit(u64),
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
    /// 413.
    TooLarge,
    /// 413 with an HTML body.
    TooLargeAtTheEdge,
}

impl FaultKind {
    /// The fault of this name in the list of faults; `None` for what happens outside of the API.
    pub fn named(name: &str, number: Option<i64>) -> Option<Self> {
        let seconds = number.and_then(|seconds| u64::try_from(seconds).ok());
        let events = number.and_then(|events| usize::try_from(events).ok());
        Some(match name {
            "401" => FaultKind::Unauthorized,
            "403" => FaultKind::Forbidden,
            "404" => FaultKind::NotFound,
            "413" => FaultKind::TooLarge,
            "413_html" => FaultKind::TooLargeAtTheEdge,
            "429" => FaultKind::RateLimited(seconds),
            "429_bare" => FaultKind::RateLimited(None),
            "500" => FaultKind::ServerError,
            "502" => FaultKind::BadGateway,
            "503" => FaultKind::Unavailable(seconds),
            "503_bare" => FaultKind::Unavailable(None),
            "504" => FaultKind::Timeout,
            "529" => FaultKind::Overloaded,
            "should_retry_false" => FaultKind::DoNotRetry,
            "spend_cap" => FaultKind::SpendCap,
            "own_limit" => FaultKind::OwnLimit,
            "ramp_limit" => FaultKind::RampLimit(seconds.unwrap_or(1)),
            "cut_stream" => FaultKind::CutStream(events),
            "stalled" => FaultKind::Stalled(events),
            "error_event" => FaultKind::StreamError(events),
            "error_event_api" => FaultKind::StreamApiError(events),
            "slow_first_byte" => FaultKind::SlowFirstByte(seconds.unwrap_or(0)),
            "empty_end_turn" => FaultKind::EmptyEndTurn,
            "max_tokens" => FaultKind::MaxTokensInToolUse,
            "refusal" => FaultKind::Refusal,
            "unknown_stop_reason" => FaultKind::UnknownStopReason,
            "unknown_block" => FaultKind::UnknownBlock,
            "unknown_event" => FaultKind::UnknownEvent,
            "ping_storm" => FaultKind::PingStorm,
            "invalid_tool_input" => FaultKind::InvalidToolInput,
            "hallucinated_tool" => FaultKind::HallucinatedTool,
            "text_only" => FaultKind::TextOnly,
            _ => return None,
        })
    }

    /// The refusal that this fault answers instead of a message, if it is one of that kind.
    pub fn refusal(&self) -> Option<ApiError> {
        Some(match self {
            FaultKind::Unauthorized => ApiError::authentication("invalid x-api-key"),
            FaultKind::Forbidden => {
                ApiError::permission("Your API key does not have permission to use the specified resource.")
            }
            FaultKind::NotFound => ApiError::not_found("Not Found"),
            FaultKind::Overloaded => ApiError::overloaded(),
            FaultKind::Unavailable(after) => ApiError::unavailable(*after),
            FaultKind::RampLimit(after) => {
                let mut error = ApiError::rate_limited("Your usage has grown too fast.", Some(*after));
                error.code = Some("ramp_limit_exceeded");
                error
            }
            FaultKind::RateLimited(after) => {
                ApiError::rate_limited("Number of requests has exceeded your rate limit", *after)
            }
            FaultKind::SpendCap => ApiError::spend_cap(),
            FaultKind::OwnLimit => ApiError::own_limit(),
            FaultKind::ServerError => ApiError::internal(),
            FaultKind::DoNotRetry => ApiError::internal().with_header("x-should-retry", "false"),
            FaultKind::Timeout => ApiError::timeout(),
            FaultKind::BadGateway => ApiError::bad_gateway(),
            FaultKind::TooLarge => ApiError::too_large(),
            FaultKind::TooLargeAtTheEdge => {
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
