-- What a person must look at although the run has ended: a promised mail that did not leave, a note that nobody could be given.
ALTER TABLE runs ADD COLUMN attention TEXT;
-- The overview's list of these runs, the newest first.
CREATE INDEX runs_attention ON runs (opened_ms DESC, run DESC) WHERE attention IS NOT NULL;
