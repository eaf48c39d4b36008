"""Row S4: 300 MB, endless chunks and gzip bombs, twenty at a time, at a real worker: cut off early, nothing grows."""

import gzip
import socket
import ssl
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import House
from tests.e2e.harness import Gateway
from tests.security.form import Form
from tests.security.house import locks, secret_of

MIB, CHUNK = 2**20, 2**16
ATTACKS = {
    "300 MB, said so": (b"Content-Length: 314572800", b" " * 65_536, 4_800),
    "chunks without end": (b"Transfer-Encoding: chunked", b"10000\r\n" + b" " * 65_536 + b"\r\n", 4_800),
    "a gzip bomb": (b"Content-Encoding: gzip\r\nContent-Length: %d", gzip.compress(b" " * 30 * MIB), 1),
}


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1_024


def attack(gateway: Gateway, name: str) -> tuple[int, int]:
    """Send it for as long as it is taken; the status that came, and the bytes that could be sent."""
    header, piece, most = ATTACKS[name]
    said = header % len(piece) if b"%d" in header else header
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    sent, got = 0, b""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
    address = ("127.0.0.1", gateway.data.base_url.port or 0)
    with socket.create_connection(address, 10.0) as plain, trusting.wrap_socket(plain) as line:
        try:
            line.sendall(head + secret_of("shop").encode() + b"\r\n" + said + b"\r\n\r\n")
            for _ in range(most):
                line.sendall(piece)
                sent += len(piece)
        except (ConnectionError, ssl.SSLError):
            pass
        with suppress(ConnectionError, ssl.SSLError):  # the kernel may throw the answer away with our unread bytes
            got = line.recv(64)
    return int(got[9:12] or 0), sent


@pytest.mark.parametrize("name", ATTACKS)
def test_a_large_body_is_cut_off_early_and_nothing_grows(locked: Gateway, name: str, form: Form) -> None:
    workers = locked.children("worker")
    before = sum(rss(pid) for pid in workers)
    with ThreadPoolExecutor(20) as crowd:
        found = list(crowd.map(lambda _: attack(locked, name), range(20)))
    grown = sum(rss(pid) for pid in workers) - before
    form.note(f"20 times {name}: {grown / MIB:.1f} MiB grown, {len(workers)} workers", "<= 32 MiB, statuses 413 or 415")
    assert {status for status, _ in found} <= {0, 413, 415}
    assert any(status in {413, 415} for status, _ in found)
    assert max(sent for _, sent in found) < 64 * MIB, "what is sent until the connection is gone, which TLS throws away"
    assert grown <= 32 * MIB, f"{grown / MIB:.1f} MiB"
    assert locked.children("worker") == workers
    assert locked.data.get("/livez").status_code == 200


@pytest.mark.parametrize("said", [[], [(b"content-length", b"314572800")]], ids=["chunked", "said so"])
async def test_no_more_than_the_limit_and_one_chunk_is_read(said: list[tuple[bytes, bytes]], form: Form) -> None:
    """Counted where the server hands bytes to us; what a kernel or TLS has taken meanwhile is thrown away."""
    house, read, statuses = House(), 0, []
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=locks({"shop": ["predict"]})))
    key = (b"authorization", f"Bearer {secret_of('shop')}".encode())

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += CHUNK
        return {"type": "http.request", "body": b" " * CHUNK, "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", b"x"), (b"content-type", b"application/json"), key, *said]
    about = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    where = {"path": "/predict", "raw_path": b"/predict", "query_string": b"", "root_path": "", "client": ("x", 1)}
    await app({**about, **where, "headers": headers, "server": ("x", 80)}, receive, send)
    form.note(f"{statuses[0]} after {read / 1024:,.0f} KiB", "413 after <= 1,024 + 64 KiB")
    assert statuses == [413]
    assert read <= MIB + CHUNK


def test_a_strangers_large_body_is_not_read_at_all(locked: Gateway) -> None:
    answer = locked.data.post("/predict", content=b" " * 900_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"
