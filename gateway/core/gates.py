"""The validation gate: what a model has to show before it gets traffic, judged from figures. Pure.

Figures come from a process of its own that runs the model (``adapters.models.measuring``) on its own examples and on
requests of the log. A gate that cannot be held says so and passes as ``skipped``, unless its owner requires it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from gateway.core.deployments import DeploymentSpec, Field, ModelCard, Scalar, Task, Type
from gateway.core.features import FeaturePlan
from gateway.core.rules import Holdout, Robustness

_NUMBERS = frozenset({Type.INTEGER, Type.NUMBER})
_FEW = 3
"""So many mistakes are named; the rest are counted."""


class Gate(StrEnum):
    """What is checked, in this order."""

    SCHEMA = "schema"
    GOLDEN = "golden"
    LATENCY = "latency"
    MEMORY = "memory"
    HOLDOUT = "holdout"
    ROBUSTNESS = "robustness"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate found: a figure against its limit, and the sentence that says so."""

    gate: Gate
    passed: bool
    sentence: str
    figure: float | None = None
    limit: float | None = None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What running a model showed. Lists follow the rows replayed; an answer of None is a failure.

    ``golden`` counts the model's own examples, ``mistakes`` says what went wrong with them. ``latency_s`` is the 95th
    percentile of one row's answer, ``memory_bytes`` what loading and answering added to the process.
    """

    golden: int
    mistakes: tuple[str, ...]
    latency_s: float
    memory_bytes: int
    answers: tuple[Scalar, ...] = ()
    scores: tuple[float | None, ...] = ()
    shaken: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayable:
    """A request of the log with all that was known of it: values by name, and the label that came, if one did."""

    at: float
    values: Mapping[str, Scalar]
    label: Scalar = None


def failed(results: Sequence[GateResult]) -> tuple[str, ...]:
    """The sentences of the gates that did not pass."""
    return tuple(f"Gate {result.gate}: {result.sentence}" for result in results if not result.passed)


def evidence_of(results: Sequence[GateResult]) -> dict[str, Any]:
    """The gates' results as the timeline keeps them."""
    return {
        "gates": [asdict(result) for result in results],
        "failed": [result.gate.value for result in results if not result.passed],
    }


def judge_schema(spec: DeploymentSpec, card: ModelCard, plan: FeaturePlan) -> GateResult:
    """Compare the model's inputs with what the features and the deployment's declarations deliver."""
    found = [
        *_undelivered(card, plan),
        *(problem for known in card.inputs for problem in _mismatches(spec, card, plan, known)),
    ]
    if found:
        return GateResult(Gate.SCHEMA, False, _list(found), float(len(found)), 0.0)
    return GateResult(Gate.SCHEMA, True, f"all {len(card.inputs)} inputs are delivered as they are taken.", 0.0, 0.0)


def judge_golden(measured: Measured) -> GateResult:
    """The model answers its own examples, the same way alone and together, and the same way twice."""
    if not measured.golden:
        return GateResult(Gate.GOLDEN, True, "the model brings no input example.", skipped=True)
    wrong = len(measured.mistakes)
    if wrong:
        return GateResult(Gate.GOLDEN, False, _list(measured.mistakes), float(wrong), 0.0)
    return GateResult(Gate.GOLDEN, True, f"it answers its {measured.golden} examples.", 0.0, 0.0)


def judge_latency(measured: Measured, limit_s: float) -> GateResult:
    """One row is answered in time, at the 95th percentile."""
    words = f"answering one row takes {measured.latency_s * 1e3:.1f} ms at the 95th percentile"
    return _limited(Gate.LATENCY, measured.latency_s, limit_s, words, f"{limit_s * 1e3:g} ms")


def judge_memory(measured: Measured, limit_bytes: int) -> GateResult:
    """Loading and answering stays within the budget."""
    words = f"loading and answering takes {measured.memory_bytes / 2**20:.0f} MiB"
    return _limited(
        Gate.MEMORY, float(measured.memory_bytes), float(limit_bytes), words, f"{limit_bytes / 2**20:.0f} MiB"
    )


