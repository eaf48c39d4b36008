"""The control room when there is little to show: no deployment, no store, an answer that is refused."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Error, expect

from gateway.core.drift.report import Skew, SkewLine
from gateway.core.errors import StoreUnavailable
from gateway.core.rollout import Signal
from gateway.edge.control_plane import create_app
from tests.control_house import NAME, House
from tests.drift_house import DriftHouse
from tests.edge import test_control_plane as control
from tests.room.conftest import Desk
from tests.security.house import Ring, key, locks, secret_of

_T = TypeVar("_T")
DASH, T0 = "\u2013", 1_373_241_600.0
pytestmark = pytest.mark.timeout(120)


@dataclass(slots=True)
class Fragile(control.Desk):
    """A control plane whose store may be away."""

    away: bool = field(default=False)

    async def run(self, work: Callable[[], _T]) -> _T:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The store cannot be reached.")
        return work()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve a control plane over memory on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10.0)
        listening.close()


@pytest.fixture
def empty(browser: Browser) -> Iterator[tuple[Fragile, str]]:
    plane = Fragile(House())
    with served(plane.app()) as url:
        yield plane, url


def test_without_a_deployment_the_page_says_how_to_get_one(desk: Desk, empty: tuple[Fragile, str]) -> None:
    page = desk.open(empty[1])
    expect(page.locator("#nothing")).to_contain_text("No deployment yet")
    expect(page.locator("#nothing")).to_contain_text("gateway apply")


def test_a_deployment_that_appears_is_shown_without_a_reload(desk: Desk, empty: tuple[Fragile, str]) -> None:
    plane, url = empty
    page = desk.open(url)
    expect(page.locator("#nothing")).to_be_visible()
    plane.house.open()
    expect(page.locator("h1")).to_have_text(NAME)
    expect(page.locator("#traffic")).to_contain_text("No request in this time")


def test_a_store_that_is_away_is_said_in_its_own_words_and_what_was_seen_stays(
    desk: Desk, empty: tuple[Fragile, str]
) -> None:
    plane, url = empty
    plane.away = True
    page = desk.open(url)
    expect(page.locator("#trouble")).to_contain_text("The store cannot be reached")
    plane.house.open()
    plane.away = False
    expect(page.locator("h1")).to_have_text(NAME, timeout=30_000)
    plane.away = True
    expect(page.locator(".trouble")).to_contain_text("The store cannot be reached")
    expect(page.locator("h1")).to_have_text(NAME)


def test_drift_is_drawn_feature_by_feature_against_the_reference(desk: Desk) -> None:
    house = DriftHouse()
    house.ticks(20, delay=0.5)
    app = Fragile(house.house).app()
    app.state.plane = replace(app.state.plane, drift=house.drifting.report)
    report = house.drifting.report(NAME)
    with served(app) as url:
        page = desk.open(url)
        expect(page.locator("#drift")).to_contain_text("the data moved")
        [watch] = report.watches
        assert any(one.alarm for one in watch.findings)
        for one in watch.findings:
            shown = page.locator(f"#drift [data-feature='{one.feature}']")
            expect(shown.locator(".finding")).to_have_text("drifted" if one.alarm else "calm")
            expect(shown).to_contain_text(f"PSI {_three(one.distances.psi)}")
            expect(shown).to_contain_text(f"KS {_three(one.distances.ks)}")
            said = ", ".join(
                f"{cell.label} {desk.words('percent', cell.live)} (reference {desk.words('percent', cell.reference)})"
                for cell in one.cells
            )
            expect(shown.locator("svg")).to_have_attribute("aria-label", f"{one.feature}: {said}")
            tall = shown.locator(".is").evaluate_all("bars => bars.map(bar => bar.height.baseVal.value)")
            most = max(max(cell.live, cell.reference) for cell in one.cells)
            assert tall == pytest.approx([46 * cell.live / most for cell in one.cells], abs=0.01)


def test_drift_has_its_report_and_what_was_served_beside_the_offline_store(desk: Desk) -> None:
    house = DriftHouse()
    house.ticks(20, delay=0.5)
    lines = (SkewLine("distance", 100, 0, 0, 0), SkewLine("carrier <b>", 96, 6, 4, 0))
    report = replace(house.drifting.report(NAME), skew=Skew(T0, 100, lines, "one view has no history"))
    app = Fragile(house.house).app()
    app.state.plane = replace(app.state.plane, drift=lambda _: report)
    with served(app) as url:
        page = desk.open(url)
        shown = page.locator("#skew [data-skew]")
        expect(shown).to_have_count(2)
        expect(shown.first).to_contain_text("carrier <b>")
        expect(shown.first).to_contain_text(f"{desk.words('percent', lines[1].share)} of 96 differ")
        expect(shown.last).to_contain_text(f"{desk.words('percent', 0.0)} of 100 differ")
        expect(page.locator("#skew")).to_contain_text("one view has no history")
        way = page.get_by_role("link", name="report")
        expect(way).to_have_attribute("href", f"admin/deployments/{NAME}/drift?report=html")
    assert desk.said == []


BY_KEY = {"http_credentials": {"username": "ann", "password": secret_of("ops")}}
"""A browser that was told a key where it asked for a password."""


@contextmanager
def locked() -> Iterator[tuple[Ring, str]]:
    """A control plane behind keys, and the ring that they hang on."""
    made = locks({"ops": ["read"]})
    app = create_app(replace(Fragile(House().open()).plane(), locks=made))
    assert isinstance(made.keys, Ring)
    with served(app) as url:
        yield made.keys, url


def test_without_a_key_the_browser_asks_for_one_and_nothing_of_the_page_is_shown(desk: Desk) -> None:
    with locked() as (_, url), pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        desk.open(url)


@pytest.mark.parametrize("desk", [BY_KEY, BY_KEY | {"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_when_its_key_is_revoked_the_page_asks_for_another_and_keeps_it_for_its_tab_only(desk: Desk) -> None:
    with locked() as (ring, url):
        page = desk.open(url)
        expect(page.locator("h1")).to_have_text(NAME)
        ring.keys = (key("next", ["read"]), key("shop", ["predict"]))
        asks = page.locator("#key")
        expect(asks).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.type("gwk_wrong")
        page.keyboard.press("Enter")
        expect(page.locator(".trouble")).to_contain_text("Send a key")
        expect(asks).to_be_visible()
        page.get_by_label("API key").fill(secret_of("shop"))
        page.keyboard.press("Enter")
        expect(page.locator(".trouble")).to_contain_text("scope")
        expect(asks).to_be_visible()
        page.get_by_label("API key").fill(secret_of("next"))
        page.keyboard.press("Enter")
        expect(asks).to_have_count(0)
        expect(page.locator("#live")).to_have_text("live")
        assert page.evaluate("() => localStorage.length + document.cookie.length") == 0
        assert all(secret_of("next") not in asked for asked in desk.asked)


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def test_what_was_sent_by_strangers_is_text_and_never_markup(desk: Desk, empty: tuple[Fragile, str]) -> None:
    plane, url = empty
    house = plane.house.open()
    house.start()
    markup = "<img src=x onerror=alert(2)>"
    house.control.send(NAME, Signal.PAUSE, actor="<script>alert(1)</script>", reason=markup)
    page = desk.open(url)
    expect(page.locator("#timeline li").first).to_contain_text(markup)
    expect(page.locator("#timeline li").first).to_contain_text("<script>alert(1)</script>")
    assert page.locator("#timeline img, #timeline script").count() == 0
