"""Drift: profiles that merge, distances as the textbooks have them, alarms that keep their word."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway.core.deployments import Scalar, Task
from gateway.core.drift.detector import Budget, alarmed, detector, stepped, total
from gateway.core.drift.distances import (
    chi_square,
    chi_square_p,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    kullback_leibler,
    measured,
    noise_of,
    psi,
    wasserstein,
)
from gateway.core.drift.estimate import estimated
from gateway.core.drift.joint import RESIDUAL, figures
from gateway.core.drift.making import made
from gateway.core.drift.profiles import LOST, FeatureProfile, category_profile, counted, number_profile
from gateway.core.drift.rows import LoggedRow
from gateway.core.drift.scores import clustering_of, scores_of

numbers = st.floats(allow_nan=True, allow_infinity=True)
anything = st.none() | st.booleans() | st.integers() | numbers | st.text()
ALPHA = Budget()


def normal(rows: int = 5_000, seed: int = 1) -> FeatureProfile:
    return number_profile("x", np.random.default_rng(seed).normal(size=rows).tolist())


NORMAL, WORDS = normal(200), category_profile("c", ["a", "b", "a", None])

# Profiles


@given(st.lists(anything, max_size=20), st.lists(anything, max_size=20))
def test_counts_of_two_workers_add_up_to_the_counts_of_both(one: list[Scalar], two: list[Scalar]) -> None:
    for profile in (NORMAL, WORDS):
        merged = np.add(counted(profile, one), counted(profile, two))
        assert merged.tolist() == counted(profile, [*one, *two]).tolist()


@given(anything, st.integers(0, 255))
def test_whatever_comes_has_a_cell(value: Scalar, status: int) -> None:
    for profile in (NORMAL, WORDS, number_profile("none", [None])):
        assert 0 <= profile.cell(value, status) < len(profile.counts)


def test_a_value_that_repeats_does_not_break_the_bins() -> None:
    profile = number_profile("x", [0.0] * 900 + [float(n) for n in range(100)])
    assert sum(profile.counts) == 1_000
    assert len(set(profile.edges)) == len(profile.edges)


def test_a_profile_of_periods_needs_times_and_enough_periods() -> None:
    with pytest.raises(ValueError, match="time of every row"):
        made({"x": [1.0, 2.0]}, period_s=10.0)
    with pytest.raises(ValueError, match="at least 10 periods"):
        made({"x": [1.0, 2.0]}, times=[1.0, 2.0], period_s=10.0)


# Distances


def test_distances_are_those_of_the_textbooks() -> None:
    seen, live = np.array([100, 300, 400, 200]), np.array([40, 20, 25, 15])
    p, q = seen / seen.sum(), live / live.sum()
    assert psi(seen, live) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p))
    assert kullback_leibler(seen, live) == pytest.approx(stats.entropy(q, p))
    middle = (p + q) / 2
    assert jensen_shannon(seen, live) == pytest.approx((stats.entropy(p, middle) + stats.entropy(q, middle)) / 2)
    assert kolmogorov_smirnov(seen, live) == pytest.approx(abs(np.cumsum(p) - np.cumsum(q)).max())
    found = stats.chi2_contingency(np.array([seen, live]), correction=False)
    statistic, freedom = chi_square(seen, live)
    assert (statistic, freedom) == pytest.approx((found.statistic, found.dof))
    assert chi_square_p(found.statistic, found.dof) == pytest.approx(found.pvalue, abs=1e-3)
    assert kolmogorov_smirnov_p(0.1, 1_000, 200) == pytest.approx(
        stats.kstwobign.sf(0.1 * (1_000 * 200 / 1_200) ** 0.5), abs=0.02
    )


def test_the_earth_movers_distance_is_the_integral_between_the_distribution_functions() -> None:
    draw = np.random.default_rng(2)
    one, two = draw.uniform(0, 10, 20_000), draw.uniform(0, 10, 20_000) ** 1.2 * 10**-0.2
    edges = np.linspace(0, 10, 201)
    seen, live = np.histogram(one, edges)[0], np.histogram(two, edges)[0]
    assert wasserstein(seen, live, edges.tolist()) == pytest.approx(stats.wasserstein_distance(one, two), rel=0.02)


def test_what_sampling_alone_brings_is_taken_off() -> None:
    """A plain PSI over 0.1 would fire on most undrifted windows of 50 rows."""
    profile, draw = normal(20_000), np.random.default_rng(3)
    found = [measured(profile, counted(profile, draw.normal(size=50).tolist())) for _ in range(300)]
    plain = [one.psi for one in found if one.psi is not None]
    excess = [one.psi_excess for one in found if one.psi_excess is not None]
    assert np.mean(np.array(plain) > 0.1) > 0.8
    assert np.median(excess) < 0.03
    assert np.mean(plain) == pytest.approx(noise_of([2_000] * 10, [5] * 10), rel=0.25)


# Alarms


@pytest.mark.parametrize("seed", range(3))
def test_undrifted_traffic_raises_no_alarm_however_often_one_looks(seed: int) -> None:
    profile, draw = normal(5_000, seed), np.random.default_rng(seed + 100)
    watching = detector(profile, 5, ALPHA)
    wealth = watching.opened()
    cuts = np.searchsorted(profile.edges, np.random.default_rng(9).normal(size=200_000))
    law = np.bincount(cuts, minlength=len(profile.counts)) / 200_000
    for counts in draw.multinomial(200, law, size=1_500):
        wealth = stepped(watching, wealth, counts)
        assert not alarmed(watching, wealth)


def test_the_expected_wealth_never_exceeds_what_was_staked() -> None:
    """Exactly, by summing over one row's law at the edge of what is tolerated."""
    profile = normal(50_000)
    watching, scores = detector(profile, 1, ALPHA), scores_of(profile)
    shares = np.array(profile.counts) / profile.rows
    expected = np.exp(watching.growth) @ shares
    assert (expected <= 1.0 + 1e-12).all()
    shifted = shares + 0.0
    shifted[0] -= scores.allowances[2] / 2  # less in the lowest bin, more in the highest: within the allowance
    shifted[len(shares) - len(LOST) - 1] += scores.allowances[2] / 2
    assert (np.exp(watching.growth) @ shifted <= 1.0 + 1e-12).all()


