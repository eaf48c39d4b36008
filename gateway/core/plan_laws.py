"""How much evidence a request, or a pair, brings about a metric, before any is there: by how the metric is compared.

A law knows stable's side of one metric and says how many nats a candidate's *level* brings: beyond the line of what is
tolerated, or, at stable's own level, short of the line of the margin. A level is a rate, an amount on the scale it is
compared on, or of latency how many times as slow. Pairs are taken to be as alike as two models that share half of
their mistakes.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

from gateway.core.evidence.bounds import information, paired_information, paired_safety, shift_information
from gateway.core.evidence.rates import Line
from gateway.core.evidence.tails import SLOWER

SHARED_MISTAKES = 0.5
"""Share of their wrong answers that two models are taken to have in common."""
FURTHEST = 100.0
"""Spreads, or times as slow, beyond which no regression is looked for."""
TAIL_RATIO = 1.7
"""Mean delay of a latency verdict over the bound of its best threshold."""
_ALL_THREE = 1.7
"""How much longer it takes until the last of a latency's three proofs is there than until the slowest alone."""
GAP_RATIO = 3.4
"""Mean delay of a calibration verdict over the bound that knows in advance which way each bin is off."""
HARM_RATIO = 1.6
"""Mean delay of a demotion over its information bound: 1.3 to 1.6 in simulation, tolerances included."""


class Law(Protocol):
    """One metric's law with stable. ``level`` is stable's, ``worst`` the greatest that is looked for."""

    @property
    def level(self) -> float:
        """Stable's own."""

    @property
    def worst(self) -> float:
        """The greatest level that is looked for."""

    @property
    def ratio(self) -> float:
        """Mean delay of a demotion over the bound."""

    def edge(self, line: Line) -> float:
        """The candidate's level on a line."""

    def worse(self, times: float) -> float:
        """The level that is so many times as bad."""

    def harm(self, line: Line, level: float, share: float) -> float:
        """Nats that a request brings against "no worse than the line"."""

    def safety(self, line: Line, share: float) -> float:
        """Nats that a request brings for an equal candidate against "no better than the line"."""

    def paired_harm(self, line: Line, level: float) -> float:
        """The same for a pair; nothing where pairs show nothing."""

    def paired_safety(self, line: Line) -> float:
        """The same for a pair of equal models."""


@dataclass(frozen=True, slots=True)
class RateLaw:
    """Bad or not, in a share ``level`` of requests."""

    level: float
    worst: float = 1.0
    ratio: float = HARM_RATIO

    def edge(self, line: Line) -> float:
        """As the protocol says."""
        return float(line.at(self.level))

    def worse(self, times: float) -> float:
        """As the protocol says."""
        return self.level * times

    def harm(self, line: Line, level: float, share: float) -> float:
        """As the protocol says.

        >>> round(math.log(20) * 0.05 / RateLaw(0.01).harm(Line(), 0.02, 0.05))
        817
        """
        return information(self.level, level, share, line.relative, line.absolute)

    def safety(self, line: Line, share: float) -> float:
        """As the protocol says."""
        return self.harm(line, self.level, share)

    def paired_harm(self, line: Line, level: float) -> float:
        """As the protocol says."""
        common = SHARED_MISTAKES * min(self.level, level)
        return paired_information(level - common, self.edge(line) - common)

    def paired_safety(self, line: Line) -> float:
        """As the protocol says."""
        return paired_safety(self.level * (1.0 - SHARED_MISTAKES), self.edge(line) - self.level)


@dataclass(frozen=True, slots=True)
class MeanLaw:
    """An amount with a mean and a spread (standard deviation): a loss, a share ranked wrongly, a calibration gap.

    ``squared``: the amount is a square, told as its root.
    """

    level: float
    spread: float
    squared: bool = False
    ratio: float = HARM_RATIO

    @property
    def worst(self) -> float:
        """As the protocol says."""
        return self.level + FURTHEST * self.spread

    def edge(self, line: Line) -> float:
        """As the protocol says."""
        return float(line.at(self.level))

    def worse(self, times: float) -> float:
        """As the protocol says."""
        return self.level * (times**2 if self.squared else times)

    def harm(self, line: Line, level: float, share: float) -> float:
        """As the protocol says."""
        gap = level - self.edge(line)
        return shift_information(gap, self.spread, share, line.relative) if self.spread else math.inf

    def safety(self, line: Line, share: float) -> float:
        """As the protocol says."""
        return self.harm(line, self.level, share)

    def paired_harm(self, line: Line, level: float) -> float:
        """As the protocol says."""
        variance = 2.0 * self.spread * self.spread * (1.0 - SHARED_MISTAKES)
        return (level - self.edge(line)) ** 2 / (2.0 * variance) if variance else math.inf

    def paired_safety(self, line: Line) -> float:
        """As the protocol says."""
        return self.paired_harm(line, self.level)


