"""How a person says a figure."""

_UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def span(seconds: float) -> str:
    """Say a length of time as a person would: its two greatest units.

    >>> span(95_760), span(60), span(0.4)
    ('1 day 2 hours', '1 minute', '0 seconds')
    """
    parts: list[str] = []
    left = max(0.0, seconds)
    for size, unit in _UNITS:
        count = int(left // size)
        if count or parts or unit == "second":
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}" if count or not parts else "")
            left -= count * size
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)
