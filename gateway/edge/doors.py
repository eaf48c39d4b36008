"""Which scope opens which route. A route that is not here is opened by none; a test holds both planes to this table.

Rule 1: with keys configured, nothing reaches an app but what stands here.
Rule 2: ``HEAD`` is ``GET``. Rule 3: a path that fits two lines needs the scopes of both.
"""

import re
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.routing import compile_path

NOBODY: Final = "nobody is asked"
"""Opens to all: the probes, which tell nothing."""
ANYBODY: Final = "any scope"
"""Opens to whoever has a good key."""

_PAGES = {
    "GET /openapi.json": ANYBODY,
    "GET /docs": ANYBODY,
    "GET /docs/files/{file:path}": ANYBODY,
    "GET /livez": NOBODY,
    "GET /readyz": NOBODY,
}
_ONE = "/admin/deployments/{deployment}"

DATA_DOORS: Mapping[str, str] = {
    **_PAGES,
    "POST /predict": "predict",
    "POST /predict/{deployment}": "predict",
    "POST /invocations": "predict",
    "POST /invocations/{deployment}": "predict",
    "GET /ping": NOBODY,
    "GET /health": NOBODY,
    "GET /version": ANYBODY,
    "GET /v2": ANYBODY,
    "GET /v2/health/live": NOBODY,
    "GET /v2/health/ready": NOBODY,
    "GET /v2/models/{deployment}": "predict",
    "GET /v2/models/{deployment}/ready": "predict",
    "GET /v2/models/{deployment}/versions/{version}": "predict",
    "GET /v2/models/{deployment}/versions/{version}/ready": "predict",
    "POST /v2/models/{deployment}/infer": "predict",
    "POST /v2/models/{deployment}/versions/{version}/infer": "predict",
    "POST /feedback": "feedback",
}
CONTROL_DOORS: Mapping[str, str] = {
    **_PAGES,
    "GET /": "read",
    "GET /room/{file:path}": "read",
    "GET /metrics": "read",
    "GET /admin/deployments": "read",
    f"GET {_ONE}": "read",
    f"GET {_ONE}/verdict": "read",
    f"GET {_ONE}/timeline": "read",
    f"GET {_ONE}/performance": "read",
    f"GET {_ONE}/pulse": "read",
    f"GET {_ONE}/course": "read",
    f"GET {_ONE}/kpis": "read",
    f"GET {_ONE}/drift": "read",
    f"GET {_ONE}/retraining": "read",
    "GET /admin/predictions/{prediction_id}": "read",
    "GET /admin/ledger": "read",
    f"PUT {_ONE}/traffic": "operate",
    f"POST {_ONE}/canary": "operate",
    f"POST {_ONE}/validate": "operate",
    f"POST {_ONE}/shadows": "operate",
    f"DELETE {_ONE}/shadows/{{name}}": "operate",
    f"POST {_ONE}/shadows/{{name}}/promote": "operate",
    f"POST {_ONE}/approve": "operate",
    f"POST {_ONE}/promote": "operate",
    f"POST {_ONE}/demote": "operate",
    f"POST {_ONE}/pause": "operate",
    f"POST {_ONE}/resume": "operate",
    f"POST {_ONE}/rollback": "operate",
    f"POST {_ONE}/retraining": "operate",
    f"POST {_ONE}/retraining/{{run_id}}/end": "operate",
}


class Doors:
    """A table of doors, ready to be asked."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._plain: dict[tuple[str, str], str] = {}
        self._templates: list[tuple[str, re.Pattern[str], str]] = []
        for route, scope in table.items():
            method, _, path = route.partition(" ")
            if "{" in path:
                self._templates.append((method, compile_path(path)[0], scope))
            else:
                self._plain[method, path] = scope

    def needs(self, method: str, path: str) -> frozenset[str]:
        """The scopes that open a route. Raises HTTPException 404 for a path, 405 for a method that is not here."""
        asked = "GET" if method == "HEAD" else method
        found = {of: scope for (of, plain), scope in self._plain.items() if plain == path}
        fitting = [(of, scope) for of, pattern, scope in self._templates if pattern.match(path)]
        needed = [scope for of, scope in (*found.items(), *fitting) if of == asked]
        if needed:
            return frozenset(needed)
        if found or fitting:
            allowed = sorted({*found, *(of for of, _ in fitting)})
            raise HTTPException(405, "This route does not take that method.", {"Allow": ", ".join(allowed)})
        raise HTTPException(404, "There is nothing here.")
