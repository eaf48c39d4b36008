"""What Prometheus is told: counters and histograms of the workers, and gauges that the agent reads off its state.

Every process writes its counters into files of its own in ``PROMETHEUS_MULTIPROC_DIR``; the control plane's
``/metrics`` sums them. When a process has died its files are folded into one archive, so that no total ever falls and
files do not pile up. Gauges of control state are made at the scrape from what the agent knows, so they never lag and
a variant that is gone leaves no series behind. All units are seconds and bytes.
"""

import os
import threading
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from fastapi import FastAPI
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_fastapi_instrumentator import Instrumentator

from gateway.core.drift.report import DriftReport
from gateway.core.events import Decision, OutcomeRecord, PredictionRecord, ShadowRecord
from gateway.core.features import Status
from gateway.core.routing import STABLE, RoutingTable
from gateway.edge.drift_metrics import drift_metrics
from gateway.edge.hot import HotApp
from gateway.edge.http_metrics import HttpMetrics
from gateway.edge.tally import Folding, observe_all
from gateway.retraining import STEPS

CONTENT_TYPE = CONTENT_TYPE_LATEST

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AGES = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 4 * 3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
_PROBES = ["^/livez$", "^/readyz$", "^/metrics$"]
_ARCHIVE = "archive"

Description: TypeAlias = tuple[str, str, tuple[str, ...], str]
"""A metric's name, kind, labels and sentence."""


def instrument(app: FastAPI) -> None:
    """Count and time every HTTP request of ``app`` by route template, method and status; probes are left out."""
    try:
        http = HttpMetrics(fine=_FAST, coarse=(0.01, 0.1, 1.0))
    except ValueError:  # another app of this process counts them already, as the instrumentator itself would have it
        return
    instrumentator = Instrumentator(should_group_status_codes=False, excluded_handlers=_PROBES)
    instrumentator.add(http.instrumentation).instrument(app)
    if isinstance(app, HotApp):
        for shortcut in (app.hot, app.turns):
            if shortcut is not None:
                shortcut.answered = http.answered


