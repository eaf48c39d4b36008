"""What the judge remembers of each candidate, kept in the store from look to look.

How a look is made is :mod:`gateway.looking`'s business, what follows from one :mod:`gateway.control`'s. What a case is
made of is in :mod:`gateway.core.cases` and its neighbours.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from gateway import looking
from gateway.core.judging import JUDGE_VERSION, JudgeState, Verdict
from gateway.core.looks import Look, Opening, moved
from gateway.core.rollout import Rollout
from gateway.ports import ControlState, EventLog


class JudgeCodec(Protocol):
    """Turns what the judge remembers into bytes for the store, and back, exactly."""

    def encode(self, case: JudgeState) -> bytes:
        """Write it down."""

    def decode(self, raw: bytes) -> JudgeState:
        """Read what :meth:`encode` wrote."""


class Cases:
    """The judge's memory: a case for each generation of evidence. Everything may block, as the store does."""

    def __init__(self, state: ControlState, log: EventLog, codec: JudgeCodec) -> None:
        self._state = state
        self._log = log
        self._codec = codec

    def of(self, deployment: str, rollout: Rollout, at: float = 0.0) -> JudgeState:
        """What is remembered of a candidate: its last look, or a case just opened (at ``at``, if need be)."""
        return self._case(looking.opening_of(deployment, rollout, "", at))

    def judged(self, opening: Opening, watermark: float, visible: Mapping[str, int]) -> JudgeState:
        """What the judge makes of everything up to the watermark, remembered with the look that it came from."""
        case = self._case(opening)
        if not looking.has_news(opening, case, watermark):
            return case
        judged = looking.look(self._log, opening, case, watermark, visible)
        first = opening if case.judged_until is None else None
        made = Look(watermark, moved(case.cursor, visible))
        self._state.save_look(opening.deployment, opening.generation, self._codec.encode(judged), made, first)
        return judged

    def _case(self, opening: Opening) -> JudgeState:
        raw = self._state.judge_state(opening.deployment, opening.generation)
        return looking.open_case(opening) if raw is None else self._codec.decode(raw)


def evidence_of(rollout: Rollout, case: JudgeState, verdict: Verdict) -> dict[str, Any]:
    """Enough to compute a decision again from the log: what was judged, up to where, by which rules.

    ``rollout`` is as the rules were asked about it; its plan and terms stand in the generation's opening.
    """
    return {
        "judge_version": JUDGE_VERSION,
        "generation": looking.generation_of(rollout),
        "phase": rollout.phase.value,
        "step": rollout.step,
        "seen": rollout.seen,
        "reported": rollout.reported,
        "since": rollout.since,
        "patient_since": rollout.patient_since,
        "n_candidate": case.n_candidate,
        "n_pairs": case.n_pairs,
        "window": {"opened_at": rollout.opened_at, "until": case.judged_until, "matured_until": case.matured_until},
        "visible": dict(case.cursor),
        "verdict": asdict(verdict),
    }
