"""Row S7: guessing keys is cheap to refuse, bounded in what it logs, and hurts nobody who has a good one.

The rules first, then a flood over TLS beside a good caller: 2,000 bad keys a second for five seconds, in full 5,000 for
a minute.
"""

import json
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import pytest
import structlog
from starlette.exceptions import HTTPException

from gateway.adapters.clock import ManualClock
from gateway.edge.data_plane import DataPlane, create_app
from tests.data_house import BODY, House
from tests.e2e.harness import Gateway
from tests.security.form import Form
from tests.security.house import bearer, key, locks, secret_of


def client(house: House, **said: object) -> httpx.AsyncClient:
    made = locks({"shop": ["predict"]}, house.clock, **said)  # type: ignore[arg-type]
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=made))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


async def test_after_so_many_bad_keys_an_address_is_told_429_and_when_to_come_back() -> None:
    house = House()
    async with client(house, failures="20/minute") as http:
        statuses = [(await http.post("/predict", json=BODY, headers=bearer(f"gwk_{n}"))).status_code for n in range(25)]
        assert statuses == [401] * 20 + [429] * 5
        refused = await http.post("/feedback", json={}, headers=bearer("gwk_x"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        house.clock.advance(60.0)
        assert (await http.post("/predict", json=BODY, headers=bearer("gwk_x"))).status_code == 401


async def test_a_good_key_is_let_in_from_an_address_that_guesses() -> None:
    async with client(House(), failures="3/minute") as http:
        for n in range(10):
            await http.post("/predict", json=BODY, headers=bearer(f"gwk_{n}"))
        assert (await http.post("/predict", json=BODY, headers=bearer(secret_of("shop")))).status_code == 200


async def test_five_thousand_bad_keys_leave_one_line() -> None:
    async with client(House(), failures="20/minute") as http:
        with structlog.testing.capture_logs() as lines:
            for n in range(5_000):
                await http.post("/predict", json=BODY, headers=bearer(f"gwk_{n}"))
    assert [line["event"] for line in lines] == ["keys_refused"]
    assert "gwk_" not in str(lines)


async def test_a_key_over_its_rate_is_told_429_and_others_are_not() -> None:
    house = House()
    made = locks([key("slow", ["predict"], rate="2/second"), key("fast", ["predict"])], house.clock, rate="100/second")
    app = create_app(DataPlane(house.predict, house.feedback, house.clock, locks=made))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:

        async def asked(name: str) -> int:
            return (await http.post("/predict", json=BODY, headers=bearer(secret_of(name)))).status_code

        assert [await asked("slow") for _ in range(3)] == [200, 200, 429]
        assert [await asked("fast") for _ in range(3)] == [200, 200, 200]
        house.clock.advance(1.0)
        assert await asked("slow") == 200


def test_a_flood_of_addresses_takes_no_memory() -> None:
    turnstile = locks({}, ManualClock(), failures="20/minute").turnstile
    for n in range(50_000):
        turnstile.fail(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(turnstile._storage._counts) <= 4_096  # type: ignore[attr-defined]


def test_callers_of_one_network_of_ipv6_share_their_failures() -> None:
    turnstile = locks({}, ManualClock(), failures="2/minute").turnstile
    assert [turnstile.fail(f"2001:db8:1:2::{n:x}") for n in range(3)] == [None, None, 60]


@pytest.mark.parametrize("secret", [secret_of("shop"), "gwk_" + "x" * 43])
def test_a_lock_costs_microseconds(secret: str) -> None:
    made = locks({f"k{n}": ["predict"] for n in range(1_000)} | {"shop": ["predict"]}, ManualClock())
    made.keys = type("Held", (), {"known": made.keys.known})()  # the test's own ring makes its index anew each time
    scope = {"headers": [(b"host", b"x"), (b"authorization", f"Bearer {secret}".encode())], "client": ("10.0.0.1", 1)}

    def a_thousand() -> float:
        began = time.perf_counter()
        for _ in range(1_000):
            with suppress(HTTPException):
                made.admit(scope, frozenset({"predict"}))
        return (time.perf_counter() - began) / 1_000

    assert min(a_thousand() for _ in range(5)) < 100e-6


ASKED = {"features": {"age": 40.0, "visits": 3.0}}
_COMES_FIRST = 0.99
"""The share of the rate meant that a flood has to reach, to have been one."""


def test_a_flood_of_bad_keys_hurts_nobody_who_has_a_good_one(gateway: Gateway, form: Form) -> None:
    rate, seconds = form.pick(2_000, 5_000), form.pick(5, 60)
    quiet = timed(gateway, seconds / 3)
    before = len(gateway.log.splitlines())
    command = [sys.executable, "-m", "tests.security.flood", str(gateway.data.base_url), str(seconds), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attack:
        besieged = timed(gateway, seconds - 1.0)
        said = json.loads(attack.communicate(timeout=seconds + 60.0)[0])
    reached, answers, lines = said["sent"] / said["seconds"], said["answers"], len(gateway.log.splitlines()) - before
    form.note(f"{reached:,.0f} bad keys/s for {seconds} s, {answers}", "5,000/s for 60 s; 401, then 429")
    form.note(f"good p99 {besieged * 1e3:.1f} ms, {quiet * 1e3:.1f} ms without; {lines} lines of log", "<= 1.5 times")
    assert set(answers) <= {"401", "429"}
    assert answers["401"] <= 50 * 2 * (1 + seconds / 60), "two workers, fifty a minute each"
    assert lines <= 20 + seconds
    if form.full:
        assert reached >= _COMES_FIRST * rate
        assert besieged <= 1.5 * quiet
    else:
        assert besieged < max(4 * quiet, 0.05)  # attacker, caller, gateway and other tests share this machine's cores


def timed(gateway: Gateway, seconds: float) -> float:
    """Seconds within which 99 of 100 good requests are answered, asked one after the other for so long."""
    taken, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        answer = gateway.data.post("/predict", json=ASKED, headers=bearer(secret_of("shop")))
        taken.append(time.perf_counter() - began)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text} after {taken[-1]:.3f} s"
    return sorted(taken)[int(0.99 * len(taken))]
