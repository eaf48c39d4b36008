"""Row S4: 300 MB, endless chunks and gzip bombs, twenty at a time, at a real worker: cut off early, nothing grows."""

import gzip
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.harness import Gateway
from tests.security.house import secret_of

MIB = 2**20
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
def test_a_large_body_is_cut_off_early_and_nothing_grows(locked: Gateway, name: str) -> None:
    workers = locked.children("worker")
    before = sum(rss(pid) for pid in workers)
    with ThreadPoolExecutor(20) as crowd:
        found = list(crowd.map(lambda _: attack(locked, name), range(20)))
    grown = sum(rss(pid) for pid in workers) - before
    assert {status for status, _ in found} <= {0, 413, 415}
    assert any(status in {413, 415} for status, _ in found)
    assert max(sent for _, sent in found) < 64 * MIB, "what is sent until the connection is gone, which TLS throws away"
    assert grown <= 32 * MIB, f"{grown / MIB:.1f} MiB"
    assert locked.children("worker") == workers
    assert locked.data.get("/livez").status_code == 200


def test_a_strangers_large_body_is_not_read_at_all(locked: Gateway) -> None:
    answer = locked.data.post("/predict", content=b" " * 900_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"
