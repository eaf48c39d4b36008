"""The judge on every metric: what is worse is found, what is alike is not, and what cannot be judged is refused."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from benchmarks.judge.engineering import START, everything, pairs_of, traffic
from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.errors import Unmeasurable
from gateway.core.events import EvidenceRow, PairRow, Position
from gateway.core.judging import Finding, JudgeState, MetricFinding, Verdict, look, open_case, verdict
from gateway.core.metrics import METRICS, default_guardrail, told_as

Change = Callable[[EvidenceRow, np.random.Generator], EvidenceRow]
VALUE = Guardrail("value:revenue", absolute=0.2, margin_absolute=1.0, low=0.0, high=10.0, higher_is_better=True)


def opened(*guardrails: Guardrail, task: Task = Task.BINARY, pairs: bool = False) -> JudgeState:
    return open_case(guardrails, alpha=0.05, alpha_promote=0.05, task=task, at=START, pairs=pairs)


def seen(state: JudgeState, rows: Sequence[EvidenceRow], pairs: Sequence[PairRow] = (), *, every: int = 250) -> Verdict:
    for start in range(0, max(len(rows), len(pairs)), every):
        chunk, watched = rows[start : start + every], pairs[start : start + every]
        state = look(state, health=chunk, mature=chunk, pairs=watched, at=START + start + every)
    return verdict(state, state.looked_at)


def about(metric: str, said: Verdict) -> MetricFinding:
    return next(found for found in said.findings if found.metric == metric)


def candidates(rows: Sequence[EvidenceRow], change: Change, seed: int = 9) -> list[EvidenceRow]:
    """Let something happen to the candidate's rows."""
    rng = np.random.default_rng(seed)
    return [change(row, rng) if row.candidate else row for row in rows]


