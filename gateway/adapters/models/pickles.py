"""Which artifacts are programs: opening them runs what their writer put there. What is not listed as data is one.

Data is skops with no types but those that skops itself trusts, and ONNX. The types that an artifact declares to be
trusted are its own word, so they count for nothing (https://skops.readthedocs.io, "persistence").
"""

from gateway.adapters.models import mlmodel
from gateway.adapters.models.artifacts import Files
from gateway.core.errors import ModelUnusable
from gateway.core.rules import Pickles

_DATA_LOADERS = frozenset({"mlflow.onnx"})
"""MLflow's loaders of Python functions that read data and import nothing that the artifact names."""


def admit(flavour: str, files: Files, allowed: Pickles) -> None:
    """Raise ModelUnusable for an artifact that runs code where that is not ``allowed``. Opens nothing."""
    why = what_runs(flavour, files)
    if not why or allowed is Pickles.ALLOW or (allowed is Pickles.FOLDER and flavour == "joblib"):
        return
    raise ModelUnusable(
        f"The model {why}, so opening it runs code of whoever wrote it, and this deployment says pickles: {allowed}. "
        "Log it as skops or ONNX, or say pickles: allow."
    )


def what_runs(flavour: str, files: Files) -> str:
    """Say what about an artifact is code, as in "is a joblib file"; "" where it is data. Raises ModelUnusable."""
    if flavour == "memory":
        return ""
    if flavour == "joblib":
        return "is a joblib file"
    described = mlmodel.parse(files[mlmodel.FILE_NAME])
    settings = described.settings(flavour)
    if described.modules(flavour):
        return "brings its own modules"
    if flavour == "sklearn":
        return _sklearn(settings.get("serialization_format", "pickle"), settings.get("skops_trusted_types"))
    loader = settings.get("loader_module")
    return "" if loader in _DATA_LOADERS else f"is a Python function ({loader})"


def _sklearn(form: str, trusted: object) -> str:
    if form != "skops":
        return f"is a {form}"
    return "trusts types of its own" if trusted else ""
