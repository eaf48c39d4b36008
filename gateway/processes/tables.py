"""What a worker knows of who answers: the tables in force, and which candidates may take traffic here and now.

Rule 1: a table never gives way to a lower revision.
Rule 2: a table whose stable is not loaded here waits; the one before it goes on, but a candidate that the waiting
table has taken traffic from gets none.
Rule 3: without a lease, stable alone answers.

The agent also leaves each table on disk, so a worker can start and serve while the agent and its store are down.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from gateway.core.deployments import ModelCard
from gateway.core.errors import NoModelReady, UnknownDeployment
from gateway.core.routing import Part, RoutingTable
from gateway.ports import Clock

log = structlog.get_logger(__name__)

_DECODER = msgspec.json.Decoder(RoutingTable)


class Loaded(Protocol):
    """What runs models, as far as a table's use depends on it."""

    def loaded(self, digest: str) -> bool:
        """Whether a model is loaded and warm here."""

    def refused(self, part: Part) -> bool:
        """Whether a part gets no calls here and now."""


class TableBook:
    """The Routing port of a worker. Everything here happens on the event loop; nothing waits."""

    def __init__(self, clock: Clock, runner: Loaded, declared: Iterable[str] = ()) -> None:
        """``declared`` are the deployments that the configuration names, in force already or not."""
        self._clock = clock
        self._runner = runner
        self._declared = frozenset(declared)
        self._in_force: dict[str, RoutingTable] = {}
        self._waiting: dict[str, RoutingTable] = {}
        self._by_tag: dict[str, RoutingTable] = {}
        self._default: RoutingTable | None = None
        self._lease = float("-inf")

    def table(self, deployment: str | None) -> RoutingTable:
        """The table in force for a deployment (None: the default one).

        Raises NoModelReady for one that is declared and has no table yet, UnknownDeployment for any other.
        """
        table = self._default if deployment is None else self._in_force.get(deployment)
        if table is not None:
            return table
        if deployment in self._declared or (deployment is None and self._declared):
            raise NoModelReady(deployment or "the default deployment")
        raise UnknownDeployment

    def table_by_tag(self, tag: str) -> RoutingTable | None:
        """The table whose deployment an id's tag stands for."""
        return self._by_tag.get(tag)

    def able(self, table: RoutingTable) -> frozenset[str]:
        """Names of candidates that may take traffic: lease in force, loaded, not refused, not taken out since."""
        if not table.candidates or self._clock.machine() >= self._lease:
            return frozenset()
        newest = self._waiting.get(table.deployment, table)
        allowed = {(c.part.name, c.part.generation) for c in newest.candidates if c.weight > 0.0}
        parts = [c.part for c in table.candidates if (c.part.name, c.part.generation) in allowed]
        return frozenset([p.name for p in parts if self._runner.loaded(p.model.digest) and not self._runner.refused(p)])

    def adopt(self, tables: Iterable[RoutingTable]) -> None:
        """Take tables from the agent or from disk; each is in force at once, or as soon as its stable is loaded."""
        for table in tables:
            known = self._waiting.get(table.deployment) or self._in_force.get(table.deployment)
            if known is None or table.revision > known.revision or _says_more(table, known):
                self._waiting[table.deployment] = table
        self.settle()

    def settle(self) -> None:
        """Put tables that waited for their stable in force, if it is loaded now."""
        for name, table in list(self._waiting.items()):
            first = name not in self._in_force
            if first or self._runner.loaded(table.stable.model.digest):
                self._in_force[name] = self._waiting.pop(name)
                log.info("table_in_force", deployment=name, revision=table.revision)
        self._by_tag = {table.tag: table for table in self._in_force.values()}
        self._default = self._find_default()

    def extend_lease(self, until: float) -> None:
        """Let candidates take traffic until machine time ``until`` (seconds); a lease never shrinks."""
        self._lease = max(self._lease, until)

    def tables(self) -> tuple[RoutingTable, ...]:
        """Every table in force."""
        return tuple(self._in_force.values())

    def revisions(self) -> dict[str, int]:
        """The revision in force, by deployment."""
        return {name: table.revision for name, table in self._in_force.items()}

    def wanted(self) -> tuple[ModelCard, ...]:
        """Every model to hold, stables first: those of tables in force and of tables that wait."""
        tables = [*self._waiting.values(), *self._in_force.values()]
        stables = [table.stable.model for table in tables]
        others = [card for table in tables for card in table.models()]
        return tuple({card.digest: card for card in stables + others}.values())

    def ready(self) -> bool:
        """Whether every known deployment's stable is loaded, and there is at least one."""
        return bool(self._in_force) and all(
            self._runner.loaded(table.stable.model.digest) for table in self._in_force.values()
        )

    def stable_refused(self) -> bool:
        """Whether some stable model gets no calls on this worker any more, because its threads are stuck."""
        return any(self._runner.refused(table.stable) for table in self._in_force.values())

    def watching(self) -> frozenset[str]:
        """Names of parts that only watch."""
        return frozenset(shadow.part.name for table in self._in_force.values() for shadow in table.shadows)

    def _find_default(self) -> RoutingTable | None:
        """The one marked; else the only one there is, unless others are declared and only not in force yet."""
        tables = list(self._in_force.values())
        marked = next((table for table in tables if table.rules.default), None)
        if marked is not None or len(self._declared) > 1:
            return marked
        own = [table for table in tables if table.deployment in self._declared] or tables
        return own[0] if len(own) == 1 else None


def _says_more(table: RoutingTable, known: RoutingTable) -> bool:
    """Whether the same revision was worked out anew, as after the feature repository's plan has changed."""
    return table.revision == known.revision and table != known


def leave_on_disk(folder: Path, table: RoutingTable) -> None:
    """Write a table where a starting worker finds it: whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{table.deployment}.json"
    with hidden.open("wb") as file:
        file.write(msgspec.json.encode(table))
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(folder / f"{table.deployment}.json")


def take_from_disk(folder: Path, table: RoutingTable) -> None:
    """Remove a table that no worker may start from any more."""
    (folder / f"{table.deployment}.json").unlink(missing_ok=True)


def find_on_disk(folder: Path) -> list[RoutingTable]:
    """Read every table the agent left. One that cannot be read is reported and left out."""
    tables = []
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            tables.append(_DECODER.decode(path.read_bytes()))
        except (OSError, msgspec.DecodeError) as error:
            log.warning("table_unreadable", file=path.name, reason=str(error))
    return tables
