"""Row S5: deny by default. Every route of both planes is listed, and each is tried by each principal."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from gateway.adapters.clock import ManualClock
from gateway.edge import control_plane, data_plane
from gateway.edge.doors import ANYBODY, CONTROL_DOORS, DATA_DOORS, NOBODY, Doors
from gateway.edge.locks import Locks
from tests.data_house import House
from tests.security.form import Form
from tests.security.house import ALL, bearer, key, locks, secret_of

NOW = 1_700_000_000.0
KEYS = (
    *(key(scope, [scope]) for scope in ALL),
    key("everything", ALL),
    key("expired", ALL, expires=NOW - 1.0),
    key("revoked", ALL, revoked=NOW - 1.0),
)
STRANGERS = {"nobody": None, "wrong": "gwk_wrong", "expired": secret_of("expired"), "revoked": secret_of("revoked")}
PRINCIPALS = {**STRANGERS, **{name: secret_of(name) for name in (*ALL, "everything")}}


def locked() -> Locks:
    return locks(KEYS, ManualClock(data=NOW))


def data_app() -> FastAPI:
    house = House()
    return data_plane.create_app(data_plane.DataPlane(house.predict, house.feedback, house.clock, locks=locked()))


def control_app() -> FastAPI:
    """A control plane behind whose door there is nothing: whoever gets through meets an error, never a 401."""
    from types import SimpleNamespace

    plane: Any = SimpleNamespace(log=None, clock=None, run=None, hosts=(), locks=locked())
    return control_plane.create_app(plane)


PLANES = {"data": (data_app, DATA_DOORS), "control": (control_app, CONTROL_DOORS)}


def routes(app: FastAPI) -> Iterator[str]:
    """Every route an app would answer, mounts, documents and probes included."""
    for context in iter_route_contexts(app.routes):
        route: Any = context
        assert not isinstance(getattr(route, "original_route", route), Mount), "a mount needs doors of its own"
        for method in route.methods or ():
            yield f"{method} {route.path}"


@pytest.mark.parametrize("plane", PLANES)
def test_every_route_has_a_door_and_every_door_a_route(plane: str) -> None:
    make, doors = PLANES[plane]
    found = {route for route in routes(make()) if not route.startswith("HEAD ")}
    assert found == set(doors), "declare the scope of a new route in gateway/edge/doors.py"


def fill(path: str) -> str:
    path = path.replace("/room/{file:path}", "/room/main.js").replace("/docs/files/{file:path}", "/docs/files/start.js")
    path = path.replace("{version}", "v1")
    return path.replace("{deployment}", "flight-delay").replace("{prediction_id}", "k1.x.y.z").replace("{name}", "v9")


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


def expected(principal: str, scope: str) -> set[int] | None:
    """The statuses of a refusal; None where the request reaches its route."""
    if scope == NOBODY:
        return None
    if principal in STRANGERS:
        return {401}
    return None if scope == ANYBODY or principal in (scope, "everything") else {403}


@pytest.mark.parametrize("plane", PLANES)
async def test_each_principal_meets_what_the_table_says_on_each_route(plane: str, form: Form) -> None:
    make, doors = PLANES[plane]
    checked = 0
    async with client(make()) as http:
        for (route, scope), (name, secret) in itertools.product(doors.items(), PRINCIPALS.items()):
            method, _, path = route.partition(" ")
            headers = {"Content-Type": "application/json", **({} if secret is None else bearer(secret))}
            for asked in ("GET", "HEAD") if method == "GET" else (method,):
                answer = await http.request(
                    asked, fill(path), headers=headers, content=None if method == "GET" else b"[]"
                )
                wanted = expected(name, scope)
                reached = answer.status_code not in {401, 403, 404, 405, 429} or "unknown" in answer.text
                assert reached if wanted is None else answer.status_code in wanted, (
                    asked,
                    path,
                    name,
                    answer.status_code,
                )
                refused = wanted is not None and asked != "HEAD"
                assert not refused or ("error" in answer.json()) is path.startswith("/v2"), (asked, path, name)
                checked += 1
    form.note(
        f"{checked} of {checked} as the table says: {len(doors)} {plane} routes, {len(PRINCIPALS)} principals", "all"
    )
    assert checked >= len(doors) * len(PRINCIPALS)


DISGUISES = (
    lambda path: path + "/",
    lambda path: "/" + path,
    lambda path: path.upper(),
    lambda path: path.replace("/", "/./"),
    lambda path: path + "/..",
    lambda path: path + ";x=1",
    lambda path: path + "%00",
    lambda path: path + "%2f",
    lambda path: path.replace("d", "%64", 1),
    lambda path: path.replace("/", "%2f"),
    lambda path: "/x/.." + path,
    lambda path: path + "?scope=operate",
)
"""Other ways to write a path: none may open what the plain one does not."""


@pytest.mark.parametrize("plane", PLANES)
async def test_no_way_of_writing_a_path_gets_a_stranger_in(plane: str) -> None:
    make, doors = PLANES[plane]
    opened = {route.partition(" ")[2] for route, scope in doors.items() if scope == NOBODY}
    async with client(make()) as http:
        for route, disguise in itertools.product(doors, DISGUISES):
            path = disguise(fill(route.partition(" ")[2]))
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND"):
                answer = await http.request(method, path)
                plain = answer.request.url.path
                assert answer.status_code == 401 or plain in opened, (method, path, answer.status_code)


@pytest.mark.parametrize("plane", PLANES)
async def test_a_route_without_a_door_is_opened_by_nobody(plane: str) -> None:
    app = PLANES[plane][0]()
    app.add_api_route("/admin/forgotten", lambda: "open", methods=["GET"])
    async with client(app) as http:
        for name, secret in PRINCIPALS.items():
            answer = await http.get("/admin/forgotten", headers={} if secret is None else bearer(secret))
            assert answer.status_code == (401 if name in STRANGERS else 404)


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic eA==", "bearer gwk_x", "Digest x", "Bearer a b c",
        "Bearer \x00", "Basic Og==", "Negotiate", "Bearer " + "a" * 60_000, "Token x", "ApiKey x", "Bearer null",
    ],
)  # fmt: skip
async def test_a_malformed_header_is_401_and_never_an_error(header: str) -> None:
    async with client(data_app()) as http:
        for path in ("/predict", "/feedback", "/nowhere"):
            answer = await http.post(path, json={}, headers={"Authorization": header})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="gateway", Bearer realm="gateway"'
            assert answer.headers["content-type"] == "application/problem+json"


async def test_two_authorization_headers_are_none() -> None:
    async with client(data_app()) as http:
        headers = [("Authorization", f"Bearer {secret_of('everything')}")] * 2
        assert (await http.post("/predict", json={}, headers=headers)).status_code == 401


async def test_a_browser_may_send_its_key_as_a_password() -> None:
    async with client(control_app()) as http:
        assert (await http.get("/docs", auth=("ann", secret_of("read")))).status_code == 200
        assert (await http.get("/docs", auth=(secret_of("read"), ""))).status_code == 401


async def test_with_keys_another_sites_page_still_gets_nothing_done() -> None:
    async with client(control_app()) as http:
        headers = {"Origin": "https://evil.test", **bearer(secret_of("everything"))}
        answer = await http.post("/admin/deployments/flight-delay/promote", headers=headers)
        assert answer.status_code == 403
        assert answer.json()["type"] == "foreign-host"


def test_a_path_that_fits_two_doors_needs_the_scopes_of_both() -> None:
    doors = Doors({"GET /a/{x}": "read", "GET /a/b": "operate"})
    assert doors.needs("GET", "/a/b") == {"read", "operate"}
    assert doors.needs("HEAD", "/a/c") == {"read"}
