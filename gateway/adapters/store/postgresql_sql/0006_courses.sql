-- How each candidate's evidence has gone: a point now and then, for people. No verdict rests on it.

CREATE TABLE courses (
    deployment TEXT NOT NULL,
    generation TEXT NOT NULL,
    at         DOUBLE PRECISION NOT NULL,  -- the look's watermark, data time in seconds
    point      TEXT NOT NULL,              -- JSON
    PRIMARY KEY (deployment, generation, at)
);
