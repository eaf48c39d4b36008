"""Which requests are plain: JSON of a declared length, and nothing in the headers that asks for more than an answer."""

from collections.abc import Sequence
from typing import Final

ROUTE: Final = "/predict"
TEMPLATE: Final = "/predict/{deployment}"
UNCOMMON: Final = frozenset(
    {
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"x-deadline-ms",
        b"x-event-time",
        b"x-explain",
        b"x-variant",
    }
)


def length_of_plain(
    headers: Sequence[tuple[bytes, bytes]], limit: int, uncommon: frozenset[bytes] = UNCOMMON
) -> int | None:
    """How many bytes the body of a plain ``POST /predict`` has; None where it is not plain, or more than ``limit``.

    Names are in lower case; one that is said twice is not plain, and none of ``uncommon`` is.

    >>> length_of_plain([(b"content-type", b"application/json"), (b"content-length", b"2")], 100)
    2
    >>> length_of_plain([(b"content-type", b"application/json"), (b"x-explain", b"1")], 100)
    """
    said = dict(headers)
    if len(said) != len(headers) or said.get(b"content-type") != b"application/json":
        return None
    length = said.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 9 or not uncommon.isdisjoint(said):
        return None
    return int(length) if int(length) <= limit else None
