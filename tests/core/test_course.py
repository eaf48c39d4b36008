"""How a candidate's evidence has gone, as points for people: dense at first, sparse later, and never without news."""

from dataclasses import replace

from gateway.core.course import GROWTH, CoursePoint, point_of, worth_keeping
from gateway.core.deployments import Role
from gateway.core.findings import Finding, MetricFinding, Verdict

FOUND = MetricFinding(
    metric="accuracy",
    role=Role.GUARDRAIL,
    finding=Finding.INCONCLUSIVE,
    stable=0.2,
    candidate=0.3,
    evidence=2.0,
    evidence_now=1.5,
    threshold=40.0,
    n_stable=90,
    n_candidate=10,
    sentence="accuracy: not decided yet",
)


def verdict(n: int, at: float = 1.0, finding: Finding = Finding.INCONCLUSIVE) -> Verdict:
    return Verdict(finding, (replace(FOUND, n_candidate=n, finding=finding),), at, "a sentence", "2")


def kept(counts: list[int]) -> list[CoursePoint]:
    points: list[CoursePoint] = []
    for number, n in enumerate(counts):
        now = verdict(n, float(number + 1))
        if worth_keeping(points[-1] if points else None, now):
            points.append(point_of(now))
    return points


def test_a_point_carries_the_numbers_of_its_verdict_and_no_sentence() -> None:
    point = point_of(verdict(10, 7.5))
    [metric] = point.metrics
    assert (point.at, metric.metric, metric.stable, metric.candidate) == (7.5, "accuracy", 0.2, 0.3)
    assert (metric.evidence, metric.evidence_now, metric.n_stable, metric.n_candidate) == (2.0, 1.5, 90, 10)
    assert not hasattr(metric, "sentence")


def test_every_observation_counts_at_first_and_only_a_twentieth_more_later() -> None:
    assert len(kept(list(range(1, 21)))) == 20
    assert len(kept([1_000, 1_049, 1_050, 1_051])) == 2


def test_a_million_observations_leave_some_hundreds_of_points() -> None:
    counts, n = [1], 1.0
    while n < 1e6:
        n *= 1.001
        counts.append(int(n))
    assert 200 < len(kept(counts)) < 400
    assert GROWTH == 0.05


def test_a_changed_finding_is_worth_a_point_whatever_was_seen() -> None:
    before = point_of(verdict(1_000, 1.0))
    assert worth_keeping(before, verdict(1_001, 2.0, Finding.FAIL))
    assert not worth_keeping(before, verdict(1_001, 2.0))


def test_a_metric_that_appears_is_worth_a_point() -> None:
    before = point_of(verdict(1_000, 1.0))
    now = verdict(1_000, 2.0)
    other = replace(now.findings[0], metric="error_rate")
    assert worth_keeping(before, replace(now, findings=(*now.findings, other)))


def test_nothing_is_kept_before_anything_was_seen_nor_twice_for_one_look() -> None:
    nothing = Verdict(Finding.INCONCLUSIVE, (replace(FOUND, n_candidate=0, n_stable=0),), 1.0, "", "2")
    assert not worth_keeping(None, nothing)
    before = point_of(verdict(10, 5.0))
    assert not worth_keeping(before, verdict(500, 5.0))
