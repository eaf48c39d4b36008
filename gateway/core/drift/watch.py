"""One model's watch: its laid-out detectors, what they remember between looks, and the alarms that come of rows.

A look folds whole ticks of data time, in order, each once; so what is known depends on the log alone and not on when
anybody looked. Pure: reading rows, keeping the memory and telling people are :mod:`gateway.drifting`'s business.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.core.deployments import Scalar
from gateway.core.drift import joint
from gateway.core.drift.causes import INPUTS, PREDICTIONS, DriftAlarm
from gateway.core.drift.detector import TICK_S, Budget, Detector, alarmed, detector, stepped, total
from gateway.core.drift.distances import Distances, measured
from gateway.core.drift.profiles import LOST, CountArray, FeatureProfile, Profile, counted
from gateway.core.drift.rows import LoggedRow
from gateway.core.drift.scores import LOCATION, SPREAD
from gateway.core.evidence.arrays import FloatArray
from gateway.core.features import Status

WINDOW_S = 86_400.0
"""Span of the window that distances are shown for, in seconds of data time: at least one tick."""
BUCKETS = 24
CALM_S = 86_400.0
"""An alarm ends when for so long (and ten ticks, and twice what it took) it would not have been raised again."""
SCORE, LABEL = "prediction.score", "prediction.label"


@dataclass(frozen=True, slots=True)
class Watched:
    """One feature's memory. ``log_wealth`` is empty before the first tick; ``buckets`` are (bucket, counts)."""

    log_wealth: tuple[float, ...] = ()
    low: float = 0.0
    """Data time at which the wealth last stood near nothing: about when a change began."""
    buckets: tuple[tuple[int, tuple[int, ...]], ...] = ()
    alarm: DriftAlarm | None = None
    confirmed: float = 0.0
    """Data time at which the standing alarm was, or would have been, raised last."""
    raised: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a watch remembers. ``until`` is the data time, a tick's end, up to which rows were folded; None: nothing."""

    until: float | None = None
    features: dict[str, Watched] = field(default_factory=dict)
    rows: int = 0
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a feature's histogram: its share of the reference's rows, and of the window's."""

    label: str
    reference: float
    live: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature as it stands: distances of the window, how near an alarm it is, and the alarm if one stands.

    ``evidence`` is the log of its wealth and ``needed`` what raises an alarm.
    """

    feature: str
    scope: str
    distances: Distances
    evidence: float | None
    needed: float
    alarm: DriftAlarm | None
    raised: int
    cells: tuple[Cell, ...]


class Watch:
    """A model's detectors. ``inputs`` False watches its answers only (a candidate: the inputs are everybody's)."""

    def __init__(
        self,
        deployment: str,
        variant: str,
        profile: Profile,
        budget: Budget,
        *,
        inputs: bool,
        only: frozenset[str] | None = None,
    ) -> None:
        self.deployment, self.variant, self.profile, self.budget = deployment, variant, profile, budget
        self.tick_s = profile.period_s or TICK_S
        profiled = [*profile.features, *profile.joint_features] if inputs else []
        chosen = [(one, INPUTS) for one in profiled if only is None or one.name in only]
        chosen += [(one, PREDICTIONS) for one in profile.predictions]
        self.profiles: Mapping[str, tuple[FeatureProfile, str]] = {one.name: (one, scope) for one, scope in chosen}
        self.detectors: Mapping[str, Detector] = {
            name: detector(one, len(chosen), budget, self.tick_s) for name, (one, _) in self.profiles.items()
        }

    def due(self, memory: Memory, watermark: float, most: int) -> tuple[float, float] | None:
        """The ticks to fold next, as data time (after, until], at most ``most`` of them; None where none is complete.

        A watch begins with the last tick that is complete when it is first asked.
        """
        if not math.isfinite(watermark):
            return None
        if memory.until is None:
            start = math.floor(watermark / self.tick_s) * self.tick_s
            return start - self.tick_s, start
        complete = math.floor((watermark - memory.until) / self.tick_s)
        return (memory.until, memory.until + min(complete, most) * self.tick_s) if complete >= 1 else None

    def fold(
        self, memory: Memory, window: tuple[float, float], rows: Sequence[LoggedRow], generation: str
    ) -> tuple[Memory, list[DriftAlarm], list[DriftAlarm]]:
        """Take in the rows of some whole ticks; return the memory after them, the alarms that rose, those that ended.

        Answers are those of ``generation``'s rows; inputs are everybody's.
        """
        after, until = window
        features = dict(memory.features)
        for tick, members in self._ticks(after, until, rows):
            for name, counts in self._counts(members, generation).items():
                features[name] = self._stepped(name, features.get(name, Watched(low=after)), counts, tick)
        raised = [
            now.alarm
            for name, now in features.items()
            if now.alarm is not None and (name not in memory.features or memory.features[name].alarm is None)
        ]
        ended = [
            was.alarm for name, was in memory.features.items() if was.alarm is not None and features[name].alarm is None
        ]
        return Memory(until, features, memory.rows + len(rows)), raised, ended

    def findings(self, memory: Memory) -> list[Finding]:
        """Every feature as it stands, those with alarms first, then by how near one they are."""
        found = []
        for name, (profile, scope) in self.profiles.items():
            now, watching = memory.features.get(name, Watched()), self.detectors[name]
            wealth = float(total(np.array(now.log_wealth))) if now.log_wealth else -math.inf
            evidence = wealth if math.isfinite(wealth) else None
            counts, enough = window_counts(profile, now), watching.log_threshold
            distances, cells = measured(profile, counts), cells_of(profile, counts)
            found.append(Finding(name, scope, distances, evidence, enough, now.alarm, now.raised, cells))
        return sorted(found, key=lambda one: (one.alarm is None, one.needed - (one.evidence or -math.inf), one.feature))

    def _ticks(self, after: float, until: float, rows: Sequence[LoggedRow]) -> Iterator[tuple[float, list[LoggedRow]]]:
        """Yield each tick's end and its rows, in order, empty ones too."""
        count = max(1, round((until - after) / self.tick_s))
        members: list[list[LoggedRow]] = [[] for _ in range(count)]
        for row in rows:
            place = math.ceil((row.at - after) / self.tick_s) - 1
            members[min(max(place, 0), count - 1)].append(row)
        for place, some in enumerate(members):
            yield after + (place + 1) * self.tick_s, some

    def _counts(self, rows: Sequence[LoggedRow], generation: str) -> dict[str, CountArray]:
        """Count every watched feature over some rows."""
        columns, statuses = inputs_of(rows)
        if self.profile.joint is not None and rows:
            columns |= {
                name: [float(value) for value in values]
                for name, values in joint.figures(self.profile.joint, columns, len(rows)).items()
            }
        answers = [row for row in rows if row.generation == generation and not row.failed]
        columns |= {SCORE: [row.score for row in answers], LABEL: [row.label for row in answers]}
        missing = [Status.MISSING] * len(rows)
        counts = {}
        for name, (profile, scope) in self.profiles.items():
            if name in columns:
                counts[name] = counted(profile, columns[name], statuses.get(name, ()))
            else:  # nobody sends or delivers it any more
                nothing: list[Scalar] = [None] * len(rows)
                counts[name] = counted(profile, nothing, missing) if scope == INPUTS else counted(profile, ())
        return counts

    def _stepped(self, name: str, was: Watched, counts: CountArray, at: float) -> Watched:
        """One feature after one more tick that ended at ``at``."""
        found = self.detectors[name]
        wealth = stepped(found, np.array(was.log_wealth) if was.log_wealth else found.opened(), counts)
        held = float(total(wealth))
        low = at if held <= float(np.logaddexp.reduce(found.log_stakes)) + 3.0 else was.low
        now = replace(was, low=low, buckets=self._buckets(was, counts, at))
        if not alarmed(found, wealth):
            ended = now.alarm is not None and at - now.confirmed >= self._calm_s(now.alarm)
            return replace(now, log_wealth=_floats(wealth), alarm=None if ended else now.alarm)
        if now.alarm is None:
            alarm = self._alarm(name, now, wealth, at)
            now = replace(now, alarm=alarm, raised=now.raised + 1)
        return replace(now, log_wealth=_floats(found.opened()), confirmed=at, low=at)

    def _calm_s(self, alarm: DriftAlarm) -> float:
        """How long it must be calm for an alarm to end: a drift that took weeks to see takes weeks to be seen again."""
        return max(CALM_S, 10.0 * self.tick_s, 2.0 * (alarm.at - alarm.began))

    def _buckets(self, was: Watched, counts: CountArray, at: float) -> tuple[tuple[int, tuple[int, ...]], ...]:
        bucket = self._bucket_of(at)
        kept = dict(was.buckets)
        before = np.array(kept.get(bucket, (0,) * len(counts)), dtype=np.int64)
        kept[bucket] = tuple(int(count) for count in before + counts)
        return tuple(sorted((one, some) for one, some in kept.items() if one > bucket - BUCKETS))

    def _alarm(self, name: str, now: Watched, wealth: FloatArray, at: float) -> DriftAlarm:
        profile, scope = self.profiles[name]
        found = self.detectors[name]
        what, direction = found.bet_on(int(np.argmax(wealth)))
        score = found.scores.names.index(what)
        counts = window_counts(profile, now, since=self._bucket_of(now.low))
        live = float(found.scores.table[score] @ counts / max(1, counts.sum()))
        reference, sd = float(found.scores.means[score]), float(found.scores.sds[score])
        shift = (live - reference) / max(sd, 1e-9) if sd else math.copysign(math.inf, live - reference)
        return DriftAlarm(
            deployment=self.deployment,
            scope=scope,
            variant=self.variant,
            feature=name,
            what=what,
            direction=direction,
            live=live,
            reference=reference,
            shift=shift if math.isfinite(shift) else direction * 99.0,
            began=now.low,
            at=at,
            rows=int(counts.sum()),
            log_wealth=float(total(wealth)),
            log_threshold=found.log_threshold,
            sentence=sentence(name, what, direction, live, reference, shift),
        )

    def _bucket_of(self, at: float) -> int:
        """The window is so many buckets long, and at least seven ticks."""
        return math.ceil(at / (max(WINDOW_S, 7.0 * self.tick_s) / BUCKETS))


