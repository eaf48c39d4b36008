"""Every statement that the event log puts to PostgreSQL.

A look's queries give rows in the shape of :mod:`gateway.adapters.store.sqlite_queries`, and walk one index over the
window's rows and nothing else. Arrays of a batch come as one parameter per column.
"""

from typing import LiteralString

# What a drain asks before it settles a batch.

INSERT_SPOOL: LiteralString = "INSERT INTO spools (spool_id, cursor) VALUES (%s, 0) ON CONFLICT DO NOTHING"
LOCK_SPOOL: LiteralString = "SELECT spool, cursor FROM spools WHERE spool_id = %s FOR UPDATE"
TAKE_TURN: LiteralString = """
    SELECT pg_advisory_xact_lock(hashtextextended(tag, 0)) FROM (SELECT unnest(%s::text[]) AS tag) AS tags
"""
WATERMARK: LiteralString = "SELECT watermark FROM leadership"
ATTEMPTS: LiteralString = """
    SELECT tag, body, attempt, at
    FROM predictions JOIN unnest(%s::text[], %s::text[]) AS id (tag, body) USING (tag, body)
"""
CRASHES_BEFORE: LiteralString = """
    SELECT tag, body, count(*), count(*) FILTER (WHERE first)
    FROM crashes JOIN unnest(%s::text[], %s::text[]) AS id (tag, body) USING (tag, body)
    GROUP BY tag, body
"""
WAITING: LiteralString = """
    SELECT tag, body, metric FROM waiting JOIN unnest(%s::text[], %s::text[]) AS id (tag, body) USING (tag, body)
"""
HISTORIES: LiteralString = """
    SELECT tag, body, metric, observed_at, received_at, spool_id, place, value
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS told (tag, body, metric)
    JOIN outcomes USING (tag, body, metric) JOIN spools USING (spool)
"""
SHADOWS_BEFORE: LiteralString = """
    SELECT tag, body, generation, count(*)
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS scored (tag, body, generation)
    JOIN shadows USING (tag, body, generation)
    GROUP BY tag, body, generation
"""
CLAIM: LiteralString = """
    INSERT INTO claims SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[])
    ON CONFLICT DO NOTHING RETURNING tag, generation, epoch, key_hash
"""
LATEST_PROPENSITY: LiteralString = """
    SELECT at, spool_id, place, propensity FROM bets JOIN spools USING (spool)
    WHERE tag = %s AND generation = %s AND at <= %s
    ORDER BY at DESC, spool_id COLLATE "C" DESC, place DESC LIMIT 1
"""

# What a drain writes.

COPY_PREDICTIONS: LiteralString = """
    COPY predictions (tag, body, attempt, spool, place, at, name, generation, digest, stable, counted, pairable, late,
                      degraded, failed, answer, record) FROM STDIN (FORMAT BINARY)
"""
PREDICTION_TYPES = (
    *("text", "text", "int4", "int8", "int8", "float8", "text", "text", "text", "text"),
    *("bool", "bool", "bool", "bool", "bool", "bytea", "bytea"),
)
COPY_BETS: LiteralString = """
    COPY bets (tag, generation, at, spool, place, body, candidate, propensity, failed, answer)
    FROM STDIN (FORMAT BINARY)
"""
BET_TYPES = ("text", "text", "float8", "int8", "int8", "text", "bool", "float8", "bool", "bytea")
COPY_SHADOWS: LiteralString = """
    COPY shadows (tag, body, generation, attempt, spool, place, dropped, failed, answer, record)
    FROM STDIN (FORMAT BINARY)
"""
SHADOW_TYPES = ("text", "text", "text", "int4", "int8", "int8", "bool", "bool", "bytea", "bytea")
COPY_OUTCOMES: LiteralString = """
    COPY outcomes (tag, body, metric, spool, place, observed_at, received_at, value, source)
    FROM STDIN (FORMAT BINARY)
"""
OUTCOME_TYPES = ("text", "text", "text", "int8", "int8", "float8", "float8", "bytea", "bytea")
COPY_CRASHES: LiteralString = """
    COPY crashes (tag, body, generation, at, spool, place, first) FROM STDIN (FORMAT BINARY)
"""
CRASH_TYPES = ("text", "text", "text", "float8", "int8", "int8", "bool")
END_WAITS: LiteralString = """
    DELETE FROM waiting USING unnest(%s::text[], %s::text[]) AS id (tag, body)
    WHERE waiting.tag = id.tag AND waiting.body = id.body
"""
BEGIN_WAITS: LiteralString = """
    INSERT INTO waiting SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[])
    ON CONFLICT (tag, body, metric) DO UPDATE SET received_at = greatest(waiting.received_at, excluded.received_at)
"""
ADD_COUNTS: LiteralString = """
    INSERT INTO counts SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
    ON CONFLICT (tag, book, name) DO UPDATE SET n = counts.n + excluded.n
"""
ADD_CHANGES: LiteralString = """
    INSERT INTO days SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])
    ON CONFLICT (tag, day) DO UPDATE SET changes = days.changes + excluded.changes
"""
ADD_OWED: LiteralString = """
    INSERT INTO owed SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
    ON CONFLICT (writer, tag) DO UPDATE SET n = owed.n + excluded.n
"""
MOVE_CURSOR: LiteralString = "UPDATE spools SET cursor = greatest(cursor, %s) WHERE spool = %s"
SKIP_TO: LiteralString = """
    INSERT INTO spools (spool_id, cursor) VALUES (%s, %s)
    ON CONFLICT (spool_id) DO UPDATE SET cursor = greatest(spools.cursor, excluded.cursor)
"""

