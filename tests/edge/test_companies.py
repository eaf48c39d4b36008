"""Requests of one moment are told together, and each ends as it would have ended alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.deployments import Durability, OnUnavailable, Scalar, ServingRules, WhenLogFails
from gateway.core.errors import FeaturesUnavailable, InvalidBody, LogRefused, ModelFailed, UnknownDeployment
from gateway.core.events import PredictionRecord
from gateway.core.features import Vector
from gateway.predict import COMPANY, Ask, Told
from tests.data_house import T0, House, canary, reads_seats, shadow, table


def one(flight: object, **members: Any) -> dict[str, Any]:
    return {"entities": {"flight": flight}, "features": {"distance": 1.0}, **members}


def house(*tables: Any, **options: Any) -> House:
    """A house whose models answer in place, up to 64 rows at once."""
    return House(*tables, together=lambda _digest: 64, **options)


async def told(house: House, *bodies: object, **ask: Any) -> list[Told]:
    """Ask for all bodies in one moment, and say how each ended, in order."""
    refused, companies = house.predict.sort([Ask(body, house.clock.machine(), **ask) for body in bodies])
    ends: dict[int, Told] = dict(refused)
    for places, company in companies:
        ends |= zip(places, await house.predict.tell(company), strict=True)
    return [ends[place] for place in range(len(bodies))]


def labels(ends: Sequence[Told]) -> list[Scalar]:
    """The one answer of each that has one, else nothing."""
    return [end[0].output.label if isinstance(end, list) else None for end in ends]


def known(record: PredictionRecord) -> PredictionRecord:
    return replace(record, latency={})


async def test_a_company_makes_one_read_one_call_and_a_record_each() -> None:
    together = house(reads_seats())
    ends = await told(together, *(one(n, request_id=f"r{n}") for n in range(5)))
    assert labels(ends) == [1000.0 + n for n in range(5)]
    assert together.runner.calls == [("stable", 5)]
    assert len(together.features.budgets) == 1
    alone = house(reads_seats())
    for n in range(5):
        await alone.ask(one(n, request_id=f"r{n}"))
    assert [known(r) for r in together.predictions] == [known(r) for r in alone.predictions]


async def test_what_each_is_told_is_what_it_would_have_been_told_alone() -> None:
    together, alone = house(table(shadows=[shadow()])), house(table(shadows=[shadow()]))
    ends = await told(together, *(one(n, request_id=f"r{n}") for n in range(3)))
    assert ends == [[await alone.ask(one(n, request_id=f"r{n}"))] for n in range(3)]
    for each in (together, alone):
        await each.shadows.drain(1.0)
    assert [r.label for r in together.shadowed] == [r.label for r in alone.shadowed] == [3000.0, 3001.0, 3002.0]


async def test_a_body_that_does_not_fit_is_refused_and_the_others_go_on() -> None:
    ends = await told(house(), one(1), one("seven"), [], one(2))
    assert [type(end) for end in ends] == [list, InvalidBody, InvalidBody, list]
    [unknown] = await told(house(), one(1), deployment="nobody")
    assert isinstance(unknown, UnknownDeployment)


async def test_who_cannot_do_without_a_missing_feature_fails_for_itself() -> None:
    flights = house(reads_seats(on_missing=OnUnavailable.ERROR))
    for n in (1, 3):
        flights.features.write("plane", {"flight": n}, {"seats": 100}, T0)
    ends = await told(flights, one(1), one(2), one(3))
    assert labels(ends) == [1001.0, None, 1003.0]
    assert isinstance(ends[1], FeaturesUnavailable)
    assert [r.status for r in flights.predictions] == [200, 503, 200]


async def test_a_row_the_model_fails_at_is_charged_to_its_own_request() -> None:
    flights = house()
    flights.runner.load(flights.routing.table(None).stable, 1000.0, raises="ValueError", raise_every=2)
    ends = await told(flights, one(1), one(2), one(3))
    assert labels(ends) == [1001.0, None, 1003.0]
    assert isinstance(ends[1], ModelFailed)
    assert [r.error for r in flights.predictions] == [None, "ValueError", None]


async def test_a_bug_that_one_of_them_meets_is_not_the_others() -> None:
    flights = house(reads_seats())
    resolve = flights.predict._resolve_row

    def buggy(trip: Any, batch: Any, row: int) -> Vector:
        if "bad" in str(batch.values):
            raise AssertionError
        return resolve(trip, batch, row)

    flights.features.write("plane", {"flight": 2}, {"seats": "bad"}, T0)
    flights.predict._resolve_row = buggy  # type: ignore[method-assign]
    ends = await told(flights, one(1), one(2), one(3))
    assert labels(ends) == [1001.0, None, 1003.0]
    assert isinstance(ends[1], AssertionError)
    assert sorted(r.status for r in flights.predictions) == [200, 200, 500]


async def test_a_record_that_the_log_refuses_is_one_requests_only() -> None:
    flights = house(table(rules=ServingRules(when_log_fails=WhenLogFails.REFUSE), shadows=[shadow()]))
    append_all = flights.spool.append_all
    refusal = LogRefused("The record holds a value that the log cannot take.")
    flights.spool.append_all = lambda events: [None, refusal, *append_all(events[2:])]  # type: ignore[method-assign]
    ends = await told(flights, one(1), one(2), one(3))
    assert labels(ends) == [1001.0, None, 1003.0]
    assert ends[1] is refusal
    assert flights.shadows.pending() == 2, "no record, no eligible shadow"
    await flights.shadows.drain(1.0)


async def test_while_a_candidate_has_a_share_each_is_run_alone_in_the_order_they_came() -> None:
    flights = house(table(canary(0.5)))
    ends = await told(flights, *(one(n, request_id=f"r{n}") for n in range(12)))
    arms = [r.assigned for r in flights.predictions]
    assert set(arms) == {"stable", "canary"}
    assert flights.runner.calls == [(arm, 1) for arm in arms]
    assert labels(ends) == [n + (1000.0 if arm == "stable" else 2000.0) for n, arm in enumerate(arms)]


async def test_a_candidate_that_fails_is_answered_by_stable_for_its_own_requests() -> None:
    flights = house(table(canary(0.5)))
    flights.runner.failing["canary"] = ModelFailed("E")
    ends = await told(flights, *(one(n, request_id=f"r{n}") for n in range(8)))
    assert labels(ends) == [1000.0 + n for n in range(8)]
    assert {(r.assigned, r.error) for r in flights.predictions} == {("stable", None), ("canary", "E")}


async def test_who_might_have_to_wait_waits_alone() -> None:
    pooled = House(together=lambda _digest: 0)
    _, companies = pooled.predict.sort([Ask(one(n), 0.0) for n in range(3)])
    assert [places for places, _ in companies] == [[0], [1], [2]]


@pytest.mark.parametrize("special", [{"deadline_s": 0.1}, {"explain": True}, {"at": T0}, {"variant": "stable"}])
async def test_who_asks_for_more_than_an_answer_is_told_alone(special: dict[str, Any]) -> None:
    flights = house(table(rules=ServingRules(allow_forced=True)))
    _, companies = flights.predict.sort([Ask(one(1), 0.0), Ask(one(2), 0.0, **special), Ask(one(3), 0.0)])
    assert sorted(places for places, _ in companies) == [[0, 2], [1]]


async def test_a_batch_is_company_enough() -> None:
    _, companies = house().predict.sort([Ask(one(1), 0.0), Ask({"instances": [one(2), one(3)]}, 0.0)])
    assert sorted(places for places, _ in companies) == [[0], [1]]


async def test_deployments_do_not_mix_and_a_company_has_its_greatest_size() -> None:
    flights = house(table(), table(name="other"))
    asks = [Ask(one(n), 0.0, "other" if n % 2 else "flight-delay") for n in range(2 * COMPANY + 2)]
    _, companies = flights.predict.sort(asks)
    assert sorted(len(places) for places, _ in companies) == [1, 1, COMPANY, COMPANY]
    for places, company in companies:
        assert {asks[place].deployment for place in places} == {company.trip.table.deployment}


async def test_all_of_a_company_are_under_way_until_they_are_recorded() -> None:
    flights = house()
    flights.runner.gates["stable"] = asyncio.Event()
    task = asyncio.create_task(told(flights, one(1), one(2)))
    await asyncio.sleep(0)
    assert (flights.predict.low(), flights.predict.under_way()) == (T0, 2)
    task.cancel()
    ends = await asyncio.gather(task, return_exceptions=True)
    assert [type(end) for end in ends[0]] == [asyncio.CancelledError] * 2  # type: ignore[union-attr]
    assert [r.status for r in flights.predictions] == [499, 499]
    assert flights.predict.under_way() == 0


async def test_on_disk_means_one_flush_for_all() -> None:
    flights = house(table(rules=ServingRules(durability=Durability.DISK)))
    await told(flights, one(1), one(2), one(3))
    assert flights.spool.flushes == 1