def judge_robustness(measured: Measured, task: Task, rules: Robustness) -> GateResult:
    """Few answers change when every number moves a little."""
    if task in (Task.REGRESSION, Task.MULTIOUTPUT):
        return GateResult(Gate.ROBUSTNESS, True, "numbers are no answers that flip.", skipped=True)
    if not measured.shaken:
        return GateResult(Gate.ROBUSTNESS, True, "there are no rows to disturb.", skipped=True)
    flips = sum(one != other for one, other in zip(measured.answers, measured.shaken, strict=True))
    share = flips / len(measured.shaken)
    words = f"noise of {rules.noise:.1%} flips {share:.1%} of {len(measured.shaken)} answers"
    return _limited(Gate.ROBUSTNESS, share, rules.flips, words, f"{rules.flips:.1%}")


def judge_holdout(
    card: ModelCard, labels: Sequence[Scalar], candidate: Measured, stable: Measured, rules: Holdout
) -> GateResult:
    """On the same labelled requests the candidate does as well as stable, up to the margin."""
    if len(labels) < rules.at_least:
        sentence = f"the log has {len(labels)} labelled requests to replay; {rules.at_least} are needed."
        return GateResult(Gate.HOLDOUT, not rules.required, sentence, skipped=not rules.required)
    figure, better = FIGURES[rules.metric]
    ours, theirs = figure(card, labels, candidate), figure(card, labels, stable)
    if ours is None or theirs is None:
        sentence = f"{rules.metric} cannot be computed: {'the candidate' if ours is None else 'stable'} does not answer"
        return GateResult(Gate.HOLDOUT, ours is not None, f"{sentence} every request so.", skipped=ours is not None)
    gain = (ours - theirs) * better
    sentence = (
        f"{rules.metric} on {len(labels)} labelled requests is {ours:.4f}, stable's is {theirs:.4f}: "
        f"{abs(gain):.4f} {'better' if gain >= 0 else 'worse'}, "
        f"{'at least' if rules.margin >= 0 else 'at most'} {abs(rules.margin):.4f} "
        f"{'better' if rules.margin >= 0 else 'worse'} is asked for."
    )
    return GateResult(Gate.HOLDOUT, gain >= rules.margin, sentence, gain, rules.margin)


def replay_rows(card: ModelCard, recent: Sequence[Replayable]) -> tuple[list[list[Scalar]], list[Scalar], str]:
    """Build the model's rows from requests of the log; a value it lacks is the input's default.

    Returns rows, their labels, and the name of a required input that the log does not know ("" where there is none:
    with one there are no rows).
    """
    known = set().union(*(one.values for one in recent)) if recent else set()
    for field in card.inputs:
        if recent and field.name not in known and field.required and field.default is None:
            return [], [], field.name
    rows = [[_value(field, one.values) for field in card.inputs] for one in recent]
    return rows, [one.label for one in recent], ""


def accuracy(card: ModelCard, labels: Sequence[Scalar], measured: Measured) -> float | None:
    """Share of answers that are the label; a failure is none."""
    del card
    return sum(one == other for one, other in zip(measured.answers, labels, strict=True)) / len(labels)


def f1(card: ModelCard, labels: Sequence[Scalar], measured: Measured) -> float | None:
    """F1 of the second class of two, or the mean over classes where there are more."""
    classes = card.classes[1:] if len(card.classes) == 2 else card.classes
    return sum(_f1_of(one, labels, measured.answers) for one in classes) / len(classes) if classes else None


def brier(card: ModelCard, labels: Sequence[Scalar], measured: Measured) -> float | None:
    """Mean squared distance between the score and what came; a failure is as wrong as can be."""
    if len(card.classes) != 2 or all(score is None for score in measured.scores):
        return None
    truth = [float(label == card.classes[1]) for label in labels]
    return sum(
        1.0 if score is None else (score - came) ** 2 for score, came in zip(measured.scores, truth, strict=True)
    ) / len(labels)


def mae(card: ModelCard, labels: Sequence[Scalar], measured: Measured) -> float | None:
    """Mean absolute error; None where there is a request without a number for an answer."""
    del card
    errors = _errors(labels, measured.answers)
    return None if errors is None else sum(map(abs, errors)) / len(errors)


