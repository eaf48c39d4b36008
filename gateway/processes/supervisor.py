"""Starts the agent and the workers, watches them, ends them in order. Nothing else.

It binds both listening sockets, so a child that dies takes no port along and the others go on accepting. Children
are fresh interpreters. Each shows on a pipe that its event loop turns; one whose loop has stood still is killed, one
that has ended is started again, later each time. There is one supervisor per state folder.
"""

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.core.errors import SettingsError
from gateway.settings import Settings, freeze

log = structlog.get_logger(__name__)

_FIRST_BEAT_S = 60.0
_LIVED_WELL_S = 10.0
_LONGEST_BACKOFF_S = 5.0
_TICK_S = 0.25
_SPARE_S = 3.0
_BACKLOG = 2048
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Child:
    """One process to keep alive. Times are machine seconds; ``due`` is when it may be started (again)."""

    name: str
    module: str
    index: int
    listener: socket.socket
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started: float = 0.0
    beaten: float | None = None
    failures: int = 0
    due: float = 0.0

    def stands_still(self, now: float, patience_s: float) -> bool:
        """Whether its event loop has not turned for ``patience_s`` seconds; a start may take longer."""
        last, longest = (self.started, _FIRST_BEAT_S) if self.beaten is None else (self.beaten, patience_s)
        return self.process is not None and now - last > longest


@dataclass
class Supervisor:
    """Keeps the children of one state folder, the agent first; :meth:`run` returns the exit code."""

    settings: Settings
    data: socket.socket
    control: socket.socket
    children: list[Child]
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    patience_s: float = 8.0
    stopping: bool = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then drain. 0: everything acknowledged is in the store."""
        with self._signals():
            while not self.stopping:
                self._keep_alive()
                self._wait()
            return self._drain()

    def _keep_alive(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None and now >= child.due:
                self._start(child)
            elif child.stands_still(now, self.patience_s) and child.process is not None:
                log.error("child_stands_still", child=child.name, pid=child.process.pid)
                child.process.kill()

    def _start(self, child: Child) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        arguments = {
            "settings": _run_dir(self.settings) / "settings.json",
            "parent": os.getpid(),
            "listen": child.listener.fileno(),
            "beat": writing,
            "index": child.index,
        }
        command = [sys.executable, "-m", child.module, *(f"--{key}={value}" for key, value in arguments.items())]
        child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            pass_fds=(child.listener.fileno(), writing),
            process_group=0,  # Ctrl-C is for the supervisor, which ends the children in order
            env=_environment(self.settings),
        )
        os.close(writing)
        child.pipe, child.started, child.beaten = reading, time.monotonic(), None
        self.selector.register(reading, selectors.EVENT_READ, child)
        log.info("child_started", child=child.name, child_pid=child.process.pid)

    def _wait(self, longest_s: float = _TICK_S) -> None:
        """Hear heartbeats, and the silence of a pipe whose writer is dead."""
        for key, _ in self.selector.select(longest_s):
            child = key.data
            if child is None:
                os.read(key.fd, 4096)
            elif os.read(key.fd, 4096):
                child.beaten = time.monotonic()
            else:
                self._bury(child)

    def _bury(self, child: Child) -> None:
        process = child.process
        self.selector.unregister(child.pipe)
        os.close(child.pipe)
        if process is None:
            return
        try:
            code = process.wait(_SPARE_S)  # the pipe closes a moment before the process has ended
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        lived_s = time.monotonic() - child.started
        child.failures = 0 if lived_s > _LIVED_WELL_S else child.failures + 1
        backoff_s = 0.0 if child.failures == 0 else min(_LONGEST_BACKOFF_S, 0.1 * 2**child.failures)
        child.process, child.due = None, time.monotonic() + backoff_s
        log.info("child_ended", child=child.name, child_pid=process.pid, code=code, lived_s=round(lived_s, 3))

    def _drain(self) -> int:
        """End the workers, then the agent, which empties the spool into the store."""
        log.info("draining", longest_s=self.settings.drain_timeout)
        self.data.close()  # with the workers' copies gone, late callers are refused rather than left hanging
        agent, *workers = self.children
        self._end(workers)
        code = self._end([agent])
        self.control.close()
        log.info("ended", everything_stored=code == 0)
        return 0 if code == 0 else 1

    def _end(self, children: list[Child]) -> int:
        """Send SIGTERM, wait for the drain timeout, kill what is left. Returns the last exit code."""
        running = [child.process for child in children if child.process is not None]
        for process in running:
            process.terminate()
        until = time.monotonic() + self.settings.drain_timeout + _SPARE_S
        while any(child.process is not None for child in children) and time.monotonic() < until:
            self._wait()
        for child in children:
            if child.process is not None:
                log.error("child_killed", child=child.name, child_pid=child.process.pid)
                child.process.kill()
                self._bury(child)
        return max((abs(process.returncode) for process in running), default=1)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let a signal end the wait at once; a second one changes nothing, SIGKILL always works."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self.selector.register(reading, selectors.EVENT_READ, None)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        yield
        signal.set_wakeup_fd(before)
        self.selector.close()
        os.close(reading)
        os.close(writing)

    def _stop(self, *_: object) -> None:
        self.stopping = True


def serve(settings: Settings) -> int:
    """Run the gateway on this state folder until a signal ends it; returns the exit code. Raises SettingsError."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _alone(settings.state_dir):
        data = _bind(settings.data_host, settings.data_port)
        control = _bind(settings.control_host, settings.control_port)
        _prepare(settings, data, control)
        log.info("listening", data=_url(settings, data), control=_url(settings, control))
        return Supervisor(settings, data, control, _household(settings, data, control)).run()


def _household(settings: Settings, data: socket.socket, control: socket.socket) -> list[Child]:
    agent = Child("agent", "gateway.processes.agent", 0, control)
    workers = [Child(f"worker-{n}", "gateway.processes.worker", n, data) for n in range(settings.workers)]
    return [agent, *workers]


def _prepare(settings: Settings, data: socket.socket, control: socket.socket) -> None:
    """Lay out what the children of this run find: settings as they are now, addresses, an empty metrics folder."""
    run = _run_dir(settings)
    shutil.rmtree(run, ignore_errors=True)
    (run / "metrics").mkdir(parents=True)
    with os.fdopen(os.open(run / "settings.json", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(freeze(settings))
    (run / "addresses.json").write_text(json.dumps({"data": _url(settings, data), "control": _url(settings, control)}))


def _run_dir(settings: Settings) -> Path:
    return settings.state_dir / "run"


def _environment(settings: Settings) -> dict[str, str]:
    threads = {name: os.environ.get(name, "1") for name in _ONE_THREAD}  # processes and pools are the parallelism here
    metrics = {"PROMETHEUS_MULTIPROC_DIR": str((_run_dir(settings) / "metrics").absolute())}
    return {**os.environ, **threads, **metrics}


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _url(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this supervisor. Raises SettingsError when another one does."""
    with (state_dir / "supervisor.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"Another gateway is running on the state folder {state_dir}.") from error
        yield
