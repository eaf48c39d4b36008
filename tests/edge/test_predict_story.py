"""The story of a prediction, told over memory adapters and a hand-wound clock."""

import asyncio
from dataclasses import replace

import pytest

from gateway.core import ids
from gateway.core.deployments import Durability, OnUnavailable, ServingRules, WhenLogFails
from gateway.core.errors import (
    DeadlinePassed,
    FeaturesUnavailable,
    ForcingForbidden,
    InvalidBody,
    LogRefused,
    ModelFailed,
    NoModelReady,
    Overloaded,
    UnknownDeployment,
    UnknownVariant,
)
from gateway.core.features import Status
from gateway.core.routing import Part
from gateway.shadow import GATHER_S
from tests.data_house import (
    BODY,
    CANARY,
    KEYS,
    SHADOW,
    T0,
    House,
    canary,
    card,
    flights,
    reads_seats,
    shadow,
    table,
)


async def test_stable_answers_and_the_record_says_what_the_caller_saw() -> None:
    house = House()
    answer = await house.ask()
    [record] = house.predictions
    assert answer.output.label == record.label == 1007.0
    assert (answer.variant, answer.model_version, answer.fallback, answer.logged) == ("stable", "v1", False, True)
    assert (record.assigned, record.served, record.status, record.error) == ("stable", "stable", 200, None)
    assert record.at == T0
    assert dict(zip(record.names, record.values, strict=True)) == {"flight": 7, "distance": 1400.0}
    assert set(record.statuses) == {Status.REQUEST}


async def test_the_id_that_is_answered_refers_to_the_record() -> None:
    house = House()
    answer = await house.ask()
    [record] = house.predictions
    assert ids.verify(KEYS, answer.prediction_id) == ids.PredictionRef(record.tag, record.body)


async def test_a_candidate_with_all_the_weight_answers_and_its_propensity_is_stored() -> None:
    house = House(table(canary(1.0)))
    answer = await house.ask()
    [record] = house.predictions
    assert (answer.output.label, answer.variant) == (2007.0, "canary")
    assert [(arm.name, arm.propensity, arm.digest) for arm in record.arms] == [
        ("stable", 0.0, "v1"),
        ("canary", 1.0, "v2"),
    ]


async def test_without_a_lease_stable_answers_and_the_candidates_propensity_is_zero() -> None:
    house = House(table(canary(1.0)))
    house.routing.leased = False
    assert (await house.ask()).variant == "stable"
    assert [arm.propensity for arm in house.predictions[0].arms] == [1.0, 0.0]


async def test_a_candidate_that_raises_is_charged_and_stable_answers_the_same_request() -> None:
    house = House(table(canary(1.0)))
    house.runner.load(CANARY, 0.0, raises="ZeroDivisionError")
    answer = await house.ask()
    [record] = house.predictions
    assert (answer.output.label, answer.variant, answer.fallback) == (1007.0, "stable", True)
    assert (record.assigned, record.served, record.error, record.status) == (
        "canary",
        "stable",
        "ZeroDivisionError",
        200,
    )


async def test_a_candidate_that_outlives_its_deadline_is_charged_with_a_timeout() -> None:
    house = House(table(canary(1.0), rules=ServingRules(canary_deadline_s=0.2)))
    house.runner.seconds["canary"] = 30.0
    answer = await house.ask()
    [record] = house.predictions
    assert (answer.variant, answer.fallback, record.error) == ("stable", True, "timeout")
    assert record.latency["model"] == pytest.approx(0.2)


async def test_a_candidate_gets_at_most_half_of_what_is_left_so_that_stable_can_still_answer() -> None:
    house = House(table(canary(1.0)))
    house.runner.seconds.update(canary=30.0, stable=0.04)
    assert (await house.ask(deadline_s=0.1)).variant == "stable"


@pytest.mark.parametrize("failure", [NoModelReady("v2"), Overloaded("full"), DeadlinePassed("x"), ModelFailed("E")])
async def test_whatever_keeps_a_candidate_from_answering_stable_answers(failure: Exception) -> None:
    house = House(table(canary(1.0)))
    house.runner.failing["canary"] = failure
    assert (await house.ask()).fallback
    assert house.predictions[0].error is not None


