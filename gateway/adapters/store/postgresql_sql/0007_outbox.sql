-- Events that the outside has yet to be told of, put here by the transaction that stores them. Rows live for moments,
-- so what they leave behind is cleared away early.

CREATE TABLE outbox (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id     TEXT NOT NULL,
    kind   TEXT NOT NULL,
    event  BYTEA NOT NULL  -- msgpack
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000);
