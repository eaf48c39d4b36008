"""Another policy, as a file for ``gateway backtest``: the words of a deployment, each of which may be left out."""

from pathlib import Path

from pydantic import Field, ValidationError

from gateway.backtest import Policy
from gateway.core.errors import SettingsError
from gateway.settings import read_yaml
from gateway.settings.guardrails import GuardrailSettings, guardrail_of
from gateway.settings.mistakes import explain
from gateway.settings.plans import PlanSettings, StepSettings, plan_of
from gateway.settings.words import Level, Seconds, Section


class PolicySettings(Section):
    """What candidates would have been held to. What is left out stays as it was for each of them."""

    guardrails: tuple[str | GuardrailSettings, ...] | None = Field(default=None, min_length=1)
    alpha: Level | None = None
    alpha_promote: Level | None = None
    maturity: Seconds | None = None
    plan: PlanSettings | tuple[StepSettings, ...] | None = None


def load_policy(path: Path) -> Policy:
    """Read a policy. Raises SettingsError."""
    try:
        said = PolicySettings(**read_yaml(path))
    except ValidationError as error:
        message = explain(error, str(path), PolicySettings)
        raise SettingsError(message) from error
    return Policy(
        guardrails=None if said.guardrails is None else tuple(guardrail_of(one, str(path)) for one in said.guardrails),
        alpha=said.alpha,
        alpha_promote=said.alpha_promote,
        maturity_s=said.maturity,
        plan=None if said.plan is None else plan_of(path.stem, said.plan),
    )
