"""A disk that loses power: what was not synced may be gone, in part or whole, and the last write may be torn.

It stands behind the spool's file port. Names are on disk once their folder has been synced, bytes once their file has;
whatever else there is at the cut survives or not as the dice say.
"""

import errno
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_SECTOR = 512


@dataclass
class _File:
    """Bytes as the kernel has them, and how many of them are on disk for sure."""

    path: Path
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    named: bool = False


class DiskModel:
    """The spool's Files on such a disk. The power goes at the ``cut``-th verb; from then on every verb fails.

    A ``lying`` disk says that it has synced and has not: with it, acknowledged records must be lost.
    """

    def __init__(self, cut: int, *, lying: bool = False) -> None:
        self.verbs = 0
        self._cut = cut
        self._lying = lying
        self._files: list[_File] = []
        self._image: list[_File] | None = None

    @property
    def dark(self) -> bool:
        """Whether the power has gone."""
        return self._image is not None

    def create(self, path: Path) -> int:
        self._verb()
        if any(file.path == path for file in self._files):
            raise FileExistsError(errno.EEXIST, "there")
        self._files.append(_File(path))
        return len(self._files) - 1

    def append(self, descriptor: int, data: bytes) -> int:
        self._verb(torn=(descriptor, data))
        self._files[descriptor].data += data
        return len(data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._verb()
        del self._files[descriptor].data[size:]

    def close(self, descriptor: int) -> None:
        del descriptor

    def sync(self, path: Path) -> None:
        held = {id(file): bytes(file.data) for file in self._files}  # an fsync covers what was written before it began
        self._verb()
        for file in self._files:
            if file.path == path and not self._lying:
                file.synced = held[id(file)]

    def sync_folder(self, path: Path) -> None:
        self._verb()
        for file in self._files:
            if file.path.parent == path and not self._lying:
                file.named = True

    def used(self, path: Path) -> int:
        return sum(len(file.data) for file in self._files if file.path.parent == path)

    def recover(self, folder: Path, dice: Random) -> None:
        """Write what the next start finds into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in self._files if self._image is None else self._image:
            if not file.named and dice.random() < 0.5:
                continue
            kept = bytearray(file.synced)
            loose = file.data[len(file.synced) :] if bytes(file.data).startswith(file.synced) else b""
            reached = dice.randrange(len(loose) + 1)
            for start in range(0, reached, _SECTOR):  # sectors go to disk in any order, so holes may stay
                part = loose[start : min(start + _SECTOR, reached)]
                kept += part if dice.random() < 0.7 else bytes(len(part))
            (folder / file.path.name).write_bytes(kept)

    def _verb(self, torn: tuple[int, bytes] | None = None) -> None:
        self.verbs += 1
        if self._image is None and self.verbs >= self._cut:
            if torn is not None:
                self._files[torn[0]].data += torn[1][: len(torn[1]) // 2]
            self._image = [_File(f.path, bytearray(f.data), f.synced, f.named) for f in self._files]
        if self._image is not None:
            raise OSError(errno.EIO, "the power is gone")