def test_rows_that_hang_together_by_day_are_judged_by_day() -> None:
    draw = np.random.default_rng(4)
    effects = draw.normal(scale=0.4, size=60)
    days = [(effect + draw.normal(size=400)).tolist() for effect in effects]
    pooled = number_profile("x", [value for day in days for value in day])
    clustering = clustering_of(pooled, [counted(pooled, day) for day in days])
    assert 0.05 < clustering[0] < 0.6
    independent = clustering_of(pooled, [counted(pooled, draw.normal(scale=1.08, size=400).tolist()) for _ in days])
    assert independent[0] < 0.01


def test_a_category_nobody_has_seen_is_an_alarm() -> None:
    draw = random.Random(5)
    profile = category_profile("c", [draw.choice("abc") for _ in range(20_000)])
    watching = detector(profile, 1, ALPHA)
    wealth, ticks = watching.opened(), 0
    while not alarmed(watching, wealth):
        ticks += 1
        live = [draw.choice("abc") if draw.random() > 0.02 else "new" for _ in range(200)]
        wealth = stepped(watching, wealth, counted(profile, live))
    name, direction = watching.bet_on(int(np.argmax(wealth)))
    assert (name, direction) == ("other", 1)
    assert ticks < 20


def test_a_tick_without_rows_only_adds_its_stake() -> None:
    watching = detector(normal(), 1, ALPHA)
    nothing = np.zeros(14, dtype=np.int64)
    once = stepped(watching, watching.opened(), nothing)
    twice = stepped(watching, once, nothing)
    assert float(total(twice) - total(once)) == pytest.approx(np.log(2.0))


def test_a_joint_law_that_breaks_is_seen_though_no_feature_moved() -> None:
    draw = np.random.default_rng(6)
    x = draw.normal(size=5_000)
    profile = made({"x": x.tolist(), "y": (x + draw.normal(scale=0.3, size=5_000)).tolist()})
    assert profile.joint is not None
    one = draw.normal(size=500)
    usual = figures(profile.joint, {"x": one.tolist(), "y": (one + draw.normal(scale=0.3, size=500)).tolist()}, 500)
    broken = figures(profile.joint, {"x": one.tolist(), "y": draw.normal(scale=1.04, size=500).tolist()}, 500)
    assert broken[RESIDUAL].mean() > 2.0 * usual[RESIDUAL].mean()


# Performance before labels


def row(score: float, truth: int | None, label: int | None = None) -> LoggedRow:
    said = int(score >= 0.5) if label is None else label
    return LoggedRow(0.0, "b", "g", False, (), (), b"", label=said, score=score, truth=truth)


def test_calibrated_scores_tell_the_accuracy_before_labels_come() -> None:
    draw = random.Random(7)
    scores = [draw.random() for _ in range(20_000)]
    rows = [row(score, int(draw.random() < score) if n % 2 else None) for n, score in enumerate(scores)]
    found = estimated(rows, Task.BINARY)
    assert found.expected.rows == 20_000
    assert found.realised.rows == 10_000
    for name in ("accuracy", "brier", "precision", "recall", "f1"):
        assert getattr(found.realised, name) == pytest.approx(getattr(found.labelled_expected, name), abs=0.02)
    assert found.trusted


def test_scores_that_boast_are_found_out_by_the_labels() -> None:
    draw = random.Random(8)
    rows = [row(0.95, int(draw.random() < 0.6)) for _ in range(2_000)]
    found = estimated(rows, Task.BINARY)
    assert found.gap == pytest.approx(-0.35, abs=0.04)
    assert found.trusted is False


def test_several_classes_are_estimated_by_their_own_chances() -> None:
    draw, rows = random.Random(9), []
    for _ in range(5_000):
        chances = {"a": 0.6, "b": 0.3, "c": 0.1}
        truth = draw.choices(list(chances), list(chances.values()))[0]
        rows.append(LoggedRow(0.0, "b", "g", False, (), (), b"", label="a", scores=chances, truth=truth))
    found = estimated(rows, Task.MULTICLASS)
    assert found.expected.accuracy == pytest.approx(0.6)
    assert found.realised.accuracy == pytest.approx(0.6, abs=0.03)
    assert found.realised.brier == pytest.approx(found.labelled_expected.brier, abs=0.03)


def test_without_labels_or_scores_nothing_is_claimed() -> None:
    assert estimated([row(0.7, None)], Task.BINARY).trusted is None
    assert estimated([row(0.7, 1)], Task.REGRESSION).expected.rows == 0