async def test_stable_that_fails_is_an_error_and_is_recorded() -> None:
    house = House()
    house.runner.failing["stable"] = ModelFailed("ValueError")
    with pytest.raises(ModelFailed):
        await house.ask()
    [record] = house.predictions
    assert (record.status, record.error, record.served, record.label) == (500, "ValueError", "", None)


async def test_when_stable_fails_after_the_candidate_the_candidates_failure_stays_its_own() -> None:
    house = House(table(canary(1.0)))
    house.runner.failing.update(canary=ModelFailed("Canary"), stable=ModelFailed("Stable"))
    with pytest.raises(ModelFailed, match="Stable"):
        await house.ask()
    assert (house.predictions[0].error, house.predictions[0].status) == ("Canary", 500)


async def test_a_stable_that_is_not_loaded_is_503_and_recorded() -> None:
    house = House()
    house.runner.models.clear()
    with pytest.raises(NoModelReady):
        await house.ask()
    assert house.predictions[0].status == 503


async def test_features_are_read_by_entity_and_their_ages_kept() -> None:
    house = House(reads_seats())
    house.features.write("plane", {"flight": 7}, {"seats": 180}, event_time=T0 - 60)
    answer = await house.ask(explain=True)
    [record] = house.predictions
    assert record.names == ("seats", "flight", "distance")
    assert record.values == (180, 7, 1400.0)
    assert record.event_times == (T0 - 60, None, None)
    assert answer.explanation is not None
    assert answer.explanation.feature_ages_s == {"seats": 60.0}
    assert answer.degraded == ()


async def test_a_stale_feature_is_served_by_its_fallback_and_named() -> None:
    house = House(reads_seats(default=150))
    house.features.write("plane", {"flight": 7}, {"seats": 180}, event_time=T0 - 7200)
    answer = await house.ask()
    [record] = house.predictions
    assert (answer.degraded, record.degraded, record.values[0]) == (("seats",), True, 150)
    assert record.statuses[0] == Status.STALE


async def test_a_required_feature_that_is_not_to_be_had_is_503_and_recorded_as_degraded() -> None:
    house = House(reads_seats(on_unavailable=OnUnavailable.ERROR))
    house.features.available = False
    with pytest.raises(FeaturesUnavailable):
        await house.ask()
    [record] = house.predictions
    assert (record.status, record.degraded, record.error) == (503, True, "FeaturesUnavailable")
    assert house.runner.calls == []


async def test_features_are_read_within_their_budget_and_never_beyond_the_deadline() -> None:
    house = House(reads_seats(ServingRules(features_budget_s=0.05)))
    await house.ask()
    await house.ask(deadline_s=0.01)
    assert house.features.budgets == pytest.approx([0.05, 0.01])


async def test_a_request_past_its_deadline_runs_no_model_and_is_recorded_as_504() -> None:
    house = House()
    with pytest.raises(DeadlinePassed):
        await house.ask(deadline_s=0.0)
    assert house.runner.calls == []
    assert (house.predictions[0].status, house.predictions[0].error) == (504, "timeout")


async def test_a_batch_is_routed_one_by_one_read_in_one_go_and_run_once_per_arm() -> None:
    house = House(replace(reads_seats(), candidates=(canary(0.5),)))
    answers = await house.ask_all(flights(*range(40)))
    assert [answer.output.label for answer in answers] == [
        {"stable": 1000.0, "canary": 2000.0}[str(answer.variant)] + n for n, answer in enumerate(answers)
    ]
    assert len(house.features.budgets) == 1
    assert sorted(name for name, _ in house.runner.calls) == ["canary", "stable"]
    assert len({answer.prediction_id for answer in answers}) == len(house.predictions) == 40


async def test_in_a_batch_only_the_rows_a_candidate_fails_at_are_charged() -> None:
    house = House(table(canary(1.0)))
    house.runner.load(CANARY, 2000.0, raises="ValueError", raise_every=4)
    answers = await house.ask_all(flights(1, 2, 3, 4, 5))
    assert [answer.variant for answer in answers] == ["canary", "canary", "canary", "stable", "canary"]
    assert [record.error for record in house.predictions] == [None, None, None, "ValueError", None]


