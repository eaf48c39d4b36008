"""The story of a drift report: what is served now beside what was in the reference, for whoever wants to look closely.

It collects and decides nothing: how far two columns are apart, and whether that matters, is the reader's word (an
Evidently report) and, for alarms, :mod:`gateway.drifting`'s. Everything may block.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.drift.rows import LoggedRow
from gateway.core.drift.sides import Column, Sides, Span, beside_profile, beside_rows
from gateway.core.drift.terms import Reference
from gateway.core.drift.watch import WINDOW_S
from gateway.core.errors import NothingToCompare, UnknownDeployment
from gateway.core.routing import Part
from gateway.core.state import DeploymentState
from gateway.ports import ControlState, DriftLog, EventLog, Profiles

MOST = 10_000
"""Rows of each side, drawn at random."""
LEAST = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is about. ``live`` None: the last day that was served. ``reference`` None: as declared."""

    deployment: str
    live: Span | None = None
    reference: Span | None = None


@dataclass(frozen=True, slots=True)
class Contrasting:
    """Lays both sides out, from the log and the model's profile."""

    control: ControlState
    events: EventLog
    log: DriftLog
    profiles: Profiles

    def sides(self, asked: Asked) -> Sides:
        """What was asked for. Raises UnknownDeployment, NothingToCompare, StoreUnavailable, ModelUnusable."""
        state = self.control.read(asked.deployment)
        if state is None:
            raise UnknownDeployment
        live, stable = asked.live or self._last_day(asked.deployment), state.stable
        rows = self._rows(asked.deployment, live, "live")
        declared = asked.reference or _declared(state)
        if declared is not None:
            seen = self._rows(asked.deployment, declared, "reference")
            columns = beside_rows(seen, rows, stable.generation, state.spec.drift.features)
            return Sides(f"{_of(state, live)}, beside the log {_when(declared)}.", tuple(columns))
        source, columns = self._by_profile(state, stable, rows)
        return Sides(f"{_of(state, live)}, beside the {source} that lies with its model.", tuple(columns))

    def _by_profile(self, state: DeploymentState, stable: Part, rows: list[LoggedRow]) -> tuple[str, list[Column]]:
        profile = self.profiles(stable.model.digest)
        if profile is None:
            raise NothingToCompare(f"{stable.model.uri} carries no reference profile (profile.json).")
        only = state.spec.drift.features
        inputs = [one for one in profile.features if not only or one.name in only]
        columns = beside_profile([*inputs, *profile.predictions], rows, stable.generation, MOST)
        return f"profile ({profile.source or 'of its training'})", columns

    def _rows(self, deployment: str, span: Span, side: str) -> list[LoggedRow]:
        rows = self.log.logged(deployment, span.after, span.until, MOST)
        if len(rows) < LEAST:
            raise NothingToCompare(f"The {side} window, {_when(span)}, holds {len(rows)} requests; {LEAST} are needed.")
        return rows

    def _last_day(self, deployment: str) -> Span:
        latest = self.events.latest(deployment)
        if latest is None:
            raise NothingToCompare("Nothing has been served yet.")
        return Span(latest - WINDOW_S, latest)


def _declared(state: DeploymentState) -> Span | None:
    terms = state.spec.drift
    return Span(terms.since, terms.until) if terms.reference is Reference.LOG else None


def _of(state: DeploymentState, live: Span) -> str:
    return f"{state.deployment}, stable version {state.stable.model.version}: what was served {_when(live)}"


def _when(span: Span) -> str:
    """Say a span.

    >>> _when(Span(0.0, 86_400.0))
    'from 1970-01-01 00:00 to 1970-01-02 00:00 UTC'
    """
    begin, end = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (span.after, span.until))
    return f"from {begin} to {end} UTC"
