-- How each generation's evidence began, and every look of it: enough to compute any decision again from the log.

CREATE TABLE openings (
    opening    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    document   TEXT NOT NULL,  -- JSON
    UNIQUE (deployment, generation)
);

-- Spools that looks have seen, by a short number.
CREATE TABLE look_spools (
    spool    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spool_id TEXT NOT NULL UNIQUE
);

-- at: the look's watermark. moved: msgpack, spool -> offset, of the spools that could be seen further than before.
CREATE TABLE looks (
    opening BIGINT NOT NULL,
    at      DOUBLE PRECISION NOT NULL,
    moved   BYTEA NOT NULL,
    PRIMARY KEY (opening, at)
);
