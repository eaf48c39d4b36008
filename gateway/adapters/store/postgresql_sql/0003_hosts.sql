-- The hosts around this store, and which of them leads. All times are this server's: one clock for everybody.

-- One row for ever. epoch grows with every change of leader and never otherwise; it is a key, so that a write which
-- holds it (FOR KEY SHARE) waits for a change of leader and not for a lease that is renewed. watermark is data time (seconds) up to
-- which the judge has looked.
CREATE TABLE leadership (
    one       BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    holder    TEXT,
    epoch     BIGINT NOT NULL UNIQUE,
    until     TIMESTAMPTZ NOT NULL,
    watermark DOUBLE PRECISION
);
INSERT INTO leadership (holder, epoch, until) VALUES (NULL, 0, '-infinity');

-- What each host said last (JSON): how far data time has been drained there, and which models its workers have warm.
CREATE TABLE hosts (
    host     TEXT PRIMARY KEY,
    heard_at TIMESTAMPTZ NOT NULL,
    word     TEXT NOT NULL
);

-- The keys that sign prediction ids: an id made on one host is known on every other.
CREATE TABLE signing_keys (
    one      BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    document BYTEA NOT NULL
);
