//! Every fault by name: which simulators have it, which requests it can strike, what its number means, what it does.
//! Data only; the deeds stand in `layer.rs`, `refusals.rs` and in the vendors' own files.
//!
//! Sources of what vendors really do wrong: <https://developer.zendesk.com/api-reference/introduction/requests>,
//! <https://docs.stripe.com/error-low-level>, <https://docs.stripe.com/rate-limits>,
//! <https://platform.claude.com/docs/en/api/errors>, read 2026-11.

/// What can go wrong: the simulators, and the clock that they share.
pub const VENDORS: &[&str] = &["zendesk", "stripe", "billing", "claude", "smtp", "clock"];

/// The requests that a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Any.
    Any,
    /// Those that carry an access token or a key, and not those that ask for one.
    SignedIn,
    /// Those that write: everything but `GET`, and not those that ask for a token.
    Writes,
    /// `GET` of a list of tickets: the list lane and the incremental lane.
    Intake,
    /// `GET /api/v2/tickets`, the list lane.
    List,
    /// `GET /api/v2/incremental/tickets/cursor`, the incremental lane.
    Export,
    /// `POST /v1/messages`.
    Messages,
}

impl On {
    /// Whether a request is one of these. `path` is what follows the simulator's prefix; mail has neither method nor path.
    pub(super) fn covers(self, method: &str, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix(".json").unwrap_or(path);
        let token = path == "/oauth/tokens";
        let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
        match self {
            On::Any => true,
            On::SignedIn => !token,
            On::Writes => !reads && !token,
            On::Intake => On::List.covers(method, path) || On::Export.covers(method, path),
            On::List => method == "GET" && path == "/api/v2/tickets",
            On::Export => method == "GET" && path == "/api/v2/incremental/tickets/cursor",
            On::Messages => method == "POST" && path == "/v1/messages",
        }
    }
}

/// What the number after `:` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// What it counts.
    pub unit: &'static str,
    /// What is taken when it is not said; `None` where the description says what happens then.
    pub unless_said: Option<i64>,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Who has it.
    pub vendors: &'static [&'static str],
    /// What it can strike.
    pub on: On,
    /// Its number, where it takes one.
    pub number: Option<Number>,
    /// What it does.
    pub does: &'static str,
}

const ALL: &[&str] = &["zendesk", "stripe", "billing", "claude", "smtp"];
const HTTP: &[&str] = &["zendesk", "stripe", "billing", "claude"];
const RECORDS: &[&str] = &["zendesk", "stripe", "billing"];
const ZENDESK: &[&str] = &["zendesk"];
const STRIPE: &[&str] = &["stripe"];
const CLAUDE: &[&str] = &["claude"];
const SMTP: &[&str] = &["smtp"];

