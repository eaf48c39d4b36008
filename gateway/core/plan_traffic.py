"""What a rollout is planned on: what comes in, and stable's side of every metric, as the log or a person says."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, pstdev

import numpy as np

from gateway.core.betting import said_and_came, scores_of
from gateway.core.calibration import Bins, noted
from gateway.core.deployments import Guardrail
from gateway.core.events import EvidenceRow, ServedRow
from gateway.core.evidence.blocks import Ranks, ranked
from gateway.core.measures import Kind, Metric
from gateway.core.metrics import known, told_as
from gateway.core.plan_laws import GAP_RATIO, Law, MeanLaw, RateLaw, ShiftLaw, TailLaw

DAY_S = 86_400.0
NEARLY_ALL = 0.99
"""Quantile of the labels' delay that a maturity should cover."""
QUANTILES = 2_000
"""So many quantiles of a latency are kept: two beyond the last threshold."""

_UNKNOWN_GAP = 0.5
"""The spread of a calibration gap that nobody has measured: that of a coin."""
_TYPICAL = tuple(math.exp(0.5 * NormalDist().inv_cdf((n + 0.5) / QUANTILES)) for n in range(QUANTILES))


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in, as it is expected. ``bets_per_day`` counts what evidence is made of: requests, or new sticky keys.

    ``labelled`` is the share of requests that get a label, ``label_delay_s`` how long nearly all of these take (data
    time). ``rates`` are stable's rates of badness by metric; a metric without one cannot be planned for. ``counted``
    is the share of requests that a metric is about (of recall: those with a positive label), where it is known.
    Of an amount (a loss, a business value) ``rates`` has the mean on the scale it is compared on, ``spreads`` the
    standard deviation; without that it is reckoned with as if each were nothing or 1. Of a latency ``tails`` has the
    quantiles, evenly spread; without them its p99 is taken to be 3.2 times its p50.
    """

    requests_per_day: float
    bets_per_day: float
    labelled: float
    label_delay_s: float
    rates: dict[str, float]
    counted: dict[str, float] = field(default_factory=dict)
    keys_per_epoch: float | None = None
    spreads: dict[str, float] = field(default_factory=dict)
    tails: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def about(self, metric: str) -> float:
        """The share of requests that a metric is about."""
        return self.counted.get(metric, self.labelled if known(metric).labelled else 1.0)

    def law(self, guardrail: Guardrail) -> Law | None:
        """Stable's side of a guardrail, None where nothing is known of it.

        >>> traffic = Traffic(1.0, 1.0, 1.0, 0.0, {"accuracy": 0.1}, spreads={"brier": 0.2})
        >>> traffic.law(Guardrail("accuracy")), traffic.law(Guardrail("brier")) is None
        (RateLaw(level=0.1, worst=1.0, ratio=1.6), True)
        """
        name, metric = guardrail.metric, told_as(guardrail)
        if metric.kind is Kind.SLOWER:
            return TailLaw(self.tails.get(name) or _TYPICAL)
        rate, spread = self.rates.get(name), self.spreads.get(name)
        if rate is None or metric.kind in (Kind.AGREEMENT, Kind.SPREAD):
            return None
        if metric.kind is Kind.SHIFT:
            return None if spread is None else ShiftLaw(rate, spread)
        if metric.kind is Kind.CALIBRATION:
            return MeanLaw(rate, _UNKNOWN_GAP if spread is None else spread, ratio=GAP_RATIO)
        return RateLaw(rate) if spread is None else MeanLaw(rate, spread, metric.squared)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One metric over stable's rows: its level, its spread (None: a rate), and how many it is about."""

    level: float
    spread: float | None
    n: int


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
    seen = {metric.name: found for metric in told if (found := _seen(metric, ours)) is not None}
    tails = {metric.name: shape for metric in told if metric.kind is Kind.SLOWER and (shape := _tail(metric, ours))}
    return Traffic(
        requests_per_day=per_day,
        bets_per_day=min(per_day, keys * DAY_S / epoch_s) if sticky else per_day,
        labelled=len(delays) / len(rows),
        label_delay_s=delays[math.ceil(NEARLY_ALL * len(delays)) - 1] if delays else 0.0,
        rates={name: one.level for name, one in seen.items()},
        counted={name: one.n / len(ours) for name, one in seen.items()},
        spreads={name: one.spread for name, one in seen.items() if one.spread is not None},
        tails=tails,
        keys_per_epoch=keys if sticky else None,
    )


def _seen(metric: Metric, rows: Sequence[EvidenceRow]) -> _Seen | None:
    """Work out a metric's level and spread over stable's rows; None where none is about it."""
    if metric.rule is not None:
        bad = [one for one in map(metric.value, rows) if one is not None]
        return _Seen(fmean(bad), None, len(bad)) if bad else None
    if metric.kind is Kind.CALIBRATION:
        return _gaps(metric, rows)
    if metric.kind is Kind.RANKING:
        scores: list[tuple[bool, tuple[float, ...]]] = [(hit, (score,)) for _, hit, score in scores_of(rows, metric)]
        return _spread([missed for (missed,) in ranked(Ranks(), scores)[1]])
    if metric.kind in (Kind.MEAN, Kind.SHIFT):
        return _spread(_amounts(metric, rows))
    return None


def _spread(amounts: Sequence[float]) -> _Seen | None:
    return _Seen(fmean(amounts), pstdev(amounts), len(amounts)) if amounts else None


def _amounts(metric: Metric, rows: Iterable[EvidenceRow]) -> list[float]:
    """Stable's amounts; a failure is the worst there is. None (an empty list) where none is finite."""
    found = [amount for row in rows if (amount := metric.amount(row)) is not None]
    finite = [amount for amount in found if math.isfinite(amount)]
    if metric.kind is Kind.SHIFT:
        return [math.asinh(amount) for amount in finite]
    top = metric.high if metric.high is not None else max(finite, default=0.0)
    return [min(amount, top) for amount in found] if finite else []


def _gaps(metric: Metric, rows: Iterable[EvidenceRow]) -> _Seen | None:
    """The expected calibration error, and how far a single answer is from coming true."""
    pairs = [both for row in rows if (both := said_and_came(row, metric)) is not None]
    if not pairs:
        return None
    said, came = np.array(pairs, dtype=np.float64).T
    return _Seen(noted(Bins(), said, came).error or 0.0, float(np.std(came - said)), len(pairs))


def _tail(metric: Metric, rows: Iterable[EvidenceRow]) -> tuple[float, ...]:
    """Quantiles of stable's amounts, failures beyond all others; empty where there are none."""
    found = sorted(amount for row in rows if (amount := metric.amount(row)) is not None)
    n = min(QUANTILES, len(found))
    return tuple(found[int((place + 0.5) / n * len(found))] for place in range(n))
