"""The supervisor: what ends is started again, what stands still is replaced, and in the end everything has ended."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.core.errors import SettingsError
from gateway.processes.supervisor import Child, Supervisor, serve
from gateway.settings import Settings, load_settings
from tests.e2e.harness import until
from tests.processes.stubborn import BRIEF, DILIGENT, FROZEN, UNWILLING


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return load_settings(None, state_dir=tmp_path, drain_timeout=0.5, data_port=0, control_port=0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def starts(settings: Settings) -> list[tuple[int, int]]:
    """Every start so far: what kind of child, and its process id."""
    diary = settings.state_dir / "run" / "settings.json.diary"
    lines = diary.read_text().splitlines() if diary.exists() else []
    return [(int(kind), int(pid)) for kind, pid in (line.split() for line in lines)]


def count(settings: Settings, kind: int) -> int:
    return [one for one, _ in starts(settings)].count(kind)


def run(settings: Settings, listener: socket.socket, kind: int, enough: Callable[[], bool]) -> int:
    """Supervise a diligent agent and a worker of ``kind`` until ``enough``, then ask the supervisor to end."""
    children = [Child(f"child-{n}", "tests.processes.stubborn", n, listener) for n in (DILIGENT, kind)]
    supervisor = Supervisor(settings, listener, listener.dup(), children, patience_s=0.5)

    def ask() -> None:
        try:
            until(enough, 20.0)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    asking.start()
    try:
        return supervisor.run()
    finally:
        asking.join()
        for number, handler in before:
            signal.signal(number, handler)


def test_children_that_end_when_asked_are_ended_in_order(settings: Settings, listener: socket.socket) -> None:
    assert run(settings, listener, DILIGENT, lambda: count(settings, DILIGENT) == 2) == 0
    assert not any(Path(f"/proc/{pid}").exists() for _, pid in starts(settings))


def test_a_child_that_ends_is_started_again(settings: Settings, listener: socket.socket) -> None:
    run(settings, listener, BRIEF, lambda: count(settings, BRIEF) >= 3)
    assert count(settings, DILIGENT) == 1


def test_a_child_whose_loop_stands_still_is_replaced(settings: Settings, listener: socket.socket) -> None:
    run(settings, listener, FROZEN, lambda: count(settings, FROZEN) >= 2)
    assert count(settings, DILIGENT) == 1


def test_a_child_that_will_not_end_is_killed(settings: Settings, listener: socket.socket) -> None:
    run(settings, listener, UNWILLING, lambda: count(settings, UNWILLING) == 1)
    assert not any(Path(f"/proc/{pid}").exists() for _, pid in starts(settings))


def test_an_address_that_is_taken_is_said_in_one_sentence(settings: Settings, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port} cannot be listened on: Address already in use"):
        serve(settings.model_copy(update={"data_port": port}))
