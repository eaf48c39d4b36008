"""Evidence: bets on which arm produced an outcome, and the intervals shown beside them.

The gateway draws the arm, so it knows ``P(candidate)`` (the propensity ``pi``) before anything about the outcome
exists. After an outcome ``y`` the wealth of a bet is multiplied by ``q(y) / pi`` when the candidate produced it, by
``(1 - q(y)) / (1 - pi)`` when stable did; ``q`` was chosen from the past. While the candidate is no worse than
tolerated, the expected factor is at most 1, so by Ville's inequality the chance that the wealth *ever* reaches
``1 / alpha`` is at most ``alpha``: under drift, bursts, ramps and a look after every request.

One concept per file: :mod:`rates` (two Bernoulli rates), :mod:`pairs` (both models on the same request),
:mod:`ratio` (did the arms get their share), :mod:`restarts` (regressions that start late), :mod:`intervals` (what the
numbers are). Nothing here knows rows, metrics or roles; :mod:`gateway.core.judging` chooses what to bet on.
"""