async def test_a_batch_fails_as_one_but_each_instance_is_recorded_with_its_own_failure() -> None:
    house = House()
    house.runner.load(house.routing.table(None).stable, 1000.0, raises="ValueError", raise_every=4)
    with pytest.raises(ModelFailed):
        await house.ask_all(flights(3, 4, 5))
    assert [(record.status, record.error, record.served) for record in house.predictions] == [
        (500, None, ""),
        (500, "ValueError", ""),
        (500, None, ""),
    ]


async def test_one_bad_instance_spoils_the_batch_and_nothing_is_routed() -> None:
    house = House()
    body = flights(1, 2, 3)
    body["instances"][2]["features"]["distance"] = "far"
    with pytest.raises(InvalidBody) as caught:
        await house.ask_all(body)
    assert [place.pointer for place in caught.value.problems] == ["/instances/2/features/distance"]
    assert house.predictions == []


async def test_the_same_request_id_gets_the_same_prediction_id_and_the_same_arm() -> None:
    house = House(table(canary(0.5)))
    first, second = [await house.ask(BODY | {"request_id": "r-1"}) for _ in range(2)]
    other = await house.ask(BODY | {"request_id": "r-1"}, caller="somebody else")
    assert (first.prediction_id, first.variant) == (second.prediction_id, second.variant)
    assert other.prediction_id != first.prediction_id
    assert len(house.predictions) == 3
    assert house.predictions[0].request_hash == house.predictions[1].request_hash != "r-1"


async def test_a_sticky_deployment_draws_by_its_key_and_stores_only_the_keys_hash() -> None:
    house = House(table(canary(0.5), rules=ServingRules(sticky=True)))
    answers = [await house.ask(BODY | {"routing_key": "user-1"}) for _ in range(8)]
    assert len({answer.variant for answer in answers}) == 1
    assert {record.key_hash for record in house.predictions} == {ids.key_hash("user-1")}


async def test_forcing_needs_the_deployments_leave_and_a_name_it_knows() -> None:
    with pytest.raises(ForcingForbidden):
        await House(table(canary(0.5))).ask(variant="canary")
    with pytest.raises(UnknownVariant, match="stable, canary"):
        await House(table(canary(0.5), rules=ServingRules(allow_forced=True))).ask(variant="nobody")


async def test_a_forced_request_goes_where_it_was_sent_and_is_no_evidence() -> None:
    house = House(table(canary(0.001), rules=ServingRules(allow_forced=True)))
    answer = await house.ask(variant="canary")
    assert (answer.variant, house.predictions[0].randomised) == ("canary", False)


async def test_forcing_does_not_reach_a_candidate_whose_lease_has_run_out() -> None:
    house = House(table(canary(0.5), rules=ServingRules(allow_forced=True)))
    house.routing.leased = False
    assert (await house.ask(variant="canary")).variant == "stable"
    assert house.runner.calls == [("stable", 1)]


async def test_a_blind_deployment_keeps_the_arm_to_itself_in_answer_and_explanation() -> None:
    house = House(table(canary(1.0), rules=ServingRules(blind=True)))
    house.runner.failing["canary"] = ModelFailed("E")
    answer = await house.ask(explain=True)
    assert (answer.variant, answer.model_version, answer.fallback) == (None, None, False)
    assert answer.explanation is not None
    assert (answer.explanation.variant, answer.explanation.model_version, answer.explanation.propensity) == (None,) * 3


async def test_a_refused_record_refuses_the_answer() -> None:
    house = House()
    house.spool.full = True
    with pytest.raises(LogRefused):
        await house.ask()


async def test_a_refused_record_is_served_and_said_where_the_deployment_prefers_it() -> None:
    house = House(table(shadows=[shadow()], rules=ServingRules(when_log_fails=WhenLogFails.SERVE)))
    house.spool.full = True
    answer = await house.ask()
    assert (answer.output.label, answer.logged) == (1007.0, False)
    house.spool.full = False
    await house.shadows.drain(1.0)
    assert house.shadowed == [], "no record, no eligible shadow"


async def test_durability_disk_waits_for_the_disk_and_process_does_not() -> None:
    for durability, flushes in ((Durability.PROCESS, 0), (Durability.DISK, 1)):
        house = House(table(rules=ServingRules(durability=durability)))
        await house.ask()
        assert house.spool.flushes == flushes


