-- Calls whose answers were lost, by quarter of an hour: paid for, and of no use. They are in call_sums as well.
CREATE TABLE lost_sums (
    quarter INTEGER PRIMARY KEY,
    calls INTEGER NOT NULL,
    unknown_calls INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL
) STRICT;
CREATE TRIGGER lost_calls_are_summed AFTER INSERT ON calls WHEN new.kind = 'lost' BEGIN
    INSERT INTO lost_sums VALUES (
        new.at_ms / 900000, 1,
        new.input + new.cache_write_5m + new.cache_write_1h + new.cache_read + new.output = 0,
        new.input + new.cache_write_5m + new.cache_write_1h + new.cache_read + new.output, ifnull(new.cost_micros, 0)
    )
    ON CONFLICT DO UPDATE SET
        calls = calls + excluded.calls,
        unknown_calls = unknown_calls + excluded.unknown_calls,
        tokens = tokens + excluded.tokens,
        cost_micros = cost_micros + excluded.cost_micros;
END;
