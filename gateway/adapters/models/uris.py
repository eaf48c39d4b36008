"""Model URIs as registries write them: ``models:/name/3``, ``models:/name@champion``, ``models:/name/latest``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.core.errors import ModelUnusable

_FORM = re.compile(r"models:/(?P<name>[^/@:]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A model's name with either a version or an alias; the other is empty."""

    name: str
    version: str = ""
    alias: str = ""

    @classmethod
    def parse(cls, uri: str) -> "ModelUri":
        """Read a URI. Raises ModelUnusable.

        >>> ModelUri.parse("models:/delay@champion")
        ModelUri(name='delay', version='', alias='champion')
        """
        match = _FORM.fullmatch(uri)
        if match is None:
            raise ModelUnusable(
                "A model is named models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/latest in this registry."
            )
        if match["version"] and not (match["version"].isdecimal() or match["version"] == LATEST):
            raise ModelUnusable(
                "models:/NAME/... takes a version number or latest; an alias is written models:/NAME@ALIAS."
            )
        return cls(match["name"], match["version"] or "", match["alias"] or "")

    def pinned(self, aliases: Mapping[str, str], versions: Sequence[str]) -> str:
        """Turn the URI into that of one existing version. Raises ModelUnusable, which says what there is.

        >>> ModelUri("delay", "latest").pinned({}, ["9", "10"])
        'models:/delay/10'
        """
        if not versions:
            raise ModelUnusable("The registry has no model of that name.")
        version = self.aliased(aliases) if self.alias else self.version
        if version == LATEST:
            version = max(versions, key=int)
        if version not in versions:
            raise ModelUnusable(f"The model has no such version; the latest is {max(versions, key=int)}.")
        return f"models:/{self.name}/{version}"

    def aliased(self, aliases: Mapping[str, str]) -> str:
        """Return the version the alias points at. Raises ModelUnusable, which lists the aliases there are."""
        if self.alias not in aliases:
            known = ", ".join(sorted(aliases)) or "none"
            raise ModelUnusable(f"The model has no such alias; it has: {known}.")
        return aliases[self.alias]