def sentence(name: str, what: str, direction: int, live: float, reference: float, shift: float) -> str:
    """Say what moved, as a person would.

    >>> sentence("dep_delay", LOCATION, 1, 0.58, 0.5, 0.28)
    'dep_delay moved up by 0.28 standard deviations of its rank'
    >>> sentence("carrier", "AA", -1, 0.02, 0.1, -0.3)
    'carrier: the share of AA is 2.0 %, against 10.0 % in the reference'
    """
    if what == LOCATION:
        return f"{name} moved {'up' if direction > 0 else 'down'} by {abs(shift):.2f} standard deviations of its rank"
    if what == SPREAD:
        return f"{name} became {'wider' if direction > 0 else 'narrower'} than in the reference"
    said = f"{what} values" if what in LOST else what
    return f"{name}: the share of {said} is {live:.1%}, against {reference:.1%} in the reference".replace("%", " %")


def inputs_of(rows: Sequence[LoggedRow]) -> tuple[dict[str, Sequence[Scalar]], dict[str, Sequence[int]]]:
    """Values and statuses by feature. A row that lacks a name (the plan changed in between) has it missing."""
    names = {name: None for row in rows for name in row.names}
    if rows and all(row.names == rows[0].names for row in rows):
        values = zip(*(row.values for row in rows), strict=True)
        marks = zip(*(row.statuses for row in rows), strict=True)
        return dict(zip(rows[0].names, values, strict=True)), dict(zip(rows[0].names, marks, strict=True))
    columns: dict[str, list[Scalar]] = {name: [] for name in names}
    statuses: dict[str, list[int]] = {name: [] for name in names}
    for row in rows:
        seen = dict(zip(row.names, zip(row.values, row.statuses, strict=True), strict=True))
        for name in names:
            value, status = seen.get(name, (None, int(Status.MISSING)))
            columns[name].append(value)
            statuses[name].append(status)
    return dict(columns), dict(statuses)


def window_counts(profile: FeatureProfile, now: Watched, since: int | None = None) -> CountArray:
    """Merge the buckets of a feature's window (from ``since`` on) into one."""
    counts = np.zeros(len(profile.counts), dtype=np.int64)
    for bucket, some in now.buckets:
        if since is None or bucket >= since:
            counts += np.array(some, dtype=np.int64)
    return counts


def cells_of(profile: FeatureProfile, counts: CountArray) -> tuple[Cell, ...]:
    """Put the reference and a window side by side, cell by cell; nothing where either has no rows.

    >>> from gateway.core.drift.profiles import number_profile
    >>> seen = number_profile("x", [1.0, 2.0, 3.0, 4.0], bins=2)
    >>> [(cell.label, cell.reference, cell.live) for cell in cells_of(seen, np.array([1, 3, 0, 0, 0, 0]))[:2]]
    [('(-inf, 2.5]', 0.5, 0.25), ('(2.5, inf]', 0.5, 0.75)]
    """
    were, are = sum(profile.counts), int(counts.sum())
    if not were or not are:
        return ()
    both = zip(profile.cells, profile.counts, counts, strict=True)
    return tuple(Cell(label, was / were, int(now) / are) for label, was, now in both)


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
