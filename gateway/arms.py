"""How drawn arms answer: each its own instances, stable for a candidate that could not, a bad row for itself alone."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeAlias

from gateway.core.deployments import Scalar
from gateway.core.errors import DeadlinePassed, GatewayError, ModelFailed, NoModelReady, Unserviceable
from gateway.core.inputs import row_of
from gateway.core.routing import STABLE, Part
from gateway.passage import Company, Result, Sight, Trip
from gateway.ports import Clock, Marks, Output, Runner

Row: TypeAlias = Sequence[Scalar]


class Arms:
    """Runs the models of a company. ``together`` says of a digest how many rows are best asked for at once."""

    def __init__(self, runner: Runner, clock: Clock, marks: Marks, together: Callable[[str], int]) -> None:
        self._runner, self._clock, self._marks, self._together = runner, clock, marks, together

    async def run(self, company: Company, sight: Sight, results: list[Result]) -> None:
        """Fill in the result of every instance that has a vector."""
        for rows in self._calls(company, sight):
            await self._run_rows(company, sight, rows, results)

    def _calls(self, company: Company, sight: Sight) -> Iterator[list[int]]:
        """Say which instances run at the same time.

        Those of one request always do. Those of several share calls only where nobody is judged by the time it takes:
        a call for several is longer for the arm that drew more of them.
        """
        trip, waiting, room = company.trip, list[int](), 0
        if len(company.members) > 1 and not trip.contested:
            room = self._together(trip.table.stable.model.digest)
        for member in company.members:
            rows = [row for row in member.rows if sight.vectors[row] is not None]
            if waiting and len(waiting) + len(rows) > room:
                yield waiting
                waiting = []
            waiting += rows
        if waiting:
            yield waiting

    async def _run_rows(self, company: Company, sight: Sight, rows: Sequence[int], results: list[Result]) -> None:
        """Let each drawn arm answer its instances at once; where a candidate could not, stable answers after it."""
        trip, draws = company.trip, company.draws
        drawn: dict[str, list[int]] = {}
        for row in rows:
            drawn.setdefault(draws[row].assignment.arm, []).append(row)
        runs = [self._run_arm(company, sight, trip.parts[arm], mine) for arm, mine in drawn.items()]
        for answered in [await runs[0]] if len(runs) == 1 else await asyncio.gather(*runs):
            for row, result in answered.items():
                results[row] = result
        fallen = [row for row in rows if results[row].failure and draws[row].assignment.arm != STABLE]
        if fallen:
            rescued = await self._run_arm(company, sight, trip.table.stable, fallen)
            for row, result in rescued.items():
                results[row] = results[row]._replace(output=result.output, served=result.served, failure=result.failure)

    async def _run_arm(self, company: Company, sight: Sight, part: Part, rows: Sequence[int]) -> dict[int, Result]:
        """Run one part's model on the instances ``rows`` and say what came of each."""
        trip, draws, started = company.trip, company.draws, self._clock.machine()
        until = trip.deadline if part.name == STABLE else _share(trip, started)
        inputs = [
            row_of(trip.layout, part.model, draws[row].instance, vector)
            for row in rows
            if (vector := sight.vectors[row]) is not None
        ]
        outputs = await self._answers(trip, part, until, [draws[row].body for row in rows], inputs)
        seconds = self._clock.machine() - started
        return {
            row: Result(output, part.name, seconds=seconds)
            if isinstance(output, Output)
            else Result(error=output, failure=output, seconds=seconds)
            for row, output in zip(rows, outputs, strict=True)
        }

    async def _answers(
        self, trip: Trip, part: Part, until: float, bodies: Sequence[str], inputs: Sequence[Row]
    ) -> Sequence[Output | GatewayError]:
        """Run a model on some rows: in one go, or when that fails one by one, so that each is charged for itself."""
        try:
            return await self._ask_model(trip, part, until, bodies, inputs)
        except (DeadlinePassed, Unserviceable) as error:
            return [error] * len(inputs)
        except ModelFailed as error:
            if len(inputs) == 1:
                return [error]
        alone = zip(bodies, inputs, strict=True)
        return [(await self._answers(trip, part, until, [body], [row]))[0] for body, row in alone]

    async def _ask_model(
        self, trip: Trip, part: Part, until: float, bodies: Sequence[str], inputs: Sequence[Row]
    ) -> list[Output]:
        budget_s = until - self._clock.machine()
        if budget_s <= 0.0:
            raise DeadlinePassed("the model's run")
        if part.name in trip.barred:
            raise NoModelReady(trip.table.deployment)
        stable = part.name == STABLE
        marked = nullcontext() if stable else self._marks.running(trip.table.tag, bodies, part.generation, trip.at)
        with marked:
            outputs = await self._runner.predict(part, inputs, budget_s)
        if len(outputs) != len(inputs):
            raise ModelFailed("WrongNumberOfAnswers")
        return outputs


def _share(trip: Trip, now: float) -> float:
    """When a candidate's time is up: its own deadline, or half of what is left, so that stable can still answer."""
    return min(now + trip.table.rules.canary_deadline_s, (now + trip.deadline) / 2)
