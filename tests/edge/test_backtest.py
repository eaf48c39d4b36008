"""Another policy on the same history: what it would have done, and when."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store import open_store
from gateway.backtest import Policy, backtest
from gateway.core.deployments import Guardrail, Plan, Step
from gateway.core.errors import NotReplayable, SettingsError, Unmeasurable
from gateway.core.rollout import Signal
from gateway.edge.policy_file import load_policy
from tests.control_house import NAME, SPEC, House
from tests.postgres_house import fresh

GOOD = {"1": 0.2, "2": 0.2}
BETTER = {"1": 0.3, "2": 0.1}
WORSE = {"1": 0.2, "2": 0.45}


def looked(house: House, rounds: int, wrong: dict[str, float]) -> House:
    """Look after every 20 requests."""
    for _ in range(rounds):
        house.serve(20, wrong)
        if any(made.action in {"demote", "promote"} for made in house.look()):
            break
    return house


@pytest.fixture
def demoted() -> House:
    house = House().open()
    house.start()
    return looked(house, 60, WORSE)


def test_the_policy_that_was_in_force_does_what_happened(demoted: House) -> None:
    [course] = backtest(demoted.state, demoted.log, Policy(), NAME)
    assert course.compared == "the same"
    assert course.ended is not None
    assert course.would_have_ended is not None
    same = ("action", "reason", "at", "after_s", "samples", "pairs")
    assert [getattr(course.ended, name) for name in same] == [getattr(course.would_have_ended, name) for name in same]
    assert course.ended.samples is not None
    assert course.ended.samples > 0
    assert [act.action for act in course.happened] == ["start", "ready", "demote"]


def test_the_whole_course_of_a_promotion_is_the_one_that_happened() -> None:
    house = House().open()
    house.start()
    looked(house, 400, BETTER)
    [course] = backtest(house.state, house.log, Policy(), NAME)
    assert [act.action for act in course.would_have] == ["advance", "promote"]
    assert course.would_have == tuple(replace(act, actor="policy") for act in course.happened[2:])


def test_a_policy_that_leaves_the_last_word_to_people_waits_for_them() -> None:
    house = House().open()
    house.start()
    looked(house, 400, BETTER)
    asking = replace(SPEC.plans["quick"], auto_promote=False)
    [course] = backtest(house.state, house.log, Policy(plan=asking), NAME)
    assert [act.action for act in course.would_have] == ["advance", "await"]
    assert course.compared == "only then decides"


def test_a_smaller_alpha_takes_longer() -> None:
    house = House().open()
    house.start()
    for _ in range(30):  # an operator looks on, and does nothing
        house.serve(20, {"1": 0.2, "2": 0.34})
        house.look()
    eager, careful = (
        backtest(house.state, house.log, Policy(alpha=alpha), NAME)[0].would_have_ended for alpha in (0.5, 0.05)
    )
    assert eager is not None
    assert careful is None or careful.after_s > eager.after_s


def test_a_policy_without_the_guardrail_that_failed_would_have_missed_it(demoted: House) -> None:
    errors = Policy(guardrails=(Guardrail("error_rate", margin_absolute=0.05),))
    [course] = backtest(demoted.state, demoted.log, errors, NAME)
    assert course.would_have_ended is None
    assert course.compared == "only then decides"


def test_a_false_alarm_is_named() -> None:
    house = House().open()
    house.start()
    looked(house, 12, GOOD)
    house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="fine")
    strict = Policy(guardrails=(Guardrail("accuracy", relative=0.1, margin_absolute=0.02),))
    [course] = backtest(house.state, house.log, strict, NAME)
    assert course.would_have_ended is not None
    assert (course.would_have_ended.action, course.compared) == ("demote", "false alarm?")
    assert course.ended is not None
    assert (course.ended.actor, course.ended.samples) == ("ann", None)


def test_another_plan_is_held_to_its_conditions_at_the_shares_that_were() -> None:
    house = House().open()
    house.start()
    looked(house, 400, BETTER)
    waits = Plan("waits", (Step(weight=0.2, at_least_s=100.0, approval=True), Step(weight=0.5, at_least_s=1e9)))
    [course] = backtest(house.state, house.log, Policy(plan=waits), NAME)
    assert [act.action for act in course.would_have] == ["await"]
    assert course.would_have[0].after_s >= 100.0


def test_labels_that_came_of_age_after_the_last_look_are_seen_by_a_slower_policy() -> None:
    house = House().open(replace(SPEC, maturity_s=10.0))
    house.start()
    looked(house, 60, WORSE)
    [course] = backtest(house.state, house.log, Policy(maturity_s=5_000.0), NAME)
    assert course.would_have_ended is not None
    assert (course.would_have_ended.action, course.compared) == ("demote", "later")


def test_every_candidate_of_a_deployment_is_tried_or_one(demoted: House) -> None:
    second = demoted.start("3").generation
    looked(demoted, 60, {"1": 0.2, "3": 0.45})
    courses = backtest(demoted.state, demoted.log, Policy(), NAME)
    assert [(course.version, course.compared) for course in courses] == [("2", "the same"), ("3", "the same")]
    assert [course.version for course in backtest(demoted.state, demoted.log, Policy(), NAME, second)] == ["3"]
    with pytest.raises(NotReplayable, match="generation gone"):
        backtest(demoted.state, demoted.log, Policy(), NAME, "gone")


def test_a_guardrail_that_does_not_fit_is_refused(demoted: House) -> None:
    with pytest.raises(Unmeasurable):
        backtest(demoted.state, demoted.log, Policy(guardrails=(Guardrail("charm"),)), NAME)


@pytest.mark.parametrize("url", ["sqlite:{folder}/store.db", "postgresql:"])
def test_a_store_is_read_and_not_written(url: str, tmp_path: Path) -> None:
    place = fresh(url, folder=tmp_path)
    store = open_store(place)
    house = House(store.control, store.events).open()
    house.start()
    looked(house, 60, WORSE)
    reader = open_store(place, read_only=True)
    assert backtest(reader.control, reader.events, Policy(), NAME)[0].compared == "the same"
    reader.close()
    store.close()


def test_a_policy_file_speaks_the_words_of_a_deployment(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("alpha: 1%\nmaturity: 6h\nguardrails: [error_rate, {metric: accuracy, absolute: 0.01}]\n")
    policy = load_policy(path)
    assert (policy.alpha, policy.maturity_s, policy.plan, policy.alpha_promote) == (0.01, 21_600.0, None, None)
    assert policy.guardrails is not None
    assert [(one.metric, one.absolute) for one in policy.guardrails] == [("error_rate", 0.0), ("accuracy", 0.01)]
    path.write_text("plan: [{weight: 5%, at_least: 1h}]")
    plan = load_policy(path).plan
    assert plan is not None
    assert plan.steps == (Step(weight=0.05, at_least_s=3_600.0),)


def test_a_misspelt_word_of_a_policy_names_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("alhpa: 0.01")
    with pytest.raises(SettingsError, match="did you mean alpha"):
        load_policy(path)
