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
from playwright.sync_api import Browser, expect

from gateway.core.errors import StoreUnavailable
from gateway.core.rollout import Signal
from tests.control_house import NAME, House
from tests.drift_house import DriftHouse
from tests.edge import test_control_plane as control
from tests.room.conftest import Desk

_T = TypeVar("_T")
DASH = "\u2013"
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
