"""An answer as the data plane writes it, whichever protocol asked."""

import msgspec

from gateway.core.deployments import Scalar
from gateway.passage import Answer, Explanation


class Said(msgspec.Struct, omit_defaults=True, gc=False):
    """An answer as it is written: what is None is left out, but for the prediction itself."""

    prediction_id: str
    deployment: str
    prediction: Scalar | dict[str, float]
    degraded: tuple[str, ...]
    logged: bool
    score: float | None = None
    scores: dict[str, float] | None = None
    variant: str | None = None
    model_version: str | None = None
    fallback: bool = False
    explain: dict[str, object] | None = None


def said(answer: Answer) -> Said:
    """Write one answer down."""
    output = answer.output
    several = output.label is None and output.scores is not None
    return Said(
        answer.prediction_id,
        answer.deployment,
        output.scores if several else output.label,
        answer.degraded,
        answer.logged,
        output.score,
        None if several else output.scores,
        answer.variant,
        answer.model_version,
        answer.fallback,
        None if answer.explanation is None else _explain(answer.explanation),
    )


def _explain(explanation: Explanation) -> dict[str, object]:
    arm = ("variant", "model_version", "propensity")
    said: dict[str, object] = msgspec.to_builtins(explanation)
    return {name: value for name, value in said.items() if name not in arm or value is not None}
