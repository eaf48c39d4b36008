"""The PostgreSQL store's own promises: many writers, deadlines that hold, one leader at a time, turns at every join."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources

import psycopg
import pytest

from gateway.adapters.store import Store, open_store
from gateway.adapters.store import postgresql_queries as queries
from gateway.core.errors import NotLeading, RevisionConflict, SettingsError, StoreUnavailable
from gateway.core.events import Event
from gateway.core.looks import Look
from gateway.ports import HostWord, Window
from tests.contracts.test_control_state import STATE, decision
from tests.postgres_house import Postgres, server
from tests.records import DEPLOYMENT, T0, TAG, crash, outcome, prediction


@pytest.fixture
def url() -> str:
    return server().schema()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[str], Store]]:
    stores: list[Store] = []

    def another(host: str = "a") -> Store:
        stores.append(open_store(url, host))
        return stores[-1]

    yield another
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """A server that may be stopped."""
    one = Postgres.make().start()
    yield one
    one.remove()


# The schema


def test_hosts_that_start_at_once_make_the_schema_once(opened: Callable[[str], Store], url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda n: dict(opened(f"h{n}").events.cursors()), range(6))) == [{}] * 6
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT name FROM schema_files ORDER BY number").fetchall()
    files = resources.files("gateway.adapters.store").joinpath("postgresql_sql").iterdir()
    assert [name for (name,) in names] == sorted(file.name for file in files)


def test_a_store_of_a_later_gateway_is_refused(opened: Callable[[str], Store], url: str) -> None:
    opened("a").events.cursors()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_files VALUES (9000, '9000_future.sql')")
    with pytest.raises(SettingsError, match="9000_future"):
        opened("b").events.cursors()


def test_a_past_week_of_which_nothing_is_left_is_dropped(opened: Callable[[str], Store], url: str) -> None:
    store, day = opened("a"), int(T0 // 86_400)
    store.events.cursors()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT prepare_prediction_weeks(%s, 2)", (T0,))
    store.events.append("w-p000000", [(0, prediction("b1", T0)), (100, prediction("b2", T0 + 7 * 86_400))], 200)

    def weeks() -> set[str]:
        with psycopg.connect(url) as connection:
            listed = connection.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'predictions'::regclass"
            ).fetchall()
        return {name for (name,) in listed}

    mine = {f"predictions_week_{int(T0 // 604_800) + n}" for n in range(2)}
    assert mine < weeks()
    assert store.events.close_day(DEPLOYMENT, day, 1)
    assert [store.events.forget(DEPLOYMENT, day, 9) for _ in range(2)] == [1, 0]
    assert mine & weeks() == {f"predictions_week_{int(T0 // 604_800) + 1}"}
    assert len(weeks()) > 5


def test_predictions_lie_in_weeks_of_data_time_and_the_rest_apart(opened: Callable[[str], Store], url: str) -> None:
    store, now = opened("a"), time.time()
    store.events.expire_outcomes(0.0)
    store.events.append("w-p000000", [(0, prediction("old", T0)), (100, prediction("new", now))], 200)
    with psycopg.connect(url) as connection:
        held: dict[str, str] = dict(
            connection.execute("SELECT body, tableoid::regclass::text FROM predictions").fetchall()
        )
    assert held == {"old": "predictions_rest", "new": f"predictions_week_{int(now // 604_800)}"}


@pytest.mark.parametrize("query", [queries.BETS, queries.OUTCOMES_OF_BETS, queries.STABLE_SIDES, queries.COUNTED])
def test_a_look_touches_its_window_only(opened: Callable[[str], Store], url: str, query: str) -> None:
    opened("a").events.cursors()
    about = {"tag": "t", "after": 0.0, "until": 1.0, "generation": "g", "stable": "s"}
    with psycopg.connect(url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(line for (line,) in connection.execute(b"EXPLAIN " + query.encode(), about))
    assert "Seq Scan on spools" in plan or "Seq Scan" not in plan
    assert "(at > '0'::double precision) AND (at <= '1'::double precision)" in plan


# Many writers


def test_a_prediction_and_its_outcome_drained_by_two_hosts_at_once_are_joined(opened: Callable[[str], Store]) -> None:
    told, asked = opened("a"), opened("b")
    bodies = [f"b{n}" for n in range(200)]

    def drain(store: Store, spool: str, event: Callable[[str], Event]) -> None:
        for n in range(0, len(bodies), 5):
            batch = [(100 * (n + m), event(body)) for m, body in enumerate(bodies[n : n + 5])]
            store.events.append(spool, batch, 100 * (n + 5))

    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(drain, told, "a-o000000", outcome),
            pool.submit(drain, asked, "b-p000000", prediction),
        ]
        for future in futures:
            future.result()
    books = told.events.books()
    assert (books.outcomes["joined"], books.outcomes["waiting"]) == (200, 0)
    assert books.predictions["stored"] == 200


def test_of_one_request_id_on_several_hosts_one_record_is_judged(opened: Callable[[str], Store]) -> None:
    stores = [opened(f"h{n}") for n in range(4)]

    def drain(n: int) -> None:
        for m in range(20):
            record = prediction(f"b{m}", sticky=True, key_hash=f"k{m % 5}")
            stores[n].events.append(f"h{n}-p000000", [(100 * m, record)], 100 * m + 100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drain, range(4)))
    log = stores[0].events
    assert log.books().predictions == {"received": 80, "stored": 20, "duplicates": 60, "crashed": 0}
    stored = [log.prediction(TAG, f"b{m}") for m in range(20)]
    assert [one.attempts for one in stored if one] == [4] * 20
    assert len(log.evidence(DEPLOYMENT, "g-canary", Window(0.0, T0 + 9, log.cursors()))) == 5


def test_what_a_silent_host_delivers_below_the_watermark_is_counted_and_never_bet_on(
    opened: Callable[[str], Store],
) -> None:
    leader, silent = opened("a"), opened("b")
    leader.events.append("a-p000000", [(0, prediction("b1", T0 + 1))], 100)
    assert leader.leadership.acquire() == 1
    assert leader.leadership.reach(T0 + 5) == T0 + 5
    silent.events.append("b-p000000", [(0, prediction("b2", T0 + 5)), (100, prediction("b3", T0 + 6))], 200)
    log = leader.events
    rows = log.evidence(DEPLOYMENT, "g-canary", Window(T0, T0 + 9, log.cursors()))
    assert [row.position.at - T0 for row in rows] == [1, 6]
    assert log.books().predictions == {"received": 3, "stored": 3, "duplicates": 0, "crashed": 0, "late": 1}
    assert sum(row.n for row in log.performance(DEPLOYMENT, T0, T0 + 9)) == 3
    assert log.prediction(TAG, "b2") is not None


def test_a_caller_may_send_text_that_postgresql_cannot_hold(opened: Callable[[str], Store]) -> None:
    store = opened("a")
    odd = outcome("b1", value="nul \0 and \U0001f600", source="\0")
    store.events.append("a-p000000", [(0, prediction("b1", label="\0")), (100, odd)], 200)
    stored = store.events.prediction(TAG, "b1")
    assert stored is not None
    assert stored.outcomes == (odd,)


def test_a_crash_is_charged_at_the_share_of_a_bet_in_the_same_batch(opened: Callable[[str], Store]) -> None:
    store = opened("a")
    store.events.append("a-p000000", [(0, prediction("b1", T0)), (100, crash("b2", T0 + 1))], 200)
    rows = store.events.evidence(DEPLOYMENT, "g-canary", Window(T0 - 1, T0 + 9, store.events.cursors()))
    assert [(row.failed, row.propensity) for row in rows] == [(False, 0.1), (True, 0.1)]


# Compare and set, and who may


def test_of_many_hosts_that_change_a_document_at_once_one_wins_each_revision(opened: Callable[[str], Store]) -> None:
    opened("first").control.write(STATE, 0, [decision(1)])
    hosts = [opened(f"h{n}") for n in range(4)]

    def change(store: Store) -> tuple[int, int]:
        won = lost = 0
        while won < 25:
            found = store.control.read(STATE.deployment)
            assert found is not None
            try:
                following = replace(found, revision=found.revision + 1)
                store.control.write(following, found.revision, [decision(following.revision)])
                won += 1
            except RevisionConflict:
                lost += 1
        return won, lost

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(change, hosts))
    found = hosts[0].control.read(STATE.deployment)
    assert found is not None
    assert found.revision == 101
    assert sum(lost for _, lost in outcomes) > 0
    assert sorted(line.revision for line in hosts[0].control.timeline(STATE.deployment, 500)) == list(range(1, 102))


def test_one_host_leads_until_it_resigns_and_every_change_of_leader_is_a_new_epoch(
    opened: Callable[[str], Store],
) -> None:
    one, other = opened("a").leadership, opened("b").leadership
    assert (one.acquire(), other.acquire(), one.acquire()) == (1, None, 1)
    one.resign()
    assert (other.acquire(), one.acquire()) == (2, None)
    assert opened("b").leadership.acquire() == 3, "a process that begins anew vouches for nothing of its host's past"
    with pytest.raises(NotLeading):
        one.epoch()


def test_a_leader_of_old_writes_nothing_over_its_successor(opened: Callable[[str], Store], url: str) -> None:
    old, new = opened("a"), opened("b")
    assert old.leadership.acquire() == 1
    old.leading.write(STATE, 0, [decision(1)])
    old.leading.save_look("flight-delay", "g2", b"old", Look(1.0))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE leadership SET until = '-infinity'")
    assert new.leadership.acquire() == 2
    with pytest.raises(NotLeading):
        old.leading.write(replace(STATE, revision=2), 1, [decision(2)])
    with pytest.raises(NotLeading):
        old.leading.save_look("flight-delay", "g2", b"stale", Look(2.0))
    with pytest.raises(NotLeading):
        old.leadership.reach(T0)
    assert new.control.read("flight-delay") == STATE
    assert new.control.judge_state("flight-delay", "g2") == b"old"
    new.leading.write(replace(STATE, revision=2), 1, [decision(2)])
    old.control.write(replace(STATE, revision=3), 2, [decision(3)])  # an operator's change needs no lead


def test_a_write_that_has_begun_holds_the_epoch_until_it_is_committed(opened: Callable[[str], Store], url: str) -> None:
    old, new = opened("a"), opened("b")
    assert old.leadership.acquire() == 1
    with psycopg.connect(url) as slow:
        slow.execute("SELECT FROM leadership WHERE epoch = 1 FOR KEY SHARE")
        slow.execute("INSERT INTO judges VALUES ('d', 'g', 'slow')")
        assert old.leadership.acquire() == 1, "a lease is renewed beside it"
        with psycopg.connect(url, autocommit=True) as hurried:
            hurried.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                hurried.execute("UPDATE leadership SET epoch = epoch + 1")
        slow.commit()
    old.leadership.resign()
    assert new.leadership.acquire() == 2


def test_a_change_on_one_host_is_heard_on_the_others(opened: Callable[[str], Store]) -> None:
    heard = threading.Event()
    hush = opened("b").listen(heard.set)
    try:
        assert heard.wait(5.0), "whatever was said before it listened"
        heard.clear()
        opened("a").control.write(STATE, 0, [])
        assert heard.wait(1.0)
    finally:
        hush()


def test_hosts_hear_each_other_until_they_leave(opened: Callable[[str], Store], url: str) -> None:
    one, other = opened("a").hosts, opened("b").hosts
    word = HostWord("a", 1.0, 2.0, 2, frozenset({"d"}), {"e": "no"}, {"prediction": 3}, 4.0)
    one.beat(replace(word, low=0.5))
    one.beat(word)
    other.beat(HostWord("b"))
    assert other.live() == [word, HostWord("b")]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE hosts SET heard_at = heard_at - interval '3.1 s' WHERE host = 'b'")
    assert one.live() == [word]
    one.leave("a")
    assert one.live() == []


def test_the_first_hosts_keys_become_everybodys(opened: Callable[[str], Store]) -> None:
    one, other = opened("a").keys, opened("b").keys
    assert one is not None
    assert other is not None
    assert (one(lambda: b"one"), other(lambda: b"other"), one(lambda: b"again")) == (b"one", b"one", b"one")


# When it does not answer


def test_a_store_that_has_been_stopped_is_unavailable_within_a_second_and_comes_back(mortal: Postgres) -> None:
    store = open_store(mortal.schema(), "a")
    store.control.write(STATE, 0, [])
    mortal.signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.control.all()
            assert time.monotonic() - started < 1.0
        assert store.leadership.acquire() is None
    finally:
        mortal.signal(signal.SIGCONT)
    assert until(lambda: store.control.all()) == [STATE]
    store.close()


def test_a_server_that_went_down_and_came_back_is_connected_again(mortal: Postgres) -> None:
    store = open_store(mortal.schema(), "a")
    heard = threading.Event()
    hush = store.listen(heard.set)
    store.control.write(STATE, 0, [])
    assert heard.wait(5.0)
    mortal.stop()
    with pytest.raises(StoreUnavailable):
        store.events.cursors()
    heard.clear()
    mortal.start()
    assert until(lambda: store.control.all()) == [STATE]
    assert heard.wait(5.0), "it listens again"
    hush()
    store.close()


def test_a_batch_that_fails_half_way_leaves_nothing_behind(opened: Callable[[str], Store]) -> None:
    store = opened("a")
    with pytest.raises(OverflowError):
        store.events.append("w-p000000", [(0, prediction()), (100, outcome("b2", value=2**70))], 200)
    assert store.events.cursors() == {}
    assert store.events.books().predictions["received"] == 0
    store.events.append("w-p000000", [(0, prediction())], 100)
    assert store.events.books().predictions["received"] == 1


def test_a_store_that_is_only_read_is_neither_made_nor_changed(url: str) -> None:
    reader = open_store(url, read_only=True)
    with pytest.raises(SettingsError, match="earlier gateway"):
        reader.control.all()
    writer = open_store(url)
    writer.control.write(STATE, 0, [])
    assert reader.control.all() == [STATE]
    with pytest.raises(StoreUnavailable, match="read-only"):
        reader.control.write(replace(STATE, revision=2), 1, [])
    assert reader.events.cursors() == {}
    reader.close()
    writer.close()


def test_a_url_that_cannot_be_read_is_a_setting_that_makes_no_sense_and_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="no PostgreSQL URL") as error:
        open_store("postgresql://gateway:secret@[::1/db")
    assert "secret" not in str(error.value)


def until(ask: Callable[[], object], longest_s: float = 5.0) -> object:
    """What a store answers once it is back."""
    deadline = time.monotonic() + longest_s
    while True:
        try:
            return ask()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
