"""Routing: the same in every process, true to its weights, and monotone when they grow."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import routing
from gateway.core.deployments import ServingRules
from gateway.core.routing import STABLE, Arm, Part, RoutingTable, assign, epoch_of, force, position
from tests.data_house import CANARY, SHADOW, T0, canary, card, shadow, table

MILLION = 1_000_000
SECOND = Part("b", "g5", card("v5"))
ALL = frozenset({"canary", "b"})

weights = st.floats(0.0, 1.0)
keys = st.text(min_size=1, max_size=40)


def positions(salt: str, count: int, epoch: int = 0) -> np.ndarray:
    return np.fromiter((position(salt, epoch, f"flight-{n}") for n in range(count)), np.float64, count)


def split(first: float, second: float = 0.0) -> RoutingTable:
    return table(canary(first), canary(second, SECOND))


@pytest.fixture(scope="module")
def million() -> np.ndarray:
    """Where a million keys stand for one salt."""
    return positions("salt-canary", MILLION)


@pytest.mark.parametrize("weight", [0.01, 0.05, 0.1, 0.25, 0.5])
def test_over_a_million_keys_a_weight_is_met_within_three_sigma(million: np.ndarray, weight: float) -> None:
    share = float((million < weight).mean())
    assert abs(share - weight) <= 3 * (weight * (1 - weight) / MILLION) ** 0.5


def test_a_ramp_from_10_to_20_percent_moves_no_key_of_a_million_back(million: np.ndarray) -> None:
    before, after = million < 0.10, million < 0.20
    assert not (before & ~after).any()
    assert after.sum() > before.sum()


def test_assign_draws_by_exactly_those_positions(million: np.ndarray) -> None:
    drawn = [assign(split(0.1), f"flight-{n}", 0.0, ALL).arm == "canary" for n in range(3_000)]
    assert drawn == list(million[:3_000] < 0.1)


def test_positions_are_uniform_and_independent_over_salts_and_epochs() -> None:
    one, other, later = positions("a", 50_000), positions("b", 50_000), positions("a", 50_000, epoch=1)
    assert abs(one.mean() - 0.5) < 0.006
    for another in (other, later):
        assert abs(float(np.corrcoef(one, another)[0, 1])) < 0.02


def test_another_process_draws_the_same() -> None:
    code = "from gateway.core.routing import position; print([position('s', 3, str(n)) for n in range(50)])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str([position("s", 3, str(n)) for n in range(50)])


@given(weights, weights, keys)
def test_raising_a_weight_never_moves_a_key_off_the_candidate(one: float, other: float, key: str) -> None:
    low, high = sorted((one, other))
    if assign(split(low), key, T0, ALL).arm == "canary":
        assert assign(split(high), key, T0, ALL).arm == "canary"


@given(weights, weights, weights, keys)
def test_growing_a_later_candidate_moves_nobody_off_another(first: float, one: float, other: float, key: str) -> None:
    low, high = sorted((min(one, 1.0 - first), min(other, 1.0 - first)))
    before, after = (assign(split(first, w), key, T0, ALL).arm for w in (low, high))
    assert before in {after, STABLE}


@given(weights, weights, keys)
def test_propensities_sum_to_one_and_a_candidate_that_is_not_able_has_none(a: float, b: float, key: str) -> None:
    both = split(a, min(b, 1.0 - a))
    for able in (ALL, frozenset({"b"}), frozenset[str]()):
        drawn = assign(both, key, T0, able)
        assert sum(drawn.propensities().values()) == pytest.approx(1.0)
        assert drawn.propensities()[drawn.arm] > 0.0
        assert all(arm.propensity == 0.0 for arm in drawn.arms if arm.name not in able | {STABLE})


def test_each_of_two_candidates_gets_its_own_weight() -> None:
    both = split(0.2, 0.3)
    arms = [assign(both, f"k{n}", T0, ALL).arm for n in range(20_000)]
    for name, weight in (("canary", 0.2), ("b", 0.3), (STABLE, 0.5)):
        assert abs(arms.count(name) / 20_000 - weight) <= 3 * (weight * (1 - weight) / 20_000) ** 0.5
    assert assign(both, "k0", T0, ALL).arms[0] == Arm(STABLE, "g0", 0.5)


def test_weights_that_fill_everything_leave_stable_nothing() -> None:
    assert {assign(split(0.4, 0.6), f"k{n}", T0, ALL).arm for n in range(500)} == {"canary", "b"}


def test_a_new_epoch_draws_anew_and_the_same_epoch_does_not() -> None:
    half = table(canary(0.5), rules=ServingRules(epoch_s=100.0))

    def arms(at: float) -> list[str]:
        return [assign(half, f"k{n}", at, ALL).arm for n in range(200)]

    assert arms(1_000.0) == arms(1_099.0)
    assert arms(1_000.0) != arms(1_100.0)
    assert (epoch_of(1_099.0, 100.0), epoch_of(-1.0, 100.0)) == (10, -1)


def test_shadows_are_sampled_by_their_own_rate_and_salt() -> None:
    tenth = table(shadows=[shadow(0.1), shadow(1.0, SECOND)])
    seen: Sequence[tuple[str, ...]] = [assign(tenth, f"k{n}", T0, ()).shadows for n in range(10_000)]
    assert all("b" in names for names in seen)
    assert abs(sum("shadow" in names for names in seen) / 10_000 - 0.1) < 0.01


def test_forcing_names_the_variant_and_is_not_randomised() -> None:
    forced = force(table(canary(0.1), shadows=[shadow()]), "canary", "k", T0)
    assert (forced.arm, forced.randomised) == ("canary", False)
    assert forced.propensities() == {"stable": 0.0, "canary": 1.0, "shadow": 0.0}


def test_a_table_lists_each_model_once_stable_first() -> None:
    same = replace(SHADOW, model=CANARY.model)
    both = table(canary(0.1), shadows=[shadow(1.0, same)], warm=(card("v0"), card("v1")))
    assert [model.digest for model in both.models()] == ["v1", "v2", "v0"]
    assert list(both.parts()) == ["stable", "shadow", "canary"]


@pytest.mark.parametrize("draw", [routing.assign, routing.force])
def test_drawing_has_no_memory(draw: Callable[..., object]) -> None:
    arguments = (split(0.5), "k", T0, ALL) if draw is routing.assign else (split(0.5), "canary", "k", T0)
    assert draw(*arguments) == draw(*arguments)