# Housekeeping.

CURSORS: LiteralString = "SELECT spool_id, cursor FROM spools"
END_DEBTS: LiteralString = "DELETE FROM owed WHERE writer = %s RETURNING tag, n"
TAGS_WAITING: LiteralString = "SELECT DISTINCT tag FROM waiting WHERE received_at < %s ORDER BY tag"
EXPIRE_WAITS_OF: LiteralString = """
    DELETE FROM waiting WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM waiting WHERE received_at < %s AND tag = ANY(%s) ORDER BY received_at LIMIT %s
    )) RETURNING tag, body, metric
"""
EXPIRE_OUTCOMES: LiteralString = """
    DELETE FROM outcomes USING unnest(%s::text[], %s::text[], %s::text[]) AS gone (tag, body, metric)
    WHERE outcomes.tag = gone.tag AND outcomes.body = gone.body AND outcomes.metric = gone.metric
"""
PREPARE_WEEKS: LiteralString = "SELECT prepare_prediction_weeks(extract(epoch FROM now())::float8, 5)"

# What a look asks: %(tag)s, %(after)s and %(until)s (data time), %(generation)s, %(stable)s.

BETS: LiteralString = """
    SELECT at, spool_id, place, body, candidate, propensity, failed, answer
    FROM bets JOIN spools USING (spool)
    WHERE tag = %(tag)s AND generation = %(generation)s AND at > %(after)s AND at <= %(until)s
    ORDER BY at, spool_id COLLATE "C", place
"""
OUTCOMES_OF_BETS: LiteralString = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM bets AS b
    JOIN outcomes AS o ON o.tag = b.tag AND o.body = b.body
    JOIN spools ON spools.spool = o.spool
    WHERE b.tag = %(tag)s AND b.generation = %(generation)s AND b.at > %(after)s AND b.at <= %(until)s
"""
_PAIRABLE: LiteralString = """
    p.tag = %(tag)s AND p.at > %(after)s AND p.at <= %(until)s
    AND p.attempt = 1 AND p.pairable AND p.stable = %(stable)s
"""
STABLE_SIDES: LiteralString = f"""
    SELECT p.at, spool_id, p.place, p.body, p.answer
    FROM predictions AS p JOIN spools USING (spool)
    WHERE {_PAIRABLE}
    ORDER BY p.at, spool_id COLLATE "C", p.place
"""
SHADOW_SIDES: LiteralString = f"""
    SELECT s.body, spool_id, s.place, s.dropped, s.failed, s.answer
    FROM predictions AS p
    JOIN shadows AS s ON s.tag = p.tag AND s.body = p.body AND s.generation = %(generation)s AND s.attempt = 1
    JOIN spools ON spools.spool = s.spool
    WHERE {_PAIRABLE}
"""
SHADOW_CRASHES: LiteralString = f"""
    SELECT c.body, spool_id, c.place
    FROM predictions AS p
    JOIN crashes AS c ON c.tag = p.tag AND c.body = p.body AND c.generation = %(generation)s
    JOIN spools ON spools.spool = c.spool
    WHERE {_PAIRABLE}
