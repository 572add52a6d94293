-- What each refund takes of its payment and of the shop's day: one row a step that makes it, and one an approval that waits for it. Written in
-- the commit of the entries that it follows from. Refunds from before this table are not in it; they count no more from the
-- next day on.
CREATE TABLE refunds (
    run INTEGER NOT NULL REFERENCES runs (no) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    approval TEXT,
    payment TEXT NOT NULL,
    -- 'awaiting', 'in_flight', 'done', 'unknown'; 'released' takes nothing.
    state TEXT NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL,
    -- As first asked: what a decision that is taken back returns to.
    asked_minor INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
-- The sum of a day.
CREATE INDEX refunds_day ON refunds (currency, at_ms) WHERE state <> 'released';
-- What else went back of a payment, or may have.
CREATE INDEX refunds_payment ON refunds (payment) WHERE state <> 'released';
