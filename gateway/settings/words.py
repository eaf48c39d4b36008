"""The words of ``gateway.yaml``: durations, sizes and shares as people write them, and what every section is.

No settings here; those are in :mod:`gateway.settings`.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.core.amounts import parse_duration, parse_share, parse_size

Seconds = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Share = Annotated[float, BeforeValidator(parse_share), Field(ge=0, le=1)]
Level = Annotated[float, BeforeValidator(parse_share), Field(gt=0, lt=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Scalar = bool | int | float | str | None


class Section(BaseModel):
    """A part of the file: frozen, knows its words, and takes its descriptions from the sentences below."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
