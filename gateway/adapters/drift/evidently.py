"""Drift reports by Evidently. The agent's and the command's side: the work is done by :mod:`evidently_child`.

Evidently imports half a gigabyte and takes seconds, and a window of the log may be large; so a process of its own reads
the store beside its writer, within limits of time and memory, and ends with the page.
"""

import os
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import msgspec

from gateway.adapters.children import ANSWER, how_it_ended, run_child
from gateway.contrast import Asked
from gateway.core.errors import ExtraMissing, GatewayError, NothingToCompare, ReportFailed, UnknownDeployment

EXTRA = "drift-report"
PAGE = "report.html"
_CHILD = "gateway.adapters.drift.evidently_child"


class Trouble(StrEnum):
    """Why there is no page."""

    UNKNOWN = "unknown"
    NOTHING = "nothing"
    FAILED = "failed"


class Job(msgspec.Struct, frozen=True):
    """What the child is asked: a report from a store and a folder of prepared models, and what it may cost.

    ``folder`` is where paths begin.
    """

    asked: Asked
    store_url: str
    models: str
    folder: str
    wall_s: float
    memory_bytes: int


class Found(msgspec.Struct, frozen=True):
    """That the page lies in :data:`PAGE`, or why it does not."""

    trouble: Trouble | None = None
    sentence: str = ""


class Reporter:
    """Makes reports of the store at ``store_url``, each within ``wall_s`` machine seconds and ``memory_bytes``."""

    def __init__(self, store_url: str, models: Path, wall_s: float = 120.0, memory_bytes: int = 4 << 30) -> None:
        self._store_url, self._models = store_url, models
        self._wall_s, self._memory_bytes = wall_s, memory_bytes

    def page(self, asked: Asked) -> bytes:
        """One page of HTML that stands alone. Blocks.

        Raises ExtraMissing, UnknownDeployment, NothingToCompare, ReportFailed.
        """
        if find_spec("evidently") is None:
            raise ExtraMissing("Evidently", EXTRA)
        if self._store_url.startswith("memory:"):
            raise NothingToCompare("A store in memory can be read by its own process only.")
        job = Job(asked, self._store_url, str(self._models), str(Path.cwd()), self._wall_s, self._memory_bytes)
        with tempfile.TemporaryDirectory(prefix="gateway-report-", ignore_cleanup_errors=True) as scratch:
            code = run_child(_CHILD, msgspec.json.encode(job), Path(scratch), self._wall_s, _database())
            try:
                found = msgspec.json.decode(Path(scratch, ANSWER).read_bytes(), type=Found)
            except msgspec.DecodeError as error:
                raise ReportFailed(how_it_ended(code, self._wall_s, "Making the report")) from error
            if found.trouble is not None:
                raise _error(found)
            return Path(scratch, PAGE).read_bytes()


def _error(found: Found) -> GatewayError:
    match found.trouble:
        case Trouble.UNKNOWN:
            return UnknownDeployment()
        case Trouble.NOTHING:
            return NothingToCompare(found.sentence)
        case _:
            return ReportFailed(found.sentence)


def _database() -> Mapping[str, str]:
    """What libpq reads of the environment: the child opens the same store."""
    return {name: value for name, value in os.environ.items() if name.startswith("PG")}
