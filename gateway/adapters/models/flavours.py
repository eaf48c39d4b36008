"""How each flavour of artifact becomes a model: open the verified bytes, say what it is, stand it behind the port.

A new flavour is one class here (or in a file of its own) and one line in ``FLAVOURS``. Opening a pickle runs code of
whoever wrote it: only bytes of a pinned digest are opened, and first of all in a child process (``inspect_child``).
"""

import io
import os
import pickle
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.models import joblib_folder, mlmodel, sklearn_model
from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.foreign import Foreign, imported
from gateway.adapters.models.memory import MemoryModel, Script, read_script
from gateway.core.deployments import Field, ModelCard, Task
from gateway.core.errors import ModelUnusable
from gateway.ports import Model

_MLFLOW_GUARD = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"


@dataclass(frozen=True, slots=True)
class Description:
    """What an opened model takes and gives; ``scored``: its answers carry probabilities, as far as anybody has seen."""

    inputs: tuple[Field, ...]
    task: Task
    classes: tuple[int | str, ...] = ()
    scored: bool = True


class Flavour(Protocol):
    """One kind of artifact. ``opened`` is whatever ``open`` returned."""

    def open(self, files: Files) -> Foreign:
        """Load the model from its bytes. Runs foreign code and may raise anything."""

    def describe(self, files: Files, opened: Foreign) -> Description:
        """Say what it takes and gives. Raises ModelUnusable."""

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        """Stand it behind the port. Raises ModelUnusable where it is not what the card says."""


class _Joblib:
    def open(self, files: Files) -> Foreign:
        import joblib

        if joblib_folder.MODEL_FILE not in files:
            raise ModelUnusable(f"The artifact holds no {joblib_folder.MODEL_FILE}.")
        return joblib.load(io.BytesIO(files[joblib_folder.MODEL_FILE]))

    def describe(self, files: Files, opened: Foreign) -> Description:
        manifest = joblib_folder.manifest_of(files)
        inputs = None if manifest.inputs is None else tuple(each.as_field() for each in manifest.inputs)
        return _description(opened, inputs, manifest.task, manifest.classes)

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        return sklearn_model.SklearnModel(card, opened)


class _Sklearn:
    """MLflow's ``sklearn`` flavour, read without MLflow."""

    def open(self, files: Files) -> Foreign:
        if os.environ.get(_MLFLOW_GUARD, "true").lower() in {"false", "0"}:
            raise ModelUnusable(f"{_MLFLOW_GUARD} forbids loading this model here.")
        settings = mlmodel.parse(files[mlmodel.FILE_NAME]).settings("sklearn")
        content = files[settings["pickled_model"]]
        form = settings.get("serialization_format", "pickle")
        if form == "skops":
            return imported("skops.io").loads(content, trusted=settings.get("skops_trusted_types"))
        if form not in {"pickle", "cloudpickle"}:
            raise ModelUnusable(f"The model is serialised as {form}; pickle, cloudpickle and skops can be loaded.")
        return pickle.loads(content)  # noqa: S301  # the digest is pinned, and a child process has loaded it first

    def describe(self, files: Files, opened: Foreign) -> Description:
        model = mlmodel.parse(files[mlmodel.FILE_NAME])
        return _description(opened, mlmodel.inputs(model, files), model.task(), model.classes())

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        return sklearn_model.SklearnModel(card, opened)


class _Pyfunc:
    def open(self, files: Files) -> Foreign:
        from gateway.adapters.models.pyfunc_model import Pyfunc  # imports MLflow's neighbours

        return Pyfunc(files)

    def describe(self, files: Files, opened: Foreign) -> Description:
        inputs, task, classes = (
            mlmodel.inputs(opened.described, files),
            opened.described.task(),
            opened.described.classes(),
        )
        if not inputs:
            raise ModelUnusable("A pyfunc needs a signature: without one it does not say what inputs it takes.")
        wanted = {Task.BINARY: len(classes) == 2, Task.MULTICLASS: len(classes) > 2, Task.REGRESSION: not classes}
        if task is None or not wanted[task]:
            raise ModelUnusable(
                'A pyfunc must be logged with metadata={"task": "binary", "classes": [0, 1]} (or multiclass with its '
                "classes, or regression without)."
            )
        return Description(inputs, task, classes)

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        from gateway.adapters.models.pyfunc_model import PyfuncModel

        return PyfuncModel(card, opened)


class _Memory:
    def open(self, files: Files) -> Script:
        return read_script(files)

    def describe(self, files: Files, opened: Script) -> Description:  # noqa: ARG002  # the script says it all
        return Description(opened.inputs, opened.task, opened.classes)

    def model(self, card: ModelCard, opened: Script) -> Model:
        return MemoryModel(card, opened)


FLAVOURS: dict[str, Flavour] = {
    "joblib": _Joblib(),
    "sklearn": _Sklearn(),
    "pyfunc": _Pyfunc(),
    "memory": _Memory(),
}


def flavour(name: str) -> Flavour:
    """Find a flavour by name. Raises ModelUnusable, which lists what there is."""
    if name not in FLAVOURS:
        raise ModelUnusable(f"Models of flavour {name} cannot be served; there is: {', '.join(FLAVOURS)}.")
    return FLAVOURS[name]


def _description(
    estimator: Foreign, inputs: tuple[Field, ...] | None, task: Task | None, classes: tuple[int | str, ...]
) -> Description:
    """Put together what was declared and what the estimator says; raises ModelUnusable where they contradict."""
    found_task = sklearn_model.task_of(estimator) if task is None else task
    found = sklearn_model.classes_of(estimator, found_task)
    if classes and classes != found:
        raise ModelUnusable(
            f"The classes {list(classes)} were declared, but the model knows {list(found)} in this order."
        )
    known = sklearn_model.inputs_of(estimator) if inputs is None else inputs
    count = getattr(estimator, "n_features_in_", None)
    if count is not None and count != len(known):
        raise ModelUnusable(f"{len(known)} inputs were declared, but the model takes {count}.")
    return Description(known, found_task, found)
