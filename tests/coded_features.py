"""Models that answer with what Feast holds: a user's ``count`` is that number, so an answer says what was read."""

import time
from pathlib import Path
from typing import Any

from gateway.adapters.models.joblib_folder import save
from gateway.core.deployments import Field, Task, Type
from tests.chaos.clients import ARMS
from tests.chaos.models import Coded
from tests.e2e.harness import DEPLOYMENT
from tests.feast_sandbox import USER, FeastSandbox, Written

USERS = range(5_000, 5_200)
NOBODY = -1
DEFAULTS: dict[str, dict[str, Any]] = {"count": {"default": NOBODY}, "ratio": {"default": 0.0}}
"""What the deployment declares in place of what could not be read: nobody's number."""
_INPUTS = (Field("count", Type.INTEGER, example=1), Field("ratio", Type.NUMBER, example=0.5))


def lay(folder: Path, place: str) -> None:
    """Write stable as version 1, the canary as version 2, and ``repo``, whose users are in the Redis at ``place``."""
    for version, base in zip(("1", "2"), ARMS.values(), strict=True):
        said: dict[str, Any] = {"task": Task.REGRESSION, "inputs": _INPUTS, "feature_service": "small"}
        save(folder / "models", DEPLOYMENT, version, Coded(base), **said)
    repo = folder / "repo"
    repo.mkdir()
    sandbox = FeastSandbox(repo, f"{{type: redis, connection_string: '{place},db=0'}}")
    sandbox.write([Written(USER, {"user_id": user}, {"count": user, "ratio": 0.5}, time.time()) for user in USERS])


def body_of(user: int) -> dict[str, Any]:
    """A request about a user."""
    return {"entities": {"user_id": user}}


def true(answer: dict[str, Any], user: int) -> bool:
    """Whether an answer is of what it says it is: the user's own number, or the default and so marked."""
    given = NOBODY if answer["degraded"] else user
    return bool(abs(answer["prediction"] - ARMS[answer["variant"]] - given) < 0.5)