def rmse(card: ModelCard, labels: Sequence[Scalar], measured: Measured) -> float | None:
    """Root of the mean squared error; None where there is a request without a number for an answer."""
    del card
    errors = _errors(labels, measured.answers)
    return None if errors is None else math.sqrt(sum(error * error for error in errors) / len(errors))


Figure = Callable[[ModelCard, Sequence[Scalar], Measured], float | None]

FIGURES: dict[str, tuple[Figure, int]] = {
    "accuracy": (accuracy, 1),
    "f1": (f1, 1),
    "brier": (brier, -1),
    "mae": (mae, -1),
    "rmse": (rmse, -1),
}
"""What a hold-out may be judged by, and whether more of it is better (1) or worse (-1)."""


def _limited(gate: Gate, figure: float, limit: float, words: str, allowed: str) -> GateResult:
    passed = figure <= limit
    sentence = f"{words}; {allowed} {'are' if passed else 'is all that is'} allowed."
    return GateResult(gate, passed, sentence, figure, limit)


def _undelivered(card: ModelCard, plan: FeaturePlan) -> list[str]:
    service = card.feature_service
    if service is None:
        return []
    if service not in plan.services:
        return [f"the feature service {service} is not there"]
    delivered = plan.services[service]
    if not {field.name for field in card.inputs} & {*delivered, *(key.request for key in plan.join_keys())}:
        return [f"the feature service {service} delivers none of the model's inputs"]
    return []


def _mismatches(spec: DeploymentSpec, card: ModelCard, plan: FeaturePlan, known: Field) -> list[str]:
    """What is wrong about one input: its type as delivered or declared, or its default."""
    found = []
    delivered = _delivered(card, plan).get(known.name)
    if delivered is not None and not _fits(delivered, known.type):
        found.append(f"{known.name} is delivered as {delivered.value} and taken as {known.type.value}")
    declared = spec.inputs.get(known.name)
    if delivered is None and declared is not None and not _fits(declared.type, known.type):
        found.append(f"{known.name} is declared as {declared.type.value} and taken as {known.type.value}")
    policy = spec.features.get(known.name)
    said = policy if delivered is not None else declared
    default = None if said is None else said.default
    if default is not None and not _is(default, known.type):
        found.append(f"the default of {known.name} is no {known.type.value}")
    return found


def _delivered(card: ModelCard, plan: FeaturePlan) -> dict[str, Type]:
    own = set(plan.services.get(card.feature_service or "", ()))
    return {feature.name: feature.type for view in plan.views for feature in view.features if feature.name in own}


def _fits(given: Type, taken: Type) -> bool:
    return given is taken or (given in _NUMBERS and taken is Type.NUMBER) or {given, taken} == _NUMBERS


def _is(value: Scalar, type_: Type) -> bool:
    if type_ is Type.STRING:
        return isinstance(value, str)
    if type_ is Type.BOOLEAN:
        return isinstance(value, bool)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return not isinstance(value, bool) and (whole if type_ is Type.INTEGER else isinstance(value, (int, float)))


def _value(field: Field, values: Mapping[str, Scalar]) -> Scalar:
    value = values.get(field.name)
    return field.default if value is None else value


def _f1_of(positive: Scalar, labels: Sequence[Scalar], answers: Sequence[Scalar]) -> float:
    hits = sum(answer == label == positive for answer, label in zip(answers, labels, strict=True))
    called = sum(answer == positive for answer in answers)
    there = sum(label == positive for label in labels)
    return 2.0 * hits / (called + there) if called + there else 0.0


def _errors(labels: Sequence[Scalar], answers: Sequence[Scalar]) -> list[float] | None:
    pairs = [*zip(answers, labels, strict=True)]
    if not pairs or any(not isinstance(one, (int, float)) for pair in pairs for one in pair):
        return None
    return [float(answer or 0) - float(label or 0) for answer, label in pairs]


def _list(found: Sequence[str]) -> str:
    named = "; ".join(found[:_FEW])
    return f"{named}{f'; and {len(found) - _FEW} more' if len(found) > _FEW else ''}."
