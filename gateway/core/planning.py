"""A rollout that has not begun: what it can detect, how long its steps and its proof take, whether it can decide.

An expectation, not a promise. Log evidence grows per request at the rate that information theory allows the best test
at this share of traffic (the information of the draw about the outcome, beyond the line that is tolerated); the judge
needs ``log(1 / alpha)`` of it times a ratio that was measured. Delays are means: half of all rollouts are faster.

Traffic is taken to be even. Pairs are taken to be as alike as two models that share half of their mistakes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean, pstdev
from typing import TypeAlias

from gateway.core.deployments import Guardrail, Plan, Role, Step
from gateway.core.events import EvidenceRow, ServedRow
from gateway.core.evidence.bounds import information, paired_information, paired_safety, shift_information
from gateway.core.measures import Kind, Metric
from gateway.core.metrics import compared, known, told_as
from gateway.core.rollout import Terms

DAY_S = 86_400.0
DEMOTION_RATIO = 1.6
"""Mean delay of a demotion over its information bound: 1.3 to 1.6 in simulation, tolerances included."""
PROMOTION_RATIO = 1.2
"""Mean number of samples of a proof of safety over its bound at shares up to :data:`SMALL_SHARE`."""
PROMOTION_RATIO_WIDE = 1.4
"""The same at wider shares."""
SMALL_SHARE = 0.1
SHARED_MISTAKES = 0.5
"""Share of their wrong answers that two models are taken to have in common."""
ENOUGH_LABELS = 0.80
"""Share of requests that must have a label before a labelled metric can pass."""
NEARLY_ALL = 0.99
"""Quantile of the labels' delay that a maturity should cover."""

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in, as it is expected. ``bets_per_day`` counts what evidence is made of: requests, or new sticky keys.

    ``labelled`` is the share of requests that get a label, ``label_delay_s`` how long nearly all of these take (data
    time). ``rates`` are stable's rates of badness by metric; a metric without one cannot be planned for. ``counted``
    is the share of requests that a metric is about (of recall: those with a positive label), where it is known.
    Of an amount (a loss, a business value within a range) ``rates`` has the mean, ``spreads`` the standard deviation;
    without that it is reckoned with as if each were nothing or 1.
    """

    requests_per_day: float
    bets_per_day: float
    labelled: float
    label_delay_s: float
    rates: dict[str, float]
    counted: dict[str, float] = field(default_factory=dict)
    keys_per_epoch: float | None = None
    spreads: dict[str, float] = field(default_factory=dict)

    def about(self, metric: str) -> float:
        """The share of requests that a metric is about."""
        return self.counted.get(metric, self.labelled if known(metric).labelled else 1.0)


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
    """One guardrail: the smallest rate of the candidate's that is found by the end of each step, None if none is.

    ``rate`` is stable's. ``doubled`` and ``fivefold`` say how long such a regression, there from the start, goes on
    before it is found, and after how many of the candidate's requests; None where it is not found before the proof.
    """

    metric: str
    rate: float
    tolerated: float
    by_step: tuple[float | None, ...]
    doubled: "Delay | None"
    fivefold: "Delay | None"


@dataclass(frozen=True, slots=True)
class Delay:
    """So much data time, and so many observations of the candidate."""

    seconds: float
    observations: int


@dataclass(frozen=True, slots=True)
class Proof:
    """How long an equal candidate takes to be shown below a guardrail's margin; None: never."""

    metric: str
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


Speed: TypeAlias = Callable[[_Span], float]
"""Nats that one request (of either arm), or one pair, brings in a stretch."""


def traffic_of(
    rows: Sequence[ServedRow],
    stable: str,
    guardrails: Iterable[Guardrail],
    epoch_s: float,
    *,
    sticky: bool,
    yes: str | None = None,
) -> Traffic:
    """Work out what comes in from what came in; ``stable`` is the generation whose rates count.

    ``yes`` names the positive class where that is neither 1 nor true.

    Raises ValueError for fewer than two rows, or rows of one instant: there is no pace in that.
    """
    span = rows[-1].row.position.at - rows[0].row.position.at if len(rows) > 1 else 0.0
    if span <= 0.0:
        raise ValueError("no pace can be told from fewer than two requests")
    per_day = DAY_S * len(rows) / span
    epochs = {row.epoch for row in rows}
    keys = len({(row.epoch, row.key_hash) for row in rows}) / max(1.0, span / epoch_s, len(epochs) - 1)
    delays = sorted(row.label_delay_s for row in rows if row.label_delay_s is not None)
    ours = [row.row for row in rows if row.generation == stable]
    told = [told_as(guardrail, yes) for guardrail in guardrails]
    rated = [metric for metric in told if metric.rule is not None]
    seen = {metric.name: [bad for bad in map(metric.value, ours) if bad is not None] for metric in rated}
    sized = {one.name: found for one in told if one.kind is Kind.MEAN and (found := _amounts(one, ours))}
    return Traffic(
        requests_per_day=per_day,
        bets_per_day=min(per_day, keys * DAY_S / epoch_s) if sticky else per_day,
        labelled=len(delays) / len(rows),
        label_delay_s=delays[math.ceil(NEARLY_ALL * len(delays)) - 1] if delays else 0.0,
        rates={metric: fmean(bad) for metric, bad in (seen | sized).items() if bad},
        counted={metric: len(bad) / len(ours) for metric, bad in (seen | sized).items() if bad},
        spreads={metric: pstdev(amounts) for metric, amounts in sized.items()},
        keys_per_epoch=keys if sticky else None,
    )


