"""A rollout that has not begun: what it can detect, how long its steps and its proof take, whether it can decide.

An expectation, not a promise. Log evidence grows per request at the rate that information theory allows the best test
at this share of traffic (the information of the draw about the outcome, beyond the line that is tolerated); the judge
needs ``log(1 / alpha)`` of it times a ratio that was measured. Delays are means: half of all rollouts are faster.

Traffic is taken to be even. What comes in is in :mod:`gateway.core.plan_traffic`, what a request brings about a metric
in :mod:`gateway.core.plan_laws`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from gateway.core.cases import margin_of, tolerance_of
from gateway.core.deployments import Guardrail, Plan, Role, Step
from gateway.core.evidence.rates import Line
from gateway.core.judging import on_pairs
from gateway.core.measures import Kind
from gateway.core.metrics import compared, known
from gateway.core.plan_laws import HARM_RATIO, Law
from gateway.core.plan_traffic import DAY_S, Traffic, traffic_of
from gateway.core.rollout import Terms

__all__ = ["DAY_S", "Delay", "Detection", "PlanForecast", "Proof", "StepForecast", "Traffic", "forecast", "traffic_of"]

DEMOTION_RATIO = HARM_RATIO
PROMOTION_RATIO = 1.2
"""Mean number of samples of a proof of safety over its bound at shares up to :data:`SMALL_SHARE`."""
PROMOTION_RATIO_WIDE = 1.4
"""The same at wider shares."""
SMALL_SHARE = 0.1
ENOUGH_LABELS = 0.80
"""Share of requests that must have a label before a labelled metric can pass."""

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class StepForecast:
    """One step: how many observations of the candidate it brings a day, how long it lasts (None: it never ends)."""

    number: int
    weight: float
    shadow: float
    per_day: float
    lasts_s: float | None
    begins_s: float | None
    events: int


@dataclass(frozen=True, slots=True)
class Detection:
    """One guardrail: the smallest level of the candidate's that is found by the end of each step, None if none is.

    ``rate`` is stable's level (:mod:`gateway.core.plan_laws`); a ``signal`` pauses where others demote. ``doubled`` and
    ``fivefold`` say how long such a regression, there from the start, goes on before it is found, and after how many of
    the candidate's requests; None where it is not found before the proof.
    """

    metric: str
    rate: float
    tolerated: float
    by_step: tuple[float | None, ...]
    doubled: "Delay | None"
    fivefold: "Delay | None"
    signal: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """So much data time, and so many observations of the candidate."""

    seconds: float
    observations: int


@dataclass(frozen=True, slots=True)
class Proof:
    """How long an equal candidate takes to be shown below a guardrail's margin; None: never."""

    metric: str
    rate: float
    margin: float
    takes: Delay | None


