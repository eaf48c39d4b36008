-- How each generation's evidence began, and every look of it: enough to compute any decision again from the log.

CREATE TABLE openings (
    opening    INTEGER PRIMARY KEY,
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    document   TEXT NOT NULL,  -- JSON
    UNIQUE (deployment, generation)
) STRICT;

-- Spools that looks have seen, by a short number.
CREATE TABLE look_spools (
    spool    INTEGER PRIMARY KEY,
    spool_id TEXT NOT NULL UNIQUE
) STRICT;

-- at: the look's watermark. moved: msgpack, spool -> offset, of the spools that could be seen further than before.
CREATE TABLE looks (
    opening INTEGER NOT NULL,
    at      REAL NOT NULL,
    moved   BLOB NOT NULL,
    PRIMARY KEY (opening, at)
) STRICT, WITHOUT ROWID;
