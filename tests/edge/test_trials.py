"""Shadows that an operator adds: judged on the same requests as stable, and promoted on that evidence or not at all."""

from dataclasses import replace

import pytest

from gateway.adapters.store import open_store
from gateway.backtest import Policy, backtest
from gateway.core.deployments import DeploymentSpec, Guardrail, Plan, Role, Step
from gateway.core.errors import InvalidBody, InvalidTransition, ModelUnusable, UnknownVariant
from gateway.core.events import Decision
from gateway.core.features import NO_FEATURES
from gateway.core.findings import Finding, Verdict
from gateway.core.rollout import Phase, Signal
from gateway.core.state import FORMER
from gateway.replay import from_evidence, replay
from gateway.trials import Rise
from tests.control_house import NAME, SPEC, House, card

ALIKE = {"1": 0.2, "9": 0.2}
WORSE = {"1": 0.1, "9": 0.4}
BETTER = {"1": 0.3, "9": 0.1}
FREE = replace(SPEC, labels_independent=True)


def watching(spec: DeploymentSpec = FREE, house: House | None = None) -> House:
    """Version 1 is stable, and version 9 watches all that it answers."""
    opened = (house or House()).open(spec)
    opened.control.trials.add(NAME, card("9"), NO_FEATURES, name="v9", rate=1.0, actor="ann", reason="watch")
    return opened


def watched(wrong: dict[str, float], looks: int = 6, spec: DeploymentSpec = FREE) -> House:
    """So many looks at 200 requests each."""
    house = watching(spec)
    for _ in range(looks):
        house.serve(200, wrong)
        assert house.look() == []
    return house


def verdict(house: House) -> Verdict:
    return house.control.verdict(NAME, "v9")[1]


def rise(house: House, to: Rise, version: str = "9") -> Decision:
    return house.control.trials.promote(NAME, "v9", to, card(version), NO_FEATURES, actor="ann", reason="")


def test_a_shadow_is_judged_on_pairs_alone_with_intervals_and_a_sentence() -> None:
    said = verdict(watched(BETTER))
    [found] = said.findings
    assert (found.metric, found.finding, found.n_candidate) == ("paired_accuracy", Finding.PASS, 1_200)
    assert found.low < (found.difference or 0.0) < found.high < 0.0
    assert found.sentence.startswith("paired_accuracy: ") and "shown to be below" in found.sentence
    assert (said.finding, found.threshold) == (Finding.PASS, 20.0)


def test_a_worse_shadow_fails_and_goes_on_watching_since_nobody_is_hurt_by_it() -> None:
    house = watched(WORSE)
    assert verdict(house).finding is Finding.FAIL
    assert "v9" in house.document.shadows
    with pytest.raises(InvalidTransition, match="not shown to be safe on pairs"):
        rise(house, Rise(plan="quick"))


def test_a_shadow_that_is_shown_to_be_safe_becomes_a_canary_where_its_plan_takes_traffic() -> None:
    house = watched(BETTER)
    made = rise(house, Rise(plan="watchful"))
    assert (made.action, made.candidate, made.evidence["n_pairs"]) == ("start", "canary", 1_200)
    rollout = house.rollout()
    assert (rollout.phase, rollout.step, rollout.model.version) == (Phase.PREPARING, 1, "9")
    assert (house.document.shadows, house.document.trials) == ({}, {})
    house.control.ready(NAME, rollout.generation)
    assert (house.rollout().weight, house.rollout().shadow) == (0.5, 0.0)
    assert house.live(40, BETTER)[-1].action == "promote"


def test_a_shadow_that_is_shown_to_be_safe_becomes_stable_at_once() -> None:
    house = watched(BETTER)
    made = rise(house, Rise(stable=True, plan="quick"))
    assert (made.action, made.candidate) == ("promote", "v9")
    assert "shown to be safe" in made.reason
    assert house.document.stable.model.version == "9"
    assert [part.model.version for part in house.document.previous] == ["1"]
    assert house.rollout("v9").phase is Phase.PROMOTED


def test_the_former_stable_watches_where_the_plan_says_so() -> None:
    plan = Plan("watched", (Step(weight=0.5, events=50),), watch_s=2_000.0)
    house = watched(BETTER, spec=replace(FREE, plans={"watched": plan}))
    rise(house, Rise(stable=True))
    assert house.rollout("v9").phase is Phase.WATCHED
    assert house.document.shadows[FORMER].part.model.version == "1"
    house.serve(300, {"1": 0.1, "9": 0.5})
    assert [decision.action for decision in house.look()] == ["rollback"]


