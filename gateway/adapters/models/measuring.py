"""Measures a prepared model for the validation gate, in a child process with limits of its own. Slow; the agent's."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.adapters.children import ANSWER, how_it_ended, run_child
from gateway.adapters.models.gate_child import Figures, Job
from gateway.adapters.models.prepare import Limits
from gateway.core.deployments import ModelCard, Scalar
from gateway.core.errors import ModelUnusable
from gateway.core.gates import Measured

_CHILD = "gateway.adapters.models.gate_child"
_LIMITS = Limits()


def measure(
    cache: Path, card: ModelCard, rows: Sequence[list[Scalar]], noise: float | None, limits: Limits = _LIMITS
) -> Measured:
    """Run a model of the cache folder on its own examples and on ``rows``. Raises ModelUnusable where it cannot run.

    ``noise`` (None: none) disturbs the rows once more, by that share of each column's spread.
    """
    job = Job(
        str(cache),
        card,
        list(rows),
        noise,
        limits.wall_s,
        limits.memory_bytes,
        limits.artifact_bytes,
    )
    with tempfile.TemporaryDirectory(prefix="gateway-gate-", ignore_cleanup_errors=True) as scratch:
        code = run_child(_CHILD, msgspec.json.encode(job), Path(scratch), limits.wall_s)
        found = _read(Path(scratch, ANSWER))
    if found is not None and found.measured is not None:
        return found.measured
    if found is not None:
        raise ModelUnusable(f"{card.uri}: {found.unusable}")
    raise ModelUnusable(f"{card.uri}: {how_it_ended(code, limits.wall_s)}")


def _read(path: Path) -> Figures | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Figures)
    except (OSError, msgspec.MsgspecError):
        return None
