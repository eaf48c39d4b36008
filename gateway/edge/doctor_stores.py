"""What ``gateway doctor`` asks of servers that keep things: PostgreSQL and Redis. It writes nothing."""

import time
from collections.abc import Iterator

from gateway.edge.doctor_checks import Check, Level, clock

_CONNECT_S = 5
_OLDEST_POSTGRESQL = 14
_MAY = """
    SELECT extract(epoch FROM clock_timestamp())::float8,
           to_regclass('decisions') IS NOT NULL,
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
           coalesce(has_table_privilege(to_regclass('decisions'), 'SELECT, INSERT'), false)
"""


def postgresql(url: str) -> Iterator[Check]:
    """Connect, and see its version, what this user may do there, and its clock."""
    import psycopg  # nobody pays for it who has another store

    before = time.time()
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S, autocommit=True) as connection:
            row = connection.execute(_MAY).fetchone()
            after, version = time.time(), connection.info.server_version // 10_000
    except psycopg.Error as error:
        fix = "is the database up, and do host, user, password and sslmode in store fit?"
        yield Check("store", Level.FAIL, f"PostgreSQL cannot be reached ({type(error).__name__})", fix)
        return
    if row is None:
        return
    now, there, may_create, may_write = row
    if version < _OLDEST_POSTGRESQL:
        yield Check("store", Level.FAIL, f"is PostgreSQL {version}", f"upgrade it to {_OLDEST_POSTGRESQL} or later")
    elif there and not may_write:
        fix = "grant SELECT, INSERT, UPDATE and DELETE on its tables to the gateway's user"
        yield Check("store", Level.FAIL, f"PostgreSQL {version}: this user may not write to the tables", fix)
    elif not may_create:
        fix = "grant CREATE on the schema to the gateway's user: it makes and upgrades its tables itself"
        level = Level.WARN if there else Level.FAIL
        yield Check("store", level, f"PostgreSQL {version}: this user may not make tables", fix)
    else:
        made = "can be written to" if there else "gets its tables at the first start"
        yield Check("store", Level.OK, f"PostgreSQL {version} answers and {made}")
    yield clock("the store", now, before, after)


def redis(about: str, location: str) -> Iterator[Check]:
    """Connect to the online store that a feature plan reads, and see its clock."""
    from redis import Redis, RedisError
    from redis.asyncio.connection import SSLConnection

    from gateway.adapters.features.redis_location import connection_options

    before = time.time()
    try:
        kind, options = connection_options(location)
        with Redis(**options, ssl=kind is SSLConnection, socket_connect_timeout=_CONNECT_S) as server:
            seconds, microseconds = server.time()
    except (RedisError, OSError) as error:
        fix = "is it up, and does connection_string in feature_store.yaml fit?"
        yield Check(about, Level.FAIL, f"Redis cannot be reached ({type(error).__name__})", fix)
        return
    yield Check(about, Level.OK, "Redis answers")
    yield clock("the online store", seconds + microseconds / 1e6, before, time.time())
