"""Who answers a request: a salted hash against weights, the same in every process.

The gateway draws the arm itself, so it knows the probability of every arm (the propensity) before anything about
the outcome exists. The judge rests on that and on nothing else.
"""

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from gateway.core.deployments import FeaturePolicy, Inputs, ModelCard, ServingRules
from gateway.core.features import NO_FEATURES, FeaturePlan

STABLE = "stable"
CANDIDATE = "canary"
"""What a candidate is called whom nobody named."""
_POSITIONS = 2.0**64


@dataclass(frozen=True, slots=True)
class Part:
    """A model version in a part: one variant of a deployment. ``generation`` is one candidate's life."""

    name: str
    generation: str
    model: ModelCard


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part that takes a share of traffic, ``weight`` in [0, 1] of all requests."""

    part: Part
    salt: str
    weight: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A part that watches: it scores a sampled ``rate`` of requests off the response path."""

    part: Part
    salt: str
    rate: float


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything a worker needs to serve one deployment: immutable, swapped whole, revision strictly growing.

    ``candidates`` stand in the order they were started; ``warm`` are former stables kept loaded for a rollback.
    ``features`` is the union of what all variants read; ``policies`` are the fallbacks of its features, by name.
    """

    deployment: str
    tag: str
    revision: int
    stable: Part
    candidates: tuple[Candidate, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    warm: tuple[ModelCard, ...] = ()
    rules: ServingRules = ServingRules()
    inputs: Inputs = Inputs()
    features: FeaturePlan = NO_FEATURES
    policies: dict[str, FeaturePolicy] = field(default_factory=dict)
    labels: tuple[int | str, ...] = ()
    """What a label may be; empty: whatever it is."""
    schema: int = 1

    def models(self) -> tuple[ModelCard, ...]:
        """Every model a worker should hold, stable first, each digest once."""
        parts = [self.stable, *(c.part for c in self.candidates), *(s.part for s in self.shadows)]
        cards = [part.model for part in parts] + list(self.warm)
        return tuple({card.digest: card for card in cards}.values())

    def parts(self) -> dict[str, Part]:
        """Variants by name, those that can answer and those that watch."""
        watching = {s.part.name: s.part for s in self.shadows}
        answering = {c.part.name: c.part for c in self.candidates}
        return {STABLE: self.stable} | watching | answering


@dataclass(frozen=True, slots=True)
class Arm:
    """One possible answerer of one request and the probability with which it would have been drawn."""

    name: str
    generation: str
    propensity: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who answers, with what probability each could have, and who watches."""

    arm: str
    arms: tuple[Arm, ...]
    shadows: tuple[str, ...]
    epoch: int
    randomised: bool = True

    def propensities(self) -> Mapping[str, float]:
        """Effective propensity by arm name; they sum to 1."""
        return {arm.name: arm.propensity for arm in self.arms}


def position(salt: str, epoch: int, key: str) -> float:
    """Place ``key`` in [0, 1): uniform over keys, independent over salts, the same in every process.

    >>> position("a", 0, "flight-1") == position("a", 0, "flight-1")
    True
    """
    digest = hashlib.blake2b(f"{salt}:{epoch}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _POSITIONS


def epoch_of(at: float, epoch_s: float) -> int:
    """Number the assignment epoch that data time ``at`` (seconds) falls into."""
    return int(at // epoch_s)


def assign(table: RoutingTable, key: str, at: float, able: Container[str]) -> Assignment:
    """Name the variant that answers ``key``, every arm's effective propensity, and the shadows that watch.

    ``able`` holds the names of candidates that may take traffic here and now (lease in force, model loaded); any
    other has propensity 0. Candidates draw in order of start: number i takes the key if its own position lies below
    ``w_i / (1 - earlier weights)``, so raising a weight never moves a key back to stable, nor off another candidate.
    """
    epoch = epoch_of(at, table.rules.epoch_s)
    arms: list[Arm] = []
    chosen, left = STABLE, 1.0
    for candidate in table.candidates:
        name = candidate.part.name
        weight = candidate.weight if name in able else 0.0
        share = min(1.0, weight / left) if left > 0.0 else 0.0
        if chosen == STABLE and share > 0.0 and position(candidate.salt, epoch, key) < share:
            chosen = name
        arms.append(Arm(name, candidate.part.generation, weight))
        left -= weight
    arms.insert(0, Arm(STABLE, table.stable.generation, max(0.0, left)))
    return Assignment(chosen, tuple(arms), _watching(table, epoch, key), epoch)


def is_settled(table: RoutingTable) -> bool:
    """Whether every key is assigned alike in an epoch: nobody has a share beside stable, and shadows watch it all."""
    return not table.candidates and all(shadow.rate >= 1.0 for shadow in table.shadows)


def force(table: RoutingTable, variant: str, key: str, at: float) -> Assignment:
    """Name ``variant`` because somebody said so. Such a request is never evidence."""
    epoch = epoch_of(at, table.rules.epoch_s)
    arms = tuple(Arm(name, part.generation, 1.0 if name == variant else 0.0) for name, part in table.parts().items())
    return Assignment(variant, arms, _watching(table, epoch, key), epoch, randomised=False)


def _watching(table: RoutingTable, epoch: int, key: str) -> tuple[str, ...]:
    return tuple([s.part.name for s in table.shadows if s.rate >= 1.0 or position(s.salt, epoch, key) < s.rate])
