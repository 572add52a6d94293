-- What the file needs to keep itself: sums over entries, restores, retention.

-- CRC-32 of an entry's run, place, time and body, so that a changed byte is noticed where the page still reads. Null: written
-- before there were sums.
ALTER TABLE entries ADD COLUMN sum INTEGER;

-- When the journal was put back from a backup. What its runs did between `known_ms` and `at_ms` stands in no entry.
CREATE TABLE restores (
    restore INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    known_ms INTEGER NOT NULL,
    source TEXT NOT NULL
) STRICT;

-- When a run that ended long ago lost its entries and its words. Its row stays: a run that was answered once is never opened
-- again, and the figures of its day stay what they were.
ALTER TABLE runs ADD COLUMN retired_ms INTEGER;
DROP TRIGGER entries_are_never_deleted;
CREATE TRIGGER entries_leave_with_their_run_alone BEFORE DELETE ON entries
WHEN NOT EXISTS (SELECT 1 FROM runs WHERE no = old.run AND retired_ms IS NOT NULL) BEGIN
    SELECT raise(ABORT, 'entries are append-only');
END;

CREATE TRIGGER lease_tokens_only_grow BEFORE UPDATE OF lease_token ON runs WHEN new.lease_token < old.lease_token BEGIN
    SELECT raise(ABORT, 'lease tokens only grow');
END;
