-- What each drift watch of a deployment remembers between looks, and references made from the log.

CREATE TABLE drift (
    deployment TEXT NOT NULL,
    watch      TEXT NOT NULL,
    memory     BYTEA NOT NULL,
    PRIMARY KEY (deployment, watch)
);
