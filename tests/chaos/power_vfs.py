"""SQLite on a disk that loses power: a VFS that keeps, file by file, what a sync has made sure of.

Run as a program, for it becomes the process's default VFS: ``python -m tests.chaos.power_vfs FOLDER SEED SYNCHRONOUS``
fills a store until the power goes, writes what is left of it, opens that again, and prints how many committed batches
there were and how many are lost.
"""

import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

import apsw

from gateway.adapters.store import open_store
from gateway.core.errors import GatewayError
from tests.records import T0, prediction

_SECTOR = 512
_BATCH = 3


class Disk:
    """What each file holds, and what a sync has made sure of."""

    def __init__(self, cut: int) -> None:
        self.left = cut
        self.dark = False
        self.over = False
        self.sure: dict[str, bytes] = {}
        self.loose: dict[str, list[tuple[int, bytes]]] = {}

    def verb(self) -> None:
        if self.over:
            return
        self.left -= 1
        self.dark = self.dark or self.left <= 0
        if self.dark:
            raise apsw.IOError("the power is gone")

    def wrote(self, name: str, data: bytes, offset: int) -> None:
        self.loose.setdefault(name, []).append((offset, data))

    def truncated(self, name: str, size: int) -> None:
        self.loose.setdefault(name, []).append((-size - 1, b""))

    def deleted(self, name: str) -> None:
        self.sure.pop(name, None)
        self.loose.pop(name, None)

    def synced(self, name: str) -> None:
        self.sure[name] = _applied(self.sure.get(name, b""), self.loose.pop(name, []))

    def recover(self, folder: Path, dice: Random) -> None:
        """Write what the next start finds: all that is sure, and some of what is loose."""
        for name in sorted({*self.sure, *self.loose}):
            kept = [write for write in self.loose.get(name, []) if dice.random() < 0.5]
            torn = [
                (offset, data[: dice.randrange(len(data) + 1)] if dice.random() < 0.2 else data)
                for offset, data in kept
            ]
            (folder / Path(name).name).write_bytes(_applied(self.sure.get(name, b""), torn))


def _applied(base: bytes, writes: list[tuple[int, bytes]]) -> bytes:
    held = bytearray(base)
    for offset, data in writes:
        if offset < 0:
            del held[-offset - 1 :]
            continue
        held += bytes(max(0, offset - len(held)))
        held[offset : offset + len(data)] = data
    return bytes(held)


class PowerVFS(apsw.VFS):
    """The usual one, watched."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__("power", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's names
        return PowerFile(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.disk.verb()
        super().xDelete(filename, syncdir)
        self.disk.deleted(filename)


class PowerFile(apsw.VFSFile):
    """One file, watched."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.name = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.verb()
        self.disk.wrote(self.name, bytes(data), offset)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.verb()
        self.disk.truncated(self.name, size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.verb()
        super().xSync(flags)
        self.disk.synced(self.name)


def fill(folder: Path, dice: Random, synchronous: str) -> tuple[int, Path]:
    """Store batches until the power goes; how many were committed, and the folder of what is left."""
    disk = Disk(dice.randrange(60, 400))
    vfs = PowerVFS(disk)

    def prepare(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # a VFS in Python has no shared memory

    apsw.connection_hooks.append(prepare)
    committed = 0
    try:
        store = open_store(f"sqlite:{folder}/store.db")
        if synchronous != "FULL":
            store.events._database._connection.execute(f"PRAGMA synchronous={synchronous}")  # type: ignore[attr-defined]
        while True:
            events = [(committed * 100 + place, prediction(f"b{committed}-{place}", T0)) for place in range(_BATCH)]
            store.events.append("w-p000000", events, committed * 100 + 100)
            committed += 1
    except (GatewayError, apsw.Error):
        pass
    apsw.connection_hooks.remove(prepare)
    disk.over = True  # the process may let go of its connection now
    left = folder / "left"
    left.mkdir()
    disk.recover(left, dice)
    vfs.unregister()
    return committed, left


def main() -> None:
    """One power cut."""
    folder, seed, synchronous = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    committed = lost = broken = 0
    dice = Random(seed)
    for number in range(int(sys.argv[4])):
        here = folder / str(number)
        here.mkdir(parents=True)
        made, left = fill(here, dice, synchronous)
        committed += made
        try:
            store = open_store(f"sqlite:{left}/store.db")
            found = store.events.books().predictions["received"]
            store.close()
        except (GatewayError, apsw.Error):
            found, broken = 0, broken + 1
        lost += max(0, made * _BATCH - found)
        shutil.rmtree(here)
    print(committed, lost, broken)


if __name__ == "__main__":
    main()
