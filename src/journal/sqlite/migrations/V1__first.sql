-- Times are milliseconds since the Unix epoch, amounts minor units, costs micro-dollars.

-- How each run stands. Derived from its entries, apart from the lease.
CREATE TABLE runs (
    no INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    ticket INTEGER NOT NULL,
    subject TEXT NOT NULL,
    requester TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    rule TEXT,
    reason TEXT,
    category TEXT,
    language TEXT,
    model TEXT,
    asked_ms INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    first_answer_ms INTEGER,
    closed_ms INTEGER,
    wake_ms INTEGER,
    steps INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    len INTEGER NOT NULL,
    lease_owner TEXT,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until_ms INTEGER,
    claims_without_progress INTEGER NOT NULL DEFAULT 0,
    -- The later of wake_ms and lease_until_ms; null while wake_ms is. Kept apart from them so that its index is written
    -- only when it changes.
    claimable_ms INTEGER
) STRICT;

-- Holds the rule that a ticket has at most one run that has not ended; finds it for intake.
CREATE UNIQUE INDEX runs_open_ticket ON runs (ticket) WHERE status <> 'closed';
-- All runs of a ticket: intake's history, the ticket's list.
CREATE INDEX runs_ticket ON runs (ticket, opened_ms);
-- The next run to claim, and when it can be claimed.
CREATE INDEX runs_claimable ON runs (claimable_ms) WHERE claimable_ms IS NOT NULL;
-- The list of runs, the newest first; everything that asks "since".
CREATE INDEX runs_opened ON runs (opened_ms, run);
-- The list of runs that have not ended by status, and how many there are.
CREATE INDEX runs_status ON runs (status, opened_ms, run) WHERE status <> 'closed';
-- The list of runs by outcome.
CREATE INDEX runs_outcome ON runs (outcome, opened_ms, run) WHERE outcome IS NOT NULL;
-- The list of runs by category.
CREATE INDEX runs_category ON runs (category, opened_ms, run) WHERE category IS NOT NULL;
-- How many runs ended today.
CREATE INDEX runs_closed ON runs (closed_ms) WHERE closed_ms IS NOT NULL;

-- The search over runs: words of subject and requester.
CREATE VIRTUAL TABLE runs_words USING fts5 (
    subject, requester,
    content = 'runs', content_rowid = 'no',
    tokenize = 'unicode61 remove_diacritics 2', detail = 'none', columnsize = 0
);
CREATE TRIGGER runs_words_insert AFTER INSERT ON runs BEGIN
    INSERT INTO runs_words (rowid, subject, requester) VALUES (new.no, new.subject, new.requester);
END;
CREATE TRIGGER runs_words_update AFTER UPDATE OF subject, requester ON runs BEGIN
    INSERT INTO runs_words (runs_words, rowid, subject, requester) VALUES ('delete', old.no, old.subject, old.requester);
    INSERT INTO runs_words (rowid, subject, requester) VALUES (new.no, new.subject, new.requester);
END;

-- What happened: the ground truth, append-only. `id` is the order of writing, so that the entries of one commit stand
-- beside each other on disk whatever runs they belong to.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
-- The entries of a run in order; holds the rule that no place in a run is taken twice.
CREATE UNIQUE INDEX entries_run ON entries (run, seq);
CREATE TRIGGER entries_are_never_changed BEFORE UPDATE ON entries BEGIN
    SELECT raise(ABORT, 'entries are append-only');
END;
CREATE TRIGGER entries_are_never_deleted BEFORE DELETE ON entries BEGIN
    SELECT raise(ABORT, 'entries are append-only');
END;

CREATE TABLE approvals (
    approval TEXT NOT NULL PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    step INTEGER NOT NULL,
    state TEXT NOT NULL,
    rule TEXT NOT NULL,
    why TEXT NOT NULL,
    intent TEXT NOT NULL,
    amount_minor INTEGER,
    currency TEXT,
    customer TEXT NOT NULL,
    subject TEXT NOT NULL,
    requested_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    decision TEXT,
    decided_by TEXT,
    decided_ms INTEGER,
    hold_until_ms INTEGER
) STRICT;
-- The inbox: those that wait, the most urgent first; how many wait and how many are held.
CREATE INDEX approvals_state ON approvals (state, due_ms);
-- The approvals of a run.
CREATE INDEX approvals_run ON approvals (run, step);
-- The list of all approvals, the newest first.
CREATE INDEX approvals_requested ON approvals (requested_ms);

-- Model calls.
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    input INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cost_micros INTEGER,
    first_byte_ms INTEGER NOT NULL,
    took_ms INTEGER NOT NULL
) STRICT;
-- The same by quarter of an hour and model: every time zone's days begin with a quarter. The costs page reads a month in
-- some thousand rows instead of hundreds of thousands.
CREATE TABLE call_sums (
    quarter INTEGER NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (quarter, model)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER calls_are_summed AFTER INSERT ON calls BEGIN
    INSERT INTO call_sums VALUES (
        new.at_ms / 900000, new.model, 1, new.cost_micros IS NULL, new.input, new.cache_write_5m, new.cache_write_1h,
        new.cache_read, new.output, ifnull(new.cost_micros, 0)
    )
    ON CONFLICT DO UPDATE SET
        calls = calls + excluded.calls,
        unpriced_calls = unpriced_calls + excluded.unpriced_calls,
        input = input + excluded.input,
        cache_write_5m = cache_write_5m + excluded.cache_write_5m,
        cache_write_1h = cache_write_1h + excluded.cache_write_1h,
        cache_read = cache_read + excluded.cache_read,
        output = output + excluded.output,
        cost_micros = cost_micros + excluded.cost_micros;
END;

-- Tool uses.
CREATE TABLE tools (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    tool TEXT NOT NULL,
    is_error INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL
) STRICT;
-- The same by quarter of an hour and tool.
CREATE TABLE tool_sums (
    quarter INTEGER NOT NULL,
    tool TEXT NOT NULL,
    uses INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL,
    PRIMARY KEY (quarter, tool)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER tools_are_summed AFTER INSERT ON tools BEGIN
    INSERT INTO tool_sums VALUES (new.at_ms / 900000, new.tool, 1, new.is_error, new.took_ms, new.output_bytes)
    ON CONFLICT DO UPDATE SET
        uses = uses + excluded.uses,
        errors = errors + excluded.errors,
        took_ms = took_ms + excluded.took_ms,
        output_bytes = output_bytes + excluded.output_bytes;
END;

-- How far each lane of intake has read.
CREATE TABLE cursors (
    lane TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL
) STRICT;

CREATE TABLE switches (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    set_by TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    user INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE CHECK (email = lower(email)),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT,
    created_ms INTEGER NOT NULL,
    disabled_ms INTEGER
) STRICT;

-- AUTOINCREMENT: a session's number is shown, so it must never name another one later.
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB NOT NULL UNIQUE,
    user INTEGER NOT NULL REFERENCES users (user),
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
-- The sessions of a user, to show them and to end them.
CREATE INDEX sessions_user ON sessions (user);

CREATE TABLE links (
    token_hash BLOB NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    user INTEGER REFERENCES users (user),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER
) STRICT;

CREATE TABLE sign_in_failures (
    key TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
-- How many failures a key has since a time.
CREATE INDEX sign_in_failures_key ON sign_in_failures (key, at_ms);
-- Those that are old enough to forget.
CREATE INDEX sign_in_failures_at ON sign_in_failures (at_ms);

-- Who changed what. Append-only; each line's hash covers the hash of the line before.
CREATE TABLE audit (
    line INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only');
END;
