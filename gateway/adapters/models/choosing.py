"""Which form a model runs in: each that can be compiled is proved equal to the original, then the fastest is taken.

Runs in the child process that opens an artifact for the first time. The proof is on rows that hurt: the model's own
examples, values at and beside every threshold of its trees, the ends of declared ranges, gaps. A form that answers
one label otherwise, a score beyond the tolerance, or a row at which the original fails, is out.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gateway.adapters.models.compiled import CompiledModel, Engine, form_digest, forms
from gateway.adapters.models.foreign import Foreign
from gateway.adapters.models.rows import example_row
from gateway.core.deployments import Field, Form, ModelCard, Scalar, Task, Type
from gateway.core.errors import ModelFailed
from gateway.ports import Model, Output

TOLERANCE = 1e-5
"""How far a compiled score may lie from the original's, absolute for probabilities, relative for numbers."""
WORTH_IT = 0.8
"""A compiled form is taken when it needs less than this share of the original's time."""
_BATCH = 16
_MOST_ROWS = 200
_THRESHOLDS = 20

Rows = Sequence[tuple[Scalar, ...]]


def choose(original: Model, estimator: Foreign, examples: Rows = ()) -> tuple[Form, bytes]:
    """Name the form to run, with the sentence that says why, and its bytes (none for the original)."""
    card = original.card
    if any(field.type is Type.STRING for field in card.inputs):
        return Form(why="The original runs: compiled forms take numbers, and this model takes text."), b""
    if card.task is Task.MULTIOUTPUT:
        return Form(why="The original runs: compiled forms give one answer, and this model gives several."), b""
    opened, said = _compiled(card, estimator)
    if not opened:  # then nobody has to bear with odd rows: a model may die of one
        return Form(why=f"The original runs: {'; '.join(said)}."), b""
    rows = proof_rows(card.inputs, estimator, examples)
    wanted = _answers(original, rows)
    row = next((row for row, answer in zip(rows, wanted, strict=True) if answer is not None), None)
    if row is None:
        return Form(why="The original runs: it answers no row that a compiled form could be proved with."), b""
    best, content = Form(call_s=_seconds(original, [row])), b""
    for kind, (compiled, engine) in opened.items():
        found, words = _prove(kind, CompiledModel(card, engine), original, (rows, wanted, row))
        said.append(words)
        if found is not None and found.call_s < best.call_s * (WORTH_IT if best.kind == "original" else 1.0):
            best, content = replace(found, digest=form_digest(compiled)), compiled
    taken = "The original runs" if best.kind == "original" else f"{best.kind} runs"
    return replace(best, why=f"{taken} ({best.call_s * 1e6:.0f} us a row): " + "; ".join(said) + "."), content


def _compiled(card: ModelCard, estimator: Foreign) -> tuple[dict[str, tuple[bytes, Engine]], list[str]]:
    """Compile every form that can be had, and say why the others cannot."""
    opened: dict[str, tuple[bytes, Engine]] = {}
    said: list[str] = []
    for kind, form in forms().items():
        try:
            content = form.compile(estimator, card)
            opened[kind] = content, form.open(content, card)
        except ModuleNotFoundError as error:
            said.append(f"{kind} is not installed here ({error.name})")
        except Exception as error:  # noqa: BLE001 - compilers raise their own; what they cannot do, the original does
            said.append(f"{kind} cannot compile it ({type(error).__name__})")
    return opened, said


def _prove(
    kind: str,
    compiled: CompiledModel,
    original: Model,
    proof: "tuple[Rows, Sequence[Output | None], tuple[Scalar, ...]]",
) -> tuple[Form | None, str]:
    """Hold one form to the original's answers, as it is or with rounded inputs; None where it differs."""
    rows, wanted, row = proof
    for rounds in (False, True):
        model = compiled.rounding() if rounds else compiled
        difference = _difference(original.card.task, wanted, _answers(model, rows))
        if difference is not None and difference <= TOLERANCE:
            one, many = _seconds(model, [row]), _seconds(model, [row] * _BATCH)
            row_s = max(0.0, many - one) / (_BATCH - 1)
            words = (
                f"{kind} takes {one * 1e6:.0f} us and equals the original within {difference:.0e} on {len(rows)} rows"
            )
            return Form(kind, "", "", TOLERANCE, one, row_s, rounds), words
    return None, f"{kind} answers some of {len(rows)} rows otherwise"


def _answers(model: Model, rows: Rows) -> list[Output | None]:
    """What a model answers, None for a row it fails at, which spoils no other."""
    try:
        return [*model.predict(rows)]
    except ModelFailed:
        if len(rows) == 1:
            return [None]
    half = len(rows) // 2
    return _answers(model, rows[:half]) + _answers(model, rows[half:])


