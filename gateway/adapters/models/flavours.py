"""How each flavour of artifact becomes a model: open the verified bytes, say what it is, stand it behind the port.

A new flavour is one class here (or in a file of its own) and one line in ``FLAVOURS``. Opening a pickle runs code of
whoever wrote it: only bytes of a pinned digest are opened, and first of all in a child process (``inspect_child``).
"""

import io
import os
import pickle
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.adapters.models import joblib_folder, mlinputs, mlmodel, sklearn_model
from gateway.adapters.models.artifacts import Files, write_files
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
    outputs: tuple[str, ...] = ()


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
        return _description(opened, inputs, manifest.task, manifest.classes, manifest.outputs)

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        return sklearn_model.SklearnModel(card, opened)


class _Sklearn:
    """MLflow's ``sklearn`` flavour, read without MLflow."""

    def open(self, files: Files) -> Foreign:
        if os.environ.get(_MLFLOW_GUARD, "true").lower() in {"false", "0"}:
            raise ModelUnusable(f"{_MLFLOW_GUARD} forbids loading this model here.")
        described = mlmodel.parse(files[mlmodel.FILE_NAME])
        settings = described.settings("sklearn")
        _import_from(files, described.modules("sklearn"))
        content = files[settings["pickled_model"]]
        form = settings.get("serialization_format", "pickle")
        if form == "skops":
            return imported("skops.io").loads(content, trusted=settings.get("skops_trusted_types"))
        if form not in {"pickle", "cloudpickle"}:
            raise ModelUnusable(f"The model is serialised as {form}; pickle, cloudpickle and skops can be loaded.")
        return pickle.loads(content)  # noqa: S301  # the digest is pinned, and a child process has loaded it first

    def describe(self, files: Files, opened: Foreign) -> Description:
        model = mlmodel.parse(files[mlmodel.FILE_NAME])
        return _description(opened, mlinputs.inputs(model, files), model.task(), model.classes(), model.outputs())

    def model(self, card: ModelCard, opened: Foreign) -> Model:
        return sklearn_model.SklearnModel(card, opened)


class _Pyfunc:
    def open(self, files: Files) -> Foreign:
        from gateway.adapters.models.pyfunc_model import Pyfunc  # imports MLflow's neighbours

        return Pyfunc(files)

    def describe(self, files: Files, opened: Foreign) -> Description:
        from gateway.adapters.models.pyfunc_model import describe

        inputs = mlinputs.inputs(opened.described, files)
        if not inputs:
            raise ModelUnusable(
                "The model does not say what inputs it takes: log it with a signature or an input example, "
                "or declare them in the deployment (inputs)."
            )
        task, classes, outputs = describe(opened, inputs)
        return Description(inputs, task, classes, outputs=outputs)

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


def modules_of(name: str, files: Files) -> str:
    """The folder of modules that an artifact brings; "" where it brings none."""
    return mlmodel.parse(files[mlmodel.FILE_NAME]).modules(name) if name in ("sklearn", "pyfunc") else ""


def _import_from(files: Files, folder: str) -> None:
    """Let this process import the modules below ``folder`` of the artifact, from a copy of the verified bytes."""
    if folder:
        copy = Path(tempfile.mkdtemp(prefix="gateway-modules-"))  # goes with the folder that a child may write to
        write_files({name: content for name, content in files.items() if name.startswith(f"{folder}/")}, copy)
        sys.path.insert(0, str(copy / folder))


def flavour(name: str) -> Flavour:
    """Find a flavour by name. Raises ModelUnusable, which lists what there is."""
    if name not in FLAVOURS:
        raise ModelUnusable(f"Models of flavour {name} cannot be served; there is: {', '.join(FLAVOURS)}.")
    return FLAVOURS[name]


def _description(
    estimator: Foreign,
    inputs: tuple[Field, ...] | None,
    task: Task | None,
    classes: tuple[int | str, ...],
    outputs: tuple[str, ...],
) -> Description:
    """Put together what was declared and what the estimator says; raises ModelUnusable where they contradict."""
    found_task = sklearn_model.task_of(estimator) if task is None else task
    known = sklearn_model.inputs_of(estimator) if inputs is None else inputs
    count = getattr(estimator, "n_features_in_", None)
    if count is not None and count != len(known):
        raise ModelUnusable(f"{len(known)} inputs were declared, but the model takes {count}.")
    if found_task in (Task.REGRESSION, Task.MULTIOUTPUT):
        numbers, none, named = _numbers(task, outputs, sklearn_model.width_of(estimator, known))
        return Description(known, numbers, none, outputs=named)
    found = sklearn_model.classes_of(estimator, found_task)
    if classes and classes != found:
        raise ModelUnusable(
            f"The classes {list(classes)} were declared, but the model knows {list(found)} in this order."
        )
    return Description(known, found_task, found)


def _numbers(
    task: Task | None, outputs: tuple[str, ...], width: int
) -> tuple[Task, tuple[int | str, ...], tuple[str, ...]]:
    """Task, no classes, and the names of a model's ``width`` numbers. Raises ModelUnusable."""
    if task is Task.REGRESSION and width > 1:
        raise ModelUnusable(f"A regression model has been declared, but it answers {width} numbers: say multioutput.")
    if width == 1 and task is not Task.MULTIOUTPUT:
        return Task.REGRESSION, (), ()
    names = outputs or tuple(f"y{index}" for index in range(width))
    if len(names) != width:
        raise ModelUnusable(f"{len(names)} outputs were declared, but the model answers {width} numbers.")
    return Task.MULTIOUTPUT, (), names
