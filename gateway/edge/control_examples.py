"""An answer of each kind, for the control plane's OpenAPI. A test holds every one to its view."""

from typing import Any

from gateway.edge.control_drift import EXAMPLE as DRIFT
from gateway.edge.control_retraining import EXAMPLES as RETRAINING

_STEP = {
    "plan": "careful",
    "number": 2,
    "of": 4,
    "weight": 0.05,
    "shadow": 0.0,
    "since": 1795464000.0,
    "at_least_s": 3600.0,
    "events": 200,
    "approval": False,
    "seen": 28,
}
_PLAN = {
    "name": "careful",
    "steps": [
        {"weight": 0.0, "shadow": 1.0, "at_least_s": 3600.0, "events": 200, "approval": False},
        {"weight": 0.05, "shadow": 0.0, "at_least_s": 3600.0, "events": 200, "approval": False},
    ],
}
_SENTENCE = (
    "accuracy: 21.4 % of the candidate's labelled requests were answered wrongly (6 of 28), 19.9 % of stable's "
    "(113 of 568): not decided yet; evidence of harm 0.91 of 40.0, of safety 0.84 of 20.0."
)
_VARIANTS = [
    {
        "name": "stable",
        "role": "stable",
        "generation": "5d0c2f3a91b7",
        "model": "flight-delay",
        "model_version": "6",
        "digest": "b2e75696df2d024dabacf097568274a9f2ee0a4207d1290b84e8c6166e9fc087",
        "weight": 0.95,
        "shadow": 0.0,
        "phase": None,
        "plan": None,
        "step": None,
        "verdict": None,
        "reason": "",
    },
    {
        "name": "canary",
        "role": "candidate",
        "generation": "a1f08c6e4d22",
        "model": "flight-delay",
        "model_version": "7",
        "digest": "0d9f1f0f6b6d4a5d8f3e7c2b1a09f8e7d6c5b4a392817f6e5d4c3b2a19081726",
        "weight": 0.05,
        "shadow": 0.0,
        "phase": "running",
        "plan": _PLAN,
        "step": _STEP,
        "verdict": {"finding": "inconclusive", "sentence": _SENTENCE, "at": 1795467600.0, "still_needed": None},
        "reason": "step 1 of 4 is done: 214 observations in 3,702 s, and no guardrail failed",
    },
]
_FEATURE = {"type": "integer", "required": True, "default": None, "minimum": None, "maximum": None, "categories": []}
_DEPLOYMENT = {
    "deployment": "flight-delay",
    "revision": 12,
    "default": True,
    "config_drift": False,
    "preparing": [],
    "variants": _VARIANTS,
    "previous": [{"model": "flight-delay", "model_version": "5", "digest": "77" * 32}],
    "plans": ["careful"],
    "guardrails": ["error_rate", "accuracy"],
    "labels_independent": False,
    "inputs": {
        "entities": [_FEATURE | {"name": "carrier", "type": "string"}],
        "features": [_FEATURE | {"name": "sched_dep_hour", "minimum": 0.0, "maximum": 23.0}],
        "example": {"entities": {"carrier": "UA"}, "features": {"sched_dep_hour": 17}},
    },
}
_DECISION = {
    "deployment": "flight-delay",
    "revision": 12,
    "action": "advance",
    "actor": "judge",
    "reason": "step 1 of 4 is done: 214 observations in 3,702 s, and no guardrail failed",
    "data_at": 1795464000.0,
    "machine_at": 1795464000.5,
    "candidate": "canary",
    "generation": "a1f08c6e4d22",
    "evidence": {"judge_version": "1", "step": 0, "n_candidate": 214},
}
_GUARDRAIL = {
    "metric": "accuracy",
    "role": "guardrail",
    "finding": "inconclusive",
    "dry_run": False,
    "stable": 0.199,
    "candidate": 0.214,
    "difference": 0.015,
    "low": -0.24,
    "high": 0.31,
    "stable_low": 0.15,
    "stable_high": 0.26,
    "candidate_low": 0.04,
    "candidate_high": 0.5,
    "evidence": 1.4,
    "evidence_now": 0.91,
    "threshold": 40.0,
    "promote_evidence": 0.84,
    "promote_threshold": 20.0,
    "n_stable": 568,
    "n_candidate": 28,
    "bad_stable": 113,
    "bad_candidate": 6,
    "sentence": _SENTENCE,
    "amount": False,
    "needed": 640,
}
_LINE = {
    "variant": "stable",
    "generation": "5d0c2f3a91b7",
    "model_version": "6",
    "predictions": 5_724,
    "failed": 0,
    "error_rate": 0.0,
    "degraded": 12,
    "labelled": 5_680,
    "accuracy": 0.801,
    "brier": 0.1403,
    "latency_s": {"p50": 0.0011, "p95": 0.0024, "p99": 0.0041},
    "label_delay_s": {"p50": 9_720.0, "p95": 21_060.0, "p99": 25_400.0},
}

