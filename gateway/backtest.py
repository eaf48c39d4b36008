"""Another policy over the logged history: when it would have acted, against what happened.

The looks are the ones that were made, each on what could be seen then, so the policy knows nothing early. Traffic stays
as it was: bets are settled at the shares in force then, and of a plan its conditions are tried, not its shares. Where a
plan waits for approval, it is taken as given at once. After the last look come a few more, until the labels of its
requests have come of age: a slower policy may need them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import looking
from gateway.core import judging
from gateway.core.deployments import Guardrail, Plan
from gateway.core.errors import NotReplayable
from gateway.core.events import Decision
from gateway.core.judge_state import SAMPLE_RATIO
from gateway.core.judging import JudgeState, Verdict
from gateway.core.looks import Look, Opening, unfolded
from gateway.core.pace import next_signal, observed, seen_by_then, since_opened
from gateway.core.rollout import ENDED, Phase, Rollout, Signal, Terms, begin, send
from gateway.ports import ControlState, EventLog
from gateway.replay import cases

LAST_LOOKS = 20
"""Looks made after the last recorded one, over the age at which labels count."""
FINAL = frozenset({Signal.PROMOTE.value, Signal.DEMOTE.value})
_EVERY = 2**62


@dataclass(frozen=True, slots=True)
class Policy:
    """What a candidate would have been held to; None keeps what it was held to. Times in seconds of data time."""

    guardrails: tuple[Guardrail, ...] | None = None
    alpha: float | None = None
    alpha_promote: float | None = None
    maturity_s: float | None = None
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was, or would have been, done: when (data time), and after how much was seen.

    ``samples`` counts the candidate's own requests, ``pairs`` those it scored as a shadow; None where it is not known.
    """

    action: str
    actor: str
    reason: str
    at: float
    after_s: float
    samples: int | None
    pairs: int | None


@dataclass(frozen=True, slots=True)
class Course:
    """One candidate's generation: what happened to it, and what the policy would have done, each in order."""

    deployment: str
    candidate: str
    version: str
    generation: str
    opened_at: float
    happened: tuple[Act, ...]
    would_have: tuple[Act, ...]

    @property
    def ended(self) -> Act | None:
        """The promotion or demotion that happened."""
        return _final(self.happened)

    @property
    def would_have_ended(self) -> Act | None:
        """The promotion or demotion that the policy would have made."""
        return _final(self.would_have)

    @property
    def compared(self) -> str:
        """Say in a word or two how the two courses differ."""
        was, now = self.ended, self.would_have_ended
        if was is None or now is None:
            return "undecided in both" if was is now else f"only {'the policy' if was is None else 'then'} decides"
        if was.action != now.action:
            return "false alarm?" if now.action == Signal.DEMOTE.value else "missed?"
        return "the same" if now.after_s == was.after_s else "sooner" if now.after_s < was.after_s else "later"


@dataclass(slots=True)
class _Life:
    """A candidate's life under the policy, as far as it has gone."""

    rollout: Rollout
    acts: list[Act] = field(default_factory=list)


def backtest(
    state: ControlState, log: EventLog, policy: Policy, deployment: str, generation: str | None = None
) -> list[Course]:
    """Try a policy on one generation, or on each of a deployment's candidates, oldest first.

    Raises NotReplayable for a generation whose looks were not kept, Unmeasurable for a guardrail that does not fit.
    """
    openings = [one for one in state.openings(deployment) if not (one.swapped or one.rollout.terms.on_pairs)]
    if generation is not None:
        openings = [one for one in openings if one.generation == generation]
        if not openings:
            raise NotReplayable(f"{deployment} has no candidate of generation {generation} whose looks were kept.")
    timeline = state.timeline(deployment, _EVERY)[::-1]
    return [_course(state, log, policy, opening, timeline) for opening in openings]


def _course(
    state: ControlState, log: EventLog, policy: Policy, opening: Opening, timeline: Sequence[Decision]
) -> Course:
    held = _held_to(opening, policy)
    looks = _with_last(state.looks(opening.deployment, opening.generation), held.rollout.terms, log.cursors())
    happened = [_happened(line, opening) for line in timeline if line.generation == opening.generation]
    return Course(
        deployment=opening.deployment,
        candidate=opening.rollout.name,
        version=opening.rollout.model.version,
        generation=opening.generation,
        opened_at=opening.opened_at,
        happened=tuple(happened),
        would_have=tuple(_lived(held, cases(log, held, looks))),
    )


def _held_to(opening: Opening, policy: Policy) -> Opening:
    """The same opening under the policy's terms and plan, at the beginning of its first step."""
    was, terms = opening.rollout, opening.rollout.terms
    said: dict[str, Any] = {
        "guardrails": policy.guardrails,
        "alpha": policy.alpha,
        "alpha_promote": policy.alpha_promote,
        "maturity_s": policy.maturity_s,
    }
    changed = replace(terms, **{name: value for name, value in said.items() if value is not None})
    plan = policy.plan or was.plan
    looking.check_terms(changed, [was.model], plan.steps)
    fresh = begin(was.name, was.generation, was.model, plan, was.salt, changed, was.opened_at)
    return replace(opening, rollout=send(fresh, Signal.READY, opening.opened_at))


def _lived(opening: Opening, known: Iterator[JudgeState]) -> list[Act]:
    life = _Life(opening.rollout)
    for case in known:
        at = case.looked_at
        verdict = judging.verdict(case, at)
        move = next_signal(since_opened(life.rollout, case), verdict, at, observed(life.rollout.current, case))
        if move is None:
            continue
        life.rollout = send(life.rollout, move.signal, at, move.reason, seen_by_then(life.rollout, case))
        samples = _samples(verdict)
        act = Act(move.signal.value, "policy", move.reason, at, at - opening.opened_at, samples, case.n_pairs)
        life.acts.append(act)
        if life.rollout.phase is Phase.WAITING and not life.rollout.on_last_step:
            life.rollout = send(life.rollout, Signal.RESUME, at, "approved", seen_by_then(life.rollout, case))
        if life.rollout.phase in ENDED:
            break
    return life.acts


def _with_last(looks: Sequence[Look], terms: Terms, now: Mapping[str, int]) -> Iterator[tuple[float, dict[str, int]]]:
    at = None
    for at, visible in unfolded(looks):
        yield at, visible
    if at is not None and terms.maturity_s > 0.0:
        for number in range(1, LAST_LOOKS + 1):
            yield at + terms.maturity_s * number / LAST_LOOKS, dict(now)


def _happened(line: Decision, opening: Opening) -> Act:
    verdict = line.evidence.get("verdict")
    at = float(verdict["at"]) if verdict else line.data_at
    samples = next((int(one["n_candidate"]) for one in _findings(verdict) if one["metric"] == SAMPLE_RATIO), None)
    pairs = line.evidence.get("n_pairs")
    return Act(line.action, line.actor, line.reason, at, at - opening.opened_at, samples, pairs)


def _findings(verdict: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return verdict["findings"] if verdict else ()


def _samples(verdict: Verdict) -> int | None:
    return next((one.n_candidate for one in verdict.findings if one.metric == SAMPLE_RATIO), None)


def _final(acts: Sequence[Act]) -> Act | None:
    return next((act for act in acts if act.action in FINAL), None)
