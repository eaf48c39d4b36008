"""The story of a look at drift: *collect, decide, store, tell*, one after the other.

A look folds the whole ticks that were drained since the last one into each model's watch (``core.drift.watch``), keeps
what the watch knows, and then does what an alarm is declared to do: a line in the timeline, and where it is to hold the
ramp, a pause for every running plan. Nothing here knows Feast, HTTP or an hour. Everything may block.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from gateway.control import Control
from gateway.core.actors import DRIFT
from gateway.core.deployments import ModelCard
from gateway.core.drift.causes import STABLE, Cause, DriftAlarm, DriftEvent, cause_of
from gateway.core.drift.detector import TICK_S, Budget
from gateway.core.drift.estimate import Estimate, estimated
from gateway.core.drift.making import made
from gateway.core.drift.profiles import Profile, columns_of
from gateway.core.drift.report import DriftReport, Skew, WatchReport
from gateway.core.drift.rows import LoggedRow
from gateway.core.drift.terms import DriftTerms, Effect, Reference
from gateway.core.drift.watch import WINDOW_S, Memory, Watch, inputs_of
from gateway.core.errors import InvalidTransition, ModelUnusable, UnknownVariant
from gateway.core.retraining.runs import RunPhase
from gateway.core.retraining.terms import Trigger
from gateway.core.rollout import JUDGED, Phase, Rollout, Signal
from gateway.core.routing import Part
from gateway.core.state import DeploymentState
from gateway.core.tables import part_of
from gateway.documents import Note
from gateway.ports import DriftLog, DriftSink, Profiles

TICKS_AT_ONCE = 3
"""Ticks that one look folds, so that nobody waits long for the store's thread; more where they hold few rows."""
MOST_TICKS = 1_008
SAMPLES_AT_ONCE = 10
ESTIMATED = 2_000
"""Rows of the window that performance is estimated from."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of one watch.

    ``reference`` names the profile that all this is about. ``untold`` are events that are stored and not told yet;
    ``held`` are generations that were paused while the present alarms stand.
    """

    reference: str
    memory: Memory = Memory()
    untold: tuple[DriftEvent, ...] = ()
    held: tuple[str, ...] = ()
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look did: whether anything was due, and what people were told."""

    folded: bool
    told: tuple[DriftEvent, ...]


class DriftCodec(Protocol):
    """Turns what is kept into bytes for the store, and back, exactly."""

    def encode(self, kept: Remembered) -> bytes:
        """Write down what a watch remembers."""

    def decode(self, raw: bytes) -> Remembered:
        """Read it back. Raises StoreUnavailable."""

    def encode_profile(self, profile: Profile) -> bytes:
        """Write down a reference."""

    def decode_profile(self, raw: bytes) -> Profile:
        """Read it back. Raises ModelUnusable."""

    def encode_skew(self, skew: Skew) -> bytes:
        """Write down a comparison with the offline store."""

    def decode_skew(self, raw: bytes) -> Skew:
        """Read it back. Raises StoreUnavailable."""


class NoReference(Exception):
    """There is nothing to compare with, for the reason in its sentence."""


class Drifting:
    """Looks at drift. Watches are laid out once per model and terms, and found again in the store."""

    def __init__(
        self,
        log: DriftLog,
        control: Control,
        profiles: Profiles,
        codec: DriftCodec,
        sinks: Sequence[DriftSink] = (),
    ) -> None:
        self._log, self._control, self._profiles, self._codec = log, control, profiles, codec
        self._sinks = tuple(sinks)
        self._watches: dict[tuple[str, str, str], tuple[DriftTerms, Watch]] = {}
        self._next: dict[str, float] = {}
        self._strides: dict[str, int] = {}

    def look(self, deployment: str, watermark: float) -> Looked:
        """Fold what is complete below ``watermark`` (data time, seconds) and do what follows."""
        if watermark < self._next.get(deployment, -math.inf):
            return Looked(folded=False, told=())
        state = self._control.read(deployment)
        told: list[DriftEvent] = []
        due = dict.fromkeys(_watched(state), watermark + TICK_S)
        for part in due:
            with suppress(NoReference):
                kept, watch = self._kept(state, part)
                due[part] = self._fold(state, part, watch, kept, watermark)
        if state.spec.drift.effect is not Effect.NONE:
            told = self._tell(state)
        if state.spec.drift.effect is Effect.HOLD:
            self._hold(state)
        self._next[deployment] = min(due.values())
        return Looked(folded=True, told=tuple(told))

    def report(self, deployment: str) -> DriftReport:
        """Everything that is known of a deployment's drift. Raises UnknownDeployment."""
        state = self._control.read(deployment)
        watches = tuple(self._describe(state, part) for part in _watched(state))
        standing = [finding.alarm for one in watches for finding in one.findings if finding.alarm is not None]
        return DriftReport(deployment, cause_of(standing), watches, self.skew(deployment))

    def standing(self, state: DeploymentState) -> list[DriftAlarm]:
        """Every alarm that stands, of all watches."""
        found: list[DriftAlarm] = []
        for part in _watched(state):
            with suppress(NoReference):
                memory = self._kept(state, part)[0].memory
                found += [one.alarm for one in memory.features.values() if one.alarm is not None]
        return found

    def skew(self, deployment: str) -> Skew:
        """The last comparison with the offline store."""
        raw = self._log.remembered(deployment, _SKEW)
        return Skew() if raw is None else self._codec.decode_skew(raw)

    def save_skew(self, deployment: str, skew: Skew) -> None:
        """Keep a comparison, and say in the timeline which features differ more than is tolerated."""
        before = self.skew(deployment)
        self._log.remember(deployment, _SKEW, self._codec.encode_skew(skew))
        spec = self._control.read(deployment).spec
        if spec.drift.effect is Effect.NONE:
            return
        known = {line.feature for line in before.features if line.share > spec.drift.skew_tolerated}
        for line in skew.features:
            if line.share > spec.drift.skew_tolerated and line.feature not in known:
                reason = f"{line.feature}: {line.share:.1%} of {skew.rows} served values are not what the offline store"
                note = Note("skew", DRIFT, f"{reason} says they were", evidence=asdict(line))
                self._control.change(deployment, _as_it_is, note)

    def sample(self, deployment: str, after: float, until: float, most: int) -> list[LoggedRow]:
        """Some logged requests, for whoever compares them with something else."""
        return self._log.logged(deployment, after, until, most)

    # Collect and decide.

    def _fold(self, state: DeploymentState, part: Part, watch: Watch, kept: Remembered, watermark: float) -> float:
        """Take in the ticks that are complete, if there are any; return the data time at which there is more."""
        stride = self._strides.get(state.deployment, TICKS_AT_ONCE)
        window = watch.due(kept.memory, watermark, stride)
        if window is None:
            return watermark if kept.memory.until is None else kept.memory.until + watch.tick_s
        ticks = max(1, round((window[1] - window[0]) / watch.tick_s))
        sample = state.spec.drift.sample
        rows = self._log.logged(state.deployment, *window, sample * min(ticks, SAMPLES_AT_ONCE))
        if kept.memory.until is None and not rows:
            return watermark  # it begins with the first traffic
        self._strides[state.deployment] = min(2 * stride, MOST_TICKS) if len(rows) < sample else TICKS_AT_ONCE
        memory, raised, ended = watch.fold(kept.memory, window, rows, part.generation)
        alarms = [one.alarm for one in memory.features.values() if one.alarm is not None]
        others = [alarm for alarm in self.standing(state) if alarm.variant != watch.variant]
        cause = cause_of([*alarms, *others])
        events = [DriftEvent(alarm, cause) for alarm in raised] + [
            DriftEvent(alarm, cause, ended=True) for alarm in ended
        ]
        held = kept.held if alarms else ()
        self._save(state, part, replace(kept, memory=memory, untold=(*kept.untold, *events), held=held))
        return window[1] + watch.tick_s

    # Tell.

    def _tell(self, state: DeploymentState) -> list[DriftEvent]:
        """Tell what is stored and untold. A crash in between tells it again: whoever hears it must not mind."""
        told: list[DriftEvent] = []
        for part in _watched(state):
            with suppress(NoReference):
                kept, _ = self._kept(state, part)
                for event in kept.untold:
                    self._control.change(state.deployment, _as_it_is, _note(event))
                    for sink in self._sinks:
                        sink.drifted(event)
                    told.append(event)
                if kept.untold:
                    self._save(state, part, replace(kept, untold=()))
        return told

    def _hold(self, state: DeploymentState) -> None:
        """Pause what runs while data drift stands, each generation once: an operator's ``resume`` is respected.

        What was trained because of it runs on: it is the way out.
        """
        alarms = self.standing(state)
        if cause_of(alarms) is not Cause.DATA:
            return
        kept, _ = self._kept(state, state.stable)
        candidates = [one for one in state.rollouts.values() if not _answers(state, one, alarms)]
        running = [one for one in candidates if one.phase in (Phase.RUNNING, Phase.WAITING)]
        for rollout in running:
            if rollout.generation not in kept.held:
                kept = replace(kept, held=(*kept.held, rollout.generation))
                reason = f"the data drifted: {alarms[0].sentence}"
                with suppress(InvalidTransition, UnknownVariant):  # it moved meanwhile, and runs no more
                    self._control.send(
                        state.deployment, Signal.PAUSE, actor=DRIFT, reason=reason, candidate=rollout.name
                    )
        self._save(state, state.stable, kept)

    # What is kept, and what it is compared with.

    def _kept(self, state: DeploymentState, part: Part) -> tuple[Remembered, Watch]:
        """What is remembered of a variant's watch, and the watch. Raises NoReference."""
        watch = self._watch(state, part)
        reference = _name_of(state.spec.drift, part.model)
        raw = self._log.remembered(state.deployment, _key(part))
        kept = None if raw is None else self._codec.decode(raw)
        return (kept if kept and kept.reference == reference else Remembered(reference)), watch

    def _save(self, state: DeploymentState, part: Part, kept: Remembered) -> None:
        self._log.remember(state.deployment, _key(part), self._codec.encode(kept))

    def _watch(self, state: DeploymentState, part: Part) -> Watch:
        terms, place = state.spec.drift, (state.deployment, part.name, part.model.digest)
        known = self._watches.get(place)
        if known is not None and known[0] == terms:
            return known[1]
        profile = self._reference(state, part)
        budget = Budget(terms.alpha, terms.horizon_s, terms.tolerance)
        only = frozenset(terms.features) if terms.features else None
        watch = Watch(state.deployment, part.name, profile, budget, inputs=part.name == STABLE, only=only)
        self._watches[place] = (terms, watch)
        return watch

    def _reference(self, state: DeploymentState, part: Part) -> Profile:
        """The profile a variant is compared with. Raises NoReference."""
        terms = state.spec.drift
        if terms.reference is Reference.LOG and part.name == STABLE:
            return self._from_log(state.deployment, terms, part.generation)
        try:
            profile = self._profiles(part.model.digest)
        except ModelUnusable as error:
            raise NoReference(str(error)) from error
        if profile is None:
            raise NoReference(f"{part.model.uri} carries no reference profile (profile.json).")
        return profile

    def _from_log(self, deployment: str, terms: DriftTerms, generation: str) -> Profile:
        """The profile of the declared window, made once and kept. Raises NoReference."""
        key = f"reference:{terms.since:.0f}-{terms.until:.0f}-{terms.period_s:g}"
        raw = self._log.remembered(deployment, key)
        if raw is not None:
            return self._codec.decode_profile(raw)
        rows = self._log.logged(deployment, terms.since, terms.until, _REFERENCE_ROWS)
        if len(rows) < _LEAST_ROWS:
            raise NoReference(f"The declared window of the log holds {len(rows)} rows; {_LEAST_ROWS} are needed.")
        try:
            profile = profile_of(rows, generation, terms.period_s, f"log from {terms.since:.0f} to {terms.until:.0f}")
        except ValueError as error:
            raise NoReference(str(error)) from error
        self._log.remember(deployment, key, self._codec.encode_profile(profile))
        return profile

    def _describe(self, state: DeploymentState, part: Part) -> WatchReport:
        about = (part.name, part.generation, part.model.version)
        try:
            kept, watch = self._kept(state, part)
        except NoReference as error:
            return WatchReport(*about, "", str(error), None, 0.0, 0, (), None)
        memory = kept.memory
        source = watch.profile.source or kept.reference
        estimate = None if memory.until is None else self._estimate(state, part, memory.until)
        findings = tuple(watch.findings(memory))
        return WatchReport(*about, source, "", memory.until, watch.tick_s, memory.rows, findings, estimate)

    def _estimate(self, state: DeploymentState, part: Part, until: float) -> Estimate:
        rows = self._log.logged(state.deployment, until - WINDOW_S, until, ESTIMATED)
        return estimated([row for row in rows if row.generation == part.generation], part.model.task)


