"""The judge through its door: open a case, look at rows, read the verdict."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random

import msgspec
import pytest

from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow, Position
from gateway.core.judging import (
    JUDGE_VERSION,
    Finding,
    JudgeState,
    MetricFinding,
    Verdict,
    drawn,
    look,
    open_case,
    verdict,
)
from gateway.core.metrics import default_guardrail

START = 1_363_000_000.0
ERRORS = default_guardrail("error_rate")
ACCURACY = default_guardrail("accuracy")


def case(*guardrails: Guardrail, pairs: bool = False, alpha: float = 0.05) -> JudgeState:
    return open_case(guardrails, alpha=alpha, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=pairs)


def row(
    number: int, *, candidate: bool, failed: bool = False, wrong: bool | None = None, pi: float = 0.05
) -> EvidenceRow:
    """One request a second; ``wrong`` None is a request without a label."""
    return EvidenceRow(
        position=Position(START + number, "spool", number),
        candidate=candidate,
        propensity=pi,
        failed=failed,
        label=1,
        score=None,
        scores=None,
        latency_s=0.01,
        outcomes={} if wrong is None else {"label": int(not wrong)},
    )


def pair(number: int, *, stable_wrong: bool, shadow_wrong: bool, shadow_failed: bool = False) -> PairRow:
    return PairRow(
        position=Position(START + number, "spool", number),
        stable_label=int(not stable_wrong),
        stable_score=None,
        shadow_label=None if shadow_failed else int(not shadow_wrong),
        shadow_score=None,
        shadow_failed=shadow_failed,
        outcomes={"label": 1},
    )


def traffic(
    n: int,
    *,
    errors: tuple[float, float] = (0.004, 0.004),
    wrong: tuple[float, float] | None = None,
    pi: float = 0.05,
    first: int = 0,
    seed: int = 1,
) -> list[EvidenceRow]:
    """Draw requests; ``errors`` and ``wrong`` are (stable's, candidate's) rates."""
    rng, rows = Random(seed), []
    for number in range(first, first + n):
        ours = rng.random() < pi
        failed = rng.random() < errors[ours]
        bad = None if wrong is None else rng.random() < wrong[ours]
        rows.append(row(number, candidate=ours, failed=failed, wrong=bad, pi=pi))
    return rows


def seen(
    state: JudgeState, rows: Sequence[EvidenceRow] = (), *, pairs: Sequence[PairRow] = (), every: int = 100
) -> JudgeState:
    """Look at the rows, some at a time, as health and as mature evidence."""
    for start in range(0, max(len(rows), len(pairs)), every):
        chunk, watched = rows[start : start + every], pairs[start : start + every]
        at = max([one.position.at for one in chunk] + [one.position.at for one in watched])
        state = look(state, health=chunk, mature=chunk, pairs=watched, at=at)
    return state


def about(metric: str, said: Verdict) -> MetricFinding:
    return next(found for found in said.findings if found.metric == metric)


def judged(state: JudgeState) -> Verdict:
    return verdict(state, state.looked_at)


def test_without_evidence_the_verdict_is_inconclusive() -> None:
    said = judged(case(ERRORS, ACCURACY, pairs=True))
    assert said.finding is Finding.INCONCLUSIVE
    assert {found.finding for found in said.findings} == {Finding.INCONCLUSIVE}
    assert (said.at, said.version) == (START, JUDGE_VERSION)
    assert "nothing to compare yet" in said.sentence


def test_a_look_at_nothing_changes_nothing_but_the_time() -> None:
    state = case(ERRORS, ACCURACY)
    assert look(state, health=[], mature=[], pairs=[], at=START + 5) == replace(state, looked_at=START + 5)


def test_an_outage_of_the_candidate_fails_within_a_handful_of_its_requests() -> None:
    state = seen(case(ERRORS), traffic(2_000))
    used = 0
    for candidate_request in row_stream(2_000, failing=True):
        state = look(state, health=[candidate_request], mature=[], pairs=[], at=candidate_request.position.at)
        used += candidate_request.candidate
        if judged(state).finding is Finding.FAIL:
            break
    assert used <= 6  # the tolerance of x1.1 and two thousand healthy requests come first


def row_stream(first: int, *, failing: bool) -> Iterable[EvidenceRow]:
    """Every twentieth request is the candidate's, and fails."""
    return (row(n, candidate=n % 20 == 0, failed=failing and n % 20 == 0) for n in range(first, first + 2_000))


