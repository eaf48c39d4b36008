"""The ``MLmodel`` file of an MLflow artifact: flavours, signature and metadata, read without MLflow.

Reading it ourselves means that a worker serves scikit-learn models from verified bytes without importing MLflow.
Field reference: https://mlflow.org/docs/latest/ml/model/ (MLmodel, signatures, input examples).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gateway.core.deployments import Task
from gateway.core.errors import ModelUnusable

FILE_NAME = "MLmodel"
_NAMES = {"sklearn": "sklearn", "pyfunc": "python_function"}


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What an ``MLmodel`` file says. ``columns`` is the signature's inputs, None where there is no signature.

    They are ``enforced`` by MLflow where they are the author's own (:func:`mlinputs.completed` fills them in).
    """

    flavours: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]] | None
    example: str | None
    answers: Sequence[Mapping[str, Any]] = ()
    """The signature's outputs."""
    ident: str = ""
    """The id that MLflow gave the model."""
    enforced: bool = True

    def flavour(self) -> str:
        """Name the flavour to load: ``sklearn`` where there is one, else ``pyfunc``. Raises ModelUnusable."""
        if "sklearn" in self.flavours:
            return "sklearn"
        if "python_function" in self.flavours:
            return "pyfunc"
        raise ModelUnusable(
            f"The model has the flavours {', '.join(sorted(self.flavours)) or 'none'}; "
            "one of sklearn and python_function is needed."
        )

    def settings(self, flavour: str) -> Mapping[str, Any]:
        """What the file says of one flavour, as :meth:`flavour` names it."""
        return self.flavours[_NAMES[flavour]]

    def modules(self, flavour: str) -> str:
        """The folder within the artifact of the modules that it brings for this flavour; "" where it brings none."""
        return str(self.settings(flavour).get("code") or "")

    def task(self) -> Task | None:
        """What the metadata key ``task`` declares, None where it is absent. Raises ModelUnusable."""
        declared = self.metadata.get("task")
        if declared is None:
            return None
        try:
            return Task(declared)
        except ValueError as error:
            raise ModelUnusable(f"The metadata's task must be one of {', '.join(Task)}.") from error

    def classes(self) -> tuple[int | str, ...]:
        """What the metadata key ``classes`` declares. Raises ModelUnusable."""
        declared = self.metadata.get("classes") or []
        if not isinstance(declared, list) or not all(type(label) in (int, str) for label in declared):
            raise ModelUnusable("The metadata's classes must be a list of integers and text.")
        return tuple(declared)

    def outputs(self) -> tuple[str, ...]:
        """Name the numbers that it gives, by the metadata key ``outputs`` or the signature. Raises ModelUnusable."""
        declared = self.metadata.get("outputs") or [each.get("name") for each in self.answers]
        if not isinstance(declared, list) or len(set(declared)) < len(declared):
            raise ModelUnusable("The metadata's outputs must be a list of distinct names.")
        return tuple(declared) if all(isinstance(name, str) for name in declared) else ()

    def feature_service(self) -> str | None:
        """What the metadata key ``feature_service`` declares. Raises ModelUnusable."""
        declared = self.metadata.get("feature_service")
        if declared is not None and not isinstance(declared, str):
            raise ModelUnusable("The metadata's feature_service must be the name of a Feast feature service.")
        return declared


def parse(content: bytes) -> MLmodel:
    """Read an ``MLmodel`` file. Raises ModelUnusable."""
    try:
        found = yaml.safe_load(content)
        said = found.get("signature") or {}
        signature = said.get("inputs")
        return MLmodel(
            flavours=dict(found["flavors"]),
            metadata=found.get("metadata") or {},
            columns=None if signature is None else json.loads(signature),
            example=(found.get("saved_input_example_info") or {}).get("artifact_path"),
            answers=json.loads(said.get("outputs") or "[]"),
            ident=str(found.get("model_id") or found.get("model_uuid") or ""),
        )
    except (yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ModelUnusable("The artifact's MLmodel file cannot be read.") from error