_SKEW = "skew"


def _as_it_is(state: DeploymentState) -> DeploymentState:
    """A line in the timeline that changes nothing else."""
    return state


_REFERENCE_ROWS = 200_000
_LEAST_ROWS = 500


def profile_of(rows: Sequence[LoggedRow], generation: str, period_s: float, source: str) -> Profile:
    """Make a reference of logged requests; what ``generation`` answered is the reference of its answers.

    A value that was lost (missing, stale) was served by its fallback and is absent here. Raises ValueError.
    """
    columns, statuses = inputs_of(rows)
    there = {
        name: [value if status in _THERE else None for value, status in zip(column, statuses[name], strict=True)]
        for name, column in columns.items()
    }
    profile = made(there, times=[row.at for row in rows], period_s=period_s, source=source)
    answers = [row for row in rows if row.generation == generation and not row.failed]
    if len(answers) < _LEAST_ROWS:
        return profile
    scores = [row.score for row in answers] if all(row.score is not None for row in answers) else []
    said = made(
        columns_of(("label",), [(row.label,) for row in answers]),
        scores=scores,
        labels=[row.label for row in answers],
        times=[row.at for row in answers],
        period_s=period_s,
    )
    return replace(profile, predictions=said.predictions)


_THERE = frozenset({0, 5})  # present, or the request's own


