"""A recorded decision, computed again from the log: the same looks, the same rules, and so the same words.

Nothing is written. What a judge of another version decided is refused rather than judged by other rules.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from gateway import looking
from gateway.core import judging
from gateway.core.actors import JUDGE
from gateway.core.errors import NotReplayable
from gateway.core.events import Decision
from gateway.core.judge_state import JUDGE_VERSION, REPLAYABLE
from gateway.core.judging import JudgeState, Verdict
from gateway.core.looks import Opening, unfolded
from gateway.core.pace import next_signal, observed, said
from gateway.core.rollout import Phase, Rollout
from gateway.ports import ControlState, EventLog


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the recomputed decision is not the recorded one."""

    place: str
    recorded: object
    recomputed: object


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision, what computing it again gave, and where the two differ (nowhere, if all is well)."""

    decision: Decision
    verdict: Verdict
    action: str | None
    looks: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether every bit is the same."""
        return not self.differences


def from_evidence(decision: Decision) -> bool:
    """Whether a decision came from evidence, and so can be computed again.

    The judge's own did; so did the rise of a shadow, which an operator asked for and pairs allowed.
    """
    return {"verdict", "judge_version"} <= decision.evidence.keys()


def replay(state: ControlState, log: EventLog, decision: Decision) -> Replayed:
    """Compute a recorded decision again. Raises NotReplayable, StoreUnavailable.

    Every look of its generation up to the decision is made again on what it could see then; the verdict, the counts
    and what the plan made of them are compared with the record, bit for bit.
    """
    opening = _opening(state, decision)
    until = float(decision.evidence["window"]["until"])
    looks = [look for look in state.looks(opening.deployment, opening.generation) if look.at <= until]
    case = looking.open_case(opening)
    for case in cases(log, opening, unfolded(looks)):  # noqa: B007 - the last one is what remains
        pass
    at = float(decision.evidence["verdict"]["at"])
    verdict = judging.verdict(case, at)
    action, reason = _asked_for(opening, decision, case, verdict)
    recomputed = {
        "action": action,
        "reason": reason,
        "n_candidate": case.n_candidate,
        "n_pairs": case.n_pairs,
        "visible": case.cursor,
        "verdict": asdict(verdict),
    }
    recorded = {"action": decision.action, "reason": decision.reason} | {
        name: decision.evidence.get(name) for name in ("n_candidate", "n_pairs", "visible", "verdict")
    }
    return Replayed(decision, verdict, action, len(looks), tuple(differences(plain(recorded), plain(recomputed))))


def cases(log: EventLog, opening: Opening, looks: Iterable[tuple[float, Mapping[str, int]]]) -> Iterator[JudgeState]:
    """Make looks again, in order, and give what the judge knew after each."""
    case = looking.open_case(opening)
    for at, visible in looks:
        case = looking.look(log, opening, case, at, visible)
        yield case


def differences(recorded: object, recomputed: object, place: str = "") -> Iterator[Difference]:
    """List the places at which two documents differ; numbers must be the same to the last bit.

    >>> [found.place for found in differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.0000000000000004]})]
    ['a.1']
    """
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for name in sorted({*recorded, *recomputed}):
            yield from differences(recorded.get(name), recomputed.get(name), f"{place}.{name}".lstrip("."))
    elif isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        for index, (one, other) in enumerate(zip(recorded, recomputed, strict=True)):
            yield from differences(one, other, f"{place}.{index}".lstrip("."))
    elif recorded != recomputed:
        yield Difference(place, recorded, recomputed)


def plain(value: Any) -> Any:  # noqa: ANN401 - any document
    """Return a document as the store's JSON would give it back: words, numbers, lists and mappings.

    >>> plain({"phase": Phase.RUNNING, "cells": (1, float("inf"))})
    {'phase': 'running', 'cells': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _opening(state: ControlState, decision: Decision) -> Opening:
    """Find how the decision's evidence began. Raises NotReplayable."""
    named = f"Decision {decision.deployment}@{decision.revision}"
    if not from_evidence(decision):
        raise NotReplayable(f"{named} was made by {decision.actor}, not from evidence: there is nothing to compute.")
    version = decision.evidence.get("judge_version")
    if version not in REPLAYABLE:
        raise NotReplayable(f"{named} was made by judge {version}; this is judge {JUDGE_VERSION}.")
    generation = decision.evidence.get("generation")
    opening = state.opening(decision.deployment, generation) if generation else None
    if opening is None:
        raise NotReplayable(f"{named} was made by a gateway that did not keep its looks.")
    if opening.version not in REPLAYABLE:
        raise NotReplayable(f"{named}: its first looks were made by judge {opening.version}.")
    return opening


def _asked_for(
    opening: Opening, decision: Decision, case: JudgeState, verdict: Verdict
) -> tuple[str | None, str | None]:
    """What the rules ask for and why; where an operator asked, that is no rule's word and stands as recorded."""
    if decision.actor != JUDGE:
        return decision.action, decision.reason
    asked = _as_asked(opening.rollout, decision)
    move = next_signal(asked, verdict, verdict.at, _observed(opening, decision, case))
    return (None, None) if move is None else (said(asked, move), move.reason)


def _as_asked(rollout: Rollout, decision: Decision) -> Rollout:
    """The candidate as it stood when the rules were asked."""
    stood = decision.evidence
    return replace(
        rollout,
        phase=Phase(stood["phase"]),
        step=int(stood["step"]),
        seen=int(stood["seen"]),
        since=float(stood["since"]),
        patient_since=float(stood["patient_since"]),
        reported=str(stood.get("reported", "")),
    )


def _observed(opening: Opening, decision: Decision, case: JudgeState) -> int:
    return observed(opening.rollout.plan.steps[int(decision.evidence["step"])], case)
