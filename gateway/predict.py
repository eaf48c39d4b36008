"""A prediction: decide who answers, read the features, run the model, remember, answer.

Read ``Predict.tell`` from top to bottom; every room is entered once, by a company of requests: the one that came
alone, or those that came in the same moment (:meth:`Predict.sort`). Nothing here knows HTTP, a database or a registry,
and nothing a candidate or a shadow does can keep stable from answering.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from gateway.arms import Arms
from gateway.core import ids
from gateway.core.deployments import Durability, WhenLogFails
from gateway.core.errors import (
    DeadlinePassed,
    ForcingForbidden,
    GatewayError,
    LogRefused,
    UnknownVariant,
)
from gateway.core.events import PredictionRecord
from gateway.core.features import FeatureBatch, Vector, resolve, resolve_fresh, unavailable
from gateway.core.inputs import Instance, Layout, lay_out, read_body, row_of
from gateway.core.routing import STABLE, Part, RoutingTable, assign, force, is_settled
from gateway.passage import (
    Answer,
    Company,
    Draw,
    Member,
    Result,
    Sight,
    Trip,
    arms_of,
    explain,
    failure_of,
    record_of,
)
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

Told: TypeAlias = "list[Answer] | BaseException"
"""The end of one request: an answer per instance, in order, or what its caller is to be told instead."""
COMPANY = 64
"""So many requests at most are told together: a longer company would keep its first from answering."""
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

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for but an answer, so that it may be told together with others."""
        return self.variant is None and self.at is None and not self.explain and self.deadline_s in (None, math.inf)


