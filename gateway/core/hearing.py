"""Whether labels still come, told by two counts that only grow: requests that were routed, outcomes that were taken in.

That a source falls silent is no drift of any feature and no fault of a model, yet nothing can be judged without it.
Pure; times are data time in seconds.
"""

from dataclasses import dataclass

LEAST_ASKED = 100
"""Requests without any outcome before anybody is told: nobody owes a label for a night without traffic."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard last. ``since`` is when the count of outcomes last grew, ``asked`` that of requests then.

    ``silent`` says that people were told, until an outcome comes again.
    """

    outcomes: int
    asked: int
    since: float
    silent: bool = False

    def after(self, outcomes: int, asked: int, now: float, longest_s: float) -> "Heard":
        """What is known at ``now``: a silence begins after ``longest_s`` without an outcome, while requests come.

        A deployment that never heard of any is waited for, not told of.

        >>> heard = Heard(outcomes=40, asked=1_000, since=0.0)
        >>> heard.after(40, 1_500, now=3_600.0, longest_s=3_600.0).silent
        True
        >>> heard.after(40, 1_020, 3_600.0, 3_600.0).silent, heard.after(41, 1_500, 3_600.0, 3_600.0).silent
        (False, False)
        """
        if outcomes > self.outcomes:
            return Heard(outcomes, asked, now)
        long_enough = now - self.since >= longest_s and asked - self.asked >= LEAST_ASKED
        return Heard(self.outcomes, self.asked, self.since, self.silent or (long_enough and self.outcomes > 0))