"""
OUTCOMES_OF_PAIRS: LiteralString = f"""
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM predictions AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body
    JOIN spools ON spools.spool = o.spool
    WHERE {_PAIRABLE}
"""

# What people and gauges ask.

PIECE: LiteralString = """
    SELECT at FROM predictions WHERE tag = %(tag)s AND at > %(after)s AND at <= %(until)s
    ORDER BY at LIMIT 1 OFFSET %(behind)s
"""
COUNTED: LiteralString = """
    SELECT body, at, name, generation, digest, failed, degraded, answer
    FROM predictions AS p
    WHERE tag = %(tag)s AND at > %(after)s AND at <= %(until)s AND attempt = 1 AND counted
"""
DEGRADED: LiteralString = """
    SELECT generation, count(*), count(*) FILTER (WHERE degraded)
    FROM predictions
    WHERE tag = %(tag)s AND at > %(after)s AND at <= %(until)s AND attempt = 1 AND counted
    GROUP BY generation
"""
LABELS_OF_COUNTED: LiteralString = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM predictions AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
    WHERE p.tag = %(tag)s AND p.at > %(after)s AND p.at <= %(until)s AND p.attempt = 1 AND p.counted
"""
_NEWEST: LiteralString = """
    FROM predictions AS p JOIN spools USING (spool)
    WHERE p.tag = %(tag)s AND p.attempt = 1 AND p.counted AND NOT p.degraded
    ORDER BY p.at DESC, spool_id COLLATE "C" DESC, p.place DESC LIMIT %(limit)s
"""
NEWEST: LiteralString = f"SELECT p.at, spool_id, p.place, p.body, generation, failed, answer, record {_NEWEST}"
OUTCOMES_OF_NEWEST: LiteralString = f"""
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM (SELECT p.body {_NEWEST}) AS newest
    JOIN outcomes AS o ON o.tag = %(tag)s AND o.body = newest.body
    JOIN spools ON spools.spool = o.spool
"""
_REPLAYABLE: LiteralString = """
    FROM predictions AS p
    WHERE p.tag = %(tag)s AND p.attempt = 1 AND p.counted AND NOT p.degraded
    AND (NOT %(labelled)s OR EXISTS (
        SELECT FROM outcomes AS o WHERE o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    ))
    ORDER BY p.at DESC LIMIT %(limit)s
"""
REPLAYABLE: LiteralString = f"SELECT p.body, p.record {_REPLAYABLE}"
LABELS_OF_REPLAYABLE: LiteralString = f"""
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place
    FROM (SELECT p.tag, p.body {_REPLAYABLE}) AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
"""
DAYS: LiteralString = """
    SELECT day, changes FROM days
    WHERE tag = %s AND NOT EXISTS (SELECT FROM forgotten AS f WHERE f.tag = days.tag AND f.day = days.day)
"""
JOINED: LiteralString = """
    SELECT p.at, spool_id, p.place, p.attempt, p.body, p.record
    FROM predictions AS p JOIN spools USING (spool)
    WHERE p.tag = %(tag)s AND p.at >= %(begins)s AND p.at < %(ends)s
      AND (p.at, spool_id COLLATE "C", p.place) > (%(at)s::float8, %(spool_id)s, %(place)s::bigint)
    ORDER BY p.at, spool_id COLLATE "C", p.place LIMIT %(limit)s
"""
OUTCOMES_OF_BODIES: LiteralString = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.place, o.source
    FROM outcomes AS o JOIN spools ON spools.spool = o.spool
    WHERE o.tag = %s AND o.body = ANY(%s)
"""
LATEST: LiteralString = "SELECT max(at) FROM predictions WHERE tag = %s"
RECORDS: LiteralString = "SELECT record FROM predictions WHERE tag = %s AND body = %s ORDER BY attempt"
SHADOWS: LiteralString = "SELECT record FROM shadows WHERE tag = %s AND body = %s ORDER BY shadow"
HISTORY: LiteralString = """
    SELECT metric, value, observed_at, received_at, source
    FROM outcomes JOIN spools USING (spool)
    WHERE tag = %s AND body = %s
    ORDER BY metric COLLATE "C", observed_at, received_at, spool_id COLLATE "C", place
"""
BOOKS: LiteralString = """
    SELECT book, name, sum(n)::bigint FROM counts WHERE %(only)s::text IS NULL OR tag = %(only)s GROUP BY book, name
"""
