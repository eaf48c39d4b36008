"""Asks a policy server on a thread of its own, so that the store's thread, on which the judge decides, never waits."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import PolicyPending
from gateway.core.policy import Ruling, digest_of
from gateway.ports import Clock, PolicyGate

_FRESH_S = 10.0
_SAME = ("action", "deployment", "candidate", "actor", "requested_by", "model", "stable", "plan", "approvals")
"""What makes two questions the same for as long as an answer is fresh; ages and scores move all the time."""


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: Future[Ruling]
    at: float


class Aside:
    """Gives an answer that is at most ten seconds old, or asks for one. Belongs to the store's thread."""

    def __init__(self, gate: PolicyGate, clock: Clock) -> None:
        self._gate, self._clock = gate, clock
        self._asked: dict[str, _Asked] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="policy")

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """Raises PolicyPending, whose ``answer`` is being fetched, and never waits."""
        now = self._clock.machine()
        self._asked = {key: asked for key, asked in self._asked.items() if _worth(asked, now)}
        key = digest_of({name: question.get(name) for name in _SAME})
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = _Asked(self._thread.submit(self._gate.rule, question), now)
        if not asked.answer.done():
            raise PolicyPending(asked.answer)
        return asked.answer.result()


def _worth(asked: _Asked, now: float) -> bool:
    """Whether an answer is fresh, or still on its way; a failure is told once and asked again."""
    failed = asked.answer.done() and asked.answer.exception() is not None
    return not asked.answer.done() or (not failed and now - asked.at < _FRESH_S)
