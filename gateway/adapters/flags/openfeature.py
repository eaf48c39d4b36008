"""OpenFeature as the Flags port: a provider that evaluates in this process, or a file of rules.

A flag is evaluated on the request path, so a provider must do no I/O when it is asked; those that keep their flags in
memory and fetch them aside (flagd in process, LaunchDarkly, Unleash) are of that kind. What a flag says wrongly, or
cannot say, overrides nothing.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
import yaml

from gateway.core.deployments import Scalar
from gateway.core.errors import SettingsError

log = structlog.get_logger(__name__)

_DOMAIN = "gateway"
_NOTHING = ""


class OpenFeatureFlags:
    """Asks an OpenFeature provider. ``refresh`` takes over what has changed, where the provider is a file's."""

    def __init__(self, provider: Any, refresh: Callable[[], None] = lambda: None) -> None:  # noqa: ANN401 - an extra's
        api, context = (
            importlib.import_module("openfeature.api"),
            importlib.import_module("openfeature.evaluation_context"),
        )
        api.set_provider_and_wait(provider, _DOMAIN)
        self._client, self._context, self.refresh = api.get_client(_DOMAIN), context.EvaluationContext, refresh

    def variant(self, flag: str, key: str, attributes: Mapping[str, Scalar]) -> str | None:
        """The variant that a flag names for this routing key, or None. Never raises and never waits."""
        said = {name: value for name, value in attributes.items() if value is not None}
        found: str = self._client.get_string_value(flag, _NOTHING, self._context(key, said))
        return found or None


def open_flags(said: str | None) -> OpenFeatureFlags | None:
    """Open ``MODULE:FACTORY``, which makes a provider, or a YAML file of rules. Raises SettingsError."""
    if said is None:
        return None
    try:
        importlib.import_module("openfeature.api")
    except ImportError:
        raise SettingsError("flags: OpenFeature needs its SDK; pip install 'gateway[flags]'.") from None
    if not said.endswith((".yaml", ".yml", ".json")):
        return OpenFeatureFlags(_made(said))
    rules = _Rules(Path(said))
    return OpenFeatureFlags(rules.provider, rules.refresh)


def _made(said: str) -> object:
    module, colon, name = said.partition(":")
    if not colon:
        raise SettingsError("flags: name a YAML file, or a provider's factory as MODULE:FACTORY.")
    try:
        factory: Callable[[], object] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"flags: {said} cannot be imported ({error}).") from error
    return factory()


class _Rules:
    """A file of flags: each has a ``default`` and ``rules``, whose first match says which ``variant``."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a file that cannot be read."""
        self._path = path
        self._seen = self._stamp()
        memory: Any = importlib.import_module("openfeature.provider.in_memory_provider")
        self._flag = memory.InMemoryFlag
        self.provider = memory.InMemoryProvider({})
        self.provider._flags = self._read()

    def refresh(self) -> None:
        """Take over a changed file; one that cannot be read leaves what was read last. Never raises; blocks."""
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self.provider._flags, self._seen = self._read(), stamp
        except SettingsError as error:
            log.error("flags_unreadable", reason=str(error))  # noqa: TRY400 - the sentence says it all

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise SettingsError(f"flags: {self._path} cannot be read ({error.strerror}).") from error
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> dict[str, Any]:
        try:
            said = yaml.safe_load(self._path.read_text(encoding="utf-8")) or {}
            return {str(name): self._made(flag) for name, flag in said.items()}
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise SettingsError(f"flags: {self._path} holds no flags ({type(error).__name__}: {error}).") from error

    def _made(self, flag: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an extra's type
        rules = [(dict(rule["when"]), str(rule["variant"])) for rule in flag.get("rules", ())]
        default = str(flag.get("default", _NOTHING))
        details: Any = importlib.import_module("openfeature.flag_evaluation").FlagResolutionDetails

        def evaluate(_: object, context: Any) -> Any:  # noqa: ANN401 - as above
            known = {**context.attributes, "key": context.targeting_key}
            fits = (variant for when, variant in rules if all(known.get(name) == value for name, value in when.items()))
            return details(value=next(fits, default))

        return self._flag(default, {default: default}, context_evaluator=evaluate)
