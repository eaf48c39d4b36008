-- Control documents, their timelines, and what judges remember between looks. JSON is kept as text, byte for byte.

CREATE TABLE documents (
    deployment TEXT PRIMARY KEY,
    revision   BIGINT NOT NULL,
    document   TEXT NOT NULL
);

CREATE TABLE decisions (
    decision   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment TEXT NOT NULL,
    line       TEXT NOT NULL,
    document   TEXT NOT NULL,  -- digest of the document written with it
    seal       TEXT NOT NULL   -- chains it to the line before (core/audit.py)
);
CREATE INDEX decisions_by_deployment ON decisions (deployment, decision);

CREATE TABLE judges (
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    state      BYTEA NOT NULL,
    PRIMARY KEY (deployment, generation)
);