@dataclass(frozen=True, slots=True)
class PlanForecast:
    """The whole: steps, detections, proofs, the end (seconds of data time from the start, None: never), warnings."""

    plan: str
    traffic: Traffic
    steps: tuple[StepForecast, ...]
    detections: tuple[Detection, ...]
    proofs: tuple[Proof, ...]
    decides_s: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of even traffic: from when to when (seconds), the candidate's share, bets or pairs a second."""

    begins: float
    ends: float
    share: float
    on_pairs: bool
    per_second: float


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a forecast is made for."""

    plan: Plan
    terms: Terms
    traffic: Traffic


Speed: TypeAlias = Callable[[_Span], float]
"""Nats that one request (of either arm), or one pair, brings in a stretch."""


def forecast(plan: Plan, terms: Terms, traffic: Traffic) -> PlanForecast:
    """Reckon a plan through, under the terms and traffic given. Amounts are told on the scale they are compared on."""
    terms = replace(terms, guardrails=tuple(compared(one) for one in terms.guardrails))
    steps = tuple(_steps(plan, terms, traffic))
    sight = _Sight(plan, terms, traffic)
    judged = [(one, law) for one in terms.guardrails if (law := traffic.law(one)) is not None]
    proofs = tuple(_proof(one, law, steps, sight) for one, law in judged if one.role is not Role.SIGNAL)
    detections = tuple(_detection(one, law, steps, sight) for one, law in judged if one.role is not Role.OBJECTIVE)
    decides = _decides(plan, steps, proofs)
    found = PlanForecast(plan.name, traffic, steps, detections, proofs, decides, ())
    return replace(found, warnings=tuple(_warnings(plan, terms, found)))


def _steps(plan: Plan, terms: Terms, traffic: Traffic) -> Iterator[StepForecast]:
    """Walk the steps; a step counts the slowest of the counted metrics, pairs on a shadow step."""
    begins: float | None = 0.0
    for number, step in enumerate(plan.steps, start=1):
        per_day = _per_day(step, terms, traffic)
        lasts = _lasts(step, per_day, _matures(terms) if begins == 0.0 else 0.0)
        yield StepForecast(number, step.weight, step.shadow, per_day, lasts, begins, step.events)
        begins = None if begins is None or lasts is None else begins + lasts


def _per_day(step: Step, terms: Terms, traffic: Traffic) -> float:
    counted = [one.metric for one in terms.guardrails if one.role is not Role.SIGNAL and not one.dry_run]
    if step.weight > 0.0:
        return traffic.bets_per_day * step.weight * min((traffic.about(metric) for metric in counted), default=1.0)
    paired = [metric for metric in counted if on_pairs(known(metric))]
    return traffic.requests_per_day * step.shadow * min((traffic.about(metric) for metric in paired), default=1.0)


def _lasts(step: Step, per_day: float, waits_s: float) -> float | None:
    if not step.events:
        return step.at_least_s
    return max(step.at_least_s, waits_s + DAY_S * step.events / per_day) if per_day > 0.0 else None


def _matures(terms: Terms) -> float:
    """Age at which the first observation counts, where labels decide."""
    return terms.maturity_s if any(known(one.metric).labelled for one in terms.guardrails) else 0.0


def _spans(metric: str, steps: Sequence[StepForecast], traffic: Traffic, until: float) -> Iterator[_Span]:
    """Stretches in which a metric is observed; the last step goes on until ``until``."""
    about = traffic.about(metric)
    for step in steps:
        if step.begins_s is None:
            return
        last = step.number == len(steps) or step.lasts_s is None
        ends = until if last else min(until, step.begins_s + (step.lasts_s or 0.0))
        bets = traffic.bets_per_day if step.weight > 0.0 else traffic.requests_per_day * step.shadow
        if ends > step.begins_s:
            yield _Span(step.begins_s, ends, step.weight, step.weight <= 0.0, bets * about / DAY_S)


def _proof(guardrail: Guardrail, law: Law, steps: Sequence[StepForecast], sight: _Sight) -> Proof:
    plan, terms, traffic, metric = sight.plan, sight.terms, sight.traffic, known(guardrail.metric)
    line, on_own = margin_of(guardrail), plan.steps[-1].weight > 0.0
    margin = law.edge(line)
    if margin <= law.level or (metric.labelled and traffic.labelled < ENOUGH_LABELS):
        return Proof(guardrail.metric, law.level, margin, None)
    if not on_own and not (on_pairs(metric) and terms.labels_independent):
        return Proof(guardrail.metric, law.level, margin, None)

    def speed(span: _Span) -> float:
        if span.on_pairs:
            return law.paired_safety(line) / PROMOTION_RATIO_WIDE
        return law.safety(line, span.share) / (PROMOTION_RATIO if span.share <= SMALL_SHARE else PROMOTION_RATIO_WIDE)

    waits = terms.maturity_s if metric.labelled else 0.0
    spans = [one for one in _spans(guardrail.metric, steps, traffic, plan.max_age_s - waits) if one.on_pairs != on_own]
    takes = _time_to(math.log(1.0 / terms.alpha_promote), spans, speed)
    return Proof(
        guardrail.metric, law.level, margin, None if takes is None else replace(takes, seconds=takes.seconds + waits)
    )


def _detection(guardrail: Guardrail, law: Law, steps: Sequence[StepForecast], sight: _Sight) -> Detection:
    plan, metric, line = sight.plan, known(guardrail.metric), tolerance_of(guardrail)
    need = math.log(_shares(sight.terms, plan) / sight.terms.alpha)
    waits = sight.terms.maturity_s if metric.labelled else 0.0
    tolerated = min(law.worst, law.edge(line))

    def found(level: float, until: float) -> Delay | None:
        """On its own traffic or on pairs, whichever is sooner: these are two bets, and do not add up."""
        spans = list(_spans(guardrail.metric, steps, sight.traffic, until - waits))
        if not on_pairs(metric):
            spans = [one for one in spans if not one.on_pairs]
        speed = _harm_speed(law, line, level)
        ways = [_time_to(need, [one for one in spans if one.on_pairs is pairs], speed) for pairs in (False, True)]
        taken = [replace(way, seconds=way.seconds + waits) for way in ways if way is not None]
        return min(taken, key=lambda way: way.seconds, default=None)

    def delay(times: float) -> Delay | None:
        level = min(law.worst, law.worse(times))
        return found(level, plan.max_age_s) if level > tolerated else None

    ends = [None if one.begins_s is None or one.lasts_s is None else one.begins_s + one.lasts_s for one in steps]
    smallest = tuple(
        None if end is None else _smallest(partial(found, until=end), tolerated, law.worst) for end in ends
    )
    levels = (law.level, tolerated, smallest)
    return Detection(guardrail.metric, *levels, delay(2.0), delay(5.0), signal=guardrail.role is Role.SIGNAL)


def _harm_speed(law: Law, line: Line, level: float) -> Speed:
    """Nats per request, or per pair, that a candidate of that level brings."""

    def speed(span: _Span) -> float:
        if not span.on_pairs:
            return law.harm(line, level, span.share) / law.ratio
        return law.paired_harm(line, level) / law.ratio if level > law.edge(line) else 0.0

    return speed


def _time_to(need: float, spans: Sequence[_Span], speed: Speed) -> Delay | None:
    """How long, and how many observations of the candidate, until so many nats have come together."""
    left, seen = need, 0.0
    for span in spans:
        nats = speed(span) * span.per_second
        ours = 1.0 if span.on_pairs else span.share
        length = span.ends - span.begins
        if nats * length >= left:
            used = left / nats
            return Delay(span.begins + used, math.ceil(seen + used * span.per_second * ours))
        left -= nats * length
        seen += length * span.per_second * ours
    return None


def _smallest(found: Callable[[float], Delay | None], tolerated: float, worst: float) -> float | None:
    """The smallest badness of the candidate's, above what is tolerated, that is found in time."""
    if tolerated >= worst or found(worst) is None:
        return None
    missed, caught = tolerated, worst
    for _ in range(_HALVINGS):
        middle = 0.5 * (missed + caught)
        missed, caught = (missed, middle) if found(middle) else (middle, caught)
    return caught


