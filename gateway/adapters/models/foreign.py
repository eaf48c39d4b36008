"""Other people's objects, which have no types, and other people's packages, which may not be installed."""

import importlib
import os
from typing import Any, TypeAlias

from gateway.core.errors import ModelUnusable

Foreign: TypeAlias = Any
"""An estimator, a client, or whatever one of them returns: nothing is known of it until it has been looked at."""

_MLFLOW_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a gateway reports to nobody
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # and has no terminal
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a registry that is down is to be said so within seconds, not minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def imported(module: str) -> Foreign:
    """Import a module of the ``mlflow`` extra. Raises ModelUnusable, which says what to install."""
    for name, value in _MLFLOW_DEFAULTS.items():  # whoever set them knows better
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise ModelUnusable(
            f"The package {missing} is not installed here; MLflow models need: pip install 'gateway[mlflow]'."
        ) from error
