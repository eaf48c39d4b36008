"""How often a deployment changes, how fast it recovers and how old its model is, from its timeline."""

from gateway.core.events import Decision
from gateway.core.kpis import WEEK_S, WEEKS, kpis, recoveries

NOW = 100 * WEEK_S + 3_600.0


def decision(
    action: str, at: float, candidate: str | None = "canary", generation: str = "g2", took: float = 0.0
) -> Decision:
    """``took`` is how far the calendar had come since it began."""
    return Decision("churn", 1, action, "judge", "because", at, took, candidate, generation)


def test_a_demotion_is_a_recovery_from_the_first_request_to_the_last_by_both_clocks() -> None:
    lived = [
        decision("start", NOW - 900),
        decision("ready", NOW - 800, took=10.0),
        decision("demote", NOW - 200, took=14.3),
    ]
    [one] = recoveries(lived)
    assert (one.data_s, round(one.machine_s, 6)) == (600.0, 4.3)
    found = kpis(lived, "g1", NOW)
    assert (found.recoveries, found.recovery_s) == (1, 600.0)


def test_a_rollback_recovers_from_the_promotion() -> None:
    lived = [decision("ready", NOW - 900), decision("promote", NOW - 500), decision("rollback", NOW - 100, None)]
    assert [one.data_s for one in recoveries(lived)] == [400.0]
    assert recoveries([decision("rollback", NOW, None)]) == []


def test_a_candidate_that_never_served_anybody_is_no_recovery() -> None:
    assert recoveries([decision("start", NOW - 9), decision("demote", NOW)]) == []


def test_what_was_demoted_is_paired_with_its_own_beginning() -> None:
    lived = [
        decision("ready", NOW - 900, "a"),
        decision("ready", NOW - 600, "b"),
        decision("demote", NOW - 500, "a"),
        decision("demote", NOW - 100, "b"),
    ]
    assert [one.data_s for one in recoveries(lived)] == [400.0, 500.0]


def test_decisions_fall_into_weeks_of_data_time_and_the_median_recovery_is_told() -> None:
    lived = [
        decision("promote", NOW - 1.5 * WEEK_S),
        decision("start", NOW - 60),
        decision("ready", NOW - 50),
        decision("demote", NOW - 40),
        decision("ready", NOW - 30),
        decision("demote", NOW),
    ]
    found = kpis(lived, "g2", NOW)
    assert len(found.weeks) == WEEKS
    assert [week.promoted for week in found.weeks[-3:]] == [1, 0, 0]
    assert (found.weeks[-1].started, found.weeks[-1].demoted) == (1, 2)
    assert found.recovery_s == 20.0


def test_promotions_by_week_are_counted_since_the_first_decision() -> None:
    four = [decision("promote", NOW - number * WEEK_S / 2) for number in range(4)]
    assert kpis([decision("found", NOW - 2 * WEEK_S), *four], "g2", NOW).per_week == 2.0
    assert kpis(four[:1], "g2", NOW).per_week == 1.0


def test_a_model_is_as_old_as_its_own_promotion_even_after_a_return_to_it() -> None:
    lived = [
        decision("found", NOW - 900, None, ""),
        decision("promote", NOW - 600, generation="g2"),
        decision("promote", NOW - 300, generation="g3"),
        decision("rollback", NOW - 100, None),
    ]
    assert kpis(lived, "g2", NOW).model_age_s == 600.0
    assert kpis(lived, "g1", NOW).model_age_s == 900.0
    assert kpis(lived[1:], "g1", NOW).model_age_s is None


def test_a_replay_that_began_before_any_data_time_has_no_age_and_weeks_since_its_first_flight() -> None:
    lived = [decision("found", 0.0, None, ""), decision("start", NOW - WEEK_S), decision("promote", NOW)]
    assert kpis(lived, "g1", NOW).model_since is None
    assert kpis(lived, "g2", NOW).per_week == 1.0


def test_a_deployment_without_a_past_has_figures_all_the_same() -> None:
    found = kpis([], "g1", 0.0)
    assert (found.per_week, found.recoveries, found.recovery_s, found.model_age_s) == (0.0, 0, None, None)
