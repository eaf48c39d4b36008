"""A prediction: decide who answers, read the features, run the model, remember, answer.

Read ``Predict.__call__`` from top to bottom; every room is entered once. Nothing here knows HTTP, a database or a
registry, and nothing a candidate or a shadow does can keep stable from answering.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from gateway.core import ids
from gateway.core.deployments import Durability, Scalar, WhenLogFails
from gateway.core.errors import (
    DeadlinePassed,
    ForcingForbidden,
    GatewayError,
    LogRefused,
    ModelFailed,
    NoModelReady,
    UnknownVariant,
    Unserviceable,
)
from gateway.core.events import PredictionRecord
from gateway.core.features import FeatureBatch, FeatureVector, resolve, resolve_fresh, unavailable
from gateway.core.inputs import Instance, Layout, lay_out, read_body, row_of
from gateway.core.routing import STABLE, Part, RoutingTable, assign, force
from gateway.passage import Answer, Draw, Result, Sight, Trip, explain, failure_of, record_of
from gateway.ports import (
    Clock,
    FeatureSource,
    Flags,
    Marks,
    Observer,
    Output,
    Routing,
    Runner,
    Spool,
    Unmarked,
    Unobserved,
)
from gateway.shadow import Invitation, ShadowLane

Row: TypeAlias = Sequence[Scalar]
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as the door understood it. ``body`` is decoded JSON, single or batch, not checked yet.

    ``variant`` forces who answers; ``at`` is data time where the caller sets it (replay); ``deadline_s`` bounds the
    whole request, counted from ``arrived`` (machine time). All in seconds.
    """

    body: object
    arrived: float
    deployment: str | None = None
    caller: str = "local"
    variant: str | None = None
    at: float | None = None
    deadline_s: float | None = None
    explain: bool = False


