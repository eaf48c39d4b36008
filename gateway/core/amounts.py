"""Amounts as people write them: ``500ms``, ``8MiB``, ``5%``. Pure."""

import re
from collections.abc import Mapping

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_UNITS_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*")


def parse_duration(value: object) -> object:
    """Turn ``500ms``, ``3s``, ``10h`` or ``1d`` into seconds; a bare number is seconds already.

    >>> parse_duration("500ms"), parse_duration("1d"), parse_duration(3)
    (0.5, 86400.0, 3)
    """
    return _amount(value, _UNITS_S, "a duration such as 500ms, 3s, 5m, 10h or 1d")


def parse_size(value: object) -> object:
    """Turn ``1MiB`` into bytes; a bare number is bytes already.

    >>> parse_size("1MiB")
    1048576
    """
    amount = _amount(value, _UNITS_BYTES, "a size such as 512KiB or 8MiB")
    return int(amount) if isinstance(amount, float) else amount


def parse_share(value: object) -> object:
    """Turn ``5%`` into 0.05; a bare number is a share already.

    >>> parse_share("5%")
    0.05
    """
    return _amount(value, {"%": 0.01}, "a share such as 5% or 0.05")


def _amount(value: object, units: Mapping[str, float], wanted: str) -> object:
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value)
    if match is None or (match[2] and match[2] not in units):
        raise ValueError(f"is not {wanted}")
    return float(match[1]) * units[match[2]] if match[2] else float(match[1])
