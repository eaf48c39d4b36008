"""The file system as the spool uses it: six verbs, so that a model of a disk can stand behind them in a test."""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """What the writing side of the spool asks of a disk. Every verb may raise OSError."""

    def create(self, path: Path) -> int:
        """Make a file that appears under ``path`` already locked, and return its descriptor.

        Raises FileExistsError when the name is taken. Writes go to the end of the file.
        """

    def append(self, descriptor: int, data: bytes) -> int:
        """Hand bytes to the kernel; return how many it took."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file back to ``size`` bytes."""

    def close(self, descriptor: int) -> None:
        """Let go of the file and its lock."""

    def sync(self, path: Path) -> None:
        """Return once all bytes of the file are on disk. A file that is gone was drained, and that is as good."""

    def sync_folder(self, path: Path) -> None:
        """Return once the folder's entries are on disk."""

    def used(self, path: Path) -> int:
        """Add up the bytes of the segments in a folder."""


class LocalFiles:
    """The real thing (Linux)."""

    def create(self, path: Path) -> int:
        """Make the file under a hidden name, lock it, then link it to its own."""
        # Locked before it is visible: the agent takes a segment with a free lock for that of a dead writer.
        hidden = path.with_name(f".{path.name}")
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(hidden, path)
        except OSError:
            os.close(descriptor)
            raise
        finally:
            hidden.unlink()
        return descriptor

    def append(self, descriptor: int, data: bytes) -> int:
        """Write without a buffer of ours in between."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Close it; the kernel frees the lock."""
        os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Open and fsync: safe in a thread, whatever the writer does to its own descriptor meanwhile."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """A folder is synced as a file is."""
        self.sync(path)

    def used(self, path: Path) -> int:
        """Ask for each segment's size."""
        total = 0
        for entry in os.scandir(path):
            try:
                total += entry.stat().st_size if entry.name.endswith(".seg") else 0
            except FileNotFoundError:  # the agent has just drained it
                continue
        return total


def unlocked(path: Path) -> bool:
    """Whether nobody holds the file's lock: its writer has closed it or is dead. False for a file that is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
