"""How spool files are called: ``<host>-<boot>-<pid>-<start>-<lane><number>.seg``, and one ``.marks`` file per writer.

The stem is the spool_id. What stands before its last dash is the writer: one process, on one boot of one host.
"""

import os
import re
import socket
from pathlib import Path

SEGMENT = ".seg"
MARKS = ".marks"

PREDICTIONS = "p"
"""The lane of predictions and shadow scores."""
OUTCOMES = "o"
"""The lane of outcomes, which must never wait behind predictions."""


def this_writer() -> str:
    """Name this process as a writer: no other process ever had, or will have, the same name (Linux).

    ``boot`` is the kernel's boot id, ``start`` the process's start in clock ticks since then.
    """
    host = re.sub(r"[^A-Za-z0-9.]+", "_", socket.gethostname())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return f"{host}-{boot}-{os.getpid()}-{start}"


def segment_name(writer: str, lane: str, number: int) -> str:
    """Name a writer's segment.

    >>> segment_name("web1-3f2a9c01-47-881", "p", 3)
    'web1-3f2a9c01-47-881-p000003.seg'
    """
    return f"{writer}-{lane}{number:06d}{SEGMENT}"


def writer_of(spool_id: str) -> str:
    """Name the writer of a spool.

    >>> writer_of("web1-3f2a9c01-47-881-p000003")
    'web1-3f2a9c01-47-881'
    """
    return spool_id.rpartition("-")[0] or spool_id
