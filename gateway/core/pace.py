"""What the plan and the judge's verdict ask of a rollout next.

Pure. It only ever proposes a signal; whether the rollout takes it is the table's word (:mod:`gateway.core.rollout`).
"""

from dataclasses import dataclass

from gateway.core.deployments import Step
from gateway.core.judging import Finding, JudgeState, Verdict
from gateway.core.rollout import JUDGED, Phase, Rollout, Signal
from gateway.core.words import span


@dataclass(frozen=True, slots=True)
class Move:
    """A signal that the rules would send, and why, in a sentence."""

    signal: Signal
    reason: str


def observed(step: Step, case: JudgeState) -> int:
    """How many observations of the candidate have been judged, of the kind the step counts: pairs, or its own bets."""
    return case.n_candidate if step.weight > 0.0 else case.n_pairs


def next_signal(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Move | None:
    """Say what the judge's verdict and the plan ask for at data time ``at`` (seconds), or None to go on as it is.

    In this order: a failed guardrail demotes, in any phase; a running rollout is paused by a signal; moves on once
    its step has lasted long enough and ``seen`` enough (a shadow's or a share's observations so far); and when it
    has been undecided for the plan's ``max_age_s`` gets what the plan says. A dry run says each thing once.
    """
    move = _asked(rollout, verdict, at, seen)
    if move is not None and only_reported(rollout, move) and rollout.reported == move.signal.value:
        return None
    return move


def _asked(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Move | None:
    if rollout.phase not in JUDGED:
        return None
    if verdict.finding is Finding.FAIL:
        return Move(Signal.DEMOTE, verdict.sentence)
    if rollout.phase is not Phase.RUNNING:
        return None
    if verdict.paused_by:
        return Move(Signal.PAUSE, verdict.sentence)
    return _onward(rollout, verdict, at, seen) or _out_of_patience(rollout, at)


def _onward(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Move | None:
    step, age, events = rollout.current, at - rollout.since, seen - rollout.seen
    if age < step.at_least_s or events < step.events:
        return None
    if rollout.on_last_step:
        return _crowning(rollout, verdict)
    done = f"step {rollout.step + 1} of {len(rollout.plan.steps)} is done: {events:,} observations in {span(age)}"
    if step.approval:
        return Move(Signal.AWAIT, f"{done}; the next one waits for approval (resume)")
    return Move(Signal.ADVANCE, f"{done}, and no guardrail failed")


def _crowning(rollout: Rollout, verdict: Verdict) -> Move | None:
    if verdict.finding is not Finding.PASS:
        return None
    if rollout.plan.auto_promote and not rollout.current.approval:
        return Move(Signal.PROMOTE, verdict.sentence)
    return Move(Signal.AWAIT, f"{verdict.sentence} The plan leaves the last word to an operator (promote).")


def _out_of_patience(rollout: Rollout, at: float) -> Move | None:
    waited = at - rollout.patient_since
    if waited < rollout.plan.max_age_s:
        return None
    signal = _INCONCLUSIVE[rollout.plan.on_inconclusive]
    return Move(signal, f"undecided after {span(waited)}; the plan says {rollout.plan.on_inconclusive}")


_INCONCLUSIVE = {"hold": Signal.PAUSE, "promote": Signal.PROMOTE, "demote": Signal.DEMOTE}

_DRY = frozenset({Signal.PROMOTE, Signal.DEMOTE, Signal.PAUSE})
"""Signals that a dry run writes down instead of sending. Its steps only watch, so it may take those."""


def only_reported(rollout: Rollout, move: Move) -> bool:
    """Whether a move is written down and not made, since the plan is a dry run."""
    return rollout.plan.dry_run and move.signal in _DRY


def said(rollout: Rollout, move: Move) -> str:
    """What the timeline calls a move: the signal, or what the signal would have been."""
    return f"would_{move.signal.value}" if only_reported(rollout, move) else move.signal.value
