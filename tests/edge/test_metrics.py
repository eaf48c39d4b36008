"""What Prometheus is told: every request once, totals that never fall, gauges that are true at the scrape."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.core.deployments import ModelCard, Task, Type
from gateway.core.events import ArmRecord, OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.features import FeaturePlan, PlannedFeature, PlannedView, Status
from gateway.core.routing import Candidate, Part, RoutingTable
from gateway.edge.metrics import ControlCollector, ControlGauges, Exposition, VariantGauges, WorkerMetrics

VIEW = PlannedView("plane", "plane", (), (PlannedFeature("delay", "delay", Type.NUMBER, "Float64"),))
PLAN = FeaturePlan("p", "memory", "test", "", "", (VIEW,), {"v1": ("delay",)})


def part(name: str, version: str) -> Part:
    return Part(name, f"g{version}", ModelCard("m", version, "", f"d{version}", "", "", (), Task.BINARY))


TABLE = RoutingTable(
    "fd", "t", 1, part("stable", "1"), candidates=(Candidate(part("canary", "2"), "s", 0.1),), features=PLAN
)


def record(assigned: str = "stable", served: str = "stable", **said: object) -> PredictionRecord:
    arms = (ArmRecord("stable", "g1", 0.9, "d1"), ArmRecord("canary", "g2", 0.1, "d2"))
    values = {
        "latency": {"features": 0.002, "model": 0.003, "total": 0.01},
        "names": ("delay",),
        "values": (1.0,),
        "statuses": bytes([Status.PRESENT]),
        "event_times": (900.0,),
    }
    return PredictionRecord("t", "b", "fd", 1, 0, "k", 1_000.0, assigned, served, arms, **{**values, **said})  # type: ignore[arg-type]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    return WorkerMetrics(registry)


def test_a_prediction_is_counted_once_under_the_variant_that_was_drawn(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    metrics.predicted(record("canary", "canary"), TABLE, logged=True)
    labels = {"deployment": "fd", "variant": "canary", "version": "2", "status": "200"}
    assert registry.get_sample_value("gateway_predictions_total", labels) == 1.0
    assert registry.get_sample_value("gateway_prediction_duration_seconds_sum", {"deployment": "fd"}) == 0.01
    assert registry.get_sample_value("gateway_feature_age_seconds_sum", {"deployment": "fd", "view": "plane"}) == 100.0


def test_a_canary_that_stable_stood_in_for_is_charged(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    metrics.predicted(record("canary", "stable", error="ValueError"), TABLE, logged=False)
    failed = {"deployment": "fd", "variant": "canary", "version": "2"}
    assert registry.get_sample_value("gateway_variant_failures_total", failed) == 1.0
    assert registry.get_sample_value("gateway_fallbacks_total", {"deployment": "fd", "variant": "canary"}) == 1.0
    assert registry.get_sample_value("gateway_log_refused_total", {"deployment": "fd"}) == 1.0


def test_a_feature_that_was_not_served_is_counted_by_name_and_reason(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    stale = record(degraded=True, statuses=bytes([Status.STALE]))
    metrics.predicted(stale, TABLE, logged=True)
    labels = {"deployment": "fd", "feature": "delay", "status": "stale"}
    assert registry.get_sample_value("gateway_features_degraded_total", labels) == 1.0


def test_shadows_are_either_done_or_dropped_for_a_reason(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    done = ShadowRecord("t", "b", "fd", 1.0, "v9", "g9", "d9", "g1", True, label=1)
    dropped = ShadowRecord("t", "b", "fd", 1.0, "v9", "g9", "d9", "g1", True, dropped="queue_full")
    metrics.shadowed(done, logged=True)
    metrics.shadowed(dropped, logged=True)
    labels = {"deployment": "fd", "variant": "v9", "failed": "false"}
    assert registry.get_sample_value("gateway_shadows_done_total", labels) == 1.0
    why = {"deployment": "fd", "variant": "v9", "reason": "queue_full"}
    assert registry.get_sample_value("gateway_shadows_dropped_total", why) == 1.0


def test_callers_cannot_make_series_by_inventing_metric_names(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    for metric in ("label", "revenue", "anything"):
        metrics.outcome(OutcomeRecord("t", "b", metric, 1, 1.0, 1.0), "fd")
    metrics.rejected("forged", 3)
    metrics.rejected("label", 1)
    other = {"deployment": "fd", "metric": "other"}
    assert registry.get_sample_value("gateway_outcomes_accepted_total", other) == 2.0
    assert registry.get_sample_value("gateway_outcomes_rejected_total", {"reason": "forged"}) == 3.0


def test_gauges_say_what_the_agent_knows_at_the_scrape() -> None:
    known = ControlGauges(
        revisions={"fd": 7},
        variants=(VariantGauges("fd", "canary", "2", "running", 0.05, accuracy=0.8, labelled=10),),
        books={("fd", "outcomes", "joined"): 4},
        spool_bytes=120,
    )
    registry = CollectorRegistry()
    registry.register(ControlCollector(lambda: known))
    arm = {"deployment": "fd", "variant": "canary", "version": "2"}
    assert registry.get_sample_value("gateway_deployment_revision", {"deployment": "fd"}) == 7.0
    assert registry.get_sample_value("gateway_variant_weight", arm) == 0.05
    assert registry.get_sample_value("gateway_variant_phase", {**arm, "phase": "running"}) == 1.0
    assert registry.get_sample_value("gateway_live_accuracy", arm) == 0.8
    assert registry.get_sample_value("gateway_spool_bytes") == 120.0
    books = {"deployment": "fd", "book": "outcomes", "state": "joined"}
    assert registry.get_sample_value("gateway_ledger", books) == 4.0


COUNT = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("c", "count", ["way"]).labels("up").inc(float(sys.argv[1]))
Histogram("h", "time", buckets=(1.0,)).observe(0.5)
Gauge("g", "now", multiprocess_mode="liveall").set(1)
"""


def live_and_die(folder: Path, amount: int) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", COUNT, str(amount)], env=environment, check=True, timeout=20)


def counted(exposition: Exposition) -> list[str]:
    lines = exposition.render().decode().splitlines()
    return sorted(line for line in lines if line.startswith(("c_total", "h_")))


def test_totals_never_fall_and_files_do_not_pile_up_when_processes_die(tmp_path: Path) -> None:
    exposition = Exposition(tmp_path, ControlCollector(ControlGauges))
    for amount in (2, 3):
        live_and_die(tmp_path, amount)
        before = counted(exposition)
        exposition.reap()
        assert counted(exposition) == before
    after = exposition.render().decode()
    assert 'c_total{way="up"} 5.0' in after
    assert 'h_bucket{le="1.0"} 2.0' in after
    assert "\ng{" not in after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_archive.db", "histogram_archive.db"]


def test_the_files_of_the_living_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"counter_{os.getpid()}.db").touch()
    assert Exposition(tmp_path, ControlCollector(ControlGauges)).reap() == 0
