"""How large an experiment is, and what it found: each test is its row's small form, and ``make security`` its full one.

The option ``--full-rows`` of pytest, which ``python -m tests.security`` sets, makes the difference. Figures ride on the
test's own report, so the table is made of what the tests measured and of nothing else.
"""

from collections.abc import MutableSequence
from dataclasses import dataclass

FULL = "--full-rows"
Properties = MutableSequence[tuple[str, object]]


@dataclass(frozen=True)
class Form:
    """The form a test runs in. ``properties`` are those of its report."""

    full: bool
    properties: Properties

    def pick(self, small: int, full: int) -> int:
        """The size of an experiment in its small and in its full form."""
        return full if self.full else small

    def note(self, figure: str, passes: str) -> None:
        """Keep a figure beside the one that passes; whether it does is asserted where it is measured."""
        self.properties.append((figure, passes))
