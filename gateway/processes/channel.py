"""The line between the agent and its workers: one Unix stream socket, the workers call.

The agent sends tables and leases, a worker says hello and how it is doing. Messages are msgpack behind a four-byte
length. A lease is an absolute ``CLOCK_MONOTONIC`` time, which all processes of a host share. Nothing here decides
anything: :mod:`gateway.processes.tables` knows what a table means, the agent when to send one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import structlog

from gateway.core.errors import SettingsError
from gateway.core.routing import RoutingTable

log = structlog.get_logger(__name__)

_LENGTH_BYTES = 4
_LARGEST = 64 * 1024 * 1024
_LONGEST_PATH = 107
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5)


class Tables(msgspec.Struct, tag="tables", frozen=True):
    """Agent to worker: these are in force, as soon as you can."""

    tables: tuple[RoutingTable, ...]


class Lease(msgspec.Struct, tag="lease", frozen=True):
    """Agent to worker: candidates may take traffic until machine time ``until``; data time has come to ``data_at``."""

    until: float
    data_at: float = 0.0


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """Worker to agent: who is calling."""

    pid: int
    index: int


class Status(msgspec.Struct, tag="status", frozen=True):
    """Worker to agent: which models are warm, which cannot be loaded and why, and which revisions are in force."""

    loaded: frozenset[str] = frozenset()
    failed: dict[str, str] = {}
    revisions: dict[str, int] = {}


ToWorker: TypeAlias = Tables | Lease
ToAgent: TypeAlias = Hello | Status
_Message = TypeVar("_Message")

_ENCODER = msgspec.msgpack.Encoder()
_TO_WORKER = msgspec.msgpack.Decoder(ToWorker)
_TO_AGENT = msgspec.msgpack.Decoder(ToAgent)


def socket_path(state_dir: Path) -> Path:
    """Where the agent listens. Raises SettingsError for a folder whose path is too long for a Unix socket."""
    path = (state_dir / "agent.sock").absolute()
    if len(str(path).encode()) > _LONGEST_PATH:
        raise SettingsError(f"state_dir: {path} is longer than the {_LONGEST_PATH} bytes a Unix socket may have.")
    return path


@dataclass
class Peer:
    """One connected worker as the agent knows it. ``status`` is the last it said."""

    pid: int
    index: int
    writer: asyncio.StreamWriter
    status: Status = field(default_factory=Status)


class AgentEnd:
    """The agent's end: keeps the peers, and tells whoever listens when one of them says something new."""

    def __init__(self, path: Path, greet: Callable[[], Sequence[ToWorker]], changed: Callable[[], None]) -> None:
        self.peers: dict[int, Peer] = {}
        self._path = path
        self._greet = greet
        self._changed = changed
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen; the socket of a former agent is taken over."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    def send(self, message: ToWorker) -> None:
        """Send to every worker. A worker that does not read is dropped rather than waited for; it calls again."""
        for peer in list(self.peers.values()):
            _write(peer.writer, message)

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for peer in list(self.peers.values()):
            peer.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: Peer | None = None
        try:
            hello = await _read(reader, _TO_AGENT)
            if not isinstance(hello, Hello):
                return
            peer = self.peers[hello.pid] = Peer(hello.pid, hello.index, writer)
            for message in self._greet():
                _write(writer, message)
            self._changed()
            while True:
                message_in = await _read(reader, _TO_AGENT)
                if isinstance(message_in, Status) and message_in != peer.status:
                    peer.status = message_in
                    self._changed()
        except (OSError, EOFError, msgspec.DecodeError) as error:
            log.info("worker_hung_up", pid=peer.pid if peer else None, reason=type(error).__name__)
        finally:
            if peer is not None and self.peers.get(peer.pid) is peer:
                del self.peers[peer.pid]
                self._changed()
            writer.close()


class WorkerEnd:
    """A worker's end: calls, calls again with backoff, hands on what it hears, repeats its status."""

    def __init__(
        self, path: Path, hello: Hello, status: Callable[[], Status], heard: Callable[[ToWorker], None]
    ) -> None:
        self._path = path
        self._hello = hello
        self._status = status
        self._heard = heard
        self._writer: asyncio.StreamWriter | None = None
        self._told: Status | None = None

    async def run(self, repeat_s: float = 0.5) -> None:
        """Stay on the line until cancelled, telling the status every ``repeat_s`` seconds."""
        attempt = 0
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                attempt = 0
                await self._talk(reader, self._writer, repeat_s)
            except (OSError, EOFError, msgspec.DecodeError) as error:
                log.debug("agent_not_reached", reason=type(error).__name__)
            finally:
                self._hang_up()
            await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
            attempt += 1

    def tell(self) -> None:
        """Tell the agent at once if the status has changed."""
        status = self._status()
        if self._writer is not None and status != self._told:
            self._told = status
            _write(self._writer, status)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, repeat_s: float) -> None:
        _write(writer, self._hello)
        self.tell()
        repeating = asyncio.create_task(self._repeat(writer, repeat_s))
        try:
            while True:
                self._heard(await _read(reader, _TO_WORKER))
        finally:
            repeating.cancel()

    async def _repeat(self, writer: asyncio.StreamWriter, repeat_s: float) -> None:
        while True:
            await asyncio.sleep(repeat_s)
            _write(writer, self._status())

    def _hang_up(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
        self._writer, self._told = None, None


def _write(writer: asyncio.StreamWriter, message: ToWorker | ToAgent) -> None:
    payload = _ENCODER.encode(message)
    if writer.is_closing() or writer.transport.get_write_buffer_size() > _LARGEST:
        writer.close()
        return
    writer.write(len(payload).to_bytes(_LENGTH_BYTES, "big") + payload)


async def _read(reader: asyncio.StreamReader, decoder: "msgspec.msgpack.Decoder[_Message]") -> "_Message":
    """Read one message. Raises EOFError at the end of the line, DecodeError for anything that is no message."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if length > _LARGEST:
        raise msgspec.DecodeError("a message of that length is none of ours")
    return decoder.decode(await reader.readexactly(length))