class Predict:
    """The story of a prediction. ``spool`` is the predictions' lane, ``keys`` says which key signs now.

    While the worker is ``crowded``, shadows are dropped: they are the first to be shed.
    """

    def __init__(
        self,
        *,
        routing: Routing,
        features: FeatureSource,
        runner: Runner,
        spool: Spool,
        shadows: ShadowLane,
        clock: Clock,
        keys: Callable[[], ids.SigningKeys],
        random: Callable[[int], bytes],
        marks: Marks | None = None,
        observer: Observer | None = None,
        flags: Flags | None = None,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._routing, self._features, self._runner = routing, features, runner
        self._spool, self._shadows, self._clock = spool, shadows, clock
        self._keys, self._random = keys, random
        self._marks: Marks = marks or Unmarked()
        self._observer: Observer = observer or Unobserved()
        self._flags = flags
        self._crowded = crowded
        self._under_way: dict[int, float] = {}
        self._tickets = count()
        self._layouts: dict[str, tuple[RoutingTable, Layout, Mapping[str, Part]]] = {}

    async def __call__(self, ask: Ask) -> list[Answer]:
        """Answer every instance of a request, in order, each routed and remembered on its own.

        Raises what the caller is to be told: BadRequest before anything was routed; Unserviceable, ModelFailed or
        DeadlinePassed once it was, and then the request has been recorded with its failure.
        """
        trip, instances = self._set_out(ask)
        draws = [self._draw(trip, ask, instance) for instance in instances]
        ticket = next(self._tickets)
        self._under_way[ticket] = trip.at  # holds the watermark until the request is recorded
        try:
            sight, results = await self._answer(trip, draws)
            records = self._records(trip, draws, sight, results)
            kept, refusal = await self._remember(trip.table, records)
            self._invite(trip, draws[:kept], records[:kept], sight)
        finally:
            del self._under_way[ticket]
        failure = failure_of(results)
        if failure is not None:
            raise failure
        if refusal is not None and trip.table.rules.when_log_fails is WhenLogFails.REFUSE:
            raise refusal
        said = zip(draws, records, results, sight.vectors, strict=True)
        return [self._say(trip, ask, *each, logged=refusal is None) for each in said]

    def offer(self, deployment: str | None) -> tuple[RoutingTable, Layout, frozenset[str]]:
        """What a deployment takes now, and who may take its traffic. Raises UnknownDeployment, NoModelReady."""
        table = self._routing.table(deployment)
        return table, self._layout(table)[0], self._routing.able(table)

    def low(self) -> float | None:
        """The smallest data time (seconds) of which a record may still come, of a prediction or a shadow; or None."""
        lows = [low for low in (min(self._under_way.values(), default=None), self._shadows.low()) if low is not None]
        return min(lows, default=None)

    def under_way(self) -> int:
        """How many requests are between their draw and their record."""
        return len(self._under_way)

    # Who answers.

    def _set_out(self, ask: Ask) -> tuple[Trip, tuple[Instance, ...]]:
        """Find the table, check what was sent, and fix the request's times. Raises BadRequest, NoModelReady."""
        table = self._routing.table(ask.deployment)
        layout, parts = self._layout(table)
        if ask.variant is not None and not table.rules.allow_forced:
            raise ForcingForbidden
        if ask.variant is not None and ask.variant not in parts:
            raise UnknownVariant(tuple(parts))
        instances = read_body(layout, ask.body)
        if ask.at is not None:
            self._clock.observe(ask.at)
        able = self._routing.able(table)
        sharing = [candidate.part.name for candidate in table.candidates if candidate.weight > 0.0]
        barred = frozenset(sharing) - able if sharing else _NOBODY
        at = self._clock.data() if ask.at is None else ask.at
        within = min(table.rules.deadline_s, math.inf if ask.deadline_s is None else ask.deadline_s)
        return Trip(table, layout, parts, able, barred, at, ask.arrived, ask.arrived + within), instances

    def _layout(self, table: RoutingTable) -> tuple[Layout, Mapping[str, Part]]:
        """Lay a table out once, for as long as it is in force; and name its parts."""
        known = self._layouts.get(table.deployment)
        if known is None or known[0] is not table:
            known = self._layouts[table.deployment] = (table, lay_out(table), table.parts())
        return known[1], known[2]

    def _draw(self, trip: Trip, ask: Ask, instance: Instance) -> Draw:
        """Give an instance its identity and name who answers it."""
        request_id = instance.request_id
        if request_id is None:
            body = ids.body_from(self._random(16))
        else:
            body = ids.body_of(ask.caller, trip.table.deployment, request_id)
        key = instance.routing_key or request_id or body
        if ask.variant is not None:
            return Draw(instance, body, key, force(trip.table, ask.variant, key, trip.at))
        flag = trip.table.rules.flag
        if flag is not None and self._flags is not None:
            known = {**instance.entities, "deployment": trip.table.deployment, "caller": ask.caller}
            named = self._flags.variant(flag, key, known)
            if named is not None and (named == STABLE or named in trip.able):  # a flag revives nobody
                return Draw(instance, body, key, force(trip.table, named, key, trip.at))
        return Draw(instance, body, key, assign(trip.table, key, trip.at, trip.able))

    # What is seen, and what the models say.

    async def _answer(self, trip: Trip, draws: Sequence[Draw]) -> tuple[Sight, list[Result]]:
        """Read features once and run the models. What goes wrong becomes the results', for all of it is recorded."""
        sight = None
        try:
            sight = await self._look(trip, draws)
            sight = Sight(sight.batch, sight.seconds, self._resolve(trip, sight.batch))
            return sight, await self._run_arms(trip, draws, sight.vectors)
        except BaseException as error:  # noqa: BLE001 - also cancelled, also a bug of ours: recorded first, then raised
            blank = Sight(unavailable(trip.table.features, len(draws)))
            return sight or blank, [Result(error=error, failure=error)] * len(draws)

    async def _look(self, trip: Trip, draws: Sequence[Draw]) -> Sight:
        """Read the union of what all variants need, for all instances in one go."""
        plan, started = trip.table.features, self._clock.machine()
        if started >= trip.deadline:
            raise DeadlinePassed("the wait")
        if not plan.views:
            return Sight(unavailable(plan, len(draws)))
        budget_s = min(trip.table.rules.features_budget_s, trip.deadline - started)
        batch = await self._features.read(plan, [draw.instance.entities for draw in draws], budget_s)
        return Sight(batch, self._clock.machine() - started)

    def _resolve(self, trip: Trip, batch: FeatureBatch) -> tuple[FeatureVector, ...]:
        table, required = trip.table, trip.layout.required
        return tuple(
            [
                resolve_fresh(trip.layout.fresh, batch, row, trip.at)
                or resolve(table.features, batch, row, trip.at, table.policies, required)
                for row in range(len(batch.values))
            ]
        )

    async def _run_arms(self, trip: Trip, draws: Sequence[Draw], vectors: Sequence[FeatureVector]) -> list[Result]:
        """Let each drawn arm answer its instances at once; where a candidate could not, stable answers after it."""
        drawn: dict[str, list[int]] = {}
        for index, draw in enumerate(draws):
            drawn.setdefault(draw.assignment.arm, []).append(index)
        results = [Result()] * len(draws)
        runs = [self._run_arm(trip, trip.parts[arm], draws, vectors, rows) for arm, rows in drawn.items()]
        for answered in [await runs[0]] if len(runs) == 1 else await asyncio.gather(*runs):
            for index, result in answered.items():
                results[index] = result
        fallen = [i for i, result in enumerate(results) if result.failure and draws[i].assignment.arm != STABLE]
        if fallen:
            rescued = await self._run_arm(trip, trip.table.stable, draws, vectors, fallen)
            for index, result in rescued.items():
                results[index] = results[index]._replace(
                    output=result.output, served=result.served, failure=result.failure
                )
        return results

    async def _run_arm(
        self, trip: Trip, part: Part, draws: Sequence[Draw], vectors: Sequence[FeatureVector], rows: Sequence[int]
    ) -> dict[int, Result]:
        """Run one part's model on the instances ``rows`` and say what came of each."""
        started = self._clock.machine()
        until = trip.deadline if part.name == STABLE else _share(trip, started)
        inputs = [row_of(trip.layout, part.model, draws[row].instance, vectors[row]) for row in rows]
        outputs = await self._run(trip, part, until, [draws[row].body for row in rows], inputs)
        seconds = self._clock.machine() - started
        return {
            row: Result(output, part.name, seconds=seconds)
            if isinstance(output, Output)
            else Result(error=output, failure=output, seconds=seconds)
            for row, output in zip(rows, outputs, strict=True)
        }

    async def _run(
        self, trip: Trip, part: Part, until: float, bodies: Sequence[str], inputs: Sequence[Row]
    ) -> list[Output | GatewayError]:
        """Run a model on some rows: in one go, or when that fails one by one, so that each is charged for itself."""
        try:
            return [*await self._ask_model(trip, part, until, bodies, inputs)]
        except (DeadlinePassed, Unserviceable) as error:
            return [error] * len(inputs)
        except ModelFailed as error:
            if len(inputs) == 1:
                return [error]
        alone = zip(bodies, inputs, strict=True)
        return [(await self._run(trip, part, until, [body], [row]))[0] for body, row in alone]

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

    # What is remembered, and said.

    def _records(
        self, trip: Trip, draws: Sequence[Draw], sight: Sight, results: Sequence[Result]
    ) -> list[PredictionRecord]:
        failure, total_s = failure_of(results), self._clock.machine() - trip.arrived
        return [
            record_of(trip, draw, sight, row, result, failure, total_s, len(draws))
            for row, (draw, result) in enumerate(zip(draws, results, strict=True))
        ]

    async def _remember(
        self, table: RoutingTable, records: Sequence[PredictionRecord]
    ) -> tuple[int, LogRefused | None]:
        """Write the records down before anybody is answered; say how many were written, and what stopped it."""
        kept, refusal = 0, None
        try:
            if len(records) == 1 and len(self._under_way) > 1:
                await self._append_in_company(records[0])
                kept = 1
            else:
                for record in records:
                    self._spool.append(record)
                    kept += 1
            if table.rules.durability is Durability.DISK:
                await self._spool.flush()
        except LogRefused as error:
            refusal = error
        for record in records:
            self._observer.predicted(record, table, logged=refusal is None)
        return kept, refusal

    async def _append_in_company(self, record: PredictionRecord) -> None:
        """Write a record together with those of the requests beside it. Raises LogRefused.

        The record of a caller who goes away meanwhile is written all the same, so what has to follow it follows, and
        the cancellation is heard at the next await.
        """
        try:
            await self._spool.append_soon(record)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
                task.cancel()

    def _invite(self, trip: Trip, draws: Sequence[Draw], records: Sequence[PredictionRecord], sight: Sight) -> None:
        """Offer each recorded prediction to the shadows its record names; each of them owes one record of its own."""
        crowded = self._crowded()
        for row, (draw, record) in enumerate(zip(draws, records, strict=True)):
            for name in record.shadows:
                part = trip.parts[name]
                invitation = Invitation(
                    record.tag,
                    record.body,
                    record.deployment,
                    record.at,
                    part,
                    row_of(trip.layout, part.model, draw.instance, sight.vectors[row]),
                    trip.table.stable.generation,
                    record.served == STABLE,
                    trip.table.rules.canary_deadline_s,
                )
                self._shadows.offer(invitation, crowded)

    def _say(
        self,
        trip: Trip,
        ask: Ask,
        draw: Draw,
        record: PredictionRecord,
        result: Result,
        vector: FeatureVector,
        logged: bool,
    ) -> Answer:
        blind, version = trip.table.rules.blind, trip.parts[record.served].model.version
        return Answer(
            prediction_id=ids.mint(self._keys(), record.tag, record.body),
            deployment=record.deployment,
            output=result.output or Output(None),
            degraded=vector.degraded + draw.instance.invalid,
            logged=logged,
            variant=None if blind else record.served,
            model_version=None if blind else version,
            fallback=not blind and record.served != record.assigned,
            explanation=explain(record, vector, version, blind) if ask.explain else None,
        )


def _share(trip: Trip, now: float) -> float:
    """When a candidate's time is up: its own deadline, or half of what is left, so that stable can still answer."""
    return min(now + trip.table.rules.canary_deadline_s, (now + trip.deadline) / 2)
