"""What every event log promises: each record once, the right joins, exact books, looks that can be made again."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.store import open_store
from gateway.adapters.store.joins import PIECE
from gateway.core.events import Event, Position
from gateway.core.ids import tag_of
from gateway.ports import EventLog, Spread, VariantPerformance, Window
from tests.postgres_house import fresh
from tests.records import DEPLOYMENT, T0, TAG, arms, crash, outcome, prediction, shadow

QUICK, MINUTE = Spread(0.002, 0.002, 0.002), Spread(60.0, 60.0, 60.0)


@pytest.fixture(params=["memory:", "sqlite:{tmp_path}/store.db", "postgresql:"])  # a new adapter adds one URL
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    store = open_store(fresh(request.param, tmp_path=tmp_path))
    yield store.events
    store.close()


def append(log: EventLog, *events: Event, spool: str = "w-p000000") -> None:
    """Append events to a spool as the next drain would, each 100 bytes long."""
    start = log.cursors().get(spool, 0)
    log.append(spool, [(start + 100 * n, event) for n, event in enumerate(events)], start + 100 * len(events))


def everything(log: EventLog, after: float = T0 - 1, until: float = T0 + 1e6) -> Window:
    return Window(after, until, log.cursors())


def bodies(log: EventLog, generation: str = "g-canary") -> list[int]:
    """The places (offset // 100) of a generation's bets."""
    return [row.position.offset // 100 for row in log.evidence(DEPLOYMENT, generation, everything(log))]


# Which requests are bets


def test_both_arms_are_evidence_in_order_of_data_time_and_place(log: EventLog) -> None:
    append(log, prediction("b1", T0 + 2), prediction("b2", T0 + 1, "canary", error="ValueError", label=None))
    append(log, prediction("b3", T0 + 1), spool="a-p000000")
    rows = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert [row.position for row in rows] == [
        Position(T0 + 1, "a-p000000", 0),
        Position(T0 + 1, "w-p000000", 100),
        Position(T0 + 2, "w-p000000", 0),
    ]
    assert [(row.candidate, row.failed, row.label) for row in rows] == [
        (False, False, 1),
        (True, True, None),
        (False, False, 1),
    ]
    assert {(row.propensity, row.score, row.latency_s) for row in rows} == {(0.1, 0.75, 0.002)}


def test_latency_is_evidence_only_where_one_prediction_was_asked_for(log: EventLog) -> None:
    append(log, prediction("b1", instances=1), prediction("b2", instances=3), prediction("b3", instances=3))
    rows = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert [row.latency_s for row in rows] == [0.002, None, None]


def test_a_window_takes_what_lies_after_its_beginning_and_up_to_its_end(log: EventLog) -> None:
    append(log, *(prediction(f"b{n}", T0 + n) for n in range(5)))
    rows = log.evidence(DEPLOYMENT, "g-canary", Window(T0 + 1, T0 + 3, log.cursors()))
    assert [row.position.at - T0 for row in rows] == [2, 3]


@pytest.mark.parametrize(
    "record",
    [
        prediction(randomised=False, assigned="canary", arms=arms(stable=0.0, canary=1.0)),
        prediction(degraded=True),
        prediction(arms=arms(stable=1.0, canary=0.0)),
        prediction(arms=arms(stable=0.0, canary=1.0), assigned="canary"),
        prediction(arms=arms(stable=1.0)),
        prediction(arms=arms(stable=0.5, canary=0.1, b=0.4), assigned="b"),
        prediction(arms=arms(stable=0.5, b=0.5)),
    ],
    ids=["forced", "degraded", "no share", "all of it", "no candidate", "a third arm's", "another candidate's"],
)
def test_a_request_is_no_evidence_for_reasons_fixed_before_its_answer(log: EventLog, record: Event) -> None:
    append(log, record)
    assert bodies(log) == []


def test_several_candidates_are_each_judged_on_two_arms(log: EventLog) -> None:
    three = arms(stable=0.6, canary=0.1, b=0.3)
    append(log, *(prediction(name, assigned=name, arms=three) for name in ("stable", "canary", "b")))
    assert [row.propensity for row in log.evidence(DEPLOYMENT, "g-b", everything(log))] == pytest.approx([1 / 3] * 2)
    assert (bodies(log), bodies(log, "g-b")) == ([0, 1], [0, 2])


def test_another_deployments_requests_are_not_evidence(log: EventLog) -> None:
    append(log, prediction(deployment="churn", tag=tag_of("churn")))
    assert bodies(log) == []
    assert len(log.evidence("churn", "g-canary", everything(log))) == 1


def test_of_a_repeated_request_id_only_the_first_record_in_the_log_is_a_bet(log: EventLog) -> None:
    append(log, prediction("b1", T0 + 5, label=0))
    append(log, prediction("b1", T0 + 1, "canary", label=1), spool="a-p000000")
    [row] = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert (row.label, row.candidate) == (0, False)
    stored = log.prediction(TAG, "b1")
    assert stored is not None
    assert (stored.record.label, stored.attempts) == (0, 2)


def test_a_sticky_key_is_bet_on_once_per_generation_and_epoch_at_its_first_propensity(log: EventLog) -> None:
    def visit(body: str, share: float = 0.1, key_hash: str = "k1", epoch: int = 1) -> Event:
        shares = arms(stable=1 - share, canary=share)
        return prediction(body, sticky=True, arms=shares, key_hash=key_hash, epoch=epoch)

    append(log, visit("b0"), visit("b1", 0.5), visit("b2", epoch=99), visit("b3", key_hash="k2"))
    assert bodies(log) == [0, 2, 3]
    assert log.evidence(DEPLOYMENT, "g-canary", everything(log))[0].propensity == pytest.approx(0.1)


def test_a_sticky_keys_first_request_rules_out_the_later_ones_even_when_it_is_no_evidence(log: EventLog) -> None:
    append(log, prediction("b0", sticky=True, key_hash="k", degraded=True), prediction("b1", sticky=True, key_hash="k"))
    three = arms(stable=0.5, canary=0.1, b=0.4)
    append(log, prediction("b2", sticky=True, key_hash="j", arms=three, assigned="b"))
    append(log, prediction("b3", sticky=True, key_hash="j"))
    assert bodies(log) == []


def test_a_sticky_keys_draw_is_not_spent_where_nothing_was_drawn(log: EventLog) -> None:
    append(log, prediction("b0", sticky=True, key_hash="k", arms=arms(stable=1.0, canary=0.0)))
    append(log, prediction("b1", sticky=True, key_hash="k", randomised=False))
    append(log, prediction("b2", sticky=True, key_hash="k"))
    assert bodies(log) == [2]


def test_without_sticky_keys_every_request_is_a_bet(log: EventLog) -> None:
    append(log, prediction("b0", key_hash="k"), prediction("b1", key_hash="k"))
    assert bodies(log) == [0, 1]


# Crashes


def test_a_candidate_that_took_its_worker_along_is_charged_at_the_share_it_had(log: EventLog) -> None:
    append(log, prediction("b0", T0, arms=arms(stable=0.7, canary=0.3)))
    append(log, crash("b1", T0 + 1), spool="w.marks")
    rows = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert [(row.candidate, row.failed, row.propensity) for row in rows] == [(False, False, 0.3), (True, True, 0.3)]
    assert rows[1].position == Position(T0 + 1, "w.marks", 0)
    assert log.prediction(TAG, "b1") is None


def test_a_crash_is_not_charged_again_when_the_request_was_recorded_before_it(log: EventLog) -> None:
    append(log, prediction("b0", assigned="canary", error="timeout"))
    append(log, crash("b0"), spool="w.marks")
    assert bodies(log) == [0]


def test_the_retry_of_a_request_that_crashed_is_a_later_attempt(log: EventLog) -> None:
    append(log, prediction("b0"))
    append(log, crash("b1", T0 + 1), spool="w.marks")
    append(log, prediction("b1", T0 + 2, "canary"), outcome("b1", value=0))
    rows = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert [row.failed for row in rows] == [False, True]
    assert rows[1].outcomes == {"label": 0}
    stored = log.prediction(TAG, "b1")
    assert stored is not None
    assert stored.attempts == 1


def test_a_crash_of_a_generation_that_never_had_a_share_is_kept_and_no_evidence(log: EventLog) -> None:
    append(log, crash("b1"), spool="w.marks")
    assert bodies(log) == []
    assert log.books().predictions["crashed"] == 1


# Outcomes


def test_an_outcome_may_come_before_its_prediction(log: EventLog) -> None:
    append(log, outcome("b1", value=0), spool="w-o000000")
    assert log.books().outcomes["waiting"] == 1
    append(log, prediction("b1"))
    [row] = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert row.outcomes == {"label": 0}
    assert (log.books().outcomes["waiting"], log.books().outcomes["joined"]) == (0, 1)


def test_of_several_outcomes_the_one_observed_last_counts_whatever_came_last(log: EventLog) -> None:
    append(log, prediction("b1"))
    append(log, outcome(value=0, observed_at=T0 + 9), outcome(value=1, observed_at=T0 + 3), spool="w-o000000")
    [row] = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert row.outcomes == {"label": 0}
    stored = log.prediction(TAG, "b1")
    assert stored is not None
    assert [one.value for one in stored.outcomes] == [1, 0]


def test_of_two_outcomes_observed_at_once_the_later_in_the_log_counts(log: EventLog) -> None:
    append(log, prediction("b1"))
    append(log, outcome(value=0), outcome(value=1), spool="w-o000000")
    [row] = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert row.outcomes == {"label": 1}


def test_metrics_are_kept_apart_and_values_keep_their_type(log: EventLog) -> None:
    truths = {"label": True, "revenue": 12.5, "note": "late", "count": 3, "none": None}
    append(log, prediction("b1"), *(outcome(metric=metric, value=value) for metric, value in truths.items()))
    [row] = log.evidence(DEPLOYMENT, "g-canary", everything(log))
    assert {metric: (type(value), value) for metric, value in row.outcomes.items()} == {
        metric: (type(value), value) for metric, value in truths.items()
    }


@pytest.mark.parametrize(
    ("values", "corrected", "duplicate"),
    [([1], 0, 0), ([1, 1], 0, 1), ([1, 0], 1, 0), ([1, 1, 0], 1, 1), ([1, 0, 1], 2, 0)],
)
@pytest.mark.parametrize("known", [True, False], ids=["joined", "waiting"])
def test_the_books_know_corrections_from_repetitions(
    log: EventLog, values: list[int], corrected: int, duplicate: int, known: bool
) -> None:
    if known:
        append(log, prediction("b1"))
    times = range(len(values))
    for n in reversed(times):  # delivered in the wrong order
        append(log, outcome(value=values[n], observed_at=T0 + n), spool=f"w{n}-o000000")
    assert log.books().outcomes == {
        "accepted": len(values),
        "joined": int(known),
        "waiting": int(not known),
        "corrected": corrected,
        "expired": 0,
        "duplicate": duplicate,
    }


def test_a_flood_of_outcomes_on_one_prediction_holds_nobody_up(log: EventLog) -> None:
    flood = [outcome(value=n // 10 % 2, observed_at=T0 + n % 7) for n in range(10_000)]
    began = time.monotonic()
    append(log, prediction("b1"))
    for start in (0, 5_000):
        append(log, *flood[start : start + 5_000], spool="w-o000000")
    books = log.books().outcomes
    assert time.monotonic() - began < 5.0
    assert (books["accepted"], books["joined"], books["corrected"] + books["duplicate"]) == (10_000, 1, 9_999)


def test_an_outcome_whose_prediction_never_came_expires_and_joins_nothing_later(log: EventLog) -> None:
    append(log, outcome("b1", 1, T0), outcome("b1", 0, T0 + 1), outcome("b2", 1, T0 + 5), spool="w-o000000")
    assert log.expire_outcomes(T0 + 1) == 0
    assert log.expire_outcomes(T0 + 2) == 1
    append(log, prediction("b1"), prediction("b2"))
    assert [row.outcomes for row in log.evidence(DEPLOYMENT, "g-canary", everything(log))] == [{}, {"label": 1}]
    books = log.books().outcomes
    assert books == {"accepted": 3, "joined": 1, "waiting": 0, "corrected": 1, "expired": 1, "duplicate": 0}
    assert log.expire_outcomes(T0 + 1e9) == 0  # what has joined never expires


def test_outcomes_expire_so_many_in_a_transaction_and_the_books_balance_in_between(log: EventLog) -> None:
    append(log, *(outcome(f"b{n}", 1, T0 + n) for n in range(5)), spool="w-o000000")
    for expired, left in ((2, 3), (2, 1), (1, 0), (0, 0)):
        assert log.expire_outcomes(T0 + 10, most=2) == expired
        books = log.books().outcomes
        assert (books["waiting"], books["expired"], books["accepted"]) == (left, 5 - left, 5)


# Looks that can be made again


def test_a_look_can_be_made_again_bit_for_bit_whatever_has_come_since(log: EventLog) -> None:
    append(log, prediction("b1", T0 + 1), prediction("b2", T0 + 2, "canary"), shadow("b1"), outcome("b1", 0, T0 + 50))
    window = everything(log)
    evidence = log.evidence(DEPLOYMENT, "g-canary", window)
    pairs = log.pairs(DEPLOYMENT, "g-v9", "g-stable", window)
    append(log, prediction("b3", T0 + 1.5), outcome("b1", 1, T0 + 60), outcome("b2", 1), prediction("b2"))
    append(log, prediction("b4", T0 + 1), shadow("b4"), spool="late-p000000")
    assert log.evidence(DEPLOYMENT, "g-canary", window) == evidence
    assert log.pairs(DEPLOYMENT, "g-v9", "g-stable", window) == pairs
    assert len(log.evidence(DEPLOYMENT, "g-canary", everything(log))) == 4


# Pairs


def test_a_pair_stands_where_its_prediction_stands_whichever_came_first(log: EventLog) -> None:
    append(log, shadow("b2", at=T0 + 2, label=None, error="ValueError"), spool="a-p000000")
    append(log, prediction("b1", T0 + 1), prediction("b2", T0 + 2), shadow("b1", label=0, score=0.2), outcome("b1"))
    rows = log.pairs(DEPLOYMENT, "g-v9", "g-stable", everything(log))
    assert [row.position for row in rows] == [Position(T0 + 1, "w-p000000", 0), Position(T0 + 2, "w-p000000", 100)]
    assert [(r.stable_label, r.stable_score, r.shadow_label, r.shadow_score, r.shadow_failed) for r in rows] == [
        (1, 0.75, 0, 0.2, False),
        (1, 0.75, None, None, True),
    ]
    assert [row.outcomes for row in rows] == [{"label": 1}, {}]


def test_a_pair_carries_the_probabilities_of_every_class_that_both_models_gave(log: EventLog) -> None:
    append(log, prediction(label="a", score=None, scores={"a": 0.7, "b": 0.3}), prediction("b2"))
    append(log, shadow(label="b", scores={"a": 0.4, "b": 0.6}), shadow("b2", error="ValueError", label=None))
    rows = log.pairs(DEPLOYMENT, "g-v9", "g-stable", everything(log))
    assert [(row.stable_scores, row.shadow_scores) for row in rows] == [
        ({"a": 0.7, "b": 0.3}, {"a": 0.4, "b": 0.6}),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("record", "score"),
    [
        (prediction(assigned="canary"), shadow()),
        (prediction(randomised=False), shadow()),
        (prediction(degraded=True), shadow()),
        (prediction(served=""), shadow()),
        (prediction(), shadow(dropped="queue_full")),
        (prediction(), shadow(generation="g-other")),
        (prediction(), shadow(body="b2")),
        (prediction(arms=(replace(arms(stable=1.0)[0], generation="g-stable-2"),)), shadow()),
    ],
    ids=["canary's", "forced", "degraded", "unanswered", "dropped", "another shadow", "another id", "another stable"],
)
def test_what_is_no_pair(log: EventLog, record: Event, score: Event) -> None:
    append(log, record, score)
    assert log.pairs(DEPLOYMENT, "g-v9", "g-stable", everything(log)) == []


def test_a_repeated_request_id_makes_one_pair(log: EventLog) -> None:
    append(log, prediction(label=0), shadow(label=0), prediction(label=1), shadow(label=1))
    [row] = log.pairs(DEPLOYMENT, "g-v9", "g-stable", everything(log))
    assert (row.stable_label, row.shadow_label) == (0, 0)


def test_a_shadow_that_took_its_worker_along_has_failed(log: EventLog) -> None:
    append(log, prediction(shadows=("v9",)))
    append(log, crash(generation="g-v9"), spool="w.marks")
    [row] = log.pairs(DEPLOYMENT, "g-v9", "g-stable", everything(log))
    assert row.shadow_failed


# People and gauges


def test_performance_counts_each_variants_answers_by_the_arm_that_was_drawn(log: EventLog) -> None:
    append(log, prediction("b1", label=1, score=0.75), outcome("b1", 1), prediction("b2", degraded=True))
    append(log, prediction("b3", assigned="canary", served="stable", error="timeout", label=1), outcome("b3", 1))
    append(log, prediction("b4", randomised=False), prediction("b1"), prediction("b5", T0 + 100), outcome("b5"))
    append(log, outcome("b2", "revenue", metric="revenue"))
    assert log.performance(DEPLOYMENT, T0 - 1, T0 + 1) == [
        VariantPerformance("canary", "g-canary", "digest-canary", 1, 1, 0, 1, 0, 1, 0.0625, QUICK, MINUTE),
        VariantPerformance("stable", "g-stable", "digest-stable", 2, 0, 1, 1, 1, 1, 0.0625, QUICK, MINUTE),
    ]


def test_degraded_requests_are_counted_of_the_generations_named(log: EventLog) -> None:
    append(log, prediction("b1"), prediction("b2", degraded=True), prediction("b3", assigned="canary", degraded=True))
    append(log, prediction("b4", randomised=False, degraded=True), prediction("b5", T0 + 100), prediction("b1"))
    assert log.degraded(DEPLOYMENT, {"g-stable"}, T0 - 1, T0 + 1) == (2, 1)
    assert log.degraded(DEPLOYMENT, {"g-stable", "g-canary"}, T0 - 1, T0 + 1) == (3, 2)
    assert log.degraded(DEPLOYMENT, {"g-other"}, T0 - 1, T0 + 1) == (0, 0)


def test_performance_tells_how_long_each_arm_took_and_how_late_its_first_labels_came(log: EventLog) -> None:
    append(log, *(prediction(f"b{n}", T0 + n, latency={"model": n / 100}) for n in range(1, 101)))
    append(log, *(outcome(f"b{n}", observed_at=T0 + n + 10.0 * n) for n in range(1, 11)))
    append(log, outcome("b10", 0, observed_at=T0 + 900.0))
    [stable] = log.performance(DEPLOYMENT, T0, T0 + 200)
    assert stable.latency_s == Spread(0.5, 0.95, 0.99)
    assert stable.label_delay_s == Spread(50.0, 100.0, 100.0)
    [unlabelled] = log.performance(DEPLOYMENT, T0 + 50, T0 + 200)
    assert unlabelled.label_delay_s is None


def test_a_window_of_many_requests_counts_each_once(log: EventLog) -> None:
    many = 2 * PIECE + PIECE // 2
    at = [T0 + 1 + n // 7 for n in range(many)]  # several at a time, also where one piece ends
    append(log, *(prediction(f"b{n}", moment, latency={"model": 0.5}) for n, moment in enumerate(at)))
    append(log, *(outcome(f"b{n}", observed_at=at[n] + 5.0) for n in range(0, many, 10)))
    [stable] = log.performance(DEPLOYMENT, T0, T0 + many)
    assert (stable.n, stable.labelled, stable.correct) == (many, many // 10, many // 10)
    assert (stable.latency_s, stable.label_delay_s) == (Spread(0.5, 0.5, 0.5), Spread(5.0, 5.0, 5.0))
    [some] = log.performance(DEPLOYMENT, T0 + 2, T0 + 4)
    assert some.n == 14


def test_the_log_knows_how_far_data_time_has_come(log: EventLog) -> None:
    assert log.latest(DEPLOYMENT) is None
    append(log, prediction("b1", T0 + 7), prediction("b2", T0), outcome("b2", 1))
    assert log.latest(DEPLOYMENT) == T0 + 7
    assert log.latest("another") is None


def test_a_label_that_is_no_bit_is_counted_and_not_scored(log: EventLog) -> None:
    append(log, prediction("b1", label="late", score=None), outcome("b1", "late"))
    append(log, prediction("b2", label="late", score=0.9), outcome("b2", "early"))
    [stable] = log.performance(DEPLOYMENT, T0 - 1, T0 + 1)
    assert (stable.labelled, stable.correct, stable.scored, stable.brier_sum) == (2, 1, 0, 0.0)


def test_one_prediction_is_found_with_its_shadows_and_its_outcomes(log: EventLog) -> None:
    record = prediction(names=("a",), values=(2.5,), statuses=b"\x00", event_times=(None,), scores={"x": 1.0})
    append(log, shadow(), record, outcome(value=1, source="ops"), shadow(name="v8", generation="g-v8"))
    stored = log.prediction(TAG, "b1")
    assert stored is not None
    assert (stored.record, stored.attempts) == (record, 1)
    assert stored.shadows == (shadow(), shadow(name="v8", generation="g-v8"))
    assert stored.outcomes == (outcome(value=1, source="ops"),)
    assert log.prediction(TAG, "unheard of") is None


# The books


def test_an_empty_log_has_empty_books(log: EventLog) -> None:
    books = log.books()
    assert books.predictions == {"received": 0, "stored": 0, "duplicates": 0, "crashed": 0}
    assert books.outcomes == dict.fromkeys(("accepted", "joined", "waiting", "corrected", "expired", "duplicate"), 0)
    assert books.shadows == {"eligible": 0, "done": 0, "dropped": 0, "pending": 0}
    assert log.cursors() == {}


def test_each_deployment_has_its_own_books(log: EventLog) -> None:
    churn = tag_of("churn")
    append(log, prediction(), prediction(), outcome(), prediction(tag=churn, deployment="churn"), outcome(tag="gone"))
    assert log.books(DEPLOYMENT).predictions == {"received": 2, "stored": 1, "duplicates": 1, "crashed": 0}
    assert log.books("churn").predictions["stored"] == 1
    assert log.books().predictions["received"] == 3
    assert (log.books().outcomes["waiting"], log.books(DEPLOYMENT).outcomes["waiting"]) == (1, 0)


def test_shadows_are_owed_done_or_dropped_and_a_dead_writers_debts_are_dropped(log: EventLog) -> None:
    append(log, prediction("b1", shadows=("v8", "v9")), prediction("b2", shadows=("v9",)), shadow("b1"))
    append(log, shadow("b1", name="v8", generation="g-v8", dropped="queue_full"), spool="w-p000001")
    append(log, prediction("b3", shadows=("v9",)), spool="other-p000000")
    assert log.books().shadows == {"eligible": 4, "done": 1, "dropped": 1, "pending": 2, "dropped:queue_full": 1}
    log.close_writer("w")
    log.close_writer("w")
    assert log.books(DEPLOYMENT).shadows == {
        "eligible": 4,
        "done": 1,
        "dropped": 2,
        "pending": 1,
        "dropped:queue_full": 1,
        "dropped:worker_died": 1,
    }


def test_a_batch_that_is_delivered_again_changes_nothing(log: EventLog) -> None:
    events: list[tuple[int, Event]] = [(0, prediction(shadows=("v9",))), (100, shadow()), (200, outcome())]
    log.append("w-p000000", events, 300)
    books, evidence = log.books(), log.evidence(DEPLOYMENT, "g-canary", everything(log))
    log.append("w-p000000", events, 300)
    log.append("w-p000000", events[:1], 100)
    log.append("w-p000000", events, 300)
    assert log.books() == books
    assert log.evidence(DEPLOYMENT, "g-canary", everything(log)) == evidence
    assert log.cursors() == {"w-p000000": 300}


# What plans are made from


def test_the_newest_requests_are_served_oldest_first_with_their_labels_and_keys(log: EventLog) -> None:
    records = [prediction(f"b{n}", T0 + n, key_hash=f"k{n % 2}", epoch=n // 3) for n in range(6)]
    append(log, *records[::-1], prediction("b4", T0 + 9))
    append(log, outcome("b4", 0, T0 + 70), outcome("b4", 1, T0 + 90), outcome("b5", "x", T0 + 99, metric="why"))
    rows = log.served(DEPLOYMENT, 3)
    assert [row.row.position.at for row in rows] == [T0 + 3, T0 + 4, T0 + 5]
    assert [(row.epoch, row.key_hash) for row in rows] == [(1, "k1"), (1, "k0"), (1, "k1")]
    assert [row.label_delay_s for row in rows] == [None, 66.0, None]
    assert [row.row.outcomes for row in rows] == [{}, {"label": 1}, {"why": "x"}]
    assert {(row.generation, row.row.label, row.row.score, row.row.failed) for row in rows} == {
        ("g-stable", 1, 0.75, False)
    }


@pytest.mark.parametrize("record", [prediction(randomised=False), prediction(degraded=True), prediction(tag="another")])
def test_what_is_no_evidence_is_nothing_to_plan_with(log: EventLog, record: Event) -> None:
    append(log, record)
    assert log.served(DEPLOYMENT, 10) == []


# What can be replayed


def test_the_latest_labelled_requests_can_be_replayed_with_what_was_read_then(log: EventLog) -> None:
    known: dict[str, Any] = {"names": ("hour", "late"), "values": (7, 0.5)}
    append(log, *(prediction(f"b{n}", T0 + n, **known) for n in range(4)))
    append(log, outcome("b0", 0), outcome("b2", 0, observed_at=T0 + 5), outcome("b2", 1, observed_at=T0 + 9))
    append(log, prediction("b9", T0 + 9, degraded=True, **known), outcome("b9", 1))
    [first, last] = log.replayable(DEPLOYMENT, 10, labelled=True)
    assert (first.at, first.values, first.label) == (T0, {"hour": 7, "late": 0.5}, 0)
    assert (last.at, last.label) == (T0 + 2, 1)
    assert [one.at - T0 for one in log.replayable(DEPLOYMENT, 2, labelled=False)] == [2, 3]
    assert [one.at - T0 for one in log.replayable(DEPLOYMENT, 1, labelled=True)] == [2]
    assert log.replayable("churn", 10, labelled=False) == []