def _watched(state: DeploymentState) -> Iterable[Part]:
    """Stable, and every candidate that is judged."""
    return (
        replace(state.stable, name=STABLE),
        *(part_of(one) for one in state.rollouts.values() if one.phase in JUDGED),
    )


def _answers(state: DeploymentState, rollout: Rollout, alarms: Sequence[DriftAlarm]) -> bool:
    """Whether a candidate came after the model was trained again on the drift that stands."""
    first = min(alarm.at for alarm in alarms)
    return any(
        run.trigger is Trigger.DRIFT and run.phase is RunPhase.SUCCEEDED and first <= run.at <= rollout.started_at
        for run in state.retraining.runs
    )


def _key(part: Part) -> str:
    return f"watch:{part.name}" if part.name == STABLE else f"watch:{part.name}:{part.generation}"


def _name_of(terms: DriftTerms, model: ModelCard) -> str:
    if terms.reference is Reference.LOG:
        return f"log:{terms.since:.0f}-{terms.until:.0f}"
    return f"model:{model.digest}"


def _note(event: DriftEvent) -> Note:
    alarm = event.alarm
    said = f"{alarm.sentence} ({_CAUSES[event.cause]})"
    evidence = {"alarm": asdict(alarm), "cause": event.cause.value}
    if event.ended:
        return Note("drift_ended", DRIFT, f"{alarm.feature} is as it was in the reference again", evidence=evidence)
    candidate = None if alarm.variant == STABLE else alarm.variant
    return Note("drift", DRIFT, said, candidate, evidence)


_CAUSES = {
    Cause.DATA: "the data drifted: every variant sees it",
    Cause.CANDIDATE: "only this candidate's answers moved",
    Cause.OUTPUT: "only stable's answers moved, on inputs that did not",
    Cause.NONE: "no cause stands any more",
}
