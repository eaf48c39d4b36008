"""``python -m tests.security.flood URL SECONDS RATE``: bad keys over a few TLS connections, as fast as it is told.

A process of its own, so that it takes no turns from whoever measures. Requests go out in batches on open connections:
the attacker's cost is a write, the gateway's a refusal. Prints ``{"sent": N, "seconds": S, "answers": {status: N}}``.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

LINES, BATCH = 8, 25
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


async def flood(url: str, seconds: float, rate: float) -> dict[str, object]:
    """Send ``rate`` bad keys a second for so long, or as many as are answered."""
    place, answers = urlsplit(url), Counter[str]()
    until, pause = time.monotonic() + seconds, LINES * BATCH / rate
    began = time.monotonic()
    await asyncio.gather(*(_line(place.port or 0, until, pause, answers, n) for n in range(LINES)))
    return {"sent": answers.total(), "seconds": time.monotonic() - began, "answers": answers}


async def _line(port: int, until: float, pause: float, answers: "Counter[str]", line: int) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    due, batch = time.monotonic() + line * pause / LINES, 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        try:
            while time.monotonic() < until:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due, batch = due + pause, batch + 1
                writer.write(b"".join(_request(f"{line}-{batch}-{n}") for n in range(BATCH)))
                answers.update(await _answers(reader, BATCH))
        except (ConnectionError, asyncio.IncompleteReadError):
            answers["closed"] += 1
        finally:
            writer.close()


def _request(guess: str) -> bytes:
    return f"GET /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer gwk_{guess}\r\n\r\n".encode()


async def _answers(reader: asyncio.StreamReader, many: int) -> list[str]:
    """Read so many whole answers and return their statuses."""
    found = []
    for _ in range(many):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        status = _STATUS.match(head)
        found.append(status[1].decode() if status else "?")
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
