-- The event log. Rows are written once; whatever only the log can tell (which record is the first of its id, which
-- outcome overrules which) is settled under an advisory lock of the deployment's tag, so by one host at a time.
-- A record's identity is (spool, place); what is below a spool's cursor is stored. Caller's text is kept as bytes: a
-- text column takes no NUL.

CREATE TABLE spools (
    spool    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spool_id TEXT NOT NULL UNIQUE,
    cursor   BIGINT NOT NULL
);

-- attempt 1 is judged; later ones (a repeated request id, or one whose candidate crashed first) are only kept.
-- late: drained after the judge's watermark had passed it (its host had been silent): reported, never bet on.
CREATE TABLE predictions (
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    spool      BIGINT NOT NULL,
    place      BIGINT NOT NULL,            -- offset in the spool, bytes
    at         DOUBLE PRECISION NOT NULL,  -- data time, seconds
    name       TEXT NOT NULL,              -- the assigned arm
    generation TEXT NOT NULL,
    digest     TEXT NOT NULL,
    stable     TEXT NOT NULL,              -- generation of the stable arm the request met
    counted    BOOLEAN NOT NULL,           -- randomised, and the record lists the assigned arm
    pairable   BOOLEAN NOT NULL,           -- stable's answer to a randomised request whose features were whole
    late       BOOLEAN NOT NULL,
    degraded   BOOLEAN NOT NULL,
    failed     BOOLEAN NOT NULL,           -- the assigned arm failed
    answer     BYTEA NOT NULL,             -- msgpack: label, score, scores, latency in seconds
    record     BYTEA NOT NULL              -- msgpack: the whole record
) PARTITION BY RANGE (at);
CREATE INDEX predictions_by_id ON predictions (tag, body);
CREATE INDEX predictions_by_time ON predictions (tag, at);

-- Whatever has no week of its own: replays of the past, mostly.
CREATE TABLE predictions_rest PARTITION OF predictions DEFAULT;

-- Make the partition of every week from the one of ``at`` on, ``weeks`` of them. A week of which the rest already holds
-- rows stays there. Dropping a partition forgets its predictions at the price of a rename.
CREATE FUNCTION prepare_prediction_weeks(at DOUBLE PRECISION, weeks INTEGER) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    week CONSTANT DOUBLE PRECISION := 604800.0;
    first CONSTANT BIGINT := floor(at / week);
BEGIN
    PERFORM pg_advisory_xact_lock(1734440037);  -- hosts that prepare at once take turns, as they do for these files
    FOR number IN first .. first + weeks - 1 LOOP
        CONTINUE WHEN to_regclass(format('predictions_week_%s', number)) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM predictions_rest AS rest
                              WHERE rest.at >= number * week AND rest.at < (number + 1) * week);
        EXECUTE format('CREATE TABLE predictions_week_%s PARTITION OF predictions FOR VALUES FROM (%s) TO (%s)',
                       number, number * week, (number + 1) * week);
    END LOOP;
END
$$;
SELECT prepare_prediction_weeks(extract(epoch FROM now())::float8, 5);

CREATE TABLE shadows (
    shadow     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    spool      BIGINT NOT NULL,
    place      BIGINT NOT NULL,
    dropped    BOOLEAN NOT NULL,
    failed     BOOLEAN NOT NULL,
    answer     BYTEA NOT NULL,
    record     BYTEA NOT NULL
);
CREATE UNIQUE INDEX shadows_by_id ON shadows (tag, body, generation, attempt);

-- first: no prediction record of this id was in the log yet, so the crash is what is judged.
CREATE TABLE crashes (
    tag        TEXT NOT NULL,
    body       TEXT NOT NULL,
    generation TEXT NOT NULL,
    at         DOUBLE PRECISION NOT NULL,
    spool      BIGINT NOT NULL,
    place      BIGINT NOT NULL,
    first      BOOLEAN NOT NULL
);
CREATE INDEX crashes_by_id ON crashes (tag, body);

CREATE TABLE outcomes (
    tag         TEXT NOT NULL,
    body        TEXT NOT NULL,
    metric      TEXT NOT NULL,
    spool       BIGINT NOT NULL,
    place       BIGINT NOT NULL,
    observed_at DOUBLE PRECISION NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    value       BYTEA NOT NULL,  -- msgpack
    source      BYTEA,           -- UTF-8
    PRIMARY KEY (tag, body, metric, spool, place)
);

-- Outcomes whose prediction is not known yet, one row per metric. received_at: that of the latest.
CREATE TABLE waiting (
    tag         TEXT NOT NULL,
    body        TEXT NOT NULL,
    metric      TEXT NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tag, body, metric)
);
CREATE INDEX waiting_by_time ON waiting (received_at);

-- What a look reads: settled in the drain's own transaction. failed and answer stand here too, so that a look touches
-- no prediction; they are null where the candidate crashed and nothing else is known.
CREATE TABLE bets (
    tag        TEXT NOT NULL,
    generation TEXT NOT NULL,
    at         DOUBLE PRECISION NOT NULL,
    spool      BIGINT NOT NULL,
    place      BIGINT NOT NULL,
    body       TEXT NOT NULL,
    candidate  BOOLEAN NOT NULL,
    propensity DOUBLE PRECISION NOT NULL,  -- P(candidate) between the two arms
    failed     BOOLEAN,
    answer     BYTEA,
    PRIMARY KEY (tag, generation, at, spool, place)
);

-- Sticky keys that have been drawn: the first request of a key in an epoch is the only bet on it.
CREATE TABLE claims (
    tag        TEXT NOT NULL,
    generation TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    key_hash   TEXT NOT NULL,
    PRIMARY KEY (tag, generation, epoch, key_hash)
);

-- The books, kept exact in the drain's own transaction.
CREATE TABLE counts (
    tag  TEXT NOT NULL,
    book TEXT NOT NULL,
    name TEXT NOT NULL,
    n    BIGINT NOT NULL,
    PRIMARY KEY (tag, book, name)
);

-- How often each day of data time has changed: an export writes again what is not as it was, and nothing else.
CREATE TABLE days (
    tag     TEXT NOT NULL,
    day     BIGINT NOT NULL,  -- days since the Unix epoch, UTC
    changes BIGINT NOT NULL,
    PRIMARY KEY (tag, day)
);

-- Shadow scores that each living writer still owes.
CREATE TABLE owed (
    writer TEXT NOT NULL,
    tag    TEXT NOT NULL,
    n      BIGINT NOT NULL,
    PRIMARY KEY (writer, tag)
);