def test_a_failed_guardrail_says_who_failed_how_often_and_what_is_tolerated() -> None:
    said = judged(seen(case(ERRORS), traffic(4_000, errors=(0.01, 0.2))))
    found = about("error_rate", said)
    assert said.finding is Finding.FAIL
    assert said.sentence == found.sentence
    assert f"({found.bad_candidate} of {found.n_candidate})" in found.sentence
    assert f"of {found.n_stable:,})" in found.sentence
    assert "at most 1.1 x stable's" in found.sentence
    assert "20.0 is enough" in found.sentence
    assert found.evidence >= found.threshold == 20.0


def test_wrong_answers_fail_the_accuracy_and_not_the_error_rate() -> None:
    said = judged(seen(case(ERRORS, ACCURACY), traffic(8_000, wrong=(0.1, 0.4))))
    assert about("accuracy", said).finding is Finding.FAIL
    assert about("error_rate", said).finding is not Finding.FAIL
    assert said.finding is Finding.FAIL


def test_estimates_stand_inside_their_intervals_and_the_difference_excludes_zero_when_it_is_large() -> None:
    found = about("accuracy", judged(seen(case(ACCURACY), traffic(6_000, wrong=(0.1, 0.4), pi=0.5))))
    assert found.stable is not None
    assert found.candidate is not None
    assert found.difference == pytest.approx(found.candidate - found.stable)
    assert found.stable_low < found.stable < found.stable_high
    assert found.candidate_low < found.candidate < found.candidate_high
    assert 0.0 < found.low < 0.3 < found.high


def test_a_good_candidate_passes_when_every_counted_metric_is_shown_to_be_safe() -> None:
    state = case(ERRORS, ACCURACY)
    said = judged(seen(state, traffic(500, wrong=(0.1, 0.1), pi=0.5)))
    assert said.finding is Finding.INCONCLUSIVE
    said = judged(seen(state, traffic(16_000, wrong=(0.1, 0.1), pi=0.5, seed=2), every=500))
    assert said.finding is Finding.PASS
    assert "error_rate 0." in said.sentence
    assert "accuracy 1" in said.sentence


def test_a_signal_pauses_and_neither_fails_nor_passes() -> None:
    errors, accuracy = ERRORS, replace(ACCURACY, role=Role.SIGNAL)
    said = judged(seen(case(errors, accuracy), traffic(8_000, wrong=(0.1, 0.4), pi=0.5), every=500))
    assert about("accuracy", said).finding is Finding.FAIL
    assert said.finding is Finding.INCONCLUSIVE
    assert said.paused_by == ("accuracy",)
    assert said.sentence.startswith("On hold: accuracy")


def test_an_objective_that_is_missed_keeps_the_candidate_from_passing_and_demotes_nobody() -> None:
    said = judged(seen(case(ERRORS, replace(ACCURACY, role=Role.OBJECTIVE)), traffic(8_000, wrong=(0.1, 0.4), pi=0.5)))
    assert about("error_rate", said).finding is Finding.PASS
    assert said.finding is Finding.INCONCLUSIVE
    assert said.paused_by == ()


def test_a_dry_run_is_reported_and_counts_for_nothing() -> None:
    rows = traffic(8_000, wrong=(0.1, 0.4), pi=0.5)
    said = judged(seen(case(ERRORS, replace(ACCURACY, dry_run=True)), rows, every=500))
    assert about("accuracy", said).finding is Finding.FAIL
    assert said.finding is Finding.PASS
    assert said.paused_by == ()


def test_alpha_is_shared_by_everything_that_may_demote() -> None:
    errors, accuracy, on_pairs = judged(case(ERRORS, ACCURACY, pairs=True)).findings[:3]
    assert [errors.threshold, accuracy.threshold, on_pairs.threshold] == pytest.approx([60.0, 60.0, 60.0])
    alone = judged(case(ERRORS, replace(ACCURACY, role=Role.SIGNAL), pairs=True, alpha=0.01))
    assert about("error_rate", alone).threshold == pytest.approx(100.0)


def test_a_shadow_that_is_wrong_more_often_on_the_same_requests_fails() -> None:
    watched = [pair(n, stable_wrong=n % 10 == 0, shadow_wrong=n % 10 in (0, 3)) for n in range(400)]
    state = seen(case(ERRORS, ACCURACY, pairs=True), pairs=watched)
    said = judged(state)
    assert said.finding is Finding.FAIL
    assert about("paired_accuracy", said).finding is Finding.FAIL
    assert about("paired_accuracy", said).difference == pytest.approx(0.1)
    assert (state.n_pairs, state.n_candidate) == (400, 0)


