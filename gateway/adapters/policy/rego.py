"""Rego, evaluated in this process by regopy (rego-cpp): a folder of ``*.rego`` and of ``*.json`` data.

The package ``gateway`` has a rule ``deny``: a set of sentences, each a reason against. An evaluation that goes wrong is
no permission.
"""

import hashlib
import importlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.core.errors import OutboundRefused, SettingsError
from gateway.core.policy import Ruling

_RULE = "data.gateway.deny"


class RegoFolder:
    """The policies of one folder, read once: a change of policy is a restart, and its digest is in the trail."""

    def __init__(self, folder: Path) -> None:
        """Raises SettingsError for a folder without policies, and for policies that cannot be read."""
        self._turn = threading.Lock()
        try:
            regopy = importlib.import_module("regopy")
        except ImportError:
            raise SettingsError("policy: Rego needs regopy; pip install 'gateway[policy]'.") from None
        self._error: type[Exception] = regopy.rego_shared.RegoError
        modules = sorted(path for path in folder.glob("*.rego") if not path.name.endswith("_test.rego"))
        if not modules:
            raise SettingsError(f"policy: there is no .rego file in {folder}.")
        files = [*modules, *sorted(folder.glob("*.json"))]
        content = {path.name: path.read_text() for path in files}
        self.name = f"rego:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"
        self._rego: Any = regopy.Interpreter()
        try:
            for name, text in content.items():
                if name.endswith(".json"):
                    self._rego.add_data_json(text)
                else:
                    self._rego.add_module(name, text)
            self._ask({})
        except (self._error, OutboundRefused) as error:
            raise SettingsError(f"policy: the policies in {folder} cannot be evaluated: {error}") from error

    def rule(self, question: Mapping[str, Any]) -> Ruling:
        """Evaluate; takes a millisecond or two. Raises OutboundRefused for an evaluation that goes wrong."""
        with self._turn:
            try:
                return Ruling(tuple(self._ask(question)), self.name)
            except self._error as error:
                raise OutboundRefused(f"The policy cannot be evaluated: {error}") from error

    def _ask(self, question: Mapping[str, Any]) -> list[str]:
        self._rego.set_input(json.loads(json.dumps(question, default=str)))
        output = self._rego.query(_RULE)
        if not output.ok() or str(output) == "undefined":
            raise OutboundRefused("there is no rule gateway.deny, or it has no value")
        return reasons_of(output.results[0].expressions[0])


def reasons_of(said: object) -> list[str]:
    """The sentences of a ``deny`` set. Raises OutboundRefused for anything else: it must not pass for permission."""
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise OutboundRefused("gateway.deny must be a set of sentences")
    return sorted(said)
