"""Models for tests, ours and our users': scripts that answer so that one number proves both the arm and the entity.

A script's answer is ``base`` plus the row's first value. It can also fail, be slow, or answer nonsense. It is a real
artifact (one JSON file), so it takes the same way through cache, loader and worker as any other model.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.adapters.models.answers import NOT_AN_ANSWER
from gateway.adapters.models.artifacts import Files
from gateway.adapters.models.uris import ModelUri
from gateway.core.deployments import Field, ModelCard, Scalar, Task, Type
from gateway.core.errors import ModelFailed, ModelUnusable
from gateway.ports import Artifact, Output

SCRIPT_FILE = "script.json"
_LOW, _HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Script:
    """What a scripted model does. ``sleep_s`` is in machine seconds."""

    base: float = 0.0
    """Regression: the answer is ``base`` plus the row's first value. Classification: their sum, modulo the number of
    classes, is the index of the label."""
    inputs: tuple[Field, ...] = (Field("entity", Type.INTEGER, example=1),)
    task: Task = Task.REGRESSION
    classes: tuple[int | str, ...] = ()
    feature_service: str | None = None
    raises: str | None = None
    """Fail with this error kind at every row whose first value is a multiple of ``raise_every``."""
    raise_every: int = 1
    nonsense: bool = False
    """Answer NaN, as a broken model would."""
    sleep_s: float = 0.0


@dataclass(slots=True)
class MemoryModel:
    """A scripted model. ``calls`` counts the rows it was asked for."""

    card: ModelCard
    script: Script = field(default_factory=Script)
    calls: int = 0

    def predict(self, rows: Sequence[Sequence[Scalar]]) -> list[Output]:
        """Answer as scripted. Raises ModelFailed as scripted."""
        self.calls += len(rows)
        if self.script.sleep_s:
            time.sleep(self.script.sleep_s)
        return [self._answer(row[0]) for row in rows]

    def _answer(self, first: Scalar) -> Output:
        script = self.script
        value = float(first or 0)
        if script.raises is not None and value % script.raise_every == 0:
            raise ModelFailed(script.raises)
        if script.nonsense:
            raise ModelFailed(NOT_AN_ANSWER)
        if script.task is Task.REGRESSION:
            return Output(script.base + value)
        chosen = int(script.base + value) % len(script.classes)
        if script.task is Task.BINARY:
            return Output(script.classes[chosen], score=_HIGH if chosen else _LOW)
        rest = (1.0 - _HIGH) / (len(script.classes) - 1)
        scores = {str(label): _HIGH if index == chosen else rest for index, label in enumerate(script.classes)}
        return Output(script.classes[chosen], scores=scores)


def read_script(files: Files) -> Script:
    """Read a script from its artifact. Raises ModelUnusable."""
    try:
        return msgspec.json.decode(files[SCRIPT_FILE], type=Script)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ModelUnusable(f"The artifact holds no readable {SCRIPT_FILE}.") from error


class MemoryModelStore:
    """A registry of scripts in this process: ``models:/name/1`` is the first version, aliases may be set."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Script]] = {}
        self._aliases: dict[tuple[str, str], int] = {}

    def add(self, name: str, script: Script) -> str:
        """Register the next version of a model and return its pinned URI."""
        self._versions.setdefault(name, []).append(script)
        return f"models:/{name}/{len(self._versions[name])}"

    def alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._aliases[name, alias] = version

    def unalias(self, name: str, alias: str) -> None:
        """Take an alias away; one that is not there is fine."""
        self._aliases.pop((name, alias), None)

    def aliases(self, name: str) -> Mapping[str, str]:
        """Which version each alias of a model points at."""
        return self._aliases_of(name)

    def versions(self, name: str) -> list[str]:
        """The versions of a model, in order."""
        return [str(number) for number in self._numbers(name)]

    def resolve(self, uri: str) -> str:
        """Pin ``uri`` to a version. Raises ModelUnusable."""
        wanted = ModelUri.parse(uri)
        return wanted.pinned(self._aliases_of(wanted.name), [str(n) for n in self._numbers(wanted.name)])

    def fetch(self, pinned: str, into: str) -> Artifact:
        """Write the script into the folder ``into``. Raises ModelUnusable."""
        wanted = ModelUri.parse(self.resolve(pinned))
        script = self._versions[wanted.name][int(wanted.version) - 1]
        Path(into).mkdir(parents=True, exist_ok=True)
        Path(into, SCRIPT_FILE).write_bytes(msgspec.json.encode(script))
        return Artifact(wanted.name, wanted.version, pinned, "memory", ".", script.feature_service, script.task)

    def _numbers(self, name: str) -> range:
        return range(1, len(self._versions.get(name, ())) + 1)

    def _aliases_of(self, name: str) -> Mapping[str, str]:
        return {alias: str(version) for (model, alias), version in self._aliases.items() if model == name}
