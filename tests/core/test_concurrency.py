"""The limit follows what a server can do, in a simulation of one: so many at once, so long each."""

import math

from gateway.core.concurrency import Limit, Seen, adapted, opened

MOMENT_S = 0.1


def served(limit: Limit, *, servers: int, each_s: float, offered: float, moments: int, at: float = 0.0) -> Limit:
    """Let a closed queue of ``limit`` places be served, when ``offered`` requests a second knock."""
    for number in range(moments):
        capacity = servers / each_s
        under_way = int(limit.now) if offered > capacity else max(1, math.ceil(offered * each_s))
        latency = each_s * max(1.0, under_way / servers)
        rate = min(offered, under_way / latency)
        limit = adapted(
            limit,
            Seen(int(rate * MOMENT_S), latency, under_way, int(max(0.0, offered - rate) * MOMENT_S)),
            at + number * MOMENT_S,
        )
    return limit


def test_under_load_it_settles_where_a_request_waits_about_as_long_as_it_works() -> None:
    quiet = served(opened(8, 256), servers=16, each_s=0.05, offered=100.0, moments=20)
    busy = served(quiet, servers=16, each_s=0.05, offered=3_000.0, moments=100, at=2.0)
    assert 16 <= int(max(busy.now, busy.resume)) <= 40


def test_it_stays_there_however_long_the_load_lasts() -> None:
    quiet = served(opened(8, 256), servers=16, each_s=0.05, offered=100.0, moments=20)
    busy = served(quiet, servers=16, each_s=0.05, offered=3_000.0, moments=6_000, at=2.0)
    assert 16 <= int(max(busy.now, busy.resume)) <= 45
    assert busy.unhurried <= 0.1


def test_a_worker_that_can_do_more_lets_more_in() -> None:
    limit = served(opened(8, 256), servers=200, each_s=0.05, offered=10_000.0, moments=60)
    assert int(limit.now) == 256


def test_it_never_leaves_its_bounds() -> None:
    limit = opened(8, 32)
    for number in range(200):
        limit = adapted(limit, Seen(10, 0.01 * (1 + number), 32, 5), 0.1 * number)
        assert 8 <= limit.now <= 32


def test_a_moment_without_answers_says_nothing() -> None:
    limit = opened(8, 256)
    assert adapted(limit, Seen(0, math.inf, 64, 100), 1.0) == limit
