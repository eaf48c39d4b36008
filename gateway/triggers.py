"""The story of a look for a cause to train again: *collect what is known, ask the rules, write the run down*.

The leader's, a tick of data time at a time; what is costly is worked out once per window. Everything may block.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from gateway.core.actors import RETRAINING
from gateway.core.retraining.causes import Facts, due
from gateway.core.retraining.kpis import Shortfall, shortfall, window_of
from gateway.core.retraining.runs import Run
from gateway.core.retraining.terms import Kpi, RetrainingTerms
from gateway.core.state import DeploymentState
from gateway.documents import Documents, Note
from gateway.drifting import Drifting
from gateway.ports import DriftLog
from gateway.retraining import Runs

WATCHED: Final = "retraining_watched"


class Triggers:
    """Looks for causes of every deployment that wants to be trained again by itself."""

    def __init__(self, runs: Runs, documents: Documents, drift: DriftLog, drifting: Drifting) -> None:
        self._runs, self._documents, self._drift, self._drifting = runs, documents, drift, drifting
        self._windows: dict[tuple[str, Kpi], tuple[float, str, Shortfall | None]] = {}

    def look(self, deployment: str, watermark: float) -> Run | None:
        """Write down a run where a cause is due at ``watermark`` (data time, seconds), and return it.

        Raises UnknownDeployment, RunUnderWay.
        """
        state = self._documents.read(deployment)
        terms, kept = state.spec.retraining, state.retraining
        if not terms.by_itself or kept.alive is not None:
            return None
        if kept.since is None:
            self._begin(state, watermark)
            return None
        cause = due(deployment, terms, kept, self._facts(state, watermark))
        if cause is None:
            return None
        run, new = self._runs.write_down(deployment, cause, RETRAINING, watermark)
        return run if new else None

    def _begin(self, state: DeploymentState, watermark: float) -> None:
        """Causes count from here on: a schedule does not ask for what has gone by, nor do outcomes that came before."""
        joined = self._runs.joined(state.deployment)

        def change(now: DeploymentState) -> DeploymentState:
            return replace(now, retraining=replace(now.retraining, since=watermark, joined=joined))

        causes = ", ".join(_causes(state.spec.retraining))
        note = Note(WATCHED, RETRAINING, f"from now on the model is trained again by itself: {causes}")
        self._documents.change(state.deployment, change, note)

    def _facts(self, state: DeploymentState, watermark: float) -> Facts:
        terms = state.spec.retraining
        broken = [found for kpi in terms.kpis if (found := self._shortfall(state, kpi, watermark)) is not None]
        return Facts(
            now=watermark,
            alarms=() if terms.drift is None else self._drifting.standing(state),
            shortfalls=broken,
            joined=0 if terms.labels is None else self._runs.joined(state.deployment),
        )

    def _shortfall(self, state: DeploymentState, kpi: Kpi, watermark: float) -> Shortfall | None:
        """What the latest complete window says of the stable there is now."""
        after, until = window_of(kpi, watermark, state.spec.maturity_s)
        place, stable = (state.deployment, kpi), state.stable
        known = self._windows.get(place)
        if known is None or known[:2] != (until, stable.generation):
            rows = self._drift.logged(state.deployment, after, until, kpi.sample)
            its_own = [row for row in rows if row.generation == stable.generation]
            known = (until, stable.generation, shortfall(kpi, its_own, stable.model.task, until))
            self._windows[place] = known
        return known[2]


def _causes(terms: RetrainingTerms) -> Iterator[str]:
    """Say which causes are looked for."""
    if terms.drift is not None:
        yield "on drift"
    for kpi in terms.kpis:
        yield f"on {kpi.source.value} {kpi.metric} worse than {kpi.worse_than:g}"
    if terms.labels is not None:
        yield f"on {terms.labels.count:,} new outcomes"
    if terms.schedule is not None:
        yield "on a schedule"
