"""When a candidate may start: quarantine that grows, cool-down, freezes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.core.errors import Postponed, Quarantined
from gateway.core.features import NO_FEATURES
from gateway.core.quarantine import Stay, hold_back, hold_out, sent_out
from gateway.core.rollout import Phase, Signal
from gateway.core.rules import Freeze, StartRules
from tests.control_house import NAME, QUICK, SPEC, House, card

WORSE = {"1": 0.2, "2": 0.6}
RULES = StartRules(quarantine_s=100.0, quarantine_max_s=250.0, cooldown_s=10.0)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_demoted_digest_stays_out_longer_each_time_up_to_a_limit() -> None:
    stays: dict[str, Stay] = {}
    at = 0.0
    for out in (100.0, 200.0, 250.0, 250.0):
        stays = sent_out(stays, "d", RULES, at)
        with pytest.raises(Quarantined):
            hold_out(stays, "d", at + out - 0.1)
        hold_out(stays, "d", at + out)
        hold_out(stays, "other", at)
        at += out


def test_after_any_demotion_nothing_starts_for_a_while() -> None:
    stays = sent_out({}, "d", RULES, 0.0)
    with pytest.raises(Postponed, match="4 s of data time are left"):
        hold_back(stays, RULES, 6.0)
    hold_back(stays, RULES, 10.0)


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        ("2025-12-19T23:59", False),
        ("2025-12-20T00:00", True),
        ("2026-01-01T12:00", True),
        ("2026-01-03T00:00", False),
    ],
)
def test_a_freeze_lasts_from_bound_to_bound(at: str, holds: bool) -> None:
    freeze = Freeze("holidays", after=moment("2025-12-20T00:00"), before=moment("2026-01-03T00:00"))
    assert freeze.holds(moment(at)) is holds


@pytest.mark.parametrize(("at", "holds"), [("2026-01-02T18:00", True), ("2026-01-03T07:59", True),
                                            ("2026-01-03T08:00", False), ("2026-01-01T18:00", False)])  # fmt: skip
def test_a_window_that_ends_before_it_begins_runs_into_the_next_day(at: str, holds: bool) -> None:
    assert Freeze("friday night", days=(4,), from_s=16 * 3_600.0, until_s=8 * 3_600.0).holds(moment(at)) is holds


def test_in_a_freeze_nothing_moves_up_by_itself_but_what_is_bad_still_goes() -> None:
    house = House().open(replace(SPEC, starts=StartRules(freezes=(Freeze("now", after=0.0),))))
    house.control.start_canary(NAME, card("2"), NO_FEATURES, plan="quick", actor="ann", override=True)
    house.control.ready(NAME, house.rollout().generation)
    assert house.live(8, {"1": 0.2, "2": 0.2}) == []
    assert house.rollout().step == 0
    assert house.live(20, WORSE)[-1].action == "demote"


def test_in_a_freeze_an_operators_word_still_counts() -> None:
    house = House().open()
    house.start()
    house.control.apply(
        replace(SPEC, starts=StartRules(freezes=(Freeze("now", after=0.0),))), actor="ann", reason="freeze"
    )
    house.control.send(NAME, Signal.PROMOTE, actor="ann", reason="urgent")
    assert house.document.stable.model.version == "2"


def test_an_operator_may_override_a_quarantine() -> None:
    house = House().open()
    house.start()
    assert house.live(20, WORSE)[-1].action == "demote"
    with pytest.raises(Quarantined):
        house.start()
    house.control.start_canary(NAME, card("2"), NO_FEATURES, plan="quick", actor="ann", override=True)
    assert house.rollout().phase is Phase.PREPARING


def test_who_demotes_by_hand_may_start_again_at_once() -> None:
    house = House().open()
    house.start()
    house.control.send(NAME, Signal.DEMOTE, actor="ann", reason="odd")
    assert house.start().phase is Phase.RUNNING


def test_a_dry_run_says_what_it_would_do_once_and_does_nothing() -> None:
    dry = replace(QUICK, name="dry", dry_run=True, steps=(replace(QUICK.steps[0], weight=0.0, shadow=1.0, events=50),))
    house = House().open(replace(SPEC, plans={"dry": dry}))
    house.start(plan="dry")
    made = house.live(30, WORSE)
    assert [decision.action for decision in made] == ["would_demote"]
    assert "accuracy" in made[0].reason
    assert house.rollout().phase is Phase.RUNNING
