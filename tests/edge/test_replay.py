"""Decisions computed again from the log: the same to the bit, and different where anything was touched."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.store import open_store
from gateway.core.deployments import Plan, Step
from gateway.core.errors import NotReplayable
from gateway.core.events import Decision, OutcomeRecord
from gateway.core.ids import tag_of
from gateway.core.looks import unfolded
from gateway.core.rollout import Phase, Signal
from gateway.replay import cases, from_evidence, replay
from tests.control_house import NAME, SPEC, House
from tests.postgres_house import fresh

BETTER = {"1": 0.3, "2": 0.1}
WORSE = {"1": 0.2, "2": 0.6}
RAMP = Plan("ramp", (Step(shadow=1.0, events=100), Step(weight=0.1, events=30), Step(weight=0.5, events=50)))


def judged(house: House) -> list[Decision]:
    return [decision for decision in house.state.timeline(NAME) if from_evidence(decision)]


def tampered(decision: Decision, **changes: Any) -> Decision:
    return replace(decision, evidence=decision.evidence | changes)


@pytest.mark.parametrize("url", ["memory:", "sqlite:{folder}/store.db", "postgresql:"])
def test_every_decision_of_a_rollout_replays_to_the_bit_in_every_store(url: str, tmp_path: Path) -> None:
    store = open_store(fresh(url, folder=tmp_path))
    spec = replace(SPEC, maturity_s=90.0, plans={"ramp": RAMP})
    house = House(store.control, store.events).open(spec)
    house.start(plan="ramp")
    house.live(40, BETTER)
    house.start("3", plan="ramp")
    house.live(20, {"2": 0.1, "3": 0.5})
    found = judged(house)
    assert [decision.action for decision in reversed(found)] == ["advance", "advance", "promote", "demote"]
    for decision in found:
        again = replay(store.control, store.events, decision)
        assert again.equal, again.differences
        assert again.action == decision.action
    store.close()


def test_what_a_dry_run_would_have_done_is_said_once_and_replays_to_the_bit() -> None:
    dry = Plan("dry", (Step(shadow=1.0, events=100), Step(shadow=1.0)), dry_run=True)
    house = House().open(replace(SPEC, plans={"dry": dry}))
    house.start(plan="dry")
    for _ in range(12):
        house.serve(100, WORSE)
        house.look()
    found = judged(house)
    assert [decision.action for decision in reversed(found)] == ["would_demote"]
    assert house.rollout().phase is Phase.RUNNING
    assert all(replay(house.state, house.log, decision).equal for decision in found)


def test_what_arrives_after_a_decision_does_not_change_what_it_replays_to() -> None:
    house = House().open()
    house.start()
    [*_, demotion] = house.live(20, WORSE)
    corrected = [
        OutcomeRecord(tag_of(NAME), f"b{number}", "label", 5, house.clock.data() + 9.0, house.clock.data())
        for number in range(1, house.served + 1)
    ]
    house.log.append("another-p000001", list(enumerate(corrected)), len(corrected))
    assert replay(house.state, house.log, demotion).equal


def test_the_way_looks_were_cut_is_part_of_what_is_known() -> None:
    """One look at everything knows something else: bets are settled by what came before each look."""
    house = House().open()
    house.start()
    for _ in range(6):
        house.serve(50, BETTER)
        house.look()
    [opening] = house.state.openings(NAME)
    made = list(unfolded(house.state.looks(NAME, opening.generation)))
    known = house.control.case(house.rollout(), NAME)
    assert list(cases(house.log, opening, made))[-1] == known
    assert list(cases(house.log, opening, made[-1:]))[-1].rates != known.rates


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"n_candidate": 1}, "n_candidate"), ({"visible": {}}, "visible"), ({"phase": "waiting"}, None)],
)
def test_a_record_that_was_touched_is_found_out(changes: Mapping[str, Any], place: str | None) -> None:
    house = House().open()
    house.start()
    [*_, demotion] = house.live(20, WORSE)
    again = replay(house.state, house.log, tampered(demotion, **changes))
    assert again.equal is (place is None)
    assert place is None or again.differences[0].place.startswith(place)


def test_a_number_that_differs_in_its_last_bit_is_named() -> None:
    house = House().open()
    house.start()
    [*_, demotion] = house.live(20, WORSE)
    verdict = demotion.evidence["verdict"]
    first, *rest = verdict["findings"]
    touched = verdict | {"findings": [first | {"evidence_now": first["evidence_now"] * (1 + 2e-16)}, *rest]}
    [difference] = replay(house.state, house.log, tampered(demotion, verdict=touched)).differences
    assert difference.place == "verdict.findings.0.evidence_now"


def test_an_operators_word_is_not_computed() -> None:
    house = House().open()
    house.start()
    said = house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="it smells")
    with pytest.raises(NotReplayable, match="made by ann"):
        replay(house.state, house.log, said)


def test_another_judges_decision_is_not_judged_by_this_one() -> None:
    house = House().open()
    house.start()
    [*_, demotion] = house.live(20, WORSE)
    with pytest.raises(NotReplayable, match=r"made by judge 0\.9"):
        replay(house.state, house.log, tampered(demotion, judge_version="0.9"))


def test_a_decision_whose_looks_were_not_kept_says_so() -> None:
    house = House().open()
    house.start()
    [*_, demotion] = house.live(20, WORSE)
    with pytest.raises(NotReplayable, match="did not keep its looks"):
        replay(house.state, house.log, tampered(demotion, generation=None))
