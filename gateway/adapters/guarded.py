"""Calls that other people's code makes on our behalf, held to the addresses that may be called.

:mod:`gateway.adapters.outbound` makes its own calls. A library with a hundred plugins makes them in its own ways, so
there the interpreter is asked: it tells of every ``connect`` and ``sendto`` before it happens, by the address that a
name has led to, and a hook that raises keeps it from happening. Redirects and rebinding meet the same judge.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gateway.adapters.outbound import permitted

_EVENTS = frozenset({"socket.connect", "socket.sendto"})
_inside: ContextVar[bool | None] = ContextVar("_inside", default=None)
_installing = threading.Lock()
_installed = threading.Event()


@contextmanager
def guarded(*, inside: bool = True) -> Iterator[None]:
    """Keep what runs in this context from calling what :func:`permitted` does not; there it is a PermissionError.

    A library's own threads are held where it hands them our context, as apprise does; bare threads are not. Sockets of
    this machine that have no address (``/dev/log``) are not judged.
    """
    _install()
    before = _inside.set(inside)
    try:
        yield
    finally:
        _inside.reset(before)


def _install() -> None:
    """Put the hook in its place, once; it can never be taken out, and lets everybody else pass."""
    with _installing:
        if not _installed.is_set():
            sys.addaudithook(_hook)
            _installed.set()


def _hook(event: str, said: tuple[Any, ...]) -> None:
    if event in _EVENTS and (inside := _inside.get()) is not None:
        _judge(said[1], inside)


def _judge(address: object, inside: bool) -> None:
    """Raise PermissionError for an address that may not be called. A name that was not looked up first is none."""
    if not isinstance(address, tuple):
        return
    try:
        good = permitted(str(address[0]).partition("%")[0], inside=inside)
    except ValueError:
        good = False
    if not good:
        raise PermissionError("It is at an address that is not called from here.")
