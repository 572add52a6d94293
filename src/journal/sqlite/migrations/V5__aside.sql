-- Tickets that intake could not take in: the cursor goes on past them, and they are tried again until it works.
CREATE TABLE aside (
    ticket INTEGER PRIMARY KEY,
    why TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;

-- When a run was ended by its row because its entries cannot be read: what it did is not known.
ALTER TABLE runs ADD COLUMN unreadable_ms INTEGER;
