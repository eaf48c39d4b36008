"""Rows on the stores alone, in virtual time."""

from gateway.adapters.store import open_store
from gateway.core.events import Event
from gateway.core.ids import tag_of
from gateway.ports import EventLog
from tests.chaos.report import Outcome, Row, Setting
from tests.postgres_house import Postgres
from tests.records import T0, outcome, prediction

_HOUR_S = 3_600.0
_TTL_S = 7_200.0
_BATCH = 50
_TAG = tag_of("churn")


def labels_first(setting: Setting) -> Outcome:
    """D7: each label is drained by another host, up to an hour of virtual time before or after its prediction."""
    result = Outcome(what="labels drained before their prediction")
    pairs, dice = setting.pick(2_000, 20_000), setting.dice
    server = Postgres.make().start()
    try:
        for name, url in (("sqlite", f"sqlite:{setting.folder}/store.db"), ("postgresql", server.schema())):
            store = open_store(url)
            arrivals: list[tuple[float, str, Event]] = []
            early = orphans = 0
            for number in range(pairs):
                asked, told = dice.uniform(0.0, _HOUR_S), dice.uniform(0.0, _HOUR_S)
                body, early = f"b{number}", early + (told < asked)
                label = outcome(body, number % 2, T0 + told, tag=_TAG)
                arrivals.append((told, "b-o000000", label))
                arrivals.append((asked, "a-p000000", prediction(body, T0 + asked, tag=_TAG, deployment="churn")))
            for number in range(pairs // 20):  # labels whose prediction never comes
                told = dice.uniform(0.0, _HOUR_S)
                arrivals.append((told, "b-o000000", outcome(f"orphan{number}", 1, T0 + told, tag=_TAG)))
                orphans += 1
            _deliver(store.events, sorted(arrivals, key=lambda arrival: arrival[0]))
            waiting = store.events.books().outcomes["waiting"]
            expired = store.events.expire_outcomes(T0 + _HOUR_S + _TTL_S)
            books = store.events.books().outcomes
            result.faults += early
            result.exactly(f"{name}: joined", books["joined"], pairs)
            result.exactly(f"{name}: waiting before they expired", waiting, orphans)
            result.exactly(f"{name}: expired", (expired, books["expired"], books["waiting"]), (orphans, orphans, 0))
            store.close()
    finally:
        server.remove()
    return result


def _deliver(log: EventLog, arrivals: list[tuple[float, str, Event]]) -> None:
    """Drain both spools as their records come, a batch of one and then of the other."""
    for start in range(0, len(arrivals), _BATCH):
        for spool in ("b-o000000", "a-p000000"):
            events = [event for _, where, event in arrivals[start : start + _BATCH] if where == spool]
            cursor = log.cursors().get(spool, 0)
            placed = [(cursor + 100 * place, event) for place, event in enumerate(events)]
            log.append(spool, placed, cursor + 100 * len(events))


ROWS = (Row("D7", "a label before its prediction is stored, and joined later", labels_first),)