def _amounts(metric: Metric, rows: Iterable[EvidenceRow]) -> list[float]:
    """Stable's amounts; a failure is the worst there is. None (an empty list) where none is finite."""
    found = [amount for row in rows if (amount := metric.amount(row)) is not None]
    finite = [amount for amount in found if math.isfinite(amount)]
    top = metric.high if metric.high is not None else max(finite, default=0.0)
    return [min(amount, top) for amount in found] if finite else []


def forecast(plan: Plan, terms: Terms, traffic: Traffic) -> PlanForecast:
    """Reckon a plan through, under the terms and traffic given. Amounts are told on the scale they are compared on."""
    terms = replace(terms, guardrails=tuple(compared(one) for one in terms.guardrails))
    steps = tuple(_steps(plan, terms, traffic))
    judged = [one for one in terms.guardrails if one.metric in traffic.rates]
    proofs = tuple(_proof(one, steps, plan, terms, traffic) for one in judged if one.role is not Role.SIGNAL)
    detections = tuple(_detection(one, steps, plan, terms, traffic) for one in judged if one.role is Role.GUARDRAIL)
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
    paired = [metric for metric in counted if known(metric).labelled]
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


def _proof(guardrail: Guardrail, steps: Sequence[StepForecast], plan: Plan, terms: Terms, traffic: Traffic) -> Proof:
    rate, labelled = traffic.rates[guardrail.metric], known(guardrail.metric).labelled
    margin = guardrail.margin_relative * rate + guardrail.margin_absolute
    if margin <= rate or (labelled and traffic.labelled < ENOUGH_LABELS):
        return Proof(guardrail.metric, margin, None)
    waits = terms.maturity_s if labelled else 0.0
    spans = list(_spans(guardrail.metric, steps, traffic, plan.max_age_s - waits))
    on_pairs = plan.steps[-1].weight <= 0.0
    if on_pairs and not (labelled and terms.labels_independent):
        return Proof(guardrail.metric, margin, None)
    speed = (_paired_proof_speed if on_pairs else _proof_speed)(guardrail, rate, traffic)
    takes = _time_to(math.log(1.0 / terms.alpha_promote), [one for one in spans if one.on_pairs is on_pairs], speed)
    return Proof(guardrail.metric, margin, None if takes is None else replace(takes, seconds=takes.seconds + waits))


def _nats(traffic: Traffic, line: Guardrail, stable: float, candidate: float, share: float) -> float:
    """Nats that one request brings about both arms' badness against a line of tolerance."""
    spread = traffic.spreads.get(line.metric)
    if spread is None:
        return information(stable, candidate, share, line.relative, line.absolute)
    gap = candidate - line.relative * stable - line.absolute
    return shift_information(gap, spread, share, line.relative) if spread else math.inf


def _paired_nats(traffic: Traffic, metric: str, gap: float) -> float | None:
    """Nats that one pair brings about amounts whose difference lies ``gap`` beyond the line; None for a rate."""
    spread = traffic.spreads.get(metric)
    if spread is None:
        return None
    variance = 2.0 * spread * spread * (1.0 - SHARED_MISTAKES)
    return gap * gap / (2.0 * variance) if variance else math.inf


def _proof_speed(guardrail: Guardrail, rate: float, traffic: Traffic) -> Speed:
    margin_line = replace(guardrail, relative=guardrail.margin_relative, absolute=guardrail.margin_absolute)

    def speed(span: _Span) -> float:
        nats = _nats(traffic, margin_line, rate, rate, span.share)
        return nats / (PROMOTION_RATIO if span.share <= SMALL_SHARE else PROMOTION_RATIO_WIDE)

    return speed


def _paired_proof_speed(guardrail: Guardrail, rate: float, traffic: Traffic) -> Speed:
    room = guardrail.margin_relative * rate + guardrail.margin_absolute - rate
    nats = _paired_nats(traffic, guardrail.metric, room)
    if nats is None:
        nats = paired_safety(rate * (1.0 - SHARED_MISTAKES), room)
    return lambda _: nats / PROMOTION_RATIO_WIDE