def test_a_shadow_that_fails_is_wrong_on_that_pair() -> None:
    watched = [pair(n, stable_wrong=False, shadow_wrong=False, shadow_failed=n % 5 == 0) for n in range(300)]
    assert about("paired_accuracy", judged(seen(case(ACCURACY, pairs=True), pairs=watched))).finding is Finding.FAIL


def test_a_shadow_like_stable_neither_fails_nor_stands_in_for_the_canary() -> None:
    rng = Random(5)
    watched = [pair(n, stable_wrong=rng.random() < 0.1, shadow_wrong=rng.random() < 0.1) for n in range(3_000)]
    said = judged(seen(case(ERRORS, ACCURACY, pairs=True), pairs=watched))
    assert about("paired_accuracy", said).finding is Finding.PASS
    assert said.finding is Finding.INCONCLUSIVE


def test_a_regression_that_starts_late_is_found() -> None:
    state = seen(case(ERRORS), traffic(40_000), every=1_000)
    assert judged(state).finding is not Finding.FAIL
    late = traffic(8_000, errors=(0.01, 0.10), first=40_000, seed=2)
    assert judged(seen(state, late)).finding is Finding.FAIL


def test_a_shared_outage_demotes_nobody_as_long_as_looks_take_everything_below_the_watermark() -> None:
    fails = {"watermark": 0, "canary first": 0}
    for seed in range(10):
        state = seen(case(ERRORS), traffic(2_000, seed=seed))
        outage = traffic(400, errors=(0.9, 0.9), first=2_000, seed=100 + seed)
        fails["watermark"] += failed_at_some_look(state, [outage[n : n + 5] for n in range(0, 400, 5)])
        first = sorted(outage, key=lambda one: not (one.candidate and one.failed))
        fails["canary first"] += failed_at_some_look(state, [first[n : n + 5] for n in range(0, 400, 5)])
    assert fails["watermark"] <= 2
    assert fails["canary first"] >= 8


def failed_at_some_look(state: JudgeState, looks: Iterable[Sequence[EvidenceRow]]) -> bool:
    for rows in looks:
        state = look(state, health=rows, mature=[], pairs=[], at=rows[-1].position.at)
    return judged(state).finding is Finding.FAIL


def test_a_request_that_no_draw_decided_is_no_evidence() -> None:
    forced = [row(n, candidate=True, failed=True, pi=1.0) for n in range(50)]
    state = look(case(ERRORS), health=forced, mature=[], pairs=[], at=START + 50)
    assert (state.n_candidate, judged(state).finding) == (0, Finding.INCONCLUSIVE)


def test_the_order_of_rows_within_a_look_does_not_matter_once_the_life_is_longer_than_the_look() -> None:
    state = seen(case(ERRORS, ACCURACY), traffic(1_000, wrong=(0.1, 0.2)))
    rows = traffic(500, wrong=(0.1, 0.2), first=1_000, pi=0.25)
    shuffled = Random(3).sample(rows, len(rows))
    assert look(state, health=rows, mature=rows, pairs=[], at=START) == look(
        state, health=shuffled, mature=shuffled, pairs=[], at=START
    )


def test_the_state_survives_json_bit_for_bit() -> None:
    straight = restored = case(ERRORS, ACCURACY, pairs=True)
    watched = [pair(n, stable_wrong=n % 9 == 0, shadow_wrong=n % 7 == 0) for n in range(3_000)]
    rows = traffic(3_000, wrong=(0.1, 0.13))
    for start in range(0, 3_000, 150):
        chunk, pairs = rows[start : start + 150], watched[start : start + 150]
        straight = look(straight, health=chunk, mature=chunk, pairs=pairs, at=START + start)
        restored = look(restored, health=chunk, mature=chunk, pairs=pairs, at=START + start)
        restored = msgspec.json.decode(msgspec.json.encode(restored), type=JudgeState)
    assert restored == straight
    assert judged(restored) == judged(straight)
    assert msgspec.json.decode(msgspec.json.encode(judged(straight)), type=Verdict) == judged(straight)


def test_overwhelming_evidence_stays_a_number() -> None:
    said = judged(seen(case(ERRORS), [row(n, candidate=n % 2 == 0, failed=n % 2 == 0, pi=0.5) for n in range(6_000)]))
    assert about("error_rate", said).evidence == pytest.approx(1e300)
    assert b"null" not in msgspec.json.encode(about("error_rate", said).evidence)