const fn plain(name: &'static str, vendors: &'static [&'static str], on: On, does: &'static str) -> Known {
    Known { name, vendors, on, number: None, does }
}

const fn with(mut known: Known, unit: &'static str, unless_said: Option<i64>) -> Known {
    known.number = Some(Number { unit, unless_said });
    known
}

const fn ms(known: Known, unless_said: i64) -> Known {
    with(known, "milliseconds", Some(unless_said))
}

const fn retry_after(known: Known) -> Known {
    with(known, "seconds in `retry-after`", Some(1))
}

/// All faults. Those of the line first, then refusals, then what only one vendor does.
pub const FAULTS: &[Known] = &[
    ms(plain("late", ALL, On::Any, "the request waits; a caller that hangs up meanwhile is never served"), 800),
    ms(plain("late_after", ALL, On::Any, "the deed is done at once, its answer comes late"), 800),
    plain("lost_before", ALL, On::Any, "the connection is reset before anything was done"),
    plain(
        "lost_during",
        HTTP,
        On::Any,
        "the deed is done; the head and half of the answer arrive, then the connection is reset",
    ),
    plain("lost_after", ALL, On::Any, "the deed is done, then the connection is reset without an answer"),
    ms(plain("done_late", HTTP, On::Any, "the connection is reset at once, and the deed is done so much later"), 800),
    ms(plain("slow", HTTP, On::Any, "the deed is done; the answer drips in 16 pieces, so long between two"), 200),
    plain(
        "repeated",
        HTTP,
        On::Any,
        "the network delivers the request twice, headers and all; the second answer arrives",
    ),
    plain("garbage_empty", HTTP, On::Any, "the deed is done; the answer is a 200 with an empty body"),
    plain("garbage_html", HTTP, On::Any, "the deed is done; the answer is a 200 with a page of HTML"),
    plain("garbage_cut", HTTP, On::Any, "the deed is done; the answer is a 200 with the first half of its JSON"),
    plain(
        "401",
        HTTP,
        On::SignedIn,
        "refused as not signed in (zendesk: the access token ends early and stays refused until a new one is asked for)",
    ),
    plain("403", HTTP, On::SignedIn, "refused as not allowed"),
    plain("404", HTTP, On::SignedIn, "refused as not found"),
    retry_after(plain(
        "429",
        HTTP,
        On::Any,
        "refused as too many, with `retry-after` (stripe: with its reason, and `retry-after` only where a number is said)",
    )),
    plain("429_bare", HTTP, On::Any, "refused as too many, without any header that says why or for how long"),
    plain("500", HTTP, On::Any, "a server error; nothing was done"),
    plain("500_after", HTTP, On::Any, "the deed is done, then a server error is answered"),
    plain("502", HTTP, On::Any, "a page of HTML from the edge; nothing was done"),
    plain("502_after", HTTP, On::Any, "the deed is done, then the edge answers a page of HTML"),
    retry_after(plain("503", HTTP, On::Any, "unavailable, with `retry-after`; nothing was done")),
    plain("503_bare", HTTP, On::Any, "unavailable, without `retry-after`; nothing was done"),
    retry_after(plain("503_after", HTTP, On::Any, "the deed is done, then unavailable with `retry-after`")),
    plain("504", HTTP, On::Any, "the edge gave up waiting; nothing was done"),
    plain("504_after", HTTP, On::Any, "the deed is done, but the edge gave up waiting for it"),
    plain("529", CLAUDE, On::Any, "refused as overloaded"),
    plain(
        "409",
        RECORDS,
        On::Writes,
        "refused as a conflict; nothing was done (zendesk: DatabaseConflict, stripe: key in use, billing: operation in progress)",
    ),
    // Zendesk.
    plain("409_after", ZENDESK, On::Writes, "the deed is done, then DatabaseConflict is answered"),
    plain("409_update", ZENDESK, On::Writes, "UpdateConflict, as if somebody else had written; nothing was done"),
    plain(
        "409_update_after",
        ZENDESK,
        On::Writes,
        "the deed is done and its answer lost on the way; the edge tries again and meets the own write: UpdateConflict",
    ),
    plain("shuffled", ZENDESK, On::Intake, "the rows of the page stand in another order"),
    plain("doubled", ZENDESK, On::Intake, "every row of the page stands in it twice"),
    with(
        plain("hidden", ZENDESK, On::List, "the list lane leaves out this ticket, or the newest one of the page"),
        "the ticket",
        None,
    ),
    plain("same_page", ZENDESK, On::Intake, "the page says that more follows, and its cursor leads to the page itself"),
    plain("late_end", ZENDESK, On::Export, "the last page says that more follows; the next one is empty"),
    // Stripe.
    plain("lock_timeout", STRIPE, On::Writes, "429 `lock_timeout`: the object is locked; nothing was done"),
    plain("should_retry_true", STRIPE, On::Writes, "a 400 with `stripe-should-retry: true`; nothing was done"),
    plain(
        "should_retry_false",
        &["stripe", "claude"],
        On::Writes,
        "a 500 that says `stripe-should-retry: false` (claude: `x-should-retry: false`); nothing was done",
    ),
    plain("500_stored", STRIPE, On::Writes, "the deed is done, a 500 is answered and kept under the idempotency key"),
    plain("key_forgotten", STRIPE, On::Writes, "the idempotency key is not known any more, as after 24 hours"),
    // Claude.
    with(
        plain("cut_stream", CLAUDE, On::Messages, "the answer breaks off, in its middle or after so many events"),
        "events",
        None,
    ),
    with(
        plain(
            "stalled",
            CLAUDE,
            On::Messages,
            "the stream falls silent, in its middle or after so many events, and stays open",
        ),
        "events",
        None,
    ),
    with(
        plain("error_event", CLAUDE, On::Messages, "an `overloaded_error` event in mid-stream (529 without a stream)"),
        "events before it",
        None,
    ),
    with(
        plain("error_event_api", CLAUDE, On::Messages, "an `api_error` event in mid-stream (500 without a stream)"),
        "events before it",
        None,
    ),
    ms(plain("slow_first_byte", CLAUDE, On::Messages, "the answer takes so much longer to begin"), 5_000),
    plain(
        "spend_cap",
        CLAUDE,
        On::Messages,
        "429 of the monthly cap: `enforced_spend_limit_reached`, no `retry-after`",
    ),
    plain("own_limit", CLAUDE, On::Messages, "400 of the organisation's own usage limit"),
    retry_after(plain("ramp_limit", CLAUDE, On::Messages, "429 `ramp_limit_exceeded`: usage grows too fast")),
    plain("413", CLAUDE, On::Messages, "refused as too large, by the API in JSON"),
    plain("413_html", CLAUDE, On::Messages, "refused as too large, by the edge in HTML"),
    plain("empty_end_turn", CLAUDE, On::Messages, "the turn ends with no content"),
    plain("max_tokens", CLAUDE, On::Messages, "the answer ends in the middle of its last tool call"),
    plain("refusal", CLAUDE, On::Messages, "the stop reason is `refusal`"),
    plain("unknown_stop_reason", CLAUDE, On::Messages, "a stop reason that no client knows yet"),
    plain("unknown_block", CLAUDE, On::Messages, "a content block that no client knows yet stands in front"),
    plain("unknown_event", CLAUDE, On::Messages, "events, deltas and fields that no client knows yet"),
    plain("ping_storm", CLAUDE, On::Messages, "many pings between the events"),
    plain("invalid_tool_input", CLAUDE, On::Messages, "the input of a tool call does not fit its schema"),
    plain("hallucinated_tool", CLAUDE, On::Messages, "a call of a tool that does not exist"),
    plain("text_only", CLAUDE, On::Messages, "text alone where a tool call was due"),
    // Mail.
    plain("421", SMTP, On::Any, "the server hangs up politely before it takes the mail"),
    plain("421_after", SMTP, On::Any, "the mail is taken, but the server says 421 and hangs up"),
    plain("451", SMTP, On::Any, "the recipient is refused for now"),
    plain("550", SMTP, On::Any, "the recipient is refused for good"),
    // The clock that the vendors share.
    with(
        plain(
            "jump",
            &["clock"],
            On::Any,
            "the vendors' clock jumps by so many seconds (less than 0: back) and stays there; struck again, it jumps back",
        ),
        "seconds",
        Some(3_600),
    ),
];

/// The faults of one vendor.
pub fn of(vendor: &str) -> impl Iterator<Item = &'static Known> + Clone {
    FAULTS.iter().filter(move |known| known.vendors.contains(&vendor))
}

/// Every fault with what it does, for people.
pub fn help() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "A fault is vendor.name[:number][@who][/METHOD][/path]=how; several stand with commas between.\n  \
         how      a rate from 0 to 1 (0.05), a number of times (2x), or that after letting some pass (3+2x)\n  \
         /path    whole parts of the request's path; * is any one part, $ the end: stripe.lost_after/POST/refunds$=1x\n  \
         @who     claude only: router, agent or a ticket's number: claude.cut_stream:3@agent=1x\n",
    );
    for vendor in VENDORS {
        let _ = writeln!(out, "\n{vendor}");
        for known in of(vendor) {
            let name = match known.number {
                Some(_) => format!("{}[:N]", known.name),
                None => known.name.to_owned(),
            };
            let _ = writeln!(out, "  {name:<22} {}", described(known));
        }
    }
    out
}

/// What a fault does, with the meaning of its number.
pub fn described(known: &Known) -> String {
    match known.number {
        None => known.does.to_owned(),
        Some(Number { unit, unless_said: Some(usual) }) => format!("{} (N: {unit}; {usual} unless said)", known.does),
        Some(Number { unit, unless_said: None }) => format!("{} (N: {unit})", known.does),
    }
}
