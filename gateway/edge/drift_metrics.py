"""Drift as Prometheus sees it: gauges made at the scrape from what the last looks left."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway.core.drift.report import DriftReport, WatchReport
from gateway.core.drift.watch import Finding

_FEATURE = ("deployment", "variant", "feature")
_VARIANT = ("deployment", "variant")


def drift_metrics(reports: Iterable[DriftReport]) -> Iterator[Metric]:
    """Yield every gauge of drift."""
    known = list(reports)
    watches = [(report.deployment, watch) for report in known for watch in report.watches]
    found = [(name, watch, one) for name, watch in watches for one in watch.findings]
    yield from _of_features(found)
    yield from _of_variants(watches)
    skew = GaugeMetricFamily(
        "gateway_drift_skew", "Share of served values unlike the offline store's.", labels=("deployment", "feature")
    )
    for report in known:
        for line in report.skew.features:
            skew.add_metric((report.deployment, line.feature), line.share)
    yield skew


def _of_features(found: list[tuple[str, WatchReport, Finding]]) -> Iterator[Metric]:
    alarm = GaugeMetricFamily("gateway_drift_alarm", "1 while a drift alarm stands, else 0.", labels=_FEATURE)
    near = GaugeMetricFamily("gateway_drift_evidence", "Evidence of drift; 1 raises the alarm.", labels=_FEATURE)
    psi = GaugeMetricFamily("gateway_drift_psi", "PSI of the last day less its sampling noise.", labels=_FEATURE)
    lost = GaugeMetricFamily("gateway_drift_missing_rate", "Share of the last day without a value.", labels=_FEATURE)
    for name, watch, one in found:
        labels = (name, watch.variant, one.feature)
        alarm.add_metric(labels, 0.0 if one.alarm is None else 1.0)
        near.add_metric(labels, max(0.0, one.evidence / one.needed) if one.evidence is not None else 0.0)
        if one.distances.psi_excess is not None:
            psi.add_metric(labels, one.distances.psi_excess)
        if one.distances.missing_rate is not None:
            lost.add_metric(labels, one.distances.missing_rate)
    yield from (alarm, near, psi, lost)


def _of_variants(watches: list[tuple[str, WatchReport]]) -> Iterator[Metric]:
    watched = GaugeMetricFamily("gateway_drift_watched", "1 where there is a reference, else 0.", labels=_VARIANT)
    says = "Accuracy that the scores of the last day make likely."
    expected = GaugeMetricFamily("gateway_drift_expected_accuracy", says, labels=_VARIANT)
    gap = GaugeMetricFamily("gateway_drift_accuracy_gap", "Realised less expected accuracy.", labels=_VARIANT)
    for name, watch in watches:
        watched.add_metric((name, watch.variant), 0.0 if watch.trouble else 1.0)
        if watch.estimate is not None and watch.estimate.expected.accuracy is not None:
            expected.add_metric((name, watch.variant), watch.estimate.expected.accuracy)
        if watch.estimate is not None and watch.estimate.gap is not None:
            gap.add_metric((name, watch.variant), watch.estimate.gap)
    yield from (watched, expected, gap)