def _shares(terms: Terms, plan: Plan) -> int:
    """Into how many parts alpha is split: everything that may demote."""
    acting = [one.metric for one in terms.guardrails if one.role is Role.GUARDRAIL and not one.dry_run]
    watching = any(step.shadow > 0.0 for step in plan.steps)
    return max(1, len(acting) + sum(watching and on_pairs(known(metric)) for metric in acting))


def _decides(plan: Plan, steps: Sequence[StepForecast], proofs: Sequence[Proof]) -> float | None:
    """When an equal candidate is promoted, if the plan promotes by itself; None: never, within its greatest age."""
    last = steps[-1]
    if last.begins_s is None or last.lasts_s is None or not plan.auto_promote or not proofs:
        return None
    needed = [one for one in proofs if plan.steps[-1].weight > 0.0 or on_pairs(known(one.metric))]
    if not needed or any(one.takes is None for one in needed):
        return None
    ends = max(last.begins_s + last.lasts_s, *(one.takes.seconds for one in needed if one.takes))
    return ends if ends <= plan.max_age_s else None


def _warnings(plan: Plan, terms: Terms, found: PlanForecast) -> Iterator[str]:
    traffic = found.traffic
    for guardrail in terms.guardrails:
        yield from _not_known(guardrail, traffic)
    for step in found.steps:
        if step.lasts_s is None:
            yield f"step {step.number} never ends: it needs {step.events:,} observations, and none come"
    whole = None if found.steps[-1].begins_s is None else found.steps[-1].begins_s + (found.steps[-1].lasts_s or 0.0)
    if whole is not None and whole > plan.max_age_s:
        yield "the steps alone take longer than the plan's greatest age (max_age)"
    yield from _label_warnings(terms, traffic)
    for proof in found.proofs:
        if proof.margin <= proof.rate:
            yield f"{proof.metric}: its margin leaves no room, so an equal candidate can never be shown to be safe"
        elif proof.takes is None and plan.steps[-1].weight > 0.0:
            yield f"{proof.metric}: an equal candidate is not shown to be safe before the plan's greatest age"
    if plan.steps[-1].weight <= 0.0 and not terms.labels_independent:
        yield "the last step is a shadow's, and labels_independent is not declared: nothing promotes it"
    if found.decides_s is None:
        yield f"it can never decide for an equal candidate: at max_age the plan says {plan.on_inconclusive}"


def _not_known(guardrail: Guardrail, traffic: Traffic) -> Iterator[str]:
    kind = known(guardrail.metric).kind
    if kind in (Kind.AGREEMENT, Kind.SPREAD):
        yield f"{guardrail.metric}: which way and how far a model would differ is nobody's to say, so no time is told"
    elif kind is Kind.SLOWER and guardrail.metric not in traffic.tails:
        yield f"{guardrail.metric}: stable's is not known, so its p99 is taken to be 3.2 times its p50"
    elif traffic.law(guardrail) is None:
        yield f"{guardrail.metric}: stable's level is not known, so nothing is said about it"


def _label_warnings(terms: Terms, traffic: Traffic) -> Iterator[str]:
    if not any(known(one.metric).labelled for one in terms.guardrails):
        return
    if traffic.labelled < ENOUGH_LABELS:
        yield f"only {traffic.labelled:.0%} of requests get a label, {ENOUGH_LABELS:.0%} are needed to pass"
    if traffic.label_delay_s > terms.maturity_s:
        yield (
            f"labels take up to {traffic.label_delay_s:,.0f} s, and count at the age of {terms.maturity_s:,.0f} s "
            "(maturity): later ones are never counted"
        )
