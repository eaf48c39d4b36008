-- Events that the outside has yet to be told of, put here by the transaction that stores them.

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL,
    kind   TEXT NOT NULL,
    event  BLOB NOT NULL  -- msgpack
) STRICT;
