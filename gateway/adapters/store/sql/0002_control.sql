-- Control documents, their timelines, and what judges remember between looks.

CREATE TABLE documents (
    deployment TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    document   TEXT NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    decision   INTEGER PRIMARY KEY,
    deployment TEXT NOT NULL,
    line       TEXT NOT NULL  -- JSON
) STRICT;
CREATE INDEX decisions_by_deployment ON decisions (deployment, decision);

CREATE TABLE judges (
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    state      BLOB NOT NULL,
    PRIMARY KEY (deployment, generation)
) STRICT, WITHOUT ROWID;
