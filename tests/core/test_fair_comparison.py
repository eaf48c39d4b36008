"""What each rule of a fair comparison prevents: the judge with the rule, beside the same judge without it.

Both arms are alike in every life here (but for the one that fails). Lives are short and effects large, so that forty
of them tell the two apart; the rates over thousands of lives are ``python -m benchmarks.judge``'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.deployments import Task
from gateway.core.events import ArmRecord, Event, EvidenceRow, OutcomeRecord, PredictionRecord
from gateway.core.ids import tag_of
from gateway.core.judging import Finding, JudgeState, look, open_case, verdict
from gateway.core.metrics import default_guardrail
from gateway.ports import Window

LIVES = 40
START = 1_363_000_200.0
SHARE = 0.2
FAR = 5
"""So many false demotions of forty lives are within the noise of alpha, 5 %."""


def requests(n: int, rng: np.random.Generator, **fields: object) -> list[PredictionRecord]:
    """One request a second, a fifth of them the candidate's, all of them right."""
    arms = (ArmRecord("stable", "g-stable", 1.0 - SHARE, "1"), ArmRecord("canary", "g-canary", SHARE, "2"))
    names = ("stable", "canary")
    drawn = (rng.random(n) < SHARE).astype(int)
    records = [
        PredictionRecord(tag_of("d"), f"b{k}", "d", 1, 0, f"k{k}", START + k, names[d], names[d], arms, label=1)
        for k, d in enumerate(drawn)
    ]
    return [replace(record, **fields) for record in records]  # type: ignore[arg-type]


def drained(*events: Event) -> list[EvidenceRow]:
    """What the log makes of the events as evidence about the candidate."""
    log = MemoryEventLog()
    log.append("w", list(enumerate(events)), len(events))
    return log.evidence("d", "g-canary", Window(START - 1.0, START + 1e6, log.cursors()))


def truth(record: PredictionRecord, value: int) -> OutcomeRecord:
    return OutcomeRecord(record.tag, record.body, "label", value, record.at + 1.0, record.at + 1.0)


def opened(metric: str) -> JudgeState:
    guardrail = default_guardrail(metric)
    return open_case((guardrail,), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=False)


def judged(metric: str, looks: Sequence[Sequence[EvidenceRow]]) -> JudgeState:
    state = opened(metric)
    for rows in looks:
        state = look(state, health=rows, mature=rows, pairs=(), at=START)
    return state


def demoted(metric: str, looks: Sequence[Sequence[EvidenceRow]]) -> bool:
    """Whether the evidence has ever been enough: the greatest there has been decides."""
    return verdict(judged(metric, looks), START).finding is Finding.FAIL


def in_looks(rows: Sequence[EvidenceRow], size: int = 50) -> list[Sequence[EvidenceRow]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def lives(one: Callable[[np.random.Generator], bool]) -> int:
    return sum(one(np.random.default_rng([77, seed])) for seed in range(LIVES))


def test_a_shared_outage_demotes_nobody_where_a_look_takes_all_below_its_watermark() -> None:
    def outage(rng: np.random.Generator) -> list[EvidenceRow]:
        records = requests(1_040, rng)
        hit = rng.random(1_000) < 0.01
        return drained(*(replace(r, error="E" if k >= 1_000 or hit[k] else None) for k, r in enumerate(records)))

    def whole(rng: np.random.Generator) -> bool:
        return demoted("error_rate", in_looks(outage(rng), 20))

    def canary_first(rng: np.random.Generator) -> bool:
        rows = outage(rng)
        last = rows[1_000:]
        seen_first = [row for row in last if row.candidate]
        return demoted("error_rate", [*in_looks(rows[:1_000]), seen_first, [r for r in last if not r.candidate]])

    assert lives(whole) <= FAR
    assert lives(canary_first) > LIVES // 2


def test_a_sticky_key_is_one_bet_however_often_it_comes() -> None:
    def visits(rng: np.random.Generator, *, sticky: bool) -> bool:
        """Thirty keys come forty times each; a key is always right or always wrong, and always with its arm."""
        keys = requests(30, rng, sticky=sticky)
        unlucky = rng.random(30) < 0.3
        events: list[Event] = []
        for k in range(1_200):
            key = int(rng.integers(30))
            record = replace(keys[key], body=f"v{k}", at=START + k)
            events += [record, truth(record, 0 if unlucky[key] else 1)]
        return demoted("accuracy", in_looks(drained(*events)))

    assert lives(lambda rng: visits(rng, sticky=True)) <= FAR
    assert lives(lambda rng: visits(rng, sticky=False)) > LIVES // 3


def test_a_candidate_that_fails_where_it_would_be_wrong_is_charged_for_it() -> None:
    """It answers a third of its requests with an error, and these are the ones stable gets wrong."""
    rng = np.random.default_rng(78)
    events: list[Event] = []
    for record in requests(4_000, rng):
        hard = rng.random() < 0.3
        failed = hard and record.assigned == "canary"
        answered = replace(record, error="Timeout", served="stable") if failed else record
        events += [answered, truth(record, int(not hard))]
    rows = drained(*events)
    charged = verdict(judged("accuracy", in_looks(rows)), START).findings[0]
    dropped = verdict(judged("accuracy", in_looks([row for row in rows if not row.failed])), START).findings[0]
    assert charged.candidate == pytest.approx(0.3, abs=0.05)
    assert charged.finding is not Finding.PASS
    assert (dropped.candidate, dropped.finding) == (0.0, Finding.PASS)  # it would look perfect
    assert demoted("error_rate", in_looks(rows))


def test_a_label_that_is_posted_twice_is_bet_on_once() -> None:
    def labelled(rng: np.random.Generator, times: int) -> list[EvidenceRow]:
        records = requests(1_000, rng)
        wrong = rng.random(1_000) < 0.1
        told = [truth(record, int(not bad)) for record, bad in zip(records, wrong, strict=True)]
        return drained(*records, *told * times)

    def posted(rng: np.random.Generator, times: int = 5) -> bool:
        return demoted("accuracy", in_looks(labelled(rng, times)))

    def bet_on_each(rng: np.random.Generator) -> bool:
        return demoted("accuracy", in_looks([row for row in labelled(rng, 1) for _ in range(5)]))

    assert lives(posted) == lives(lambda rng: posted(rng, times=1)) <= FAR
    assert lives(bet_on_each) > 2 * FAR
