"""The option that every command has: which settings."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.settings import Settings, load_settings

DEFAULT_FILE = Path("gateway.yaml")

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings; by default ./gateway.yaml if it is there.")
]


def settings_of(config: Path | None, **overrides: object) -> Settings:
    """Read the settings named, or those that lie here, or the defaults. Raises SettingsError."""
    path = config if config is not None else (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    return load_settings(path, **overrides)
