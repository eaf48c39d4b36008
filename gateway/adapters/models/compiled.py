"""Models compiled to native code, without user Python: cheap enough to run on the event loop itself.

Each form is a file of its own (``linear``, ``onnx``, ``treelite``); how one is chosen and proved is
:mod:`.choosing`. All that is shared stands here: rows in, checked outputs out.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models import answers
from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import ModelCard, Scalar, Task
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.ports import Output

COMPILED_FILE = "compiled"


class Engine(Protocol):
    """Native code that answers a matrix (rows, inputs)."""

    dtype: type[np.floating[Any]]
    """What the matrix has to be made of."""

    def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Answer (rows, classes) probabilities, or (rows,) numbers of a regressor. Raises whatever it likes."""


class FormCompiler(Protocol):
    """One form: compiles an estimator to bytes, and opens them."""

    def compile(self, estimator: Foreign, card: ModelCard) -> bytes:
        """Compile. Raises whatever the compiler raises; ModuleNotFoundError where it is not installed."""

    def open(self, content: bytes, card: ModelCard) -> Engine:
        """Open what ``compile`` wrote. Raises ModuleNotFoundError where the form's runtime is not installed."""


class CompiledModel:
    """A compiled form behind the Model port."""

    def __init__(self, card: ModelCard, engine: Engine, *, rounds: bool = False) -> None:
        """``rounds``: inputs are rounded to float32 first."""
        self.card = card
        self._rounds = rounds
        self._engine = engine
        self._dtype = engine.dtype
        self._binary = card.classes if card.task is Task.BINARY else None

    def rounding(self) -> "CompiledModel":
        """The same with inputs rounded to float32 first."""
        return CompiledModel(self.card, self._engine, rounds=True)

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer rows whose values stand in the order of ``card.inputs``. Raises ModelFailed."""
        try:
            matrix = np.array(rows, dtype=np.float32 if self._rounds else self._dtype)
            found = self._engine(matrix.astype(self._dtype) if self._rounds else matrix)
        except Exception as error:  # native code behind foreign bindings
            raise ModelFailed(type(error).__name__) from error
        if self._binary is not None:
            return _binary(found, len(rows), self._binary)
        if self.card.task is Task.REGRESSION:
            return answers.numbers(found, len(rows))
        return answers.probabilities(found, len(rows), self.card.task, self.card.classes)


def _binary(found: NDArray[Any], rows: int, classes: tuple[int | str, ...]) -> list[Output]:
    """As ``answers.probabilities``, for the usual case: numpy's checks cost more than the model on a row or two."""
    if found.shape != (rows, 2):
        raise ModelFailed(answers.NOT_AN_ANSWER)
    first, second = classes
    outputs = []
    for one, other in found.tolist():
        if not (0.0 <= one <= 1.0 and 0.0 <= other <= 1.0):  # true for NaN too
            raise ModelFailed(answers.NOT_AN_ANSWER)
        outputs.append(Output(second if other > one else first, other))
    return outputs


def form_digest(content: bytes) -> str:
    """Name a compiled form by its bytes."""
    return hashlib.sha256(content).hexdigest()


def open_compiled(content: bytes, card: ModelCard) -> CompiledModel:
    """Stand a prepared compiled form behind the port. Raises ModelUnusable for other bytes than were proved."""
    if form_digest(content) != card.form.digest:
        raise ModelUnusable(f"The {card.form.kind} form of {card.name} {card.version} is not what was proved.")
    return CompiledModel(card, forms()[card.form.kind].open(content, card), rounds=card.form.rounds)


def forms() -> dict[str, FormCompiler]:
    """Every form there is, by the word that cards say."""
    from gateway.adapters.models.linear import Linear
    from gateway.adapters.models.onnx import Onnx
    from gateway.adapters.models.treelite import Treelite

    return {"linear": Linear(), "onnx": Onnx(), "treelite": Treelite()}
