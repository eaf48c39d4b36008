"""What the arm itself decides (which requests it calls positive) the draw says nothing about: bets on matched blocks.

Given that a request was *predicted* positive, the chance that the candidate did it is not ``pi``. So one candidate
event is matched with the ``k`` nearest unused stable ones, ``k`` fixed from how often each arm has had one; within a
block the arm is hidden with ``pi = 1 / (1 + k)``, and the bets of :mod:`rates` and :mod:`means` hold at the block's
end: by the inequality of the means ``E S_c (E S_s)^k <= 1`` as long as the block shares one rate. Surplus stable events
are dropped.

This is weaker than the draw (a block shares one rate only nearly, under drift), which is why precision, F1 and AUC are
signals and never demote.

Source: Turner, Ly & Grunwald, "Generic e-variables for exact sequential k-sample tests" (2021).
"""

from dataclasses import dataclass
from typing import NamedTuple

MOST = 20
"""Stable events in a block at most, and events of an arm that wait at most."""


class Block(NamedTuple):
    """One candidate value and the stable values it is compared with."""

    candidate: float
    stable: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """Events that wait for a partner, nearest last, and how many each arm has had. Not more than ``MOST`` wait."""

    candidate: tuple[float, ...] = ()
    stable: tuple[float, ...] = ()
    n_candidate: int = 0
    n_stable: int = 0


def matched(queue: Queue, events: list[tuple[bool, float]]) -> tuple[Queue, list[Block]]:
    """Return what waits after ``events``, in their order, and the blocks they complete. An event is (ours, value).

    >>> queue, blocks = matched(Queue(n_candidate=10, n_stable=20), [(False, 0.0), (False, 1.0), (True, 1.0)])
    >>> blocks, queue.candidate, queue.stable
    ([Block(candidate=1.0, stable=(0.0, 1.0))], (), ())
    """
    size = _size(queue)
    waiting, others = list(queue.candidate), list(queue.stable)
    blocks: list[Block] = []
    for ours, value in events:
        (waiting if ours else others).append(value)
        if waiting and len(others) >= size:
            blocks.append(Block(waiting.pop(), tuple(others[-size:])))
            others = others[:-size]
        waiting, others = waiting[-MOST:], others[-MOST:]
    n_candidate = sum(ours for ours, _ in events)
    after = Queue(
        tuple(waiting), tuple(others), queue.n_candidate + n_candidate, queue.n_stable + len(events) - n_candidate
    )
    return after, blocks


def _size(queue: Queue) -> int:
    """How many stable events match one of the candidate's: fixed before the look.

    >>> _size(Queue()), _size(Queue(n_candidate=10, n_stable=200)), _size(Queue(n_candidate=9, n_stable=1))
    (1, 20, 1)
    """
    if not queue.n_candidate:
        return 1 if not queue.n_stable else min(MOST, queue.n_stable)
    return max(1, min(MOST, round(queue.n_stable / queue.n_candidate)))


@dataclass(frozen=True, slots=True)
class Ranks:
    """Positives that wait for negatives, and how many of each there have been.

    A score is that of one arm, or those of both models that answered the same request.
    """

    positives: tuple[tuple[float, ...], ...] = ()
    negatives: tuple[tuple[float, ...], ...] = ()
    n_positive: int = 0
    n_negative: int = 0


def ranked(ranks: Ranks, scores: list[tuple[bool, tuple[float, ...]]]) -> tuple[Ranks, list[tuple[float, ...]]]:
    """Pair each positive with the next unused negatives: the share of them that it does not outrank, by each model.

    The mean of these is 1 - AUC; ties count half. An event is (positive, scores). Two models' shares come from the same
    requests, so the mean of their difference is exactly the difference of their AUCs.

    >>> ranked(Ranks(), [(True, (0.9,)), (False, (0.4,)), (True, (0.2,)), (False, (0.3,))])[1]
    [(0.0,), (1.0,)]
    >>> ranked(Ranks(), [(True, (0.9, 0.3)), (False, (0.4, 0.4))])[1]
    [(0.0, 1.0)]
    """
    size = max(1, min(MOST, round(ranks.n_negative / ranks.n_positive))) if ranks.n_positive else 1
    positives, negatives = list(ranks.positives), list(ranks.negatives)
    missed: list[tuple[float, ...]] = []
    for positive, score in scores:
        (positives if positive else negatives).append(score)
        if positives and len(negatives) >= size:
            one, others = positives.pop(0), negatives[:size]
            negatives = negatives[size:]
            missed.append(tuple(map(_not_outranked, one, zip(*others, strict=True))))
        positives, negatives = positives[-MOST:], negatives[-MOST:]
    n_positive = sum(positive for positive, _ in scores)
    after = Ranks(
        tuple(positives), tuple(negatives), ranks.n_positive + n_positive, ranks.n_negative + len(scores) - n_positive
    )
    return after, missed


def _not_outranked(positive: float, negatives: tuple[float, ...]) -> float:
    return sum(1.0 if one > positive else 0.5 if one == positive else 0.0 for one in negatives) / len(negatives)
