"""Records as tests write them: complete, with whatever a test is about given by name."""

from dataclasses import replace
from typing import Any

from gateway.core.events import (
    ArmRecord,
    CrashRecord,
    Event,
    OutcomeRecord,
    PredictionRecord,
    Punctuation,
    ShadowRecord,
)
from gateway.core.ids import tag_of

DEPLOYMENT = "flight-delay"
TAG = tag_of(DEPLOYMENT)
T0 = 1_363_000_000.0


def arms(**propensities: float) -> tuple[ArmRecord, ...]:
    """Arms by name; each one's generation is ``g-<name>``."""
    return tuple(ArmRecord(name, f"g-{name}", share, f"digest-{name}") for name, share in propensities.items())


def prediction(body: str = "b1", at: float = T0, assigned: str = "stable", **fields: Any) -> PredictionRecord:
    """One answered request, a tenth of them canary's."""
    record = PredictionRecord(
        tag=TAG,
        body=body,
        deployment=DEPLOYMENT,
        revision=3,
        epoch=int(at // 86_400),
        key_hash=f"key-{body}",
        at=at,
        assigned=assigned,
        served=assigned,
        arms=arms(stable=0.9, canary=0.1),
        label=1,
        score=0.75,
        latency={"features": 0.001, "model": 0.002, "total": 0.004},
    )
    return replace(record, **fields)


def shadow(body: str = "b1", at: float = T0, **fields: Any) -> ShadowRecord:
    """One score of a shadow of generation ``g-v9``."""
    record = ShadowRecord(TAG, body, DEPLOYMENT, at, "v9", "g-v9", "digest-v9", "g-stable", stable_served=True, label=0)
    return replace(record, **fields)


def outcome(body: str = "b1", value: Any = 1, observed_at: float = T0 + 60, **fields: Any) -> OutcomeRecord:
    """One truth, received as it was observed."""
    return replace(OutcomeRecord(TAG, body, "label", value, observed_at, observed_at), **fields)


def crash(body: str = "b1", at: float = T0, generation: str = "g-canary") -> CrashRecord:
    """The mark of a dead worker."""
    return CrashRecord(TAG, body, generation, at)


EVENTS: list[Event] = [
    prediction(
        names=("a", "b"), values=(1, "x"), statuses=b"\x00\x03", event_times=(None, T0), scores={"x": 0.5}, score=None
    ),
    shadow(dropped="queue_full"),
    outcome(value="late", source="ops"),
    crash(),
    Punctuation(low=T0, high=T0 + 1),
]