def failing(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    return row._replace(failed=bool(rng.random() < 0.05))


def slow(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    return row._replace(latency_s=(row.latency_s or 0.0) * 1.6)


def blind(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    """Answers at random."""
    score = float(rng.random())
    return row._replace(label=int(score > 0.5), score=score)


def eager(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    """Says yes too often."""
    score = min(0.999, (row.score or 0.0) + 0.25)
    return row._replace(label=int(score > 0.5), score=score)


def shy(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    """Says no too often."""
    score = max(0.001, (row.score or 0.0) - 0.25)
    return row._replace(label=int(score > 0.5), score=score)


def poor(row: EvidenceRow, rng: np.random.Generator) -> EvidenceRow:
    return row._replace(outcomes={**row.outcomes, "revenue": float(row.outcomes["revenue"] or 0.0) * 0.6})


WORSE: list[tuple[str, Change]] = [
    ("error_rate", failing),
    ("latency", slow),
    ("accuracy", blind),
    ("false_positives", eager),
    ("false_negatives", shy),
    ("recall", shy),
    ("false_positive_rate", eager),
    ("precision", blind),
    ("f1", blind),
    ("auc", blind),
    ("log_loss", blind),
    ("brier", blind),
    ("calibration_error", eager),
    ("score_distribution", eager),
    ("score_distribution", shy),
]


@pytest.mark.parametrize(("metric", "change"), WORSE)
def test_a_candidate_that_is_worse_on_a_metric_fails_it_and_one_that_is_alike_does_not(
    metric: str, change: Change
) -> None:
    guardrail, rows = default_guardrail(metric), traffic(12_000, seed=31, pi=0.5)
    alike = about(metric, seen(opened(guardrail), rows))
    assert alike.finding is not Finding.FAIL
    worse = about(metric, seen(opened(guardrail), candidates(rows, change)))
    assert worse.finding is Finding.FAIL
    assert worse.difference is not None
    assert worse.sentence.startswith(f"{metric}: ")
    assert "worse than tolerated" in worse.sentence


@pytest.mark.parametrize("declared", [VALUE, Guardrail("value:revenue", higher_is_better=True)])
def test_a_business_value_that_falls_fails_with_or_without_a_range(declared: Guardrail) -> None:
    rows = traffic(6_000, seed=32, pi=0.5)
    assert about("value:revenue", seen(opened(declared), rows)).finding is not Finding.FAIL
    found = about("value:revenue", seen(opened(declared), candidates(rows, poor)))
    assert found.finding is Finding.FAIL
    assert found.candidate is not None
    assert found.stable is not None
    assert found.candidate < found.stable  # told as revenue ...
    assert found.difference is not None
    assert found.difference > 0.0  # ... and above 0 is worse
    assert found.low > 0.0


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_a_regression_that_is_further_off_fails_even_with_heavy_tails(metric: str) -> None:
    rng = np.random.default_rng(33)
    rows = []
    for n in range(12_000):
        ours = bool(rng.random() < 0.5)
        error = rng.standard_t(3) * (1.5 if ours else 1.0)
        rows.append(number(n, ours, prediction=100.0 + error, truth=100.0))
    found = about(metric, seen(opened(default_guardrail(metric), task=Task.REGRESSION), rows))
    assert found.finding is Finding.FAIL
    assert found.candidate is not None
    assert found.stable is not None
    assert 1.2 < found.candidate / found.stable < 1.8
    alike = [row._replace(candidate=bool(rng.random() < 0.5)) for row in rows]
    assert (
        about(metric, seen(opened(default_guardrail(metric), task=Task.REGRESSION), alike)).finding is not Finding.FAIL
    )


def number(n: int, ours: bool, prediction: float, truth: float, pi: float = 0.5) -> EvidenceRow:
    return EvidenceRow(
        Position(START + n / 50, "spool", n), ours, pi, False, prediction, None, None, 0.01, {"label": truth}
    )


def test_a_shadow_with_worse_probabilities_fails_on_pairs_and_one_that_disagrees_too_often_is_a_signal() -> None:
    rows = traffic(4_000, seed=34, pi=0.5)
    guardrails = (default_guardrail("brier"), default_guardrail("disagreement"))
    rng = np.random.default_rng(35)
    noise = rng.random(len(rows))
    good = pairs_of(rows)
    bad = [p._replace(shadow_score=float(u), shadow_label=int(u > 0.5)) for p, u in zip(good, noise, strict=False)]
    fine = seen(opened(*guardrails, pairs=True), (), good)
    assert about("paired_brier", fine).finding is Finding.PASS
    assert about("disagreement", fine).finding is not Finding.FAIL
    said = seen(opened(*guardrails, pairs=True), (), bad)
    assert about("paired_brier", said).finding is Finding.FAIL
    assert "disagreement" in said.paused_by
    assert "differed from stable's to the same request" in about("disagreement", said).sentence


def test_metrics_of_one_class_of_several() -> None:
    rng = np.random.default_rng(36)
    rows = []
    for n in range(8_000):
        ours, truth = bool(rng.random() < 0.5), ("late", "early", "on time")[int(rng.integers(3))]
        hit = rng.random() < (0.6 if ours and truth == "late" else 0.9)
        answer = truth if hit else "on time" if truth != "on time" else "early"
        rows.append(
            EvidenceRow(Position(START + n, "s", n), ours, 0.5, False, answer, None, None, 0.01, {"label": truth})
        )
    state = opened(default_guardrail("recall:late"), default_guardrail("recall:early"), task=Task.MULTICLASS)
    said = seen(state, rows)
    assert about("recall:late", said).finding is Finding.FAIL
    assert about("recall:early", said).finding is not Finding.FAIL


WORDS: list[tuple[str, Change]] = [
    ("recall", shy),
    ("false_positives", eager),
    ("precision", blind),
    ("f1", blind),
    ("auc", blind),
    ("log_loss", blind),
    ("brier", blind),
    ("calibration_error", eager),
]


@pytest.mark.parametrize(("metric", "change"), WORDS)
def test_a_positive_class_of_any_name_is_judged_as_if_it_were_called_1(metric: str, change: Change) -> None:
    def spelled(row: EvidenceRow) -> EvidenceRow:
        names = ("on time", "late")
        return row._replace(
            label=names[int(row.label or 0)], outcomes={"label": names[int(row.outcomes["label"] or 0)]}
        )

    rows = candidates(traffic(3_000, seed=43, pi=0.5), change)
    guardrail = default_guardrail(metric)
    as_numbers = about(metric, seen(opened(guardrail), rows))
    state = open_case(
        (guardrail,),
        alpha=0.05,
        alpha_promote=0.05,
        task=Task.BINARY,
        at=START,
        pairs=False,
        classes=("on time", "late"),
    )
    assert about(metric, seen(state, [spelled(row) for row in rows])) == as_numbers
    assert as_numbers.evidence > 1.0


def test_a_shadow_that_ranks_at_random_fails_auc_on_pairs_and_one_that_ranks_alike_does_not() -> None:
    rows, rng = traffic(4_000, seed=44, pi=0.5), np.random.default_rng(45)
    alike = pairs_of(rows)
    random = [pair._replace(shadow_score=float(rng.random())) for pair in alike]
    said = {
        name: about("paired_auc", seen(opened(default_guardrail("auc"), pairs=True), (), pairs))
        for name, pairs in (("alike", alike), ("random", random))
    }
    assert said["alike"].finding is not Finding.FAIL
    assert said["random"].finding is Finding.FAIL
    assert "the candidate's AUC is 0.5" in said["random"].sentence


def test_several_classes_are_compared_by_their_probabilities_on_pairs_too() -> None:
    rng = np.random.default_rng(46)
    truths = rng.integers(3, size=2_000)
    sure = {"a": 0.8, "b": 0.1, "c": 0.1}, {"a": 0.1, "b": 0.8, "c": 0.1}, {"a": 0.1, "b": 0.1, "c": 0.8}
    pairs = [
        PairRow(
            Position(START + n, "s", n),
            "abc"[truth],
            None,
            "abc"[truth],
            None,
            False,
            {"label": "abc"[truth]},
            stable_scores=sure[truth],
            shadow_scores={"a": 0.4, "b": 0.3, "c": 0.3},
        )
        for n, truth in enumerate(truths)
    ]
    state = opened(default_guardrail("log_loss"), default_guardrail("brier"), task=Task.MULTICLASS, pairs=True)
    said = seen(state, (), pairs)
    assert about("paired_log_loss", said).finding is Finding.FAIL
    assert about("paired_brier", said).finding is Finding.FAIL


def test_scores_that_fall_short_of_the_one_that_all_of_stables_share_are_found() -> None:
    rows = [row._replace(score=0.9) for row in traffic(2_000, seed=47, pi=0.5)]
    unsure = [row._replace(score=0.4) if row.candidate else row for row in rows]
    sure = [row._replace(score=0.99) if row.candidate else row for row in rows]
    guardrail = default_guardrail("score_distribution")
    assert about("score_distribution", seen(opened(guardrail), rows)).finding is Finding.PASS
    assert about("score_distribution", seen(opened(guardrail), unsure)).finding is Finding.FAIL
    assert about("score_distribution", seen(opened(guardrail), sure)).finding is Finding.FAIL


def test_a_latency_that_is_not_the_requests_alone_is_no_evidence_even_where_it_failed() -> None:
    rows = [row._replace(latency_s=None, failed=True) for row in traffic(500, seed=48, pi=0.5)]
    found = about("latency", seen(opened(default_guardrail("latency")), rows))
    assert (found.evidence, found.n_candidate, found.n_stable) == (1.0, 0, 0)


def test_the_range_of_a_root_mean_squared_error_is_declared_in_its_own_unit() -> None:
    assert told_as(Guardrail("rmse", high=3.0)).high == 9.0


def test_labels_that_go_missing_for_one_predicted_class_put_the_rollout_on_hold() -> None:
    rows = traffic(8_000, seed=37, pi=0.5)
    rng = np.random.default_rng(38)
    kept = [
        row._replace(outcomes={}) if row.label == 1 and rng.random() < (0.30 if row.candidate else 0.05) else row
        for row in rows
    ]
    said = seen(opened(default_guardrail("accuracy")), kept)
    assert "label_ratio:1" in said.paused_by
    assert "label_ratio:0" not in said.paused_by


def test_a_candidate_passes_without_all_labels_when_even_the_worst_of_the_missing_ones_would_not_matter() -> None:
    rows = traffic(8_000, seed=39, pi=0.5)
    some = [row._replace(outcomes={}) if row.position.offset % 10 == 0 else row for row in rows]
    many = [row._replace(outcomes={}) if row.position.offset % 10 < 4 else row for row in rows]
    wide = replace(default_guardrail("accuracy"), margin_absolute=0.3)
    assert about("accuracy", seen(opened(wide), many)).finding is Finding.INCONCLUSIVE
    assert "labels have come for" in about("accuracy", seen(opened(wide), many)).sentence
    wider = replace(wide, margin_absolute=0.6)
    assert about("accuracy", seen(opened(wider), many)).finding is Finding.PASS  # 40 points can be lost at most
    assert about("accuracy", seen(opened(wide), some)).finding is Finding.PASS


def test_an_undecided_metric_says_how_long_it_will_take_at_this_pace() -> None:
    found = about(
        "brier", seen(opened(replace(default_guardrail("brier"), margin_absolute=0.01)), traffic(2_000, seed=40))
    )
    assert found.finding is Finding.INCONCLUSIVE
    assert found.needed is not None
    assert "at this pace decided after about" in found.sentence


def test_every_metric_at_once_survives_json_bit_for_bit() -> None:
    state = opened(*everything(), pairs=True)
    rows = traffic(3_000, seed=41)
    for start in range(0, 3_000, 300):
        chunk = rows[start : start + 300]
        state = look(state, health=chunk, mature=chunk, pairs=pairs_of(chunk), at=START + start)
        restored = msgspec.json.decode(msgspec.json.encode(state), type=JudgeState)
        assert restored == state
    said = verdict(state, START)
    assert msgspec.json.decode(msgspec.json.encode(said), type=Verdict) == said
    assert {one.metric for one in everything()} <= {found.metric for found in said.findings}


def test_a_model_that_gives_no_probabilities_is_neither_passed_nor_failed_by_them() -> None:
    rows = [row._replace(score=None) for row in traffic(2_000, seed=42)]
    for metric in ("brier", "log_loss", "auc", "calibration_error"):
        found = about(metric, seen(opened(default_guardrail(metric)), rows))
        assert (found.finding, found.evidence) == (Finding.INCONCLUSIVE, 1.0)


REFUSED: list[tuple[Guardrail, Task, dict[str, object], str]] = [
    (Guardrail("precision"), Task.BINARY, {}, "a signal only"),
    (replace(default_guardrail("auc"), role=Role.OBJECTIVE), Task.BINARY, {}, "a signal only"),
    (default_guardrail("disagreement"), Task.BINARY, {"pairs": False}, "watch as a shadow"),
    (default_guardrail("brier"), Task.BINARY, {"scored": False}, "answer labels only"),
    (default_guardrail("recall:maybe"), Task.BINARY, {"classes": ("no", "yes")}, "no class 'maybe'"),
    (Guardrail("rmse", absolute=0.1), Task.REGRESSION, {}, "relative only"),
    (Guardrail("mae", high=-1.0), Task.REGRESSION, {}, "greater high"),
    (Guardrail("value:revenue", low=0.0), Task.BINARY, {}, "both ends"),
    (replace(VALUE, relative=1.1), Task.BINARY, {}, "say absolute"),
    (Guardrail("accuracy", higher_is_better=True), Task.BINARY, {}, "only a business value"),
    (Guardrail("latency", high=3.0), Task.BINARY, {}, "declared range"),
    (Guardrail("latency", absolute=math.inf), Task.BINARY, {}, "is a number"),
    (Guardrail("brier"), Task.REGRESSION, {}, "fits binary and multiclass"),
    (Guardrail("value:"), Task.BINARY, {}, "no metric of that name"),
]


@pytest.mark.parametrize(("guardrail", "task", "facts", "reason"), REFUSED)
def test_a_guardrail_that_cannot_be_measured_here_is_refused_with_the_reason(
    guardrail: Guardrail, task: Task, facts: dict[str, object], reason: str
) -> None:
    with pytest.raises(Unmeasurable, match=reason):
        open_case((guardrail,), alpha=0.05, alpha_promote=0.05, task=task, at=START, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", list(METRICS))
def test_every_metric_says_how_it_is_told(metric: str) -> None:
    found = told_as(default_guardrail(metric))
    assert found.of
    assert found.says
    assert found.told(0.25) == (0.5 if metric == "rmse" else 0.25)
