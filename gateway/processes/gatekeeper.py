"""Holds a prepared model to its deployment's validation gate, before any traffic: figures from a child, then the rules.

Slow and aside. Nothing of it touches a request or a look, except that reading the log takes a turn on the store's
thread.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gateway.adapters.models.measuring import measure
from gateway.control import Control
from gateway.core.deployments import ModelCard, Scalar
from gateway.core.gates import (
    Gate,
    GateResult,
    Measured,
    Replayable,
    judge_golden,
    judge_holdout,
    judge_latency,
    judge_memory,
    judge_robustness,
    judge_schema,
    replay_rows,
)
from gateway.core.rules import GateRules, Holdout
from gateway.core.state import DeploymentState
from gateway.edge.control_parts import Prepared
from gateway.edge.run import Run
from gateway.ports import EventLog
from gateway.processes.duties import aside


class Gatekeeper:
    """Measures and judges models for every deployment of this host."""

    def __init__(self, control: Control, log: EventLog, cache: Path, run: Run) -> None:
        """``cache`` is the folder of prepared models."""
        self._control = control
        self._log = log
        self._cache = cache
        self._run = run

    async def results(self, deployment: str, prepared: Prepared) -> list[GateResult]:
        """Hold a prepared model to each gate, in order. Raises ModelUnusable where it cannot even be run."""
        state = await self._run(partial(self._control.read, deployment))
        card, gate = prepared.model, state.spec.gate
        schema = judge_schema(state.spec, card, prepared.features)
        if not schema.passed:
            return [schema]
        recent = await self._recent(deployment, gate)
        rows, labels, lacking = replay_rows(card, recent)
        measured = await aside(measure, self._cache, card, rows, gate.robustness and gate.robustness.noise)
        results = [schema, *_own(state, measured)]
        if gate.holdout is not None:
            results.append(await self._holdout(state, card, gate.holdout, measured, recent, labels, lacking))
        if gate.robustness is not None:
            results.append(judge_robustness(measured, card.task, gate.robustness))
        return results

    async def _recent(self, deployment: str, gate: GateRules) -> Sequence[Replayable]:
        """Requests to replay: labelled ones, or any where there are none and labels are not asked for."""
        if not gate.replays:
            return []
        found = await self._run(partial(self._log.replayable, deployment, gate.rows, labelled=True))
        if found or gate.robustness is None:
            return found
        return await self._run(partial(self._log.replayable, deployment, gate.rows, labelled=False))

    async def _holdout(
        self,
        state: DeploymentState,
        card: ModelCard,
        rules: Holdout,
        measured: Measured,
        recent: Sequence[Replayable],
        labels: Sequence[Scalar],
        lacking: str,
    ) -> GateResult:
        labelled = [label for label in labels if label is not None]
        if lacking or len(labelled) < max(1, rules.at_least):
            return judge_holdout(card, labelled, measured, measured, rules) if not lacking else _lacks(rules, lacking)
        stable = state.stable.model
        rows, _, lost = replay_rows(stable, recent)
        if lost:
            return _lacks(rules, lost)
        theirs = await aside(measure, self._cache, stable, rows, None)
        return judge_holdout(card, labels, measured, theirs, rules)


def _own(state: DeploymentState, measured: Measured) -> list[GateResult]:
    """The gates that need nothing but the model."""
    gate = state.spec.gate
    found = [judge_golden(measured)] if gate.golden else []
    limit = state.spec.rules.canary_deadline_s if gate.latency_s is None else gate.latency_s
    found.append(judge_latency(measured, limit))
    if gate.memory_bytes is not None:
        found.append(judge_memory(measured, gate.memory_bytes))
    return found


def _lacks(rules: Holdout, name: str) -> GateResult:
    sentence = f"the log's requests do not know the input {name}, so they cannot be replayed."
    return GateResult(Gate.HOLDOUT, not rules.required, sentence, skipped=not rules.required)