def test_pairs_stand_for_nobody_where_labels_may_follow_from_what_stable_answered() -> None:
    house = watched(BETTER, spec=SPEC)
    assert verdict(house).finding is Finding.PASS
    for to in (Rise(plan="quick"), Rise(stable=True, plan="quick")):
        with pytest.raises(InvalidTransition, match="labels_independent is not declared"):
            rise(house, to)


def test_too_few_pairs_promote_nobody() -> None:
    house = watched(ALIKE, looks=1)
    with pytest.raises(InvalidTransition, match="not decided yet"):
        rise(house, Rise(stable=True, plan="quick"))


def test_a_plan_that_only_watches_makes_no_canary_of_a_shadow_that_has_watched() -> None:
    house = watched(BETTER, spec=replace(FREE, plans={"unseen": Plan("unseen", (Step(shadow=1.0, events=9),))}))
    with pytest.raises(InvalidBody):
        rise(house, Rise())


def test_another_model_than_the_one_that_watched_does_not_rise() -> None:
    with pytest.raises(ModelUnusable, match="not the model any more"):
        rise(watched(BETTER), Rise(plan="quick"), version="8")


def test_evidence_closes_when_stable_changes_and_begins_again_beside_the_new_one() -> None:
    house = watched(BETTER)
    before = house.document.trials["v9"]
    house.start("2")
    house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="sure")
    after = house.document.trials["v9"]
    assert after.generation != before.generation
    assert house.document.shadows["v9"].part.generation == after.generation
    assert verdict(house).findings[0].n_candidate == 0
    house.serve(200, BETTER | {"2": 0.3})
    house.look()
    assert verdict(house).findings[0].n_candidate == 200


def test_a_shadow_is_judged_by_what_pairs_can_show_and_by_nothing_else() -> None:
    spec = replace(
        FREE,
        guardrails=(
            *SPEC.guardrails,
            Guardrail("disagreement", role=Role.SIGNAL, absolute=0.1, margin_absolute=0.2),
            Guardrail("value:revenue"),
        ),
    )
    house = watched(ALIKE, looks=2, spec=spec)
    assert [found.metric for found in verdict(house).findings] == ["paired_accuracy", "disagreement"]


def test_a_shadow_whose_guardrails_pairs_cannot_show_watches_unjudged() -> None:
    house = watching(replace(FREE, guardrails=(Guardrail("error_rate", margin_absolute=0.05),)))
    assert house.document.trials == {}
    with pytest.raises(UnknownVariant):
        rise(house, Rise(plan="quick"))


def test_a_shadow_keeps_its_evidence_at_another_rate_and_loses_it_when_it_stops() -> None:
    house = watched(BETTER, looks=1)
    revision, before = house.document.revision, house.document.trials["v9"].generation
    house.control.set_traffic(NAME, {}, {"v9": 0.5}, expected=revision, actor="ann", reason="less")
    assert (house.document.trials["v9"].generation, house.document.trials["v9"].shadow) == (before, 0.5)
    house.control.set_traffic(NAME, {}, {}, expected=revision + 1, actor="ann", reason="stop")
    assert house.document.trials == {}


def test_a_canary_and_a_shadow_are_judged_side_by_side() -> None:
    house = watching()
    house.start("2")
    house.live(1, BETTER | {"2": 0.3})
    assert verdict(house).findings[0].n_candidate > 100
    assert house.control.verdict(NAME, "canary")[1].findings[0].metric == "error_rate"


@pytest.mark.parametrize("url", ["memory:", "sqlite:{tmp}/store.db"])
def test_the_rise_of_a_shadow_replays_to_the_bit_in_every_store(url: str, tmp_path: object) -> None:
    store = open_store(url.format(tmp=tmp_path))
    house = watching(house=House(store.control, store.events))
    for _ in range(6):
        house.serve(200, BETTER)
        house.look()
    rise(house, Rise(stable=True, plan="quick"))
    [decision] = [one for one in house.state.timeline(NAME) if from_evidence(one)]
    again = replay(house.state, house.log, decision)
    assert (again.equal, again.looks, again.verdict.finding) == (True, 6, Finding.PASS)
    store.close()


def test_a_backtest_is_about_candidates() -> None:
    house = watched(BETTER)
    assert backtest(house.state, house.log, Policy(), NAME) == []
