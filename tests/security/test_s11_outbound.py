"""Row S11: no URI and no URL gets the gateway to call a metadata service, itself by another name, or a file.

Every ``connect`` of this process is seen by an audit hook, the interpreter's own: none may go where it must not.
"""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.models import open_model_store
from gateway.adapters.outbound import fetch, permitted
from gateway.core.errors import ModelUnusable, OutboundRefused
from tests.security.form import Form

_seen: list[tuple[Any, ...]] = []
_watching = threading.Event()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching.is_set():
        _seen.append(arguments)


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[tuple[Any, ...]]]:
    """The connections that are tried meanwhile."""
    _seen.clear()
    _watching.set()
    try:
        yield _seen
    finally:
        _watching.clear()


NEVER = {
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata by TLS": "https://169.254.169.254/",
    "metadata, decimal": "http://2852039166/",
    "metadata, hexadecimal": "http://0xa9fea9fe/",
    "metadata, octal": "http://0251.0376.0251.0376/",
    "metadata, short": "http://169.254.43518/",
    "metadata in IPv6": "http://[::ffff:169.254.169.254]/",
    "metadata in IPv6, hexadecimal": "http://[::ffff:a9fe:a9fe]/",
    "metadata by NAT64": "http://[64:ff9b::a9fe:a9fe]/",
    "metadata by 6to4": "http://[2002:a9fe:a9fe::]/",
    "metadata of EC2 in IPv6": "http://[fd00:ec2::254]/",
    "metadata of Alibaba": "http://100.100.100.200/",
    "metadata of Oracle": "http://192.0.0.192/",
    "Azure's wire server": "http://168.63.129.16/",
    "metadata with a user": "http://example.com@169.254.169.254/",
    "metadata with a password": "http://a:b@169.254.169.254:80/",
    "metadata with a port": "http://169.254.169.254:8080/",
    "link-local": "http://[fe80::1]/",
    "link-local with a zone": "http://[fe80::1%25lo]/",
    "no address": "http://0.0.0.0/",
    "no address, short": "http://0/",
    "no address in IPv6": "http://[::]/",
    "multicast": "http://224.0.0.1/",
    "multicast in IPv6": "http://[ff02::1]/",
    "a file": "file:///etc/passwd",
    "a file in capitals": "FILE:///etc/passwd",
    "gopher": "gopher://169.254.169.254:70/_x",
    "ftp": "ftp://169.254.169.254/",
    "dict": "dict://127.0.0.1:11211/stats",
    "data": "data:text/plain,hello",
    "a local socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "no scheme": "//169.254.169.254/",
    "nothing": "",
    "a newline": "http://127.0.0.1:1\r\nX: y/",
    "a space": "http://169.254.169.254 .example.com/",
}


PLACES = [*NEVER.values(), "runs:/1/x", "mlflow-artifacts:/x", "s3://b/k", "models://h/x/1", "../x"]
"""Model URIs that name a place."""
ALERTED = [
    "json://169.254.169.254/",
    "json://2852039166/",
    "json://100.100.100.200/",
    "xml://168.63.129.16/",
    "jsons://[fd00:ec2::254]/",
    "mailto://me:secret@169.254.169.254?to=ops@example.org",
    "rsyslog://169.254.169.254/",
]
"""Alert targets, by HTTP, by mail and by datagram."""


def test_not_a_packet_leaves_for_what_is_never_called(form: Form) -> None:
    """In a network of its own, where every packet is seen, also those of code that is not ours."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("this machine lacks ip or unshare")
    command = ["unshare", "-rn", sys.executable, "-m", "tests.security.vectors"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if "unshare" in done.stderr:
        pytest.skip(f"this machine lets nobody make a network: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    form.note(
        f"{len(found['packets'])} packets in {found['vectors']} tries; one that is let leaves {found['control']}",
        "0 of 40",
    )
    assert found["control"] > 0
    assert found["packets"] == []


@pytest.mark.parametrize("name", NEVER)
def test_what_is_never_called_is_not_called(name: str) -> None:
    with watched() as connections, pytest.raises(OutboundRefused):
        fetch(NEVER[name], patience_s=0.5)
    assert connections == []


INSIDE = ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "fd12::1", "::ffff:10.0.0.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_inner_networks_are_called_only_where_the_settings_mean_them(address: str) -> None:
    url = f"http://[{address}]:9/" if ":" in address else f"http://{address}:9/"
    with watched() as connections, pytest.raises(OutboundRefused):
        fetch(url, patience_s=0.5, inside=False)
    assert connections == []
    assert permitted(address, inside=True)


def test_a_name_that_points_elsewhere_between_check_and_call_is_called_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the first answer is good, every later one is the metadata service."""
    answers = iter(["127.0.0.1"])

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = host if host[0].isdigit() else next(answers, "169.254.169.254")  # an address is its own answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with watched() as connections, pytest.raises(OutboundRefused):
        fetch("http://rebinding.example.test:9/", patience_s=0.5)
    assert {address[0] for _, address in connections} <= {"127.0.0.1"}


def test_a_redirect_is_not_followed() -> None:
    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with watched() as connections, pytest.raises(OutboundRefused, match="302"):
        fetch(f"http://127.0.0.1:{server.server_port}/")
    assert {address[0] for _, address in connections} == {"127.0.0.1"}
    server.shutdown()
    server.server_close()


def test_an_endless_answer_is_cut_off() -> None:
    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65_536)
            except ConnectionError:
                return

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(OutboundRefused, match="more than"):
        fetch(f"http://127.0.0.1:{server.server_port}/", most=100_000)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("registry", ["joblib:models", "sqlite:///{}/mlflow.db"])
@pytest.mark.parametrize("uri", PLACES)
def test_a_model_uri_that_names_a_place_is_refused_before_anything_is_called(
    registry: str, uri: str, tmp_path: Path
) -> None:
    with watched() as connections, pytest.raises(ModelUnusable):
        open_model_store(registry.format(tmp_path), tmp_path).resolve(uri)
    assert connections == []
