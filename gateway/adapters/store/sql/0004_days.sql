-- How often each day of data time has changed, so that an export writes again what is not as it was, and nothing else.

CREATE TABLE days (
    tag     TEXT NOT NULL,
    day     INTEGER NOT NULL,  -- days since the Unix epoch, UTC
    changes INTEGER NOT NULL,
    PRIMARY KEY (tag, day)
) STRICT, WITHOUT ROWID;

INSERT INTO days SELECT tag, CAST(floor(at / 86400) AS INTEGER), count(*) FROM predictions GROUP BY 1, 2;
