"""The locked gateway that the rows share: TLS on both planes, keys in a file, an identity provider on this machine."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.harness import Gateway, simple_config, train, until
from tests.security.form import FULL, Form
from tests.security.house import ALL, AUDIENCE, Provider, write_keys


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``python -m tests.security`` ask for the full form."""
    parser.addoption(FULL, action="store_true", help="the rows of locks in full, as they are promised")


@pytest.fixture
def form(request: pytest.FixtureRequest) -> Form:
    """How large this experiment is, and where its figures go."""
    return Form(bool(request.config.getoption(FULL, default=False)), request.node.user_properties)


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, str]]:
    """An identity provider on this machine: its discovery document and its keys, by HTTP."""
    made = Provider(tmp_path_factory.mktemp("provider"))

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"keys": [made.jwk()]}
            about = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
            body = json.dumps(keys if self.path == "/keys" else about).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made, issuer
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory, provider: tuple[Provider, str]) -> Iterator[Gateway]:
    """One that bears any number of bad keys: the rows that send them are about something else."""
    made = start_locked(tmp_path_factory.mktemp("locked"), provider[1], "1000000/minute")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: tuple[Provider, str]) -> Iterator[Gateway]:
    """One that soon tells whoever guesses 429."""
    made = start_locked(tmp_path_factory.mktemp("locked"), provider[1], "50/minute")
    yield made
    made.close()


def start_locked(folder: Path, issuer: str, failures: str) -> Gateway:
    certificate, private = certify(folder)
    train(folder / "models", "1")
    keys = {"shop": ["predict", "feedback"], "ops": ["read", "operate"], "all": ALL}
    write_keys(folder / "state" / "api-keys.json", keys)
    config = simple_config(
        folder,
        workers=2,
        control_host="0.0.0.0",
        tls_certificate=str(certificate),
        tls_key=str(private),
        oidc={"issuer": issuer, "audience": AUDIENCE},
        rate_of_failures=failures,
        deployment={"default": True},
    )
    config["deployments"]["fuzzed"] = {"stable": "models:/churn/1", "guardrails": ["error_rate"], "allow_forced": True}
    made = Gateway(folder, config)
    try:
        made.start(ready=False)
        port = made.control.base_url.port
        made.data = httpx.Client(base_url=made.data.base_url, verify=False, timeout=10.0)
        made.control = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False, timeout=10.0)
        until(made.is_ready, 60.0)
    except BaseException:  # nobody else would end it
        made.close()
        raise
    return made


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself."""
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    chain, secret = folder / "tls.crt", folder / "tls.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, secret
