-- Days whose predictions are forgotten, or on their way to be. ``days`` names one again only if something comes late.

CREATE TABLE forgotten (
    tag  TEXT NOT NULL,
    day  BIGINT NOT NULL,
    done BOOLEAN NOT NULL,  -- nothing of it was left when it was last looked at
    PRIMARY KEY (tag, day)
);

-- Drop the partitions of past weeks that hold nothing any more: their room goes back to the disk at the price of a
-- rename. One that somebody is reading stays until the next time.
CREATE FUNCTION drop_empty_prediction_weeks(at DOUBLE PRECISION) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    this CONSTANT BIGINT := floor(at / 604800.0);
    part TEXT;
    held BOOLEAN;
BEGIN
    FOR part IN
        SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'predictions'::regclass
    LOOP
        CONTINUE WHEN part !~ 'predictions_week_\d+$' OR substring(part FROM '\d+$')::bigint >= this;
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part) INTO held;
        CONTINUE WHEN held;
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
END
$$;
