"""What the plan and the judge's verdict ask of a rollout next.

Pure. It only ever proposes a signal; whether the rollout takes it is the table's word (:mod:`gateway.core.rollout`).
"""

from dataclasses import dataclass, replace

from gateway.core.deployments import Role, Step
from gateway.core.judge_state import PAIRED
from gateway.core.judging import Finding, JudgeState, MetricFinding, Verdict
from gateway.core.rollout import JUDGED, Phase, Rollout, Signal
from gateway.core.words import span


@dataclass(frozen=True, slots=True)
class Move:
    """A signal that the rules would send, and why, in a sentence."""

    signal: Signal
    reason: str


def action_of(phase: Phase, signal: Signal) -> str:
    """Name what is done to a rollout of that phase by that signal, as the timeline shows it.

    >>> action_of(Phase.RUNNING, Signal.DEMOTE), action_of(Phase.WATCHED, Signal.DEMOTE)
    ('demote', 'rollback')
    """
    return _UNDER_WATCH.get(signal, signal.value) if phase is Phase.WATCHED else signal.value


def observed(step: Step, case: JudgeState) -> int:
    """How many observations of the candidate have been judged, of the kind the step counts: pairs, or its own bets."""
    return case.n_candidate if step.weight > 0.0 else case.n_pairs


def seen_by_then(rollout: Rollout, case: JudgeState) -> int:
    """What the next step, if there is one, has to count its events from."""
    following = rollout.plan.steps[min(rollout.step + 1, len(rollout.plan.steps) - 1)]
    return observed(following, case)


def since_opened(rollout: Rollout, case: JudgeState) -> Rollout:
    """The rollout with no time counted from before its case was opened."""
    since, patient_since = max(rollout.since, case.opened_at), max(rollout.patient_since, case.opened_at)
    if (since, patient_since) == (rollout.since, rollout.patient_since):
        return rollout
    return replace(rollout, since=since, patient_since=patient_since)


def next_signal(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Move | None:
    """Say what the judge's verdict and the plan ask for at data time ``at`` (seconds), or None to go on as it is.

    One under watch is demoted when it has been shown to be worse than the stable before it, and stays when its time is
    over. A candidate, in this order: a failed guardrail demotes, in any phase; a running rollout is paused by a
    signal; moves on once its step has lasted long enough and ``seen`` enough (a shadow's or a share's observations so
    far); and when it has been undecided for the plan's ``max_age_s`` gets what the plan says. A dry run says each
    thing once.
    """
    move = _asked(rollout, verdict, at, seen)
    if move is not None and only_reported(rollout, move) and rollout.reported == move.signal.value:
        return None
    return move


def _asked(rollout: Rollout, verdict: Verdict, at: float, seen: int) -> Move | None:
    if rollout.phase is Phase.WATCHED:
        return _under_watch(rollout, verdict, at)
    if rollout.phase not in JUDGED or rollout.terms.on_pairs:  # of a shadow on trial, people make what they will
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
    shown = _shown(rollout, verdict)
    if shown is None:
        return None
    if rollout.plan.auto_promote and not rollout.current.approval:
        return Move(Signal.PROMOTE, shown)
    return Move(Signal.AWAIT, f"{shown} The plan leaves the last word to an operator (promote).")


def _shown(rollout: Rollout, verdict: Verdict) -> str | None:
    """Say by what the candidate has been shown to be safe, if it has.

    On its own traffic; or, straight from a shadow step, on pairs alone, where predictions do not influence labels.
    """
    if verdict.finding is Finding.PASS:
        return verdict.sentence
    if rollout.current.weight > 0.0 or not rollout.terms.labels_independent:
        return None
    pairs = [one for one in verdict.findings if one.metric.startswith(PAIRED) and _counts(one)]
    if not pairs or any(one.finding is not Finding.PASS for one in pairs):
        return None
    return f"Shown to be safe as a shadow, on the same requests: {' '.join(one.sentence for one in pairs)}"


def _counts(found: MetricFinding) -> bool:
    return found.role is not Role.SIGNAL and not found.dry_run


def _under_watch(rollout: Rollout, verdict: Verdict, at: float) -> Move | None:
    watch = rollout.watch
    if watch is None:
        return None
    if verdict.finding is Finding.FAIL:
        back = f"{watch.former.model.name} {watch.former.model.version}"
        return Move(Signal.DEMOTE, f"After its promotion, on the same requests as {back}: {verdict.sentence}")
    if at < watch.over_at:
        return None
    return Move(Signal.PROMOTE, f"watched for {at - watch.since:,.0f} s after its promotion: {verdict.sentence}")


def _out_of_patience(rollout: Rollout, at: float) -> Move | None:
    waited = at - rollout.patient_since
    if waited < rollout.plan.max_age_s:
        return None
    signal = _INCONCLUSIVE[rollout.plan.on_inconclusive]
    return Move(signal, f"undecided after {span(waited)}; the plan says {rollout.plan.on_inconclusive}")


_UNDER_WATCH = {Signal.DEMOTE: "rollback", Signal.PROMOTE: "settle"}
_INCONCLUSIVE = {"hold": Signal.PAUSE, "promote": Signal.PROMOTE, "demote": Signal.DEMOTE}

_DRY = frozenset({Signal.PROMOTE, Signal.DEMOTE, Signal.PAUSE})
"""Signals that a dry run writes down instead of sending. Its steps only watch, so it may take those."""


def only_reported(rollout: Rollout, move: Move) -> bool:
    """Whether a move is written down and not made, since the plan is a dry run."""
    return rollout.plan.dry_run and move.signal in _DRY


def said(rollout: Rollout, move: Move) -> str:
    """What the timeline calls a move: what is done by its signal, or would have been."""
    action = action_of(rollout.phase, move.signal)
    return f"would_{action}" if only_reported(rollout, move) else action