class WorkerMetrics:
    """The Observer of a worker: what became of requests, shadows and outcomes. Costs microseconds, never raises."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._described: list[Description] = []
        self._late: list[tuple[PredictionRecord, RoutingTable, str]] = []
        self._watched: Counts[tuple[str, str, str]] = Counts()
        self._lost: Counts[tuple[str, str, int]] = Counts()
        self._versions: dict[str, tuple[RoutingTable, dict[str, str]]] = {}
        self._answered: dict[tuple[str, str, str, int], Counter] = {}
        self._folding = Folding(registry, self.fold)

        def counter(name: str, says: str, *labels: str) -> Counter:
            self._described.append((f"gateway_{name}_total", "counter", labels, says))
            return Counter(f"gateway_{name}", says, labels, registry=registry)

        def seconds(name: str, says: str, *labels: str, buckets: tuple[float, ...] = _FAST) -> Histogram:
            self._described.append((f"gateway_{name}_seconds", "histogram", labels, says))
            return Histogram(f"gateway_{name}_seconds", says, labels, buckets=buckets, registry=registry)

        def gauge(name: str, says: str) -> Gauge:
            self._described.append((f"gateway_{name}", "gauge", (), says))
            return Gauge(f"gateway_{name}", says, registry=registry, multiprocess_mode="livesum")

        self._under_way = gauge("requests_under_way", "Predictions under way, over all workers.")
        self._places = gauge("requests_limit", "Predictions the workers let in at a time now.")
        arm = ("deployment", "variant", "version")
        self._predictions = counter("predictions", "Routed requests, by the variant drawn.", *arm, "status")
        self._failures = counter("variant_failures", "Requests at which the drawn variant failed.", *arm)
        self._fallbacks = counter(
            "fallbacks", "Requests that stable answered for a candidate.", "deployment", "variant"
        )
        self._refused = counter("log_refused", "Records the spool did not take.", "deployment")
        self._duration = seconds("prediction_duration", "The whole request.", "deployment")
        self._model = seconds("model_duration", "The drawn variant's model.", *arm)
        self._features = seconds("features_duration", "The feature read.", "deployment")
        self._age = seconds("feature_age", "Age of a view's values (data time).", "deployment", "view", buckets=_AGES)
        self._degraded = counter("features_degraded", "Features not served.", "deployment", "feature", "status")
        self._read_errors = counter("feature_read_errors", "Feature reads that went wrong.", "tier", "kind")
        self._shadows = counter("shadows_done", "Shadow scores, failed ones too.", "deployment", "variant", "failed")
        self._dropped = counter("shadows_dropped", "Shadows that were not asked.", "deployment", "variant", "reason")
        self._outcomes = counter("outcomes_accepted", "Outcomes on disk.", "deployment", "metric")
        self._rejected = counter("outcomes_rejected", "Outcomes not taken: forged ids, undeclared labels.", "reason")

    def described(self) -> tuple[Description, ...]:
        """Every metric: its name, kind, labels, and what it says."""
        return tuple(self._described)

    def crowd(self, under_way: int, places: int) -> None:
        """Note how many predictions are under way here, and how many may be."""
        self._under_way.set(under_way)
        self._places.set(places)

    def predicted(self, record: PredictionRecord, table: RoutingTable, logged: bool) -> None:
        """A routed request ended, well or not."""
        name, variant = record.deployment, record.assigned
        version = self._version(table, variant)
        key = (name, variant, version, record.status)
        answered = self._answered.get(key)
        if answered is None:
            answered = self._answered[key] = self._predictions.labels(name, variant, version, str(record.status))
        answered.inc()
        if record.error is not None:
            self._failures.labels(name, variant, version).inc()
        if variant != STABLE and record.served == STABLE:
            self._fallbacks.labels(name, variant).inc()
        if not logged:
            self._refused.labels(name).inc()
        if record.degraded:
            self._count_degraded(record, len(table.features.names()))
        self._late.append((record, table, version))
        if len(self._late) == 1:
            self._folding.soon()

    def _count_degraded(self, record: PredictionRecord, served: int) -> None:
        for place, (feature, status) in enumerate(zip(record.names, record.statuses, strict=False)):
            lost = place < served and status not in (Status.PRESENT, Status.REQUEST)
            if lost or status == Status.INVALID:
                self._lost[record.deployment, feature, status] += 1

    def _version(self, table: RoutingTable, variant: str) -> str:
        known = self._versions.get(table.deployment)
        if known is None or known[0] is not table:
            versions = {name: part.model.version for name, part in table.parts().items()}
            known = self._versions[table.deployment] = (table, versions)
        return known[1].get(variant, "")

    def fold(self) -> None:
        """Fold what was seen since the last time: times, ages, features not served, and how many shadows were done."""
        watched, self._watched = self._watched, Counts()
        for labels, count in watched.items():
            self._shadows.labels(*labels).inc(count)
        lost, self._lost = self._lost, Counts()
        for (name, feature, status), count in lost.items():
            self._degraded.labels(name, feature, Status(status).name.lower()).inc(count)
        late, self._late = self._late, []
        alike: defaultdict[tuple[int, str, str], list[PredictionRecord]] = defaultdict(list)
        tables: dict[int, RoutingTable] = {}
        for record, table, version in late:
            tables[id(table)] = table
            alike[id(table), record.assigned, version].append(record)
        for (table_id, variant, version), records in alike.items():
            self._time(records, tables[table_id].deployment, variant, version)
            self._ages(records, tables[table_id])

    def shadowed(self, record: ShadowRecord, logged: bool) -> None:
        """A shadow scored, failed or was dropped."""
        if record.dropped is not None:
            self._dropped.labels(record.deployment, record.name, record.dropped).inc()
        else:
            failed = "true" if record.error is not None else "false"
            self._watched[record.deployment, record.name, failed] += 1
            if len(self._watched) == 1:
                self._folding.soon()
        if not logged:
            self._refused.labels(record.deployment).inc()

    def outcome(self, record: OutcomeRecord, deployment: str) -> None:
        """An outcome is on disk."""
        self._outcomes.labels(deployment, record.metric if record.metric == "label" else "other").inc()

    def rejected(self, reason: str, count: int) -> None:
        """So many outcomes were not taken."""
        self._rejected.labels(reason).inc(count)

    def read_error(self, tier: str, kind: str) -> None:
        """A feature read went wrong in a way its source has a name for."""
        self._read_errors.labels(tier, kind).inc()

    def _time(self, records: Sequence[PredictionRecord], name: str, variant: str, version: str) -> None:
        """Observe the times of records of one variant."""
        for metric, part, labels in (
            (self._duration, "total", (name,)),
            (self._model, "model", (name, variant, version)),
            (self._features, "features", (name,)),
        ):
            seen = [record.latency[part] for record in records if part in record.latency]
            if seen:
                observe_all(metric.labels(*labels), seen)

    def _ages(self, records: Sequence[PredictionRecord], table: RoutingTable) -> None:
        """Observe ages once per view, for all its features were written together."""
        index = 0
        for view in table.features.views:
            seen = [(record.at, record.event_times[index]) for record in records if index < len(record.event_times)]
            ages = [max(0.0, now - at) for now, at in seen if at is not None]
            if ages:
                observe_all(self._age.labels(table.deployment, view.name), ages)
            index += len(view.features)


class AgentMetrics:
    """What the agent counts as it happens."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        says = "Alerts: sent or failed per target, repeated or dropped before."
        self._described: list[Description] = [("gateway_alerts_total", "counter", ("kind", "became"), says)]
        self._alerts = Counter("gateway_alerts", says, ("kind", "became"), registry=registry)
        self._told = self._counter(registry, "events_told", "Events for the broker.", "kind", "became")
        self._taken = self._counter(
            registry, "outcomes_taken", "Messages from the broker that tell outcomes.", "became"
        )
        says = "Events that wait for the broker."
        self._described.append(("gateway_events_waiting", "gauge", (), says))
        self._waiting = Gauge("gateway_events_waiting", says, registry=registry, multiprocess_mode="livesum")
        labels, says = ("deployment", "trigger", "step"), "Steps of retraining runs, by what asked for the run."
        self._described.append(("gateway_retraining_steps_total", "counter", labels, says))
        self._steps = Counter("gateway_retraining_steps", says, labels, registry=registry)

    def _counter(self, registry: CollectorRegistry, name: str, says: str, *labels: str) -> Counter:
        self._described.append((f"gateway_{name}_total", "counter", labels, says))
        return Counter(f"gateway_{name}", says, labels, registry=registry)

    def described(self) -> tuple[Description, ...]:
        """Every metric: its name, kind, labels, and what it says."""
        return tuple(self._described)

    def alert(self, kind: str, became: str) -> None:
        """An alert was sent, or was not."""
        self._alerts.labels(kind, became).inc()

    def told(self, kind: str, became: str, count: int) -> None:
        """So many events were told, or were not."""
        self._told.labels(kind, became).inc(count)

    def waiting(self, count: int) -> None:
        """So many events wait."""
        self._waiting.set(count)

    def taken(self, became: str, count: int) -> None:
        """So many messages were accepted, refused, or are to come again."""
        self._taken.labels(became).inc(count)

    def tell(self, decision: Decision) -> None:
        """Count the steps of retraining runs."""
        step = STEPS.get(decision.action)
        if step is not None:
            self._steps.labels(decision.deployment, decision.evidence["trigger"], step).inc()