async def test_the_watermark_is_held_while_a_request_is_under_way_and_let_go_once_it_is_recorded() -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    late = asyncio.create_task(house.ask(at=T0 + 50))
    early = asyncio.create_task(house.ask(at=T0 + 20))
    await asyncio.sleep(0)
    assert (house.predict.low(), house.predict.under_way()) == (T0 + 20, 2)
    house.runner.gates["stable"].set()
    await asyncio.gather(early, late)
    assert (house.predict.low(), house.predict.under_way()) == (None, 0)
    assert house.clock.data() == T0 + 50


async def test_a_cancelled_request_is_recorded_and_leaves_nothing_under_way() -> None:
    house = House()
    house.runner.gates["stable"] = asyncio.Event()
    task = asyncio.create_task(house.ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.status for record in house.predictions] == [499]
    assert house.predict.low() is None


async def test_models_that_are_not_stable_are_marked_while_they_run() -> None:
    house = House(table(canary(1.0)))
    await house.ask()
    [record] = house.predictions
    assert house.marks.runs == [("g1", record.body)]
    assert house.marks.now == 0
    stable_only = House()
    await stable_only.ask()
    assert stable_only.marks.runs == []


async def test_an_unknown_deployment_is_told_so() -> None:
    with pytest.raises(UnknownDeployment):
        await House().ask(deployment="nothing")


async def test_a_new_table_is_laid_out_anew() -> None:
    house = House()
    await house.ask()
    model = card("v9", *house.routing.table(None).stable.model.inputs)
    changed = replace(table(), revision=2, stable=Part("stable", "g9", model))
    house.routing.tables = {changed.deployment: changed}
    house.runner.load(changed.stable, 9000.0)
    assert (await house.ask()).output.label == 9007.0


# Shadows.


async def test_a_shadow_scores_the_same_row_after_the_answer_and_owes_one_record() -> None:
    house = House(table(shadows=[shadow()]))
    answer = await house.ask()
    assert house.shadowed == [], "nobody waited for it"
    await house.shadows.drain(1.0)
    [watched] = house.shadowed
    [record] = house.predictions
    assert (answer.output.label, watched.label) == (1007.0, 3007.0)
    assert (watched.body, watched.name, watched.generation, watched.digest) == (record.body, "shadow", "g2", "v3")
    assert (watched.stable_generation, watched.stable_served, record.shadows) == ("g0", True, ("shadow",))


async def test_a_pending_shadow_holds_the_watermark_too() -> None:
    house = House(table(shadows=[shadow()]))
    await house.ask()
    assert house.predict.low() == T0
    await house.shadows.drain(1.0)
    assert house.predict.low() is None


async def test_a_shadow_that_fails_is_recorded_and_the_next_one_runs() -> None:
    house = House(table(shadows=[shadow()]))
    house.runner.failing["shadow"] = RuntimeError("a bug nobody foresaw")
    await house.ask()
    await house.shadows.drain(1.0)
    del house.runner.failing["shadow"]
    await house.ask()
    await house.shadows.drain(1.0)
    assert [(record.error, record.label) for record in house.shadowed] == [("RuntimeError", None), (None, 3007.0)]


@pytest.mark.parametrize(("failure", "reason"), [(NoModelReady("v3"), "not_loaded"), (Overloaded("x"), "queue_full")])
async def test_a_shadow_that_was_not_started_is_dropped_not_failed(failure: Exception, reason: str) -> None:
    house = House(table(shadows=[shadow()]))
    house.runner.failing["shadow"] = failure
    await house.ask()
    await house.shadows.drain(1.0)
    assert [(record.dropped, record.error) for record in house.shadowed] == [(reason, None)]


async def test_a_shadow_without_a_model_here_is_dropped_at_once() -> None:
    house = House(table(shadows=[shadow()]))
    del house.runner.models["v3"]
    await house.ask()
    assert [record.dropped for record in house.shadowed] == ["not_loaded"]


