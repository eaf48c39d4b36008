"""What a look asks of SQLite. Parameters: ?1 tag, ?2 after, ?3 until (data time), ?4 generation, ?5 stable generation.

Every query walks one index over the window's rows and nothing else of the table; ``CROSS JOIN`` is how SQLite is told
which side to walk.
"""

BETS = """
    SELECT bets.at, spool_id, bets.offset, bets.body, candidate, propensity, failed, answer
    FROM bets JOIN spools USING (spool) LEFT JOIN predictions USING (prediction)
    WHERE bets.tag = ?1 AND bets.generation = ?4 AND bets.at > ?2 AND bets.at <= ?3
    ORDER BY bets.at
"""

OUTCOMES_OF_BETS = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM bets
    JOIN outcomes AS o ON o.tag = bets.tag AND o.body = bets.body
    JOIN spools ON spools.spool = o.spool
    WHERE bets.tag = ?1 AND bets.generation = ?4 AND bets.at > ?2 AND bets.at <= ?3
"""

STABLE_SIDES = """
    SELECT p.at, spool_id, p.offset, p.body, p.answer
    FROM predictions AS p JOIN spools USING (spool)
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.pairable AND p.stable = ?5
    ORDER BY p.at, spool_id, p.offset
"""

SHADOW_SIDES = """
    SELECT s.body, spool_id, s.offset, s.dropped, s.failed, s.answer
    FROM predictions AS p
    JOIN shadows AS s ON s.tag = p.tag AND s.body = p.body AND s.generation = ?4 AND s.attempt = 1
    JOIN spools ON spools.spool = s.spool
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.pairable AND p.stable = ?5
"""

SHADOW_CRASHES = """
    SELECT c.body, spool_id, c.offset
    FROM predictions AS p
    JOIN crashes AS c ON c.tag = p.tag AND c.body = p.body AND c.generation = ?4
    JOIN spools ON spools.spool = c.spool
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.pairable AND p.stable = ?5
"""

OUTCOMES_OF_PAIRS = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM predictions AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body
    JOIN spools ON spools.spool = o.spool
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.pairable AND p.stable = ?5
"""

PIECE = "SELECT at FROM predictions WHERE tag = ?1 AND at > ?2 AND at <= ?3 ORDER BY at LIMIT 1 OFFSET ?4"

COUNTED = """
    SELECT p.body, p.at, name, generation, digest, failed, degraded, answer
    FROM predictions AS p
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.counted
"""

DEGRADED = """
    SELECT generation, count(*), sum(degraded)
    FROM predictions AS p
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.counted
    GROUP BY generation
"""

LABELS_OF_COUNTED = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM predictions AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
    WHERE p.tag = ?1 AND p.at > ?2 AND p.at <= ?3 AND p.attempt = 1 AND p.counted
"""

NEWEST = """
    SELECT p.at, spool_id, p.offset, p.body, generation, failed, answer, record
    FROM predictions AS p JOIN spools USING (spool)
    WHERE p.tag = ?1 AND p.attempt = 1 AND p.counted AND NOT p.degraded
    ORDER BY p.at DESC, spool_id DESC, p.offset DESC LIMIT ?2
"""

OUTCOMES_OF_NEWEST = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM (
        SELECT p.body FROM predictions AS p JOIN spools USING (spool)
        WHERE p.tag = ?1 AND p.attempt = 1 AND p.counted AND NOT p.degraded
        ORDER BY p.at DESC, spool_id DESC, p.offset DESC LIMIT ?2
    ) AS newest
    CROSS JOIN outcomes AS o ON o.tag = ?1 AND o.body = newest.body
    JOIN spools ON spools.spool = o.spool
"""

_LATEST = """
    FROM predictions AS p
    WHERE p.tag = ?1 AND p.attempt = 1 AND p.counted AND NOT p.degraded
    AND (?2 = 0 OR EXISTS (
        SELECT 1 FROM outcomes AS o WHERE o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    ))
    ORDER BY p.at DESC LIMIT ?3
"""

LATEST = f"SELECT p.body, p.record {_LATEST}"
"""Parameters of this and the next: ?1 tag, ?2 whether with a label only, ?3 how many."""

LABELS_OF_LATEST = f"""
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset
    FROM (SELECT p.tag, p.body {_LATEST}) AS p
    JOIN outcomes AS o ON o.tag = p.tag AND o.body = p.body AND o.metric = 'label'
    JOIN spools ON spools.spool = o.spool
"""  # noqa: S608 - put together from our own words

DAYS = """
    SELECT day, changes FROM days
    WHERE tag = ?1 AND day NOT IN (SELECT day FROM forgotten WHERE tag = ?1)
"""

JOINED = """
    SELECT p.at, spool_id, p.offset, p.attempt, p.body, p.record
    FROM predictions AS p JOIN spools USING (spool)
    WHERE p.tag = ?1 AND p.at >= ?2 AND p.at < ?3 AND (p.at, spool_id, p.offset) > (?4, ?5, ?6)
    ORDER BY p.at, spool_id, p.offset LIMIT ?7
"""
"""Parameters: tag, the day's beginning and end, the place (at, spool_id, offset) to go on behind, most rows."""

OUTCOMES_OF_BODIES = """
    SELECT o.body, o.metric, o.value, o.observed_at, o.received_at, spool_id, o.offset, o.source
    FROM json_each(?2) AS wanted
    CROSS JOIN outcomes AS o ON o.tag = ?1 AND o.body = wanted.value
    JOIN spools ON spools.spool = o.spool
"""

HISTORY = """
    SELECT metric, value, observed_at, received_at, source
    FROM outcomes JOIN spools USING (spool)
    WHERE tag = ?1 AND body = ?2
    ORDER BY metric, observed_at, received_at, spool_id, offset
"""

BOOKS = "SELECT book, name, sum(n) FROM counts WHERE ?1 IS NULL OR tag = ?1 GROUP BY book, name"

EXPIRE_WAITS = """
    DELETE FROM waiting WHERE (tag, body, metric) IN (
        SELECT tag, body, metric FROM waiting WHERE received_at < ?1 ORDER BY received_at LIMIT ?2
    ) RETURNING tag, body, metric
"""
