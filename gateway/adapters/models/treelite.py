"""Treelite: scikit-learn's forests and gradient boosting, bit for bit, thresholds in doubles."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import ModelCard, Task
from gateway.core.errors import ModelUnusable


class Treelite:
    """The ``treelite`` form: a serialised Treelite model, run by its general inference library (GTIL)."""

    def compile(self, estimator: Foreign, card: ModelCard) -> bytes:  # noqa: ARG002 - a form's compiler is told both
        """Import the trees."""
        import treelite

        return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())

    def open(self, content: bytes, card: ModelCard) -> "TreeliteEngine":
        """Load the trees."""
        return TreeliteEngine(content, card)


class TreeliteEngine:
    """The trees, answered on the calling thread."""

    def __init__(self, content: bytes, card: ModelCard) -> None:
        import treelite

        with tempfile.TemporaryDirectory() as folder:  # the library reads files only
            path = Path(folder, "model")
            path.write_bytes(content)
            self._model = treelite.Model.deserialize(path)
        self._predict = treelite.gtil.predict
        self._task = card.task
        width = 1 if card.task is Task.REGRESSION else len(card.classes)
        found = self._predict(self._model, np.zeros((1, len(card.inputs))), nthread=1)
        if found.shape[1] != 1 or found.shape[2] not in {1, width}:
            raise ModelUnusable("The trees answer in another shape than the model.")
        self._one_column = width == 2 and found.shape[2] == 1

    dtype: type[np.floating[Any]] = np.float64

    def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Walk the trees."""
        found: NDArray[Any] = self._predict(self._model, matrix, nthread=1)[:, 0, :]
        if self._task is Task.REGRESSION:
            return found[:, 0]
        return np.concatenate((1.0 - found, found), axis=1) if self._one_column else found
