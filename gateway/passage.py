"""What a request carries through the rooms of a prediction, and the record it leaves behind.

Frozen values and pure functions; :mod:`gateway.predict` is the story that fills them in.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core import ids
from gateway.core.deployments import Scalar
from gateway.core.errors import DeadlinePassed, FeaturesUnavailable, ModelFailed, Unserviceable
from gateway.core.events import ArmRecord, PredictionRecord
from gateway.core.features import FeatureBatch, Status, Vector
from gateway.core.inputs import Instance, Layout
from gateway.core.routing import Assignment, Part, RoutingTable
from gateway.ports import Output

CLIENT_GONE = 499


class Trip(NamedTuple):
    """What all requests of a company share. ``deadline`` is machine time, ``at`` is data time.

    ``settled`` is the assignment of every key, where nothing is drawn. ``contested``: a candidate has a share of the
    traffic, so times are evidence. ``barred`` names the candidates
    whose share is not theirs here and now (no lease, not loaded): they take no traffic, not even when forced.
    """

    table: RoutingTable
    layout: Layout
    parts: Mapping[str, Part]
    able: frozenset[str]
    contested: bool
    barred: frozenset[str]
    at: float
    deadline: float
    settled: Assignment | None = None


class Draw(NamedTuple):
    """One instance, its identity, and who was drawn to answer it."""

    instance: Instance
    body: str
    key: str
    assignment: Assignment


class Member(NamedTuple):
    """One request of a company: when it arrived (machine time), and where its instances stand among the draws."""

    arrived: float
    start: int
    end: int
    explains: bool = False

    @property
    def rows(self) -> range:
        """The places of its instances."""
        return range(self.start, self.end)


class Company(NamedTuple):
    """Requests of one deployment that are told together: one read, one call of the model, one write of the spool.

    Each has an end of its own all the same. Most companies are of one. ``draws`` holds every instance of every
    member, in order.
    """

    trip: Trip
    members: list[Member]
    draws: list[Draw]

    def join(self, lone: "Company") -> None:
        """Take in a member that is company to itself so far."""
        [member], start = lone.members, len(self.draws)
        self.members.append(member._replace(start=start, end=start + len(lone.draws)))
        self.draws.extend(lone.draws)

    def apart(self) -> "list[Company]":
        """Each member alone."""
        return [
            Company(self.trip, [member._replace(start=0, end=len(member.rows))], self.draws[member.start : member.end])
            for member in self.members
        ]


class Sight(NamedTuple):
    """What the one feature read delivered: the batch, and a vector per instance, None where it was not resolved."""

    batch: FeatureBatch
    seconds: float = 0.0
    vectors: Sequence[Vector | None] = ()


class Result(NamedTuple):
    """What came of one instance.

    ``error`` is the assigned arm's failure, whatever stable answered afterwards; ``failure`` is why the instance has
    no answer at all. ``seconds`` is the assigned arm's time in the model.
    """

    output: Output | None = None
    served: str = ""
    error: BaseException | None = None
    failure: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an answer came about, for whoever may ask. Arm fields are None where the deployment is blind."""

    variant: str | None
    model_version: str | None
    propensity: dict[str, float] | None
    features: dict[str, Scalar]
    feature_ages_s: dict[str, float]
    timings_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets for one instance. Arm fields are None where the deployment is blind."""

    prediction_id: str
    deployment: str
    output: Output
    degraded: tuple[str, ...]
    logged: bool
    variant: str | None = None
    model_version: str | None = None
    fallback: bool = False
    explanation: Explanation | None = None


def failure_of(results: Sequence[Result]) -> BaseException | None:
    """Why the request as a whole has no answer: the first instance's failure, or None."""
    return next((result.failure for result in results if result.failure is not None), None)


def kind_of(error: BaseException) -> str:
    """Name a failure as records do: the foreign error's class, or ``timeout``.

    >>> kind_of(ModelFailed("ValueError")), kind_of(DeadlinePassed("model"))
    ('ValueError', 'timeout')
    """
    if isinstance(error, DeadlinePassed):
        return "timeout"
    return error.kind if isinstance(error, ModelFailed) else type(error).__name__


def status_of(failure: BaseException | None) -> int:
    """Number the end of a request as its caller sees it, as status codes do."""
    if failure is None:
        return 200
    if isinstance(failure, DeadlinePassed):
        return 504
    if isinstance(failure, asyncio.CancelledError):
        return CLIENT_GONE
    return 503 if isinstance(failure, Unserviceable) else 500


