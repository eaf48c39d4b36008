"""Make a reference profile from rows: training data, or a window of the log."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.core.deployments import Scalar
from gateway.core.drift import joint
from gateway.core.drift.profiles import (
    FeatureProfile,
    Kind,
    Profile,
    counted,
    feature_profile,
    number_profile,
)
from gateway.core.drift.scores import clustering_of

SCORE, LABEL = "prediction.score", "prediction.label"
LEAST_PERIODS = 10
"""With fewer periods nothing can be said of how they differ."""


def made(
    columns: Mapping[str, Sequence[Scalar]],
    *,
    scores: Sequence[float | None] = (),
    labels: Sequence[Scalar] = (),
    times: Sequence[float] = (),
    period_s: float = 0.0,
    source: str = "",
) -> Profile:
    """Profile rows given as columns of one length, with what the model answered there, if known.

    With ``times`` (data time, seconds, one per row) and ``period_s`` whole periods are compared later, and how much
    they differ here is part of the profile. Raises ValueError for columns that do not fit each other.

    >>> rows = {"x": [1.0, 2.0, 3.0, 4.0, 5.0] * 40, "carrier": ["UA", "AA", "B6", "UA"] * 50}
    >>> found = made(rows, scores=[0.1, 0.9] * 100)
    >>> [one.name for one in (*found.features, *found.predictions, *found.joint_features)]
    ['x', 'carrier', 'prediction.score', 'joint.residual', 'joint.distance']
    """
    rows = len(next(iter(columns.values()), scores or labels))
    if any(len(column) != rows for column in columns.values()) or len(times) not in (0, rows):
        raise ValueError("Every column of a profile, and its times, must have one entry per row.")
    if period_s and not times:
        raise ValueError("A profile by periods needs the time of every row.")
    periods = _periods(times, period_s) if period_s else []
    features = tuple(_clustered(feature_profile(name, values), values, periods) for name, values in columns.items())
    answers: list[FeatureProfile] = []
    if scores:
        answers.append(_clustered(number_profile(SCORE, scores), scores, periods))
    if labels:
        answers.append(_clustered(feature_profile(LABEL, labels), labels, periods))
    law = _joint(features, columns)
    joint_features = () if law is None else _figured(law, columns, rows, periods)
    return Profile(features, tuple(answers), law, joint_features, period_s, source)


def _figured(
    law: joint.Joint, columns: Mapping[str, Sequence[Scalar]], rows: int, periods: Sequence[Sequence[int]]
) -> tuple[FeatureProfile, ...]:
    """Profile the joint law's figures on the rows that it was not fitted on: the fitted ones lie too near."""
    found = []
    for name, values in joint.figures(law, columns, rows).items():
        every = [float(value) for value in values]
        profile = number_profile(name, every[1::2])
        found.append(_clustered(profile, every, periods))
    return tuple(found)


def _periods(times: Sequence[float], period_s: float) -> list[list[int]]:
    """Row numbers by period, in order of time. Raises ValueError for fewer than :data:`LEAST_PERIODS`."""
    found: dict[int, list[int]] = {}
    for row, at in enumerate(times):
        found.setdefault(math.floor(at / period_s), []).append(row)
    if len(found) < LEAST_PERIODS:
        raise ValueError(f"A profile by periods needs rows of at least {LEAST_PERIODS} periods.")
    return [found[period] for period in sorted(found)]


def _clustered(profile: FeatureProfile, values: Sequence[Scalar], periods: Sequence[Sequence[int]]) -> FeatureProfile:
    if not periods:
        return profile
    counts = [counted(profile, [_clean(values[row]) for row in members]) for members in periods]
    rows = sum(len(members) for members in periods) / len(periods)
    return replace(profile, clustering=clustering_of(profile, counts), period_rows=rows)


def _clean(value: Scalar) -> Scalar:
    """NaN in training is a value that was not there."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _joint(features: Sequence[FeatureProfile], columns: Mapping[str, Sequence[Scalar]]) -> joint.Joint | None:
    """Fit the joint law on every other row; None for too few rows or columns to do so."""
    half = {name: column[::2] for name, column in columns.items()}
    axes: list[joint.Axis] = []
    for one in features:
        if one.kind is Kind.NUMBER and len(one.edges):
            there = [float(value) for value in half[one.name] if _clean(value) is not None]  # type: ignore[arg-type]
            axes.append(joint.number_axis(one.name, there))
        elif one.kind is Kind.CATEGORY:
            axes += [joint.Axis(one.name, word=word) for word in one.categories[: joint.INDICATORS]]
    enough = len(axes) > 1 and len(half[axes[0].name]) >= 10 * len(axes)
    return joint.fitted(axes, half) if enough else None
