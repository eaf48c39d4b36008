"""The one writer of the online feature store, in a process of its own: the user's pipeline, not the gateway's.

``python -m demo.writer DIR START`` reads lines ``<data time>`` and answers each with the number of rows written, once
everything known by that time is in the store.
"""

import asyncio
import sys
from pathlib import Path
from typing import Self


class HistoryWriter:
    """Starts the writer process and tells it how far data time has come."""

    def __init__(self, folder: Path, start: float) -> None:
        self._folder, self._start = folder, start

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "demo.writer",
            str(self._folder),
            str(self._start),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The writer process was started without pipes.")
        self._tell, self._heard = self._process.stdin, self._process.stdout
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tell.close()
        await self._process.wait()

    async def advance(self, to: float) -> int:
        """Return once every history known at data time ``to`` can be read; says how many rows were written."""
        self._tell.write(f"{to}\n".encode())
        await self._tell.drain()
        line = await self._heard.readline()
        if not line:
            raise RuntimeError("The writer of the feature store has stopped; its message stands above.")
        return int(line)


def main() -> None:
    """Write histories as standard input tells."""
    from models.flights.histories import OnlineWriter  # Feast takes seconds to import: only this process needs it

    writer = OnlineWriter(Path(sys.argv[1]), float(sys.argv[2]))
    for line in sys.stdin:
        sys.stdout.write(f"{writer.advance(float(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
