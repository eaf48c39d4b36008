"""How a door reaches the store without blocking its loop."""

from collections.abc import Callable
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Run(Protocol):
    """Runs blocking work on the store's thread and waits for it without blocking the loop."""

    async def __call__(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, or raise what it raises."""
