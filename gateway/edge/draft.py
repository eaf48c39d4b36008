"""A first ``gateway.yaml`` for a model and a Feast repository that are there already: looked at, then written down.

The model is opened in a child process as it will be later, so what the draft says of it is what will be served.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.features import open_compiler
from gateway.adapters.models import ModelCache, open_model_store
from gateway.adapters.models.artifacts import read_files
from gateway.adapters.models.pickles import what_runs
from gateway.adapters.registry import registry_of
from gateway.core.aliases import CHALLENGER, CHAMPION
from gateway.core.deployments import DeploymentSpec, Field, Inputs, ModelCard, Task
from gateway.core.features import NO_FEATURES, FeaturePlan
from gateway.core.tables import inputs_of

_GUARDRAILS = {Task.REGRESSION: "[error_rate]", Task.MULTIOUTPUT: "[error_rate]"}
_NO_NAME = re.compile(r"[^a-z0-9._-]+")
_CLASSIFIERS = "[error_rate, accuracy]"


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: the model behind ``stable`` and what applications will have to send."""

    registry: str
    features: str | None
    stable: str
    aliases: dict[str, str]
    model: ModelCard
    plan: FeaturePlan
    inputs: Inputs
    runs: str
    """What about the model is code (:func:`what_runs`); "" where it is data."""


def look(registry: str, features: Path | None, model: str) -> Findings:
    """Look at a registered model and at the features it reads. Raises ModelUnusable, PlanImpossible, SettingsError."""
    store = open_model_store(registry)
    aliases = dict(registry_of(store).aliases(model))
    stable = f"models:/{model}@{CHAMPION}" if CHAMPION in aliases else f"models:/{model}/latest"
    with tempfile.TemporaryDirectory(prefix="gateway-init-") as folder:
        card = ModelCache(Path(folder)).prepare(store, stable)
        runs = what_runs(card.flavour, read_files(Path(folder) / card.path))
    plan = NO_FEATURES
    if features is not None and card.feature_service is not None:
        plan = open_compiler(str(features)).compile([card.feature_service])
    spec = DeploymentSpec(model, model, stable)
    where = None if features is None else str(features)
    pinned = stable if CHAMPION in aliases else card.uri
    return Findings(registry, where, pinned, aliases, card, plan, inputs_of(spec, [card], plan), runs)


def draft(found: Findings) -> str:
    """Write the file: what was found as comments beside the words that follow from it."""
    return "\n".join([*_head(found), *_deployment(found), *_rollouts(), ""])


def _head(found: Findings) -> Iterator[str]:
    yield "# Written by gateway init. Every word: docs/reference/settings.md. gateway check reads it, gateway doctor"
    yield "# looks whether everything it names is there, gateway serve serves."
    yield "state_dir: state/gateway # must survive restarts: spool, store, keys, prepared models"
    yield f"registry: {found.registry}"
    if found.features is not None:
        yield f"features: {found.features}"
        if found.model.feature_service is None:
            yield "# The model names no feature service, so nothing is read from the repository. To have it read,"
            yield '# log the model with metadata={"feature_service": "NAME"}.'
    else:
        yield "# features: path/to/your/feast/repository"


def _deployment(found: Findings) -> Iterator[str]:
    card = found.model
    yield ""
    yield "deployments:"
    yield f"  {_NO_NAME.sub('-', card.name.lower()).strip('-._')[:63]}:"
    yield f"    model: {card.name}"
    yield f"    # version {card.version}, {card.flavour}, {card.task.value}, {len(card.inputs)} inputs"
    yield f"    stable: {found.stable}"
    if found.runs and card.flavour != "joblib":
        yield f"    pickles: allow # the model {found.runs}: opening it runs code of whoever wrote it"
    yield "    # Point the alias challenger at a version: it is tried by the first plan. Promotion moves champion."
    yield "    follow_aliases: true"
    if CHALLENGER in found.aliases:
        yield f"    # challenger names version {found.aliases[CHALLENGER]} now: it will be tried at the first start."
    if card.feature_service is not None:
        names = ", ".join(found.plan.names()) or "nothing yet"
        yield f"    # Read from the feature service {card.feature_service}: {names}"
    yield from _fields("entities", found.inputs.entities)
    yield from _fields("features", found.inputs.features)
    yield "    # maturity: 1d # age at which a prediction's label counts"
    yield f"    guardrails: {_GUARDRAILS.get(card.task, _CLASSIFIERS)}"
    if card.task is Task.MULTIOUTPUT:
        yield f"    # mae:NAME judges one output; NAME is one of {', '.join(card.outputs)}"
        return
    yield "    gate: # what a version has to show before it gets any traffic"
    if card.task is Task.REGRESSION:
        yield "      holdout: {metric: mae, margin: 0.0} # on labelled requests of the log, against stable"
    else:
        yield "      holdout: {metric: f1, margin: -0.02} # on labelled requests of the log, against stable"
        yield "      robustness: {noise: 5%, flips: 5%}"


def _fields(member: str, fields: tuple[Field, ...]) -> Iterator[str]:
    if fields:
        said = ", ".join(f"{one.name} ({one.type.value}{'' if one.required else ', optional'})" for one in fields)
        yield f"    # Applications send {member}: {said}"


def _rollouts() -> Iterator[str]:
    yield "    plans:"
    yield "      careful:"
    yield "        max_age: 14d # undecided for so long: hold"
    yield "        steps:"
    yield "          - {shadow: 100%, events: 200} # watches, answers nobody"
    yield "          - {weight: 5%, at_least: 1h, events: 200}"
    yield "          - {weight: 25%, at_least: 1h, events: 500}"
    yield "          - {weight: 50%, at_least: 1h, events: 500}"
    yield "    starts:"
    yield "      quarantine: 1h # a demoted model stays out for so long, twice as long each time"
    yield "      # freezes:"
    yield "      #   - {reason: weekend, days: [fri], start: '16:00', end: '08:00'}"