@dataclass(frozen=True, slots=True)
class ShiftLaw:
    """An amount without a range, on its asinh scale: what is compared is the order, what is told the typical amount.

    No pair shows it: a business value followed from stable's answer alone.
    """

    level: float
    spread: float
    ratio: float = HARM_RATIO

    @property
    def worst(self) -> float:
        """As the protocol says."""
        return self.level + FURTHEST * self.spread

    def edge(self, line: Line) -> float:
        """As the protocol says."""
        return math.asinh(float(line.at(math.sinh(self.level))))

    def worse(self, times: float) -> float:
        """So many times the typical cost, or that part of the typical revenue.

        >>> [round(math.sinh(ShiftLaw(math.asinh(one), 1.0).worse(2.0)), 6) for one in (10.0, -10.0)]
        [20.0, -5.0]
        """
        typical = math.sinh(self.level)
        return math.asinh(typical * times if typical > 0.0 else typical / times)

    def harm(self, line: Line, level: float, share: float) -> float:
        """As the protocol says."""
        return shift_information(level - self.edge(line), self.spread, share) if self.spread else math.inf

    def safety(self, line: Line, share: float) -> float:
        """As the protocol says."""
        return self.harm(line, self.level, share)

    def paired_harm(self, line: Line, level: float) -> float:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return 0.0

    def paired_safety(self, line: Line) -> float:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return 0.0


@dataclass(frozen=True, slots=True)
class TailLaw:
    """A latency with its quantiles, in order, evenly spread: the level is how many times as slow the candidate is."""

    quantiles: tuple[float, ...]
    level: float = 1.0
    worst: float = FURTHEST
    ratio: float = TAIL_RATIO

    def edge(self, line: Line) -> float:
        """As the protocol says; an absolute tolerance as a part of the median."""
        median = self._at(0.5)
        return line.relative + (line.absolute / median if median > 0.0 else 0.0)

    def worse(self, times: float) -> float:
        """As the protocol says."""
        return times

    def harm(self, line: Line, level: float, share: float) -> float:
        """The nats of the threshold that shows it best.

        >>> law = TailLaw(tuple(math.exp(0.5 * one) for one in (-2.3, -1.6, -1.0, -0.6, -0.2, 0.2, 0.6, 1.0, 1.6, 2.3)))
        >>> law.harm(Line(1.1), 2.0, 0.05) > law.harm(Line(1.1), 1.3, 0.05) > law.harm(Line(1.1), 1.1, 0.05)
        True
        """
        return max(self._exceeded(line, level, over, share) for over in SLOWER)

    def safety(self, line: Line, share: float) -> float:
        """The nats of the threshold that shows it worst: safety is asked for at each of the first three."""
        return min(self._exceeded(line, 1.0, over, share) for over in SLOWER[:3]) / _ALL_THREE

    def paired_harm(self, line: Line, level: float) -> float:  # noqa: ARG002 - the protocol's
        """Nothing: a shadow's latency is not its own."""
        return 0.0

    def paired_safety(self, line: Line) -> float:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return 0.0

    def _exceeded(self, line: Line, level: float, over: float, share: float) -> float:
        """Nats of a threshold that stable exceeds in a share ``over``, the candidate after what is tolerated."""
        beyond = (self._at(1.0 - over) * line.relative + line.absolute) / level
        above = len(self.quantiles) - bisect_right(self.quantiles, beyond)
        theirs = (above + 0.5) / (len(self.quantiles) + 1.0)
        return information(over, theirs, share)

    def _at(self, share: float) -> float:
        return self.quantiles[min(len(self.quantiles) - 1, int(share * len(self.quantiles)))]
