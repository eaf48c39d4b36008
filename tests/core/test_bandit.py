"""Bandit weights: they lean towards the better arm, keep every floor, and never get in the judge's way."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bandit import Tally, chances, shares
from gateway.core.deployments import Bandit, Guardrail, Plan, Step
from gateway.core.errors import Unmeasurable
from gateway.core.rollout import Phase, Signal
from gateway.core.rules import Freeze, StartRules
from tests.control_house import NAME, SPEC, House

BANDIT = Bandit("accuracy", floor=0.1, ceiling=0.6, every_s=150.0)
LEANING = Plan("leaning", (Step(weight=0.2, events=1_000_000, bandit=BANDIT),))
TOLERANT = (Guardrail("accuracy", absolute=0.2, margin_absolute=0.3),)


@pytest.fixture
def house() -> House:
    return House().open(replace(SPEC, plans={"leaning": LEANING}, guardrails=TOLERANT))


def lives(house: House, rounds: int, wrong: Mapping[str, float]) -> list[float]:
    """Serve and look in turns; the canary's weight after each."""
    weights = []
    for _ in range(rounds):
        house.serve(200, wrong)
        house.look()
        weights.append(house.rollout().weight)
    return weights


def test_traffic_leans_to_a_better_candidate_as_far_as_its_ceiling(house: House) -> None:
    house.start("2", "leaning")
    weights = lives(house, 15, {"1": 0.3, "2": 0.15})
    assert weights[-1] == 0.6
    assert house.rollout().phase is Phase.RUNNING
    [last, *_] = [one for one in house.state.timeline(NAME) if one.action == "lean"]
    assert last.actor == "bandit"
    assert "canary takes 60 %; of matured requests went wrong: stable " in last.reason
    assert last.evidence["split"] == {"weights": {"canary": 0.6}}


def test_a_worse_candidate_that_is_tolerated_keeps_its_floor(house: House) -> None:
    house.start("2", "leaning")
    assert lives(house, 15, {"1": 0.15, "2": 0.3})[-1] == 0.1


def test_the_guardrails_rule_whatever_the_bandit_does(house: House) -> None:
    house.start("2", "leaning")
    house.live(60, {"1": 0.1, "2": 0.7})
    assert house.rollout().phase is Phase.DEMOTED
    assert house.rollout().weight == 0.0
    revision = house.document.revision
    house.live(3, {"1": 0.1, "2": 0.7})
    assert house.document.revision == revision


def test_a_paused_rollout_does_not_lean_and_a_resumed_one_begins_where_its_step_does(house: House) -> None:
    house.start("2", "leaning")
    house.control.send(NAME, Signal.PAUSE, actor="ann", reason="a holiday")
    assert set(lives(house, 5, {"1": 0.5, "2": 0.1})) == {0.2}
    house.control.send(NAME, Signal.RESUME, actor="ann", reason="back")
    assert lives(house, 1, {"1": 0.5, "2": 0.1}) == [0.6]


def test_nobody_leans_in_a_freeze() -> None:
    always = StartRules(freezes=(Freeze("holidays"),))
    house = House().open(replace(SPEC, plans={"leaning": LEANING}, guardrails=TOLERANT))
    house.start("2", "leaning")
    house.control.apply(replace(house.document.spec, starts=always), actor="ann", reason="holidays")
    assert set(lives(house, 5, {"1": 0.5, "2": 0.1})) == {0.2}


def test_rewards_count_when_they_mature_however_late() -> None:
    late = replace(SPEC, plans={"leaning": LEANING}, guardrails=TOLERANT, maturity_s=1_000.0)
    house = House().open(late)
    house.start("2", "leaning")
    weights = lives(house, 20, {"1": 0.3, "2": 0.1})
    assert house.rollout().phase is Phase.RUNNING
    assert weights[-1] == 0.6
    [*_, first] = [one for one in house.state.timeline(NAME) if one.action == "lean"]
    assert "stable 0 of 0, canary 0 of 0" in first.reason  # it knows nothing yet, and says so


def test_several_candidates_lean_at_once_and_leave_stable_its_floor() -> None:
    house = House().open(replace(SPEC, plans={"leaning": LEANING}, guardrails=TOLERANT))
    house.start("2", "leaning", "a")
    house.start("3", "leaning", "b")
    for _ in range(15):
        house.serve(200, {"1": 0.4, "2": 0.25, "3": 0.25})
        house.look()
        weights = [house.rollout(name).weight for name in ("a", "b")]
        assert min(weights) >= 0.1
        assert sum(weights) <= 0.9 + 1e-9
    assert sum(weights) > 0.6


def test_an_equal_candidate_is_demoted_no_more_often_than_promised() -> None:
    """Forty lives of an A/A under a bandit that moves the weight all the time: at most alpha of them, with luck."""
    demoted = 0
    strict = replace(SPEC, plans={"leaning": LEANING}, guardrails=(Guardrail("accuracy", margin_absolute=0.02),))
    for seed in range(40):
        house = House().open(strict)
        house.chance.seed(seed)
        house.start("2", "leaning")
        lives(house, 6, {"1": 0.2, "2": 0.2})
        demoted += house.rollout().phase is Phase.DEMOTED
    assert demoted <= 4  # 40 lives at 5 %: more than 4 with a chance of 5 %, and the bets are cautious


@given(
    won=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
    floor=st.floats(0.01, 0.1),
    ceiling=st.floats(0.2, 0.9),
    room=st.floats(0.5, 0.99),
)
def test_shares_keep_floors_ceilings_and_the_room(won: list[float], floor: float, ceiling: float, room: float) -> None:
    names = [f"c{index}" for index in range(len(won))]
    found = shares(dict(zip(names, won, strict=True)), dict.fromkeys(names, Bandit("accuracy", floor, ceiling)), room)
    rounding = 0.005 * len(names) + 1e-9
    assert sum(found.values()) <= room + rounding
    assert all(floor - rounding <= share <= ceiling + rounding for share in found.values())


def test_chances_add_up_and_the_same_seed_gives_the_same() -> None:
    tallies = {"stable": Tally(100, 20), "a": Tally(100, 20), "b": Tally(0, 0)}
    first, again = (chances(tallies, np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert sum(first.values()) == pytest.approx(1.0)
    assert abs(first["stable"] - first["a"]) < 0.05


@pytest.mark.parametrize(
    ("bandit", "says"),
    [
        (Bandit("latency"), "a rate among the guardrails; there is: accuracy"),
        (Bandit("error_rate"), "a rate among the guardrails; there is: accuracy"),
        (Bandit("accuracy", floor=0.3), "0 < floor <= weight <= ceiling"),
        (Bandit("accuracy", ceiling=0.1), "0 < floor <= weight <= ceiling"),
        (Bandit("accuracy", floor=0.1, ceiling=0.95), "ceiling <= 1 - floor"),
    ],
)
def test_a_bandit_that_has_nothing_to_go_by_or_no_room_is_refused(bandit: Bandit, says: str) -> None:
    plan = Plan("leaning", (Step(weight=0.2, bandit=bandit),))
    with pytest.raises(Unmeasurable, match=says):
        House().open(replace(SPEC, plans={"leaning": plan}, guardrails=TOLERANT))