def _detection(
    guardrail: Guardrail, steps: Sequence[StepForecast], plan: Plan, terms: Terms, traffic: Traffic
) -> Detection:
    rate, need = traffic.rates[guardrail.metric], math.log(_shares(terms, plan) / terms.alpha)
    waits = terms.maturity_s if known(guardrail.metric).labelled else 0.0
    worst = _worst(guardrail.metric, traffic)
    tolerated = min(worst, guardrail.relative * rate + guardrail.absolute)

    def found(candidate: float, until: float) -> Delay | None:
        """On its own traffic or on pairs, whichever is sooner: these are two bets, and do not add up."""
        spans = list(_spans(guardrail.metric, steps, traffic, until - waits))
        speed = _harm_speed(guardrail, rate, candidate, traffic)
        ways = [_time_to(need, [one for one in spans if one.on_pairs is pairs], speed) for pairs in (False, True)]
        taken = [replace(way, seconds=way.seconds + waits) for way in ways if way is not None]
        return min(taken, key=lambda way: way.seconds, default=None)

    def delay(times: float) -> Delay | None:
        worse = min(worst, rate * (times**2 if known(guardrail.metric).squared else times))
        return found(worse, plan.max_age_s) if worse > tolerated else None

    ends = [None if one.begins_s is None or one.lasts_s is None else one.begins_s + one.lasts_s for one in steps]
    smallest = tuple(None if end is None else _smallest(partial(found, until=end), tolerated, worst) for end in ends)
    return Detection(guardrail.metric, rate, tolerated, smallest, delay(2.0), delay(5.0))


def _worst(metric: str, traffic: Traffic) -> float:
    """The greatest badness that is looked for: all of them bad, or an amount a hundred spreads off."""
    spread = traffic.spreads.get(metric)
    return 1.0 if spread is None else traffic.rates[metric] + 100.0 * spread


def _harm_speed(guardrail: Guardrail, stable: float, candidate: float, traffic: Traffic) -> Speed:
    """Nats per request, or per pair; pairs only about what labels decide."""
    tolerated = guardrail.relative * stable + guardrail.absolute

    def speed(span: _Span) -> float:
        if not span.on_pairs:
            return _nats(traffic, guardrail, stable, candidate, span.share) / DEMOTION_RATIO
        if candidate <= tolerated or not known(guardrail.metric).labelled:
            return 0.0
        nats = _paired_nats(traffic, guardrail.metric, candidate - tolerated)
        if nats is not None:
            return nats / DEMOTION_RATIO
        common = SHARED_MISTAKES * min(stable, candidate)
        return paired_information(candidate - common, tolerated - common) / DEMOTION_RATIO

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
    return max(1, len(acting) + sum(watching and known(metric).labelled for metric in acting))


def _decides(plan: Plan, steps: Sequence[StepForecast], proofs: Sequence[Proof]) -> float | None:
    """When an equal candidate is promoted, if the plan promotes by itself; None: never, within its greatest age."""
    last = steps[-1]
    if last.begins_s is None or last.lasts_s is None or not plan.auto_promote or not proofs:
        return None
    needed = [one for one in proofs if plan.steps[-1].weight > 0.0 or known(one.metric).labelled]
    if not needed or any(one.takes is None for one in needed):
        return None
    ends = max(last.begins_s + last.lasts_s, *(one.takes.seconds for one in needed if one.takes))
    return ends if ends <= plan.max_age_s else None


def _warnings(plan: Plan, terms: Terms, found: PlanForecast) -> Iterator[str]:
    traffic = found.traffic
    for guardrail in terms.guardrails:
        if guardrail.metric not in traffic.rates:
            yield f"{guardrail.metric}: stable's rate is not known, so nothing is said about it"
    for step in found.steps:
        if step.lasts_s is None:
            yield f"step {step.number} never ends: it needs {step.events:,} observations, and none come"
    whole = None if found.steps[-1].begins_s is None else found.steps[-1].begins_s + (found.steps[-1].lasts_s or 0.0)
    if whole is not None and whole > plan.max_age_s:
        yield "the steps alone take longer than the plan's greatest age (max_age)"
    yield from _label_warnings(terms, traffic)
    for proof in found.proofs:
        if proof.margin <= traffic.rates[proof.metric]:
            yield f"{proof.metric}: its margin leaves no room, so an equal candidate can never be shown to be safe"
        elif proof.takes is None and plan.steps[-1].weight > 0.0:
            yield f"{proof.metric}: an equal candidate is not shown to be safe before the plan's greatest age"
    if plan.steps[-1].weight <= 0.0 and not terms.labels_independent:
        yield "the last step is a shadow's, and labels_independent is not declared: nothing promotes it"
    if found.decides_s is None:
        yield f"it can never decide for an equal candidate: at max_age the plan says {plan.on_inconclusive}"


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
