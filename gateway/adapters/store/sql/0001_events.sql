-- The event log. Rows are written once, in log order, by the one process that drains the spools.
-- A record's identity is (spool, offset); what is below a spool's cursor is stored.

CREATE TABLE spools (
    spool    INTEGER PRIMARY KEY,
    spool_id TEXT NOT NULL UNIQUE,
    cursor   INTEGER NOT NULL
) STRICT;

-- attempt 1 is judged; later ones (a repeated request id, or one whose candidate crashed first) are only kept.
CREATE TABLE predictions (
    prediction INTEGER PRIMARY KEY,
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    spool      INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    at         REAL NOT NULL,     -- data time, seconds
    name       TEXT NOT NULL,     -- the assigned arm
    generation TEXT NOT NULL,
    digest     TEXT NOT NULL,
    stable     TEXT NOT NULL,     -- generation of the stable arm the request met
    counted    INTEGER NOT NULL,  -- randomised, and the record lists the assigned arm
    pairable   INTEGER NOT NULL,  -- stable's answer to a randomised request whose features were whole
    degraded   INTEGER NOT NULL,
    failed     INTEGER NOT NULL,  -- the assigned arm failed
    answer     BLOB NOT NULL,     -- msgpack: label, score, scores, latency in seconds
    record     BLOB NOT NULL      -- msgpack: the whole record
) STRICT;
CREATE UNIQUE INDEX predictions_by_id ON predictions (tag, body, attempt);
CREATE INDEX predictions_by_time ON predictions (tag, at);

CREATE TABLE shadows (
    shadow     INTEGER PRIMARY KEY,
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    spool      INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    dropped    INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    answer     BLOB NOT NULL,
    record     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX shadows_by_id ON shadows (tag, body, generation, attempt);

-- first: no prediction record of this id was in the log yet, so the crash is what is judged.
CREATE TABLE crashes (
    crash      INTEGER PRIMARY KEY,
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation TEXT NOT NULL,
    at         REAL NOT NULL,
    spool      INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    first      INTEGER NOT NULL
) STRICT;
CREATE INDEX crashes_by_id ON crashes (tag, body);

CREATE TABLE outcomes (
    tag         TEXT NOT NULL,
    body        TEXT NOT NULL,
    metric      TEXT NOT NULL,
    spool       INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    observed_at REAL NOT NULL,
    received_at REAL NOT NULL,
    value       BLOB NOT NULL,  -- msgpack
    source      TEXT,
    PRIMARY KEY (tag, body, metric, spool, offset)
) STRICT, WITHOUT ROWID;

-- Outcomes whose prediction is not known yet, one row per metric. received_at: that of the latest.
CREATE TABLE waiting (
    tag         TEXT NOT NULL,
    body        TEXT NOT NULL,
    metric      TEXT NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (tag, body, metric)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_by_time ON waiting (received_at);

-- What a look reads: settled in the drain's own transaction, in the order in which a look folds it (spool aside).
CREATE TABLE bets (
    tag        TEXT NOT NULL,
    generation TEXT NOT NULL,
    at         REAL NOT NULL,
    spool      INTEGER NOT NULL,
    offset     INTEGER NOT NULL,
    body       TEXT NOT NULL,
    prediction INTEGER,           -- null: the candidate crashed and nothing else is known
    candidate  INTEGER NOT NULL,
    propensity REAL NOT NULL,     -- P(candidate) between the two arms
    PRIMARY KEY (tag, generation, at, spool, offset)
) STRICT, WITHOUT ROWID;

-- Sticky keys that have been drawn: the first request of a key in an epoch is the only bet on it.
CREATE TABLE claims (
    tag        TEXT NOT NULL,
    generation TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    key_hash   TEXT NOT NULL,
    PRIMARY KEY (tag, generation, epoch, key_hash)
) STRICT, WITHOUT ROWID;

-- The books, kept exact in the drain's own transaction.
CREATE TABLE counts (
    tag  TEXT NOT NULL,
    book TEXT NOT NULL,
    name TEXT NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (tag, book, name)
) STRICT, WITHOUT ROWID;

-- Shadow scores that each living writer still owes.
CREATE TABLE owed (
    writer TEXT NOT NULL,
    tag    TEXT NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (writer, tag)
) STRICT, WITHOUT ROWID;