@dataclass(frozen=True, slots=True)
class VariantGauges:
    """One variant as the agent knows it. ``accuracy`` is that of labelled answers in the last window, if any."""

    deployment: str
    name: str
    version: str
    phase: str
    weight: float
    shadow: float = 0.0
    accuracy: float | None = None
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class ControlGauges:
    """What the agent knows at a scrape. ``books`` counts by (deployment, book, state)."""

    revisions: Mapping[str, int] = field(default_factory=dict)
    variants: tuple[VariantGauges, ...] = ()
    books: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    spool_bytes: int = 0
    spool_segments: int = 0
    workers: int = 0
    watermark: float | None = None


class ControlCollector:
    """Turns the agent's knowledge into gauges, afresh at each scrape."""

    def __init__(
        self, look: Callable[[], ControlGauges], drift: Callable[[], Mapping[str, DriftReport]] = dict
    ) -> None:
        self._look, self._drift = look, drift

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge of control state."""
        known = self._look()
        yield _gauge("spool_bytes", "Bytes in the log that the store does not hold yet.", [((), known.spool_bytes)])
        yield _gauge("spool_segments", "Files of the log.", [((), known.spool_segments)])
        yield _gauge("workers", "Workers that are connected to the agent.", [((), known.workers)])
        if known.watermark is not None:
            yield _gauge("watermark_seconds", "Data time up to which all is drained.", [((), known.watermark)])
        revisions = [((name,), float(revision)) for name, revision in known.revisions.items()]
        yield _gauge("deployment_revision", "Revision of the control document.", revisions, "deployment")
        yield from self._variants(known.variants)
        books = [(key, float(count)) for key, count in known.books.items()]
        yield from drift_metrics(self._drift().values())
        yield _gauge("ledger", "The books: records by state.", books, "deployment", "book", "state")

    def _variants(self, variants: Sequence[VariantGauges]) -> Iterator[Metric]:
        arm = ("deployment", "variant", "version")
        weights = [(_arm(v), v.weight) for v in variants]
        yield _gauge("variant_weight", "Share of requests.", weights, *arm)
        watched = [(_arm(v), v.shadow) for v in variants]
        yield _gauge("variant_shadow", "Share of requests watched.", watched, *arm)
        phases = [((*_arm(v), v.phase), 1.0) for v in variants]
        yield _gauge("variant_phase", "1 for the phase a variant is in.", phases, *arm, "phase")
        accurate = [(_arm(v), v.accuracy) for v in variants if v.accuracy is not None]
        yield _gauge("live_accuracy", "Share of labelled answers that were right, recently.", accurate, *arm)
        labelled = [(_arm(v), float(v.labelled)) for v in variants]
        yield _gauge("variant_labelled", "Labelled answers behind the accuracy.", labelled, *arm)


class Exposition:
    """Renders the metrics of all processes of this host, and folds those of dead ones away. Called from threads."""

    def __init__(self, folder: Path | None, control: ControlCollector) -> None:
        self._folder = folder
        self._control = control
        self._lock = threading.Lock()

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        registry = CollectorRegistry()
        registry.register(self._control)
        with self._lock:
            if self._folder is None:
                return bytes(generate_latest(REGISTRY) + generate_latest(registry))
            MultiProcessCollector(registry, path=str(self._folder))
            return bytes(generate_latest(registry))

    def reap(self) -> int:
        """Fold the files of processes that are gone into the archive; returns how many files."""
        if self._folder is None:
            return 0
        with self._lock:
            gone = [path for path in sorted(self._folder.glob("*.db")) if _is_of_the_dead(path)]
            for path in gone:
                _fold(path)
            return len(gone)


def _arm(variant: VariantGauges) -> tuple[str, str, str]:
    return variant.deployment, variant.name, variant.version


def _gauge(name: str, says: str, values: Iterable[tuple[Sequence[str], float]], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"gateway_{name}", says, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _is_of_the_dead(path: Path) -> bool:
    """Whether a file such as ``counter_4711.db`` belongs to a process that is gone."""
    owner = path.stem.rpartition("_")[2]
    return owner.isdigit() and not Path(f"/proc/{owner}").exists()


def _fold(path: Path) -> None:
    """Add a dead process's counts to the archive of their kind; what only a live process means is dropped."""
    kind = path.stem.partition("_")[0]
    if kind in ("counter", "histogram", "summary"):
        archive = path.with_name(f"{kind}_{_ARCHIVE}.db")
        hidden = path.with_name(f".{kind}_{_ARCHIVE}.tmp")
        hidden.unlink(missing_ok=True)
        if archive.exists():
            hidden.write_bytes(archive.read_bytes())
        totals = MmapedDict(str(hidden))
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
            totals.write_value(key, totals.read_value(key)[0] + value, 0.0)
        totals.close()
        hidden.replace(archive)
    path.unlink()


def multiprocess_folder() -> Path | None:
    """The folder the supervisor made for this run's metrics, if it did."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None
