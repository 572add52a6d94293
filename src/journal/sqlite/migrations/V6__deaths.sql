-- What a run had cost when its worker died: a program that keeps no journal would have paid that again. A lease that was not
-- given back tells of a death. There are few; no query needs an index.
CREATE TABLE deaths (
    death INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    at_ms INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL
) STRICT;
