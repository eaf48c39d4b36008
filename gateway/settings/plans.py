"""The section ``plans`` of a deployment: how a candidate goes from nothing to everything."""

from typing import Literal

from pydantic import Field, model_validator

from gateway.core import deployments as core
from gateway.settings.words import Seconds, Section, Share


class BanditSettings(Section):
    """How a step's weight leans towards the better arm, by Thompson sampling. The guardrails rule as on any step."""

    reward: str
    """Guardrail to go by, one that counts requests that went wrong: ``accuracy``, ``error_rate``."""
    floor: Share = 0.05
    """Share of all requests that every arm keeps, as 5% or 0.05."""
    ceiling: Share = 0.5
    """Greatest share of the candidate, as 50% or 0.5."""
    every: Seconds = Field(default=3_600.0, gt=0)
    """Shortest time between two changes, a duration in data time."""


class StepSettings(Section):
    """One step of a plan: a share of traffic or a shadow's sampling rate, and what it takes to leave it."""

    weight: Share = 0.0
    """Share of all requests, as 5% or 0.05."""
    shadow: Share = 0.0
    """Share of requests the candidate watches without answering, as 100% or 1.0."""
    at_least: Seconds = 0.0
    """Shortest stay on this step, a duration in data time."""
    events: int = Field(default=0, ge=0)
    """Observations of the candidate needed to leave this step, a count."""
    approval: bool = False
    """Wait for an operator's ``resume`` before the next step."""
    bandit: BanditSettings | None = None
    """Lets the weight lean towards the better arm while the step lasts; none keeps it."""


class PlanSettings(Section):
    """How a candidate goes from nothing to everything."""

    steps: tuple[StepSettings, ...] = Field(min_length=1)
    """The steps in order; after the last comes promotion."""
    auto_promote: bool = True
    """Promote without asking once the last step is passed."""
    on_inconclusive: Literal["hold", "promote", "demote"] = "hold"
    """What to do at ``max_age`` without a verdict."""
    max_age: Seconds = 14 * 86_400.0
    """Longest life of a candidate without a verdict, a duration in data time."""
    watch: Seconds = 0.0
    """How long, in data time, the former stable watches its successor as a shadow and may still be brought back."""
    watch_rate: Share = 1.0
    """Share of requests that it scores meanwhile, as 100% or 1.0."""
    dry_run: bool = False
    """Only watch and report what would be done; every step is a shadow."""

    @model_validator(mode="after")
    def _a_dry_run_only_watches(self) -> "PlanSettings":
        if self.dry_run and any(step.weight > 0.0 for step in self.steps):
            raise ValueError("a dry_run plan only watches: its steps take shadow, not weight")
        if self.dry_run and self.watch > 0.0:
            raise ValueError("a dry_run plan promotes nobody, so nobody is there to watch: leave out watch")
        return self


CAREFUL = core.Plan(
    "careful",
    (
        core.Step(shadow=1.0, events=200),
        core.Step(weight=0.05, at_least_s=3_600.0, events=200),
        core.Step(weight=0.25, at_least_s=3_600.0, events=500),
        core.Step(weight=0.5, at_least_s=3_600.0, events=500),
    ),
)
"""The plan of a deployment that declares none: watch, then 5 %, 25 %, 50 %, an hour each at least."""


def plan_of(name: str, said: PlanSettings | tuple[StepSettings, ...]) -> core.Plan:
    """Translate one plan."""
    plan = said if isinstance(said, PlanSettings) else PlanSettings(steps=said)
    steps = tuple(core.Step(s.weight, s.shadow, s.at_least, s.events, s.approval, _bandit(s)) for s in plan.steps)
    watching = plan.watch, plan.watch_rate
    return core.Plan(name, steps, plan.auto_promote, plan.on_inconclusive, plan.max_age, *watching, plan.dry_run)


def _bandit(step: StepSettings) -> core.Bandit | None:
    said = step.bandit
    return None if said is None else core.Bandit(said.reward, said.floor, said.ceiling, said.every)
