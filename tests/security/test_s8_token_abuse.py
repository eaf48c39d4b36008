"""Row S8: sixty ways to abuse a token, each of them 401, on both planes' one lock; and the ways that are right."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.adapters.access.tokens import Tokens
from gateway.adapters.clock import ManualClock
from gateway.core.access import Principal
from gateway.edge.data_plane import DataPlane, create_app
from gateway.settings.access import OidcSettings
from tests.data_house import BODY, House
from tests.security.form import Form
from tests.security.house import AUDIENCE, ISSUER, OIDC, Provider, bearer, key, locks, secret_of

NOW = time.time()  # PyJWT reads the machine's own calendar; this file may be read long before its tests run
PROVIDER = Provider(Path("/nowhere"))
OTHER = rsa.generate_private_key(65_537, 2_048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PROVIDER.private.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def b64(raw: bytes | str | dict[str, Any]) -> str:
    said = json.dumps(raw) if isinstance(raw, dict) else raw
    return base64.urlsafe_b64encode(said.encode() if isinstance(said, str) else said).decode().rstrip("=")


def good(**changes: Any) -> str:
    return PROVIDER.token(NOW, **changes)


def headed(**headers: Any) -> str:
    return PROVIDER.token(NOW, headers)


def by_hand(header: Any, payload: Any = None, signature: bytes = b"x") -> str:
    claims = PROVIDER.claims(NOW) if payload is None else payload
    return ".".join((b64(header), b64(claims), b64(signature)))


def swapped(algorithm: str, secret: bytes) -> str:
    """Sign with a public text as if it were a shared secret."""
    body = f"{b64({'alg': algorithm, 'typ': 'JWT', 'kid': PROVIDER.kid})}.{b64(PROVIDER.claims(NOW))}"
    return f"{body}.{b64(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def edited() -> str:
    head, _, signature = good().split(".")
    return ".".join((head, b64(PROVIDER.claims(NOW, scope="operate debug")), signature))


KID = PROVIDER.kid
NO_ALGORITHMS = ("none", "None", "NONE", "nOnE", "", "HS256", "RS1", "XX")
VECTORS: dict[str, Callable[[], str]] = {
    **{f"alg {name!r}": partial(by_hand, {"alg": name, "kid": KID}, signature=b"") for name in NO_ALGORITHMS},
    "no alg": lambda: by_hand({"kid": KID}),
    "alg a list": lambda: by_hand({"alg": ["RS256"], "kid": KID}),
    "alg a number": lambda: by_hand({"alg": 256, "kid": KID}),
    "alg null": lambda: by_hand({"alg": None, "kid": KID}),
    "HS256 by the public key": lambda: swapped("HS256", PUBLIC),
    "HS256 by the modulus": lambda: swapped("HS256", PROVIDER.jwk()["n"].encode()),
    "HS256 by nothing": lambda: swapped("HS256", b""),
    "RS256 named, HMAC made": lambda: swapped("RS256", PUBLIC),
    "another key, this id": lambda: jwt.encode(PROVIDER.claims(NOW), OTHER, "RS256", {"kid": KID}),
    "a curve's key, this id": lambda: jwt.encode(PROVIDER.claims(NOW), CURVE, "ES256", {"kid": KID}),
    "RS512, not taken": lambda: jwt.encode(PROVIDER.claims(NOW), PROVIDER.private, "RS512", {"kid": KID}),
    "PS256, not taken": lambda: jwt.encode(PROVIDER.claims(NOW), PROVIDER.private, "PS256", {"kid": KID}),
    "no kid": lambda: jwt.encode(PROVIDER.claims(NOW), PROVIDER.private, "RS256"),
    "kid unknown": lambda: headed(kid="2020-01"),
    "kid a path": lambda: headed(kid="../../../../dev/null"),
    "kid a file": lambda: headed(kid="/etc/passwd"),
    "kid SQL": lambda: headed(kid="x' UNION SELECT 'secret' --"),
    "kid a URL": lambda: headed(kid="https://evil.test/jwks.json"),
    "kid a shell": lambda: headed(kid="|id"),
    "kid empty": lambda: headed(kid=""),
    "kid a NUL": lambda: headed(kid=f"{KID}\x00"),
    "kid a number": lambda: by_hand({"alg": "RS256", "kid": 1}),
    "kid a list": lambda: by_hand({"alg": "RS256", "kid": [KID]}),
    "kid an object": lambda: by_hand({"alg": "RS256", "kid": {"a": 1}}),
    "its own key (jwk)": lambda: jwt.encode(PROVIDER.claims(NOW), OTHER, "RS256", {"kid": KID, "jwk": PROVIDER.jwk()}),
    "its own key's place (jku)": lambda: jwt.encode(
        PROVIDER.claims(NOW), OTHER, "RS256", {"kid": KID, "jku": "https://evil.test/jwks.json"}),
    "its own certificate (x5u)": lambda: jwt.encode(
        PROVIDER.claims(NOW), OTHER, "RS256", {"kid": KID, "x5u": "http://169.254.169.254/"}),
    "a critical extension": lambda: headed(crit=["exp2"], exp2=1),
    "an unencoded payload": lambda: by_hand({"alg": "RS256", "kid": KID, "b64": False, "crit": ["b64"]}),
    "another audience": lambda: good(aud="shop"),
    "no audience": lambda: good(aud=None),
    "audience a list of others": lambda: good(aud=["shop", "gateway2"]),
    "audience a number": lambda: by_hand({"alg": "RS256", "kid": KID}, PROVIDER.claims(NOW, aud=1)),
    "another issuer": lambda: good(iss="https://evil.test"),
    "issuer with a slash": lambda: good(iss=f"{ISSUER}/"),
    "no issuer": lambda: good(iss=None),
    "expired": lambda: good(exp=NOW - 60),
    "no expiry": lambda: good(exp=None),
    "expiry a word": lambda: good(exp="tomorrow"),
    "expiry infinite": lambda: by_hand({"alg": "RS256", "kid": KID}, '{"exp": 1e999}'),
    "not yet": lambda: good(nbf=time.time() + 300),
    "issued tomorrow": lambda: good(iat=NOW + 86_400),
    "no subject": lambda: good(sub=None),
    "subject a list": lambda: good(sub=["ann"]),
    "subject empty": lambda: good(sub=""),
    "subject with a newline": lambda: good(sub="ann\nroot"),
    "subject endless": lambda: good(sub="a" * 1_000),
    "scope an object": lambda: good(scope={"operate": True}),
    "edited after it was signed": edited,
    "signature cut off": lambda: good().rpartition(".")[0] + ".",
    "signature cut short": lambda: good()[:-10],
    "two parts": lambda: good().rpartition(".")[0],
    "four parts": lambda: good() + ".x",
    "five parts (encrypted)": lambda: "a.b.c.d.e",
    "header 65,000 deep": lambda: by_hand("[" * 65_000 + "]" * 65_000),
    "header 2,500 deep": lambda: by_hand("[" * 2_500 + "]" * 2_500),
    "header no JSON": lambda: by_hand("{"),
    "header a list": lambda: by_hand("[]"),
    "header not UTF-8": lambda: by_hand(b"\xff\xfe"),
    "payload no JSON": lambda: by_hand({"alg": "RS256", "kid": KID}, "{"),
    "payload a list": lambda: by_hand({"alg": "RS256", "kid": KID}, "[]"),
    "a claim of 10 MB": lambda: good(extra="x" * 10_000_000),
    "dots": lambda: "." * 5_000,
    "no base64": lambda: "!!.!!.!!",
    "nothing but base64": lambda: b64("x") * 3,
}  # fmt: skip


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    published = Provider(tmp_path, private=PROVIDER.private).publish()
    return Tokens(OIDC, published, ManualClock(data=NOW))


@pytest.fixture
def http(tokens: Tokens) -> httpx.AsyncClient:
    house = House()
    made = locks([key("shop", ["predict"])], ManualClock(data=NOW), tokens=tokens)
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=made))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


def test_there_are_at_least_sixty() -> None:
    assert len(VECTORS) >= 60


async def test_an_abused_token_is_401(http: httpx.AsyncClient, form: Form) -> None:
    said = {}
    for (name, made), path in itertools.product(VECTORS.items(), ("/predict", "/feedback")):
        answer = await http.post(path, json=BODY, headers=bearer(made()))
        said[name, path] = (answer.status_code, answer.json()["type"])
    refused = sum(each == (401, "unauthenticated") for each in said.values())
    form.note(f"{refused} of {len(said)} answers 401, to {len(VECTORS)} vectors at two routes", "all, of 60 vectors")
    assert {name: each for name, each in said.items() if each != (401, "unauthenticated")} == {}


def test_a_good_token_says_who_and_what(tokens: Tokens) -> None:
    assert tokens.check(good(scope="read operate openid").encode()) == Principal(
        "oidc:ann", frozenset({"read", "operate"})
    )


def test_groups_are_translated_by_the_settings(tmp_path: Path) -> None:
    said = OidcSettings(issuer=ISSUER, audience=AUDIENCE, scopes_claim="groups", grants={"ml-ops": ("read", "operate")})
    tokens = Tokens(said, Provider(tmp_path, private=PROVIDER.private).publish(), ManualClock(data=NOW))
    found = tokens.check(good(groups=["ml-ops", "staff", "operate"]).encode())
    assert found == Principal("oidc:ann", frozenset({"read", "operate"}))
    assert tokens.check(good(groups=["predict"]).encode()) == Principal("oidc:ann", frozenset())


def test_a_token_is_forgotten_when_it_expires_and_when_the_keys_change(tmp_path: Path) -> None:
    clock, provider = ManualClock(data=NOW), Provider(tmp_path, private=PROVIDER.private)
    key_set = provider.publish()
    tokens = Tokens(OIDC, key_set, clock)
    token = good(exp=NOW + 10).encode()
    assert tokens.remembered(token) is None
    assert tokens.check(token) == tokens.remembered(token)
    clock.advance(11.0)
    assert tokens.remembered(token) is None
    lasting = good().encode()
    tokens.check(lasting)
    Provider(tmp_path, kid="2026-12").publish()
    key_set.refresh()
    assert tokens.remembered(lasting) is None
    assert tokens.check(lasting) is None


def test_a_key_set_of_secrets_or_for_encryption_is_not_used(tmp_path: Path) -> None:
    secret = {"kty": "oct", "k": b64("s" * 32), "kid": "s", "alg": "HS256"}
    assert set(
        Provider(tmp_path, private=PROVIDER.private)
        .publish(PROVIDER.jwk(), secret, PROVIDER.jwk(kid="e", use="enc"))
        .keys
    ) == {KID}


async def test_a_key_of_ours_still_opens_beside_tokens(http: httpx.AsyncClient) -> None:
    assert (await http.post("/predict", json=BODY, headers=bearer(secret_of("shop")))).status_code == 200
    assert (await http.post("/predict", json=BODY, headers=bearer(good(scope="predict")))).status_code == 200
    assert (await http.post("/predict", json=BODY, headers=bearer(good(scope="read")))).status_code == 403


@pytest.mark.parametrize("word", ["HS256", "none", "RS1"])
def test_settings_take_no_algorithm_that_shares_a_secret(word: str) -> None:
    with pytest.raises(ValueError, match="algorithms"):
        OidcSettings(issuer=ISSUER, audience=AUDIENCE, algorithms=(word,))


def test_keys_are_fetched_by_tls_or_from_this_machine_only() -> None:
    with pytest.raises(ValueError, match="https"):
        OidcSettings(issuer="http://id.example.test", audience=AUDIENCE)
    with pytest.raises(ValueError, match="https"):
        OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://10.0.0.1/keys")