def _difference(task: Task, wanted: Sequence[Output | None], found: Sequence[Output | None]) -> float | None:
    """The greatest difference of scores; None where a label differs, or only one of the two fails."""
    greatest = 0.0
    for old, new in zip(wanted, found, strict=True):
        if old is None or new is None:
            if old is not new:
                return None
            continue
        if task is Task.REGRESSION:
            greatest = max(greatest, _relative(old.label, new.label))
        elif old.label != new.label:
            return None
        else:
            greatest = max([greatest, *(abs(a - b) for a, b in zip(_scores(old), _scores(new), strict=True))])
    return greatest


def _relative(old: Scalar, new: Scalar) -> float:
    one, other = float(old or 0.0), float(new or 0.0)
    return abs(one - other) / max(1.0, abs(one))


def _scores(output: Output) -> list[float]:
    return [output.score] if output.score is not None else list((output.scores or {}).values())


def _seconds(model: Model, rows: Rows, longest_s: float = 0.2) -> float:
    """The median of some calls, after a warm-up."""
    taken: list[float] = []
    until = time.perf_counter() + longest_s
    while len(taken) < 200 and (len(taken) < 5 or time.perf_counter() < until):
        began = time.perf_counter()
        model.predict(rows)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[len(taken) // 4 :]))


def proof_rows(inputs: Sequence[Field], estimator: Foreign, examples: Rows = ()) -> list[tuple[Scalar, ...]]:
    """Rows to prove a form with: examples, and each of their values moved to where answers are made."""
    bases = [*examples[:_MOST_ROWS], example_row(inputs)[0]]
    rows = list(bases)
    random = np.random.default_rng(0)
    places = [
        list(_places(field, thresholds)) for field, thresholds in zip(inputs, _cuts(inputs, estimator), strict=True)
    ]
    for index, values in enumerate(places):
        moved = ((bases[count % len(bases)], value) for count, value in enumerate(values))
        rows.extend((*base[:index], value, *base[index + 1 :]) for base, value in moved)
    rows.extend(  # all inputs moved at once
        tuple([values[random.integers(len(values))] for values in places]) for _ in range(_MOST_ROWS)
    )
    return [row for row in rows if len(row) == len(inputs)]


def _places(field: Field, thresholds: Sequence[float]) -> Iterator[Scalar]:
    """Values of one input: its example and range, what surrounds thresholds, a spread around zero, and a gap."""
    if field.type is Type.BOOLEAN:
        yield from (False, True)
        return
    cast: Callable[[float], Scalar] = round if field.type is Type.INTEGER else float
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    centre = field.example if isinstance(field.example, (int, float)) else 0.0
    spread = [centre + step for step in (-3.0, -1.0, -0.3, 0.0, 0.1, 0.5, 1.0, 2.0, 10.0, 1e3)]
    ends = [end for end in (low, high) if math.isfinite(end)]
    around = [value for cut in thresholds for value in _beside(cut)]
    for value in (*ends, *spread, *around):
        if low <= value <= high and math.isfinite(value):
            yield cast(value)
    if not field.required and field.default is None:
        yield None


def _beside(cut: float) -> tuple[float, ...]:
    """A threshold and its neighbours, in doubles and in floats: a form that rounds either is found out here."""
    single = np.float32(cut)
    return (
        cut,
        float(np.nextafter(cut, math.inf)),
        float(np.nextafter(cut, -math.inf)),
        float(single),
        float(np.nextafter(single, np.float32(math.inf))),
        float(np.nextafter(single, np.float32(-math.inf))),
    )


def _cuts(inputs: Sequence[Field], estimator: Foreign) -> list[list[float]]:
    """Some thresholds of the estimator's trees by input, where it is a tree or a bare ensemble of trees."""
    cuts: list[list[float]] = [[] for _ in inputs]
    for feature, threshold in _splits(estimator):
        if 0 <= feature < len(cuts) and len(cuts[feature]) < _THRESHOLDS and math.isfinite(threshold):
            cuts[feature].append(threshold)
    return cuts


def _splits(estimator: Foreign) -> Iterator[tuple[int, float]]:
    for tree in np.ravel(np.array(getattr(estimator, "estimators_", [estimator]), dtype=object)):
        nodes = getattr(tree, "tree_", None)
        if nodes is not None:
            yield from zip(nodes.feature.tolist(), nodes.threshold.tolist(), strict=True)
    predictors: Any = getattr(estimator, "_predictors", [])  # histogram gradient boosting keeps its trees here
    for each in predictors:
        for predictor in each:
            nodes = predictor.nodes
            inner = nodes["is_leaf"] == 0
            yield from zip(nodes["feature_idx"][inner].tolist(), nodes["num_threshold"][inner].tolist(), strict=True)