class Predict:
    """The story of a prediction. ``spool`` is the predictions' lane, ``keys`` says which key signs now.

    While the worker is ``crowded``, shadows are dropped: they are the first to be shed. ``together`` says of a model's
    digest how many rows are best asked for at once, 0 of one that does not answer in place.
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
        together: Callable[[str], int] = lambda _digest: 0,
    ) -> None:
        self._routing, self._features = routing, features
        self._spool, self._shadows, self._clock = spool, shadows, clock
        self._keys, self._random = keys, random
        self._arms = Arms(runner, clock, marks or Unmarked(), together)
        self._observer: Observer = observer or Unobserved()
        self._flags = flags
        self._crowded, self._together = crowded, together
        self._under_way: dict[int, tuple[float, int]] = {}
        self._tickets = count()
        self._layouts: dict[str, tuple[RoutingTable, Layout, Mapping[str, Part]]] = {}

    async def __call__(self, ask: Ask) -> list[Answer]:
        """Answer every instance of a request, in order, each routed and remembered on its own.

        Raises what the caller is to be told: BadRequest before anything was routed; Unserviceable, ModelFailed or
        DeadlinePassed once it was, and then the request has been recorded with its failure.
        """
        [told] = await self.tell(self._alone(ask))
        if isinstance(told, BaseException):
            raise told
        return told

    def sort(self, asks: Sequence[Ask]) -> tuple[list[tuple[int, Exception]], list[tuple[list[int], Company]]]:
        """Sort requests of one moment into companies; members are given by their places among ``asks``.

        What cannot be routed at all is returned with why not. Those go together that want one answer each, of one
        deployment, from models that answer in place; whoever might have to wait waits alone.
        """
        refused: list[tuple[int, Exception]] = []
        alone: list[tuple[list[int], Company]] = []
        shared: dict[str | None, list[tuple[list[int], Company]]] = {}
        trips: dict[str | None, Trip] = {}
        for place, ask in enumerate(asks):
            try:
                company = self._alone(ask, trips)
            except Exception as error:  # noqa: BLE001 - also a bug that one of them met: the others are asked all the same
                refused.append((place, error))
                continue
            if ask.plain and self._is_quick(company):
                _join(shared.setdefault(ask.deployment, []), place, company)
            else:
                alone.append(([place], company))
        return refused, [*(each for companies in shared.values() for each in companies), *alone]

    async def tell(self, company: Company) -> Sequence[Told]:
        """Tell the end of every member of a company, in order. All of them have been recorded."""
        trip, ticket = company.trip, next(self._tickets)
        self._under_way[ticket] = (trip.at, len(company.members))  # holds the watermark until all are recorded
        try:
            try:
                sight, results = await self._answer(company)
                records = self._records(company, sight, results)
            except Exception:  # a bug that one of them met: it must not be the others' too
                if len(company.members) == 1:
                    raise
                return [told for lone in company.apart() for told in await self.tell(lone)]
            refusals, kept = await self._remember(trip.table, records)
            self._invite(company, records, sight, kept)
        finally:
            del self._under_way[ticket]
        return [self._end(company, member, records, results, sight, refusals) for member in company.members]

    def offer(self, deployment: str | None) -> tuple[RoutingTable, Layout, frozenset[str]]:
        """What a deployment takes now, and who may take its traffic. Raises UnknownDeployment, NoModelReady."""
        table = self._routing.table(deployment)
        return table, self._layout(table)[0], self._routing.able(table)

    def low(self) -> float | None:
        """The smallest data time (seconds) of which a record may still come, of a prediction or a shadow; or None."""
        own = min([at for at, _ in self._under_way.values()], default=None)
        return min([low for low in (own, self._shadows.low()) if low is not None], default=None)

    def under_way(self) -> int:
        """How many requests are between their draw and their record."""
        return sum(members for _, members in self._under_way.values())

    # Who answers.

    def _alone(self, ask: Ask, trips: dict[str | None, Trip] | None = None) -> Company:
        """Find the table, check what was sent, and draw. Raises BadRequest, NoModelReady.

        ``trips`` of this moment spare the plain requests behind the first of their deployment the looking.
        """
        trip = None if trips is None or not ask.plain else trips.get(ask.deployment)
        if trip is None:
            trip = self._set_out(ask)
            if trips is not None and ask.plain:
                trips[ask.deployment] = trip
        instances = read_body(trip.layout, ask.body)
        if ask.at is not None:
            self._clock.observe(ask.at)
        draws = [self._draw(trip, ask, instance) for instance in instances]
        return Company(trip, [Member(ask.arrived, 0, len(draws), ask.explain)], draws)

    def _set_out(self, ask: Ask) -> Trip:
        """Find the table, and fix the request's times. Raises BadRequest, NoModelReady."""
        table = self._routing.table(ask.deployment)
        layout, parts = self._layout(table)
        if ask.variant is not None and not table.rules.allow_forced:
            raise ForcingForbidden
        if ask.variant is not None and ask.variant not in parts:
            raise UnknownVariant(tuple(parts))
        able = self._routing.able(table)
        sharing = [candidate.part.name for candidate in table.candidates if candidate.weight > 0.0]
        barred = frozenset(sharing) - able if sharing else _NOBODY
        at = self._clock.data() if ask.at is None else ask.at
        deadline = ask.arrived + min(table.rules.deadline_s, math.inf if ask.deadline_s is None else ask.deadline_s)
        settled = assign(table, "", at, able) if is_settled(table) else None
        return Trip(table, layout, parts, able, bool(sharing), barred, at, deadline, settled)

    def _is_quick(self, company: Company) -> bool:
        """Whether a lone request wants one answer, from a model that answers in place."""
        if len(company.draws) != 1:
            return False
        drawn = company.trip.parts[company.draws[0].assignment.arm]
        return self._together(drawn.model.digest) > 0

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
        return Draw(instance, body, key, trip.settled or assign(trip.table, key, trip.at, trip.able))

    # What is seen, and what the models say.

    async def _answer(self, company: Company) -> tuple[Sight, list[Result]]:
        """Read features once and run the models. What goes wrong becomes the results', for all of it is recorded.

        Raises only for a company of several, and only what nobody foresaw.
        """
        sight, results = None, [_NO_RESULT] * len(company.draws)
        try:
            sight = await self._look(company)
            sight = sight._replace(vectors=self._resolve(company, sight.batch, results))
            await self._arms.run(company, sight, results)
        except BaseException as error:  # also cancelled, also a bug of ours: recorded first, then raised
            if len(company.members) > 1 and isinstance(error, Exception) and not isinstance(error, GatewayError):
                raise
            blank = Sight(unavailable(company.trip.table.features, len(company.draws)))
            return sight or blank, [Result(error=error, failure=error)] * len(company.draws)
        return sight, results

    async def _look(self, company: Company) -> Sight:
        """Read the union of what all variants need, for all instances in one go."""
        trip, draws = company.trip, company.draws
        plan, started = trip.table.features, self._clock.machine()
        if started >= trip.deadline:
            raise DeadlinePassed("the wait")
        if not plan.views:
            return Sight(unavailable(plan, len(draws)))
        budget_s = min(trip.table.rules.features_budget_s, trip.deadline - started)
        batch = await self._features.read(plan, [draw.instance.entities for draw in draws], budget_s)
        return Sight(batch, self._clock.machine() - started)

    def _resolve(self, company: Company, batch: FeatureBatch, results: list[Result]) -> list[Vector | None]:
        """Judge what was read; a member that cannot do without what is not there has its results already."""
        vectors: list[Vector | None] = []
        for member in company.members:
            try:
                vectors += [self._resolve_row(company.trip, batch, row) for row in member.rows]
            except GatewayError as error:
                vectors[member.start :] = [None] * len(member.rows)
                results[member.start : member.end] = [Result(error=error, failure=error)] * len(member.rows)
        return vectors

    def _resolve_row(self, trip: Trip, batch: FeatureBatch, row: int) -> Vector:
        fresh = resolve_fresh(trip.layout.fresh, batch, row, trip.at)
        if fresh is not None:
            return fresh
        return resolve(trip.table.features, batch, row, trip.at, trip.table.policies, trip.layout.required)

    # What is remembered, and said.

    def _records(self, company: Company, sight: Sight, results: Sequence[Result]) -> list[PredictionRecord]:
        now, arms = self._clock.machine(), arms_of(company.trip, company.draws[0].assignment)
        records: list[PredictionRecord] = []
        for member in company.members:
            failure, total_s = failure_of(results[member.start : member.end]), now - member.arrived
            for row in member.rows:
                if company.trip.settled is None:
                    arms = arms_of(company.trip, company.draws[row].assignment)
                records.append(
                    record_of(company, sight, row, results[row], failure, total_s, arms, member.end - member.start)
                )
        return records

    async def _remember(
        self, table: RoutingTable, records: Sequence[PredictionRecord]
    ) -> tuple[list[LogRefused | None], list[bool]]:
        """Write the records down before anybody is answered; say what stopped each, and which were written."""
        refusals = self._spool.append_all(records)
        kept = [refusal is None for refusal in refusals]
        if table.rules.durability is Durability.DISK and any(kept):
            try:
                await self._spool.flush()
            except LogRefused as error:
                refusals = [refusal or error for refusal in refusals]
        for record, refusal in zip(records, refusals, strict=True):
            self._observer.predicted(record, table, logged=refusal is None)
        return refusals, kept

    def _invite(
        self, company: Company, records: Sequence[PredictionRecord], sight: Sight, kept: Sequence[bool]
    ) -> None:
        """Offer each recorded prediction to the shadows its record names; each of them owes one record of its own."""
        trip, crowded = company.trip, self._crowded()
        for row, (draw, record) in enumerate(zip(company.draws, records, strict=True)):
            vector = sight.vectors[row] if record.shadows and kept[row] else None
            if vector is None:
                continue
            for name in record.shadows:
                part = trip.parts[name]
                invitation = Invitation(
                    record.tag,
                    record.body,
                    record.deployment,
                    record.at,
                    part,
                    row_of(trip.layout, part.model, draw.instance, vector),
                    trip.table.stable.generation,
                    record.served == STABLE,
                    trip.table.rules.canary_deadline_s,
                )
                self._shadows.offer(invitation, crowded)

    def _end(
        self,
        company: Company,
        member: Member,
        records: Sequence[PredictionRecord],
        results: Sequence[Result],
        sight: Sight,
        refusals: Sequence[LogRefused | None],
    ) -> Told:
        """Say how one request ended."""
        mine = slice(member.start, member.end)
        failure = failure_of(results[mine])
        if failure is not None:
            return failure
        refusal = next((refusal for refusal in refusals[mine] if refusal is not None), None)
        if refusal is not None and company.trip.table.rules.when_log_fails is WhenLogFails.REFUSE:
            return refusal
        logged = refusal is None
        return [self._say(company, member, row, records[row], results[row], sight, logged) for row in member.rows]

    def _say(
        self,
        company: Company,
        member: Member,
        row: int,
        record: PredictionRecord,
        result: Result,
        sight: Sight,
        logged: bool,
    ) -> Answer:
        trip, draw, vector = company.trip, company.draws[row], sight.vectors[row]
        blind, version = trip.table.rules.blind, trip.parts[record.served].model.version
        lost = () if vector is None else vector.degraded
        return Answer(
            prediction_id=ids.mint(self._keys(), record.tag, record.body),
            deployment=record.deployment,
            output=result.output or Output(None),
            degraded=lost + draw.instance.invalid,
            logged=logged,
            variant=None if blind else record.served,
            model_version=None if blind else version,
            fallback=not blind and record.served != record.assigned,
            explanation=explain(record, vector, version, blind) if member.explains and vector is not None else None,
        )


def _join(companies: list[tuple[list[int], Company]], place: int, lone: Company) -> None:
    """Let a lone request join the last company, or begin one."""
    if companies and len(companies[-1][0]) < COMPANY and companies[-1][1].trip.table is lone.trip.table:
        places, company = companies[-1]
        places.append(place)
        company.join(lone)
    else:
        companies.append(([place], lone))


_NO_RESULT = Result()