EXAMPLES: dict[str, Any] = {
    "DriftView": DRIFT,
    **RETRAINING,
    "DeploymentsView": {"deployments": [_DEPLOYMENT]},
    "DeploymentView": _DEPLOYMENT,
    "DecisionView": _DECISION,
    "TimelineView": {"decisions": [_DECISION]},
    "VerdictView": {
        "deployment": "flight-delay",
        "candidate": "canary",
        "generation": "a1f08c6e4d22",
        "model_version": "7",
        "phase": "running",
        "finding": "inconclusive",
        "sentence": _SENTENCE,
        "at": 1795467600.0,
        "judge_version": "1",
        "degraded_share": 0.002,
        "paused_by": [],
        "still_needed": {
            "towards": "pass",
            "observations": 1_240,
            "seconds": 97_200.0,
            "sentence": "At this pace it would pass in about 1 day, after 1,240 more of the candidate's requests.",
        },
        "guardrails": [_GUARDRAIL],
    },
    "PerformanceView": {
        "deployment": "flight-delay",
        "spans": [{"after": 1795381200.0, "until": 1795467600.0, "variants": [_LINE]}],
    },
    "PredictionView": {
        "prediction_id": "k1.fd.Wm3xQ0yXTl2fYw5o0dQ8Cg.8c1fTq2mR3sVbW4x",
        "deployment": "flight-delay",
        "revision": 12,
        "at": 1795467600.0,
        "assigned": "canary",
        "served": "canary",
        "status": 200,
        "error": None,
        "randomised": True,
        "degraded": False,
        "prediction": 1,
        "score": 0.83,
        "scores": None,
        "attempts": 1,
        "arms": [
            {"name": "stable", "generation": "5d0c2f3a91b7", "propensity": 0.95},
            {"name": "canary", "generation": "a1f08c6e4d22", "propensity": 0.05},
        ],
        "features": {"sched_dep_hour": {"value": 17, "status": "request", "event_time": None}},
        "latency_s": {"features": 0.0004, "model": 0.0009, "total": 0.0016},
        "shadows": [
            {
                "name": "v9",
                "generation": "c4d7e0b1a355",
                "prediction": 1,
                "score": 0.79,
                "error": None,
                "dropped": None,
            }
        ],
        "outcomes": [
            {
                "metric": "label",
                "value": 1,
                "observed_at": 1795478400.0,
                "received_at": 1795478401.2,
                "source": "ops",
            }
        ],
    },
    "LedgerView": {
        "predictions": {"received": 6_010, "stored": 6_008, "duplicates": 2, "crashed": 0},
        "outcomes": {
            "accepted": 5_700,
            "joined": 5_680,
            "waiting": 3,
            "corrected": 11,
            "expired": 0,
            "duplicate": 6,
        },
        "shadows": {"eligible": 6_008, "done": 6_001, "dropped": 7, "pending": 0, "dropped:queue_full": 7},
        "spooled": [{"host": "gw-1", "as_of": 1795467600.0, "predictions": 0, "outcomes": 0, "shadows": 0}],
    },
    "ValidationView": {
        "model": "flight-delay",
        "model_version": "7",
        "digest": "0d9f1f0f6b6d4a5d8f3e7c2b1a09f8e7d6c5b4a392817f6e5d4c3b2a19081726",
        "passed": True,
        "gates": [
            {
                "gate": "latency",
                "passed": True,
                "skipped": False,
                "sentence": "answering one row takes 0.4 ms at the 95th percentile; 100 ms are allowed.",
                "figure": 0.0004,
                "limit": 0.1,
            }
        ],
    },
    "HealthView": {"status": "ok"},
}
"""An answer by the name of its view."""