def test_too_few_labels_or_unequal_ones_keep_a_candidate_from_passing() -> None:
    def some_labels(keep: Callable[[EvidenceRow], bool]) -> list[EvidenceRow]:
        rows = traffic(8_000, wrong=(0.1, 0.1), pi=0.5)
        return [one if keep(one) else one._replace(outcomes={}) for one in rows]

    rare = about(
        "accuracy", judged(seen(case(ACCURACY), some_labels(lambda one: one.position.offset % 2 == 0), every=500))
    )
    assert rare.finding is Finding.INCONCLUSIVE
    assert "labels have come for" in rare.sentence
    uneven = some_labels(lambda one: not one.candidate or one.position.offset % 10 > 0)
    said = judged(seen(case(ACCURACY), uneven, every=500))
    assert about("accuracy", said).finding is not Finding.PASS
    assert said.paused_by == ("label_ratio", "label_ratio:1")


def test_labels_that_fail_to_come_while_the_share_is_small_are_not_taken_for_stables() -> None:
    stormy = traffic(6_000, wrong=(0.1, 0.1), pi=0.05)
    stormy = [one if one.position.offset % 8 else one._replace(outcomes={}) for one in stormy]
    calm = traffic(6_000, wrong=(0.1, 0.05), pi=0.5)
    calm = [one._replace(position=Position(one.position.at + 6_000, "spool", one.position.offset)) for one in calm]
    said = judged(seen(case(ACCURACY), [*stormy, *calm], every=500))
    assert about("accuracy", said).finding is Finding.PASS


def test_arms_that_do_not_get_their_share_put_the_rollout_on_hold() -> None:
    rows = [one for one in traffic(8_000, pi=0.5) if not (one.candidate and one.position.offset % 4 == 0)]
    said = judged(seen(case(ERRORS), rows, every=500))
    assert said.paused_by == ("sample_ratio",)
    assert said.finding is Finding.INCONCLUSIVE
    assert "50.0 % expected" in said.sentence


def test_the_candidates_bets_are_counted_in_the_guardrail_that_has_fewest() -> None:
    rows = traffic(1_000, wrong=(0.1, 0.1), pi=0.5)
    unlabelled = [one if one.position.offset % 2 else one._replace(outcomes={}) for one in rows]
    labelled = sum(one.candidate for one in unlabelled if one.outcomes)
    assert seen(case(ERRORS, ACCURACY), unlabelled).n_candidate == labelled
    assert seen(case(ERRORS), unlabelled).n_candidate == sum(one.candidate for one in rows)


@pytest.mark.parametrize(
    ("guardrails", "task", "reason"),
    [
        ((Guardrail("acuracy"),), Task.BINARY, "no metric of that name"),
        ((ACCURACY,), Task.REGRESSION, "regression"),
        ((ERRORS, ERRORS), Task.BINARY, "more than once"),
        ((replace(ERRORS, relative=0.0),), Task.BINARY, "above 0"),
        ((replace(ERRORS, margin_absolute=2.0),), Task.BINARY, "between -1 and 1"),
        ((replace(ERRORS, absolute=float("nan")),), Task.BINARY, "between -1 and 1"),
    ],
)
def test_what_cannot_be_judged_is_refused_when_the_case_is_opened(
    guardrails: tuple[Guardrail, ...], task: Task, reason: str
) -> None:
    with pytest.raises(Unmeasurable, match=reason):
        open_case(guardrails, alpha=0.05, alpha_promote=0.05, task=task, at=START)


def test_a_look_at_ten_thousand_rows_takes_a_fraction_of_a_second() -> None:
    state = case(ERRORS, ACCURACY, default_guardrail("recall"))
    rows = traffic(10_000, wrong=(0.1, 0.1))
    began = time.thread_time()
    state = look(state, health=rows, mature=rows, pairs=[], at=START)
    assert time.thread_time() - began < 0.5  # about 0.03 on an idle core
    assert len(msgspec.json.encode(state)) < 3 * 4_096


def test_no_finding_rests_on_intervals_or_sentences() -> None:
    for wrong in ((0.1, 0.1), (0.1, 0.4)):
        state = seen(case(ERRORS, ACCURACY), traffic(6_000, wrong=wrong, pi=0.5))
        full, bare = verdict(state, START), verdict(state, START, bare=True)
        [picture] = drawn([(state, bare)])
        for less in (picture, bare):
            assert (less.finding, less.paused_by) == (full.finding, full.paused_by)
            assert [one.finding for one in less.findings] == [one.finding for one in full.findings]
            assert [one.evidence for one in less.findings] == [one.evidence for one in full.findings]
        ends = [[(one.low, one.high) for one in said.findings] for said in (picture, full)]
        assert ends[0] == [pytest.approx(pair, rel=1e-9) for pair in ends[1]]
        assert (bare.findings[0].low, bare.findings[0].high) == (-1.0, 1.0)
