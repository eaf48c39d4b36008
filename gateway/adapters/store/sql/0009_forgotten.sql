-- Days whose predictions are forgotten, or on their way to be. ``days`` names one again only if something comes late.

CREATE TABLE forgotten (
    tag  TEXT NOT NULL,
    day  INTEGER NOT NULL,
    done INTEGER NOT NULL,  -- nothing of it was left when it was last looked at
    PRIMARY KEY (tag, day)
) STRICT, WITHOUT ROWID;