async def test_every_eligible_shadow_is_done_or_dropped_or_pending_at_every_moment() -> None:
    house = House(table(shadows=[shadow()]), lane={"bound": 3, "patience_s": 0.5})
    house.runner.gates["shadow"] = asyncio.Event()
    await house.ask_all(flights(*range(6)))
    await asyncio.sleep(0)
    assert [record.dropped for record in house.shadowed] == ["queue_full"] * 3
    assert house.shadows.pending() == 3
    house.clock.advance(0.6)
    house.runner.gates["shadow"].set()
    await house.shadows.drain(1.0)
    assert sorted(str(record.dropped) for record in house.shadowed) == ["None"] + ["queue_full"] * 3 + ["too_late"] * 2
    assert house.shadows.pending() == 0


async def test_closing_the_lane_drops_what_is_pending_and_whatever_comes_later() -> None:
    house = House(table(shadows=[shadow()]))
    house.runner.gates["shadow"] = asyncio.Event()
    await house.ask_all(flights(1, 2))
    await asyncio.sleep(0)
    await house.ask_all(flights(3))
    await house.shadows.close()
    await house.ask()
    assert [record.dropped for record in house.shadowed] == ["closed"] * 4
    assert (house.shadows.pending(), house.shadows.low(), house.marks.now) == (0, None, 0)


async def test_a_lane_closed_before_its_first_run_began_still_leaves_a_record_for_each() -> None:
    house = House(table(shadows=[shadow()]))
    await house.ask_all(flights(1, 2))
    await house.shadows.close()
    assert [record.dropped for record in house.shadowed] == ["closed"] * 2


async def test_shadows_that_may_be_scored_together_wait_for_each_other() -> None:
    house = House(table(shadows=[shadow()]), lane={"together": lambda _: 4})
    for _ in range(3):
        await house.ask()
    assert (house.shadows.pending(), house.runner.calls) == (3, [("stable", 1)] * 3)
    await house.shadows.drain(1.0)
    assert house.runner.calls[3:] == [("shadow", 3)]
    assert [record.label for record in house.shadowed] == [3007.0] * 3


async def test_as_many_shadows_as_one_call_takes_wait_for_nobody() -> None:
    house = House(table(shadows=[shadow()]), lane={"together": lambda _: 2})
    house.runner.gates["shadow"] = asyncio.Event()
    await house.ask_all(flights(1, 2))
    await asyncio.sleep(0)
    assert house.runner.calls == [("stable", 2), ("shadow", 2)]
    house.runner.gates["shadow"].set()
    await house.shadows.drain(1.0)
    assert house.shadows.pending() == 0


async def test_a_shadow_waits_a_moment_and_no_longer() -> None:
    house = House(table(shadows=[shadow()]), lane={"together": lambda _: 64})
    await house.ask()
    async with asyncio.timeout(5.0):
        while house.shadows.pending():  # noqa: ASYNC110 - theirs is a lane, not an event
            await asyncio.sleep(GATHER_S)
    assert [record.label for record in house.shadowed] == [3007.0]


async def test_a_lane_closed_while_shadows_wait_for_each_other_leaves_a_record_for_each() -> None:
    house = House(table(shadows=[shadow()]), lane={"together": lambda _: 64})
    await house.ask_all(flights(1, 2))
    await house.shadows.close()
    assert [record.dropped for record in house.shadowed] == ["closed"] * 2


async def test_shadows_are_the_first_to_be_shed() -> None:
    house = House(table(shadows=[shadow()]), crowded=lambda: True)
    assert (await house.ask()).output.label == 1007.0
    assert [record.dropped for record in house.shadowed] == ["crowded"]


async def test_a_failed_request_invites_no_shadow() -> None:
    house = House(table(shadows=[shadow()]))
    house.runner.failing["stable"] = ModelFailed("E")
    with pytest.raises(ModelFailed):
        await house.ask()
    assert (house.predictions[0].shadows, house.shadows.pending()) == ((), 0)


async def test_a_shadows_record_that_the_log_refuses_is_nobodys_problem() -> None:
    house = House(table(shadows=[shadow()]))
    await house.ask()
    house.spool.full = True
    await house.shadows.drain(1.0)
    house.spool.full = False
    assert (await house.ask()).logged
    assert SHADOW.name in house.predictions[-1].shadows
    await house.shadows.drain(1.0)
