"""Bandit weights: on a step that says so, traffic leans towards the candidates that have been answering best.

Thompson sampling (W. R. Thompson, Biometrika 1933): an arm's share is the probability that its rate is the lowest,
under Beta posteriors of the outcomes that have matured - however late they come, an outcome counts for the arm that
was drawn. Each arm keeps a floor, so that evidence about it never ends, and no candidate exceeds its ceiling.

Pure and deterministic: a seed gives the draws. Nothing here demotes or promotes anybody; the judge does, as on any
other step, and stays valid, since each request records the propensity that was in force for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateway.core.deployments import Bandit
from gateway.core.judge_state import JudgeState
from gateway.core.rollout import Phase
from gateway.core.state import DeploymentState
from gateway.core.tables import in_order

DRAWS = 4_000
"""Draws from each posterior: a share is known to about one percent."""
_PLACES = 2


@dataclass(frozen=True, slots=True)
class Tally:
    """How many matured requests of an arm were counted, and how many of them went wrong."""

    n: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Leaning:
    """Weights to put in force, by candidate, and the tallies that they come from, by arm."""

    weights: Mapping[str, float]
    tallies: Mapping[str, Tally]

    def sentence(self) -> str:
        """Say it to people.

        >>> Leaning({"canary": 0.3}, {"stable": Tally(90, 18), "canary": Tally(10, 1)}).sentence()
        'canary takes 30 %; of matured requests went wrong: stable 18 of 90, canary 1 of 10'
        """
        takes = ", ".join(f"{name} takes {weight:.0%}".replace("%", " %") for name, weight in self.weights.items())
        wrong = ", ".join(f"{name} {one.bad} of {one.n}" for name, one in self.tallies.items())
        return f"{takes}; of matured requests went wrong: {wrong}"


def chances(tallies: Mapping[str, Tally], draws: np.random.Generator) -> dict[str, float]:
    """The probability of each arm that its rate of wrong is the lowest of all.

    >>> found = chances({"stable": Tally(500, 100), "canary": Tally(500, 20)}, np.random.default_rng(1))
    >>> found["canary"] > 0.99
    True
    """
    rates = [draws.beta(1.0 + one.bad, 1.0 + one.n - one.bad, DRAWS) for one in tallies.values()]
    best = np.bincount(np.argmin(rates, axis=0), minlength=len(rates))
    return dict(zip(tallies, (best / DRAWS).tolist(), strict=True))


def shares(won: Mapping[str, float], bandits: Mapping[str, Bandit], room: float) -> dict[str, float]:
    """Turn chances into whole percents, within each candidate's floor and ceiling and together within ``room``.

    What is over the room is taken from what lies above the floors, in proportion.

    >>> shares({"a": 0.99, "b": 0.0}, {"a": Bandit("accuracy", 0.05, 0.5), "b": Bandit("accuracy", 0.05, 0.5)}, 0.4)
    {'a': 0.35, 'b': 0.05}
    """
    wanted = {name: min(max(won[name], one.floor), one.ceiling) for name, one in bandits.items()}
    floors = sum(one.floor for one in bandits.values())
    above = sum(wanted.values()) - floors
    kept = 1.0 if above <= 0.0 else min(1.0, max(0.0, room - floors) / above)
    return {name: round(one.floor + kept * (wanted[name] - one.floor), _PLACES) for name, one in bandits.items()}


def lean(state: DeploymentState, cases: Mapping[str, JudgeState], at: float) -> Leaning | None:
    """Say which weights should be in force at data time ``at``; None where nothing leans, is due, or would change.

    Candidates that run a step with a bandit lean, all at once; everybody else keeps what they have, and stable the
    greatest of the floors. In a freeze nobody leans. The generator's seed is the document's revision: the same evidence
    leans the same way.
    """
    if state.spec.starts.frozen(at) is not None:
        return None
    leaning = {one.name: one for one in in_order(state) if one.name in cases and one.phase is Phase.RUNNING}
    bandits = {name: one.current.bandit for name, one in leaning.items() if one.current.bandit is not None}
    leaning = {name: leaning[name] for name in bandits}
    if not any(at - max(one.since, one.leaned_at) >= bandits[name].every_s for name, one in leaning.items()):
        return None
    tallies = _tallies({name: cases[name] for name in leaning}, bandits)
    others = sum(one.weight for one in state.rollouts.values() if one.name not in leaning)
    room = 1.0 - others - max(one.floor for one in bandits.values())
    if room < sum(one.floor for one in bandits.values()):
        return None
    weights = shares(chances(tallies, np.random.default_rng(state.revision)), bandits, room)
    if all(round(leaning[name].weight, _PLACES) == weight for name, weight in weights.items()):
        return None
    return Leaning(weights, tallies)


def _tallies(cases: Mapping[str, JudgeState], bandits: Mapping[str, Bandit]) -> dict[str, Tally]:
    """Count each arm; stable by the candidate that has met it most often."""
    stable, found = Tally(), dict[str, Tally]()
    for name, case in cases.items():
        strata = case.rates[bandits[name].reward].strata
        met = Tally(sum(one.n_stable for one in strata), sum(one.bad_stable for one in strata))
        stable = max(stable, met, key=lambda one: one.n)
        found[name] = Tally(sum(one.n_candidate for one in strata), sum(one.bad_candidate for one in strata))
    return {"stable": stable, **found}
