-- Control documents, their timelines, and what judges remember between looks. JSON is kept as text, byte for byte.

CREATE TABLE documents (
    deployment TEXT PRIMARY KEY,
    revision   BIGINT NOT NULL,
    document   TEXT NOT NULL,
    lines      BIGINT NOT NULL,  -- of its timeline
    head       TEXT NOT NULL     -- the last one's seal
);

CREATE TABLE decisions (
    decision   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment TEXT NOT NULL,
    line       TEXT NOT NULL,
    seal       TEXT              -- over this line and the seal before it
);
CREATE INDEX decisions_by_deployment ON decisions (deployment, decision);

CREATE TABLE judges (
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    state      BYTEA NOT NULL,
    PRIMARY KEY (deployment, generation)
);