def record_of(
    company: Company,
    sight: Sight,
    row: int,
    result: Result,
    failure: BaseException | None,
    total_s: float,
    arms: tuple[ArmRecord, ...],
    instances: int = 1,
) -> PredictionRecord:
    """Write down one instance: its draw, what was seen, what came of it. ``failure`` is the whole request's."""
    trip, draw = company.trip, company.draws[row]
    table, assignment, output = trip.table, draw.assignment, result.output or _NO_OUTPUT
    key_hash = ids.key_hash(draw.key)
    values, statuses = _seen(trip.layout, draw.instance, sight, row)
    request_id = draw.instance.request_id
    return PredictionRecord(
        tag=table.tag,
        body=draw.body,
        deployment=table.deployment,
        revision=table.revision,
        epoch=assignment.epoch,
        key_hash=key_hash,
        at=trip.at,
        assigned=assignment.arm,
        served=result.served if failure is None else "",
        arms=arms,
        randomised=assignment.randomised,
        sticky=table.rules.sticky,
        request_hash=_request_hash(request_id, draw.key, key_hash),
        status=status_of(failure),
        error=None if result.error is None else kind_of(result.error),
        label=output.label,
        score=output.score,
        scores=output.scores,
        latency={"features": sight.seconds, "model": result.seconds, "total": total_s},
        plan_id=table.features.plan_id,
        names=trip.layout.names,
        values=values,
        statuses=statuses,
        event_times=_event_times(trip, sight, row),
        degraded=_is_degraded(sight, row, failure) or bool(draw.instance.invalid),
        shadows=assignment.shadows if failure is None else (),
        instances=instances,
    )


def explain(record: PredictionRecord, vector: Vector, version: str, blind: bool) -> Explanation:
    """Tell how a recorded answer came about; a blind deployment keeps the arm to itself."""
    return Explanation(
        variant=None if blind else record.served,
        model_version=None if blind else version,
        propensity=None if blind else {arm.name: arm.propensity for arm in record.arms},
        features=dict(zip(record.names, record.values, strict=True)),
        feature_ages_s=dict(vector.ages),
        timings_ms={part: round(seconds * 1000, 3) for part, seconds in record.latency.items()},
    )


def _request_hash(request_id: str | None, key: str, key_hash: str) -> str | None:
    """Hash the caller's request id, which is the routing key more often than not."""
    if request_id is None or request_id == key:
        return None if request_id is None else key_hash
    return ids.key_hash(request_id)


def arms_of(trip: Trip, assignment: Assignment) -> tuple[ArmRecord, ...]:
    """Write down who could have been drawn."""
    return tuple(
        [
            ArmRecord(arm.name, arm.generation, arm.propensity, trip.parts[arm.name].model.digest)
            for arm in assignment.arms
        ]
    )


def _seen(layout: Layout, instance: Instance, sight: Sight, row: int) -> tuple[tuple[Scalar, ...], bytes]:
    """Values and statuses in the order of ``layout.names``: served features, entities, request features."""
    values: list[Scalar]
    vector = sight.vectors[row] if sight.vectors else None
    sent = len(instance.entities) + len(instance.features)
    if sent == len(layout.entities) + len(layout.features) <= len(_ALL_SENT) and not (vector and vector.degraded):
        read = sight.batch.values[row]  # an instance holds its values in the order of the fields
        return (*read, *instance.entities.values(), *instance.features.values()), (
            sight.batch.statuses[row] + _ALL_SENT[:sent]
        )
    if vector is not None and vector.degraded:
        values = [vector.values[name] for name in layout.served]
        statuses = bytearray([vector.statuses[name] for name in layout.served])
    else:  # as it was read: nothing was resolved yet, or nothing needed a fallback
        values, statuses = list(sight.batch.values[row]), bytearray(sight.batch.statuses[row])
    for fields, given in ((layout.entities, instance.entities), (layout.features, instance.features)):
        for name, declared in fields.items():
            values.append(given.get(name, declared.default))
            absent = Status.INVALID if name in instance.invalid else Status.MISSING
            statuses.append(Status.REQUEST if name in given else absent)
    return tuple(values), bytes(statuses)


_ALL_SENT = bytes([Status.REQUEST]) * 256


def _event_times(trip: Trip, sight: Sight, row: int) -> tuple[float | None, ...]:
    times: list[float | None] = []
    for width, time in zip(trip.layout.fresh.widths, sight.batch.event_times[row], strict=True):
        times += [time] * width
    return (*times, *(None,) * (len(trip.layout.names) - len(times)))


def _is_degraded(sight: Sight, row: int, failure: BaseException | None) -> bool:
    vector = sight.vectors[row] if sight.vectors else None
    if vector is not None:
        return bool(vector.degraded)
    return isinstance(failure, FeaturesUnavailable) or any(
        status != Status.PRESENT for status in sight.batch.statuses[row]
    )


_NO_OUTPUT = Output(None)
