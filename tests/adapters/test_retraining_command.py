"""A command that trains: what it is told, how it says how it went, and that it ends when it has to, and all of it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.adapters.retraining import MemoryTarget, open_target
from gateway.adapters.retraining.command import CommandTarget, environment
from gateway.core.errors import TargetFailed
from gateway.core.retraining.terms import Target, TargetKind
from gateway.ports import Order, Taken

ORDER = Order("drift-1", "flights", "drift", "delay moved up", 2, "/lake", "http://gateway.example/end")


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def target(tmp_path: Path, *command: str, timeout_s: float = 30.0) -> CommandTarget:
    return CommandTarget(command, tmp_path / "runs", timeout_s)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_command_is_told_everything_by_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    told = "k.startswith('RETR') or k == 'PROMETHEUS_MULTIPROC_DIR'"
    program = f"import os; print(sorted((k, v) for k, v in os.environ.items() if {told}))"
    taken = target(tmp_path, *python(program)).call(ORDER)
    assert taken == Taken(ended=True, said=str(sorted(environment(ORDER).items()))[:199] + "…", link=taken.link)
    assert str(sorted(environment(ORDER).items())) in Path(taken.link).read_text()
    assert Path(taken.link).name == "drift-1.log"


def test_the_last_line_that_it_prints_is_what_people_read(tmp_path: Path) -> None:
    taken = target(tmp_path, *python("print('epoch 1'); print('flights 4 is challenger\\n\\n')")).call(ORDER)
    assert taken.said == "flights 4 is challenger"


def test_another_exit_code_than_0_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match=r"exit code 3: no rows\."):
        target(tmp_path, *python("import sys; print('no rows', file=sys.stderr); sys.exit(3)")).call(ORDER)


def test_a_command_that_was_killed_says_so_by_its_code(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match="exit code 137"):
        target(tmp_path, *python("import os; os.kill(os.getpid(), 9)")).call(ORDER)


def test_a_command_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match="exit code 127: no-such-command cannot be run"):
        target(tmp_path, "no-such-command").call(ORDER)


def test_it_gets_no_shell(tmp_path: Path) -> None:
    assert (
        target(tmp_path, *python("import sys; print(sys.argv[1])"), "$HOME; false").call(ORDER).said == "$HOME; false"
    )


STAYS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "w") as file:
    print(os.getpid(), child.pid, file=file)
os.rename(sys.argv[1], sys.argv[1] + ".there")
time.sleep(600)
"""


def started(path: Path) -> Sequence[int]:
    """Wait until the command has said who it is, and whom it started."""
    there = path.with_name(path.name + ".there")
    patience = threading.Event()
    while not there.exists():
        patience.wait(0.01)
    return [int(pid) for pid in there.read_text().split()]


def gone(pids: Sequence[int]) -> bool:
    patience = threading.Event()
    return all(any(not alive(pid) or patience.wait(0.05) for _ in range(200)) for pid in pids)


def test_its_time_is_limited_and_its_whole_group_ends_with_it(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match="longer than 1 seconds"):
        target(tmp_path, *python(STAYS), str(tmp_path / "pids"), timeout_s=1.0).call(ORDER)
    assert gone(started(tmp_path / "pids"))


def test_whoever_closes_it_stops_it(tmp_path: Path) -> None:
    called, raised = target(tmp_path, *python(STAYS), str(tmp_path / "pids")), list[str]()

    def call() -> None:
        with pytest.raises(TargetFailed) as error:
            called.call(ORDER)
        raised.append(str(error.value))

    thread = threading.Thread(target=call)
    thread.start()
    pids = started(tmp_path / "pids")
    called.close()
    thread.join()
    assert raised == ["The command was stopped."]
    assert gone(pids)


def test_a_command_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAYS
    with pytest.raises(TargetFailed):
        target(tmp_path, *python(stubborn), str(tmp_path / "pids"), timeout_s=1.0).call(ORDER)
    assert gone(started(tmp_path / "pids"))


ASKS = """
import sys
from pathlib import Path
from gateway.adapters.retraining.command import CommandTarget
from gateway.ports import Order
command = (sys.executable, "-c", sys.argv[1], sys.argv[2])
CommandTarget(command, Path(sys.argv[3]), 600.0).call(Order("drift-1", "flights", "drift", "x"))
"""


def test_it_does_not_outlive_whoever_called_it_even_one_that_was_killed(tmp_path: Path) -> None:
    arguments = [STAYS, str(tmp_path / "pids"), str(tmp_path)]
    asking = subprocess.Popen([sys.executable, "-c", ASKS, *arguments], cwd=os.getcwd())  # noqa: PTH109
    pids = started(tmp_path / "pids")
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    assert gone(pids)


def test_what_it_left_running_ends_with_it(tmp_path: Path) -> None:
    leaves = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    taken = target(tmp_path, *python(leaves)).call(ORDER)
    assert gone([int(taken.said)])


def test_a_target_is_opened_by_its_kind(tmp_path: Path) -> None:
    assert isinstance(open_target(Target(TargetKind.COMMAND, ("train",)), tmp_path), CommandTarget)
    assert not isinstance(open_target(Target(TargetKind.GITHUB), tmp_path), CommandTarget)


def test_the_target_in_memory_answers_what_it_was_given() -> None:
    told = MemoryTarget([Taken(ended=False), "out of order"])
    assert told.call(ORDER) == Taken(ended=False)
    with pytest.raises(TargetFailed, match="out of order"):
        told.call(ORDER)
    assert told.call(ORDER).ended
    assert told.orders == [ORDER] * 3
    told.close()
