"""What the demo makes of a timeline, and of the log, in the acts in which the loop closes."""

import asyncio
from typing import Any

import pytest

from demo.healing import Beside, beside
from demo.story import SAMPLE, Days
from demo.watch import Healing
from models.flights.data import instant

JULY, AUGUST = instant(SAMPLE[5].first), 1_375_500_000.0
GATES = [{"gate": "schema", "passed": True}, {"gate": "latency", "passed": True}]


def line(action: str, actor: str, hours: float, seconds: float, **evidence: Any) -> dict[str, Any]:
    at = JULY + 3600 * hours
    return {
        "action": action,
        "actor": actor,
        "data_at": at,
        "machine_at": seconds,
        "reason": action,
        "evidence": evidence,
    }


def round_of_the_loop(**changed: dict[str, Any]) -> Healing:
    told = {
        "drift": line("drift", "drift", 240, 100.0),
        "retrain": line("retrain", "retraining", 240, 100.5, run="drift-1", trigger="drift"),
        "retrained": line("retrained", "retraining", 240, 120.0),
        "start": line("start", "registry", 240, 124.0, gates=GATES),
        "ready": line("ready", "agent", 240, 125.0),
        "promote": line("promote", "judge", 480, 180.0, n_candidate=2_000, n_pairs=900),
    }
    healing = Healing()
    for one in (told | changed).values():
        healing.take(one)
    return healing


def test_a_round_that_nobody_touched_is_closed() -> None:
    healing = round_of_the_loop()
    assert healing.closed
    assert all(event.is_set() for event in (healing.asked, healing.trained, healing.started, healing.over))
    loop = healing.figures(JULY)
    assert (loop["drift"]["hours"], loop["retrained"]["seconds"], loop["promote"]["seconds"]) == (240.0, 20.0, 80.0)
    assert healing.evidence()["shadow_pairs"] == 900


@pytest.mark.parametrize(
    "touched",
    [
        {"retrain": line("retrain", "ann", 240, 100.5, run="asked-1", trigger="asked")},
        {"start": line("start", "ann", 240, 124.0, gates=GATES)},
        {"start": line("start", "registry", 240, 124.0, gates=[{"gate": "schema", "passed": False}])},
        {"start": line("start", "registry", 240, 124.0)},
        {"promote": line("promote", "ann", 480, 180.0)},
        {"promote": line("demote", "judge", 480, 180.0)},
    ],
)
def test_a_round_that_somebody_touched_or_that_ended_otherwise_is_not(touched: dict[str, Any]) -> None:
    assert not round_of_the_loop(**touched).closed


async def test_a_wait_ends_when_the_timeline_has_told_it() -> None:
    healing = Healing()
    waiting = asyncio.create_task(healing.until(healing.trained))
    healing.take(line("retrain", "retraining", 240, 100.0, run="drift-1", trigger="drift"))
    await asyncio.sleep(0)
    healing.take(line("retraining_failed", "retraining", 240, 120.0))
    await waiting
    assert healing.first("retrained") is None


def test_the_end_of_a_run_that_was_asked_for_before_does_not_count() -> None:
    healing = Healing()
    healing.take(line("retrained", "retraining", 200, 90.0, run="drift-0"))
    healing.take(line("retrain", "retraining", 240, 100.0, run="drift-1", trigger="drift"))
    assert not healing.trained.is_set()
    assert healing.first("retrained") is None


def prediction(new: float, old: float | None, truth: int | None, **fields: Any) -> dict[str, Any]:
    outcomes = [] if truth is None else [{"metric": "label", "value": truth}]
    shadows = [] if old is None else [{"name": "former", "score": old}]
    return {"at": AUGUST, "served": "stable", "score": new, "shadows": shadows, "outcomes": outcomes} | fields


def test_two_models_are_compared_where_both_answered_and_the_truth_is_known() -> None:
    found = beside(
        [
            prediction(0.25, 0.75, 0),
            prediction(0.5, 0.75, 1),
            prediction(0.5, None, 1),
            prediction(0.5, 0.5, None),
            prediction(0.5, 0.5, 1, at=JULY),
            prediction(0.5, 0.5, 1, served="challenger"),
        ]
    )
    assert found == Beside(2, accuracy_old=0.5, accuracy_new=1.0, brier_old=0.3125, brier_new=0.15625)
    assert found.better
    assert not beside([]).better


def test_the_sample_is_declared_in_words() -> None:
    assert str(Days(SAMPLE[0].first, SAMPLE[0].last)) == "2013-03-01 to 2013-03-04"
    assert all(str(days).endswith("% of the flights") for days in SAMPLE if days.share < 1.0)
