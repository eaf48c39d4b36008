"""A chain of seals over a deployment's decisions, so that a line that was changed or taken away shows.

Each line's seal is a hash of the seal before it and of the line as it is stored. The last one stands beside the control
document too, with the number of lines: taking away the end of a timeline shows as well. A chain without a key does not
stop somebody who rewrites all of it; whoever keeps a seal elsewhere - every decision is logged with its own - can tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

BEGINNING = ""
"""The seal before the first line."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of checking a timeline: its lines, the last seal, and the first line (from 1) that does not fit.

    ``broken`` is one more than ``lines`` when lines are missing at the end; None when everything fits.
    """

    lines: int
    head: str
    broken: int | None = None


def seal(before: str, line: str) -> str:
    """Seal one line behind the seal before it.

    >>> seal(BEGINNING, "{}")[:12], seal(seal(BEGINNING, "{}"), "{}")[:12]
    ('a062dd4952b9', '6ef3ac45693f')
    """
    return sha256(f"{before}\n{line}".encode()).hexdigest()


def check(sealed: Iterable[tuple[str, str]], lines: int, head: str) -> Audit:
    """Check (line, seal) pairs, oldest first, against the number of lines and the last seal that are kept beside.

    >>> first = seal(BEGINNING, "a")
    >>> check([("a", first)], 1, first).broken, check([("b", first)], 1, first).broken, check([], 1, first).broken
    (None, 1, 1)
    """
    found, number = BEGINNING, 0
    for number, (line, said) in enumerate(sealed, 1):
        found = seal(found, line)
        if found != said:
            return Audit(lines, head, number)
    if number != lines or found != head:
        return Audit(lines, head, min(number, lines) + 1)
    return Audit(lines, head)
