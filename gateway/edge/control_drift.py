"""What the control plane says of drift: the words, and how core values become them. Shapes only, nothing decided."""

from typing import Any

from gateway.core.drift.report import DriftReport, Skew, WatchReport
from gateway.core.drift.watch import Finding
from gateway.edge.view import View


class DriftAlarmView(View):
    """A feature, or a model's answers, that are no longer what they were. Times are data time."""

    sentence: str
    what: str
    direction: int
    live: float
    reference: float
    shift: float
    began: float
    at: float
    rows: int


class DistancesView(View):
    """How far the last day lies from the reference, and what of it the sizes alone would not bring (``*_excess``)."""

    rows: int
    psi: float | None
    psi_excess: float | None
    js: float | None
    js_excess: float | None
    kl: float | None
    kl_excess: float | None
    chi_square: float | None
    chi_square_p: float | None
    ks: float | None
    ks_p: float | None
    wasserstein: float | None
    missing_rate: float | None


class CellView(View):
    """One cell of a feature's histogram: its share of the reference's rows, and of the last day's."""

    label: str
    reference: float
    live: float


class DriftFindingView(View):
    """One feature as it stands: ``drifted`` while an alarm stands, else ``calm``."""

    feature: str
    scope: str
    finding: str
    evidence: float | None
    needed: float
    raised: int
    distances: DistancesView
    alarm: DriftAlarmView | None
    cells: tuple[CellView, ...]


class AnswersView(View):
    """How good some answers are: shares between 0 and 1, null where there is nothing to tell it by."""

    rows: int
    accuracy: float | None
    brier: float | None
    precision: float | None
    recall: float | None
    f1: float | None


class EstimateView(View):
    """Expected performance from the scores themselves, beside the realised one of those whose label is known."""

    expected: AnswersView
    labelled_expected: AnswersView
    realised: AnswersView
    gap: float | None
    gap_se: float | None
    trusted: bool | None


class WatchView(View):
    """One model's watch."""

    variant: str
    generation: str
    version: str
    reference: str
    trouble: str
    until: float | None
    tick_s: float
    rows: int
    findings: tuple[DriftFindingView, ...]
    estimate: EstimateView | None


class SkewLineView(View):
    """One feature's served values beside the offline store's at the served time."""

    feature: str
    compared: int
    differing: int
    missing_offline: int
    missing_online: int
    share: float


class SkewView(View):
    """The last comparison of served features with the offline store."""

    at: float | None
    rows: int
    trouble: str
    features: tuple[SkewLineView, ...]


class DriftView(View):
    """Drift of a deployment: whose doing it is (``none``, ``data``, ``candidate``, ``output``), and every watch."""

    deployment: str
    cause: str
    watches: tuple[WatchView, ...]
    skew: SkewView


def drift_view(report: DriftReport) -> DriftView:
    """Turn a report into its view."""
    return DriftView(
        deployment=report.deployment,
        cause=report.cause.value,
        watches=tuple(map(_watch, report.watches)),
        skew=_skew(report.skew),
    )


def _watch(watch: WatchReport) -> WatchView:
    same = ("variant", "generation", "version", "reference", "trouble", "until", "tick_s", "rows")
    return WatchView(
        **{name: getattr(watch, name) for name in same},
        findings=tuple(map(_finding, watch.findings)),
        estimate=None if watch.estimate is None else EstimateView.model_validate(watch.estimate),
    )


def _finding(found: Finding) -> DriftFindingView:
    return DriftFindingView(
        feature=found.feature,
        scope=found.scope,
        finding="calm" if found.alarm is None else "drifted",
        evidence=found.evidence,
        needed=found.needed,
        raised=found.raised,
        distances=DistancesView.model_validate(found.distances),
        alarm=None if found.alarm is None else DriftAlarmView.model_validate(found.alarm),
        cells=tuple(map(CellView.model_validate, found.cells)),
    )


def _skew(skew: Skew) -> SkewView:
    return SkewView.model_validate(skew)


EXAMPLE: dict[str, Any] = {
    "deployment": "flight-delay",
    "cause": "data",
    "watches": [
        {
            "variant": "stable",
            "generation": "5d0c2f3a91b7",
            "version": "2",
            "reference": "training rows of January and February",
            "trouble": "",
            "until": 1373328000.0,
            "tick_s": 86400.0,
            "rows": 58120,
            "findings": [
                {
                    "feature": "dest_arr_delay_min",
                    "scope": "inputs",
                    "finding": "drifted",
                    "evidence": 2.1,
                    "needed": 6.4,
                    "raised": 1,
                    "distances": {
                        "rows": 6120,
                        "psi": 0.31,
                        "psi_excess": 0.308,
                        "js": 0.036,
                        "js_excess": 0.036,
                        "kl": 0.15,
                        "kl_excess": 0.149,
                        "chi_square": 1731.0,
                        "chi_square_p": 0.0,
                        "ks": 0.21,
                        "ks_p": 0.0,
                        "wasserstein": 0.48,
                        "missing_rate": 0.004,
                    },
                    "alarm": {
                        "sentence": "dest_arr_delay_min moved up by 0.52 standard deviations of its rank",
                        "what": "location",
                        "direction": 1,
                        "live": 0.65,
                        "reference": 0.5,
                        "shift": 0.52,
                        "began": 1372636800.0,
                        "at": 1373241600.0,
                        "rows": 6120,
                    },
                    "cells": [
                        {"label": "(-inf, 0]", "reference": 0.52, "live": 0.31},
                        {"label": "(0, inf]", "reference": 0.48, "live": 0.69},
                    ],
                }
            ],
            "estimate": {
                "expected": {"rows": 874, "accuracy": 0.71, "brier": 0.19, "precision": 0.6, "recall": 0.5, "f1": 0.55},
                "labelled_expected": {
                    "rows": 540,
                    "accuracy": 0.72,
                    "brier": 0.19,
                    "precision": 0.6,
                    "recall": 0.5,
                    "f1": 0.55,
                },
                "realised": {
                    "rows": 540,
                    "accuracy": 0.64,
                    "brier": 0.22,
                    "precision": 0.55,
                    "recall": 0.4,
                    "f1": 0.46,
                },
                "gap": -0.08,
                "gap_se": 0.019,
                "trusted": False,
            },
        }
    ],
    "skew": {
        "at": 1373241600.0,
        "rows": 100,
        "trouble": "",
        "features": [
            {
                "feature": "dest_arr_delay_min",
                "compared": 98,
                "differing": 0,
                "missing_offline": 0,
                "missing_online": 2,
                "share": 0.02,
            }
        ],
    },
}
