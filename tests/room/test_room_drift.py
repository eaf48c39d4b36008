"""The drift panel in a real browser, before a gateway whose traffic moves away from what its model was trained on."""

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, until
from tests.e2e.test_drift import MARCH_S, TICK_S, drift, reached, serve, watched_model
from tests.room.conftest import Desk
from tests.room.test_room_live import DASH, WAIT_MS

expect.set_options(timeout=WAIT_MS)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def gateway(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It has served people of all ages for three ticks."""
    folder = tmp_path_factory.mktemp("gw")
    watched_model(folder / "models")
    gateway = Gateway(folder, simple_config(folder, clock="replay"))
    try:
        gateway.start()
        tell(gateway, range(4), 0.0)
        yield gateway
    finally:
        gateway.close()


def tell(gateway: Gateway, ticks: range, lowest: float) -> None:
    """Ticks of traffic, each of which is taken in once the next has begun."""
    random = Random(6)
    for tick in ticks:
        serve(gateway, random, tick, lowest)
        if tick:
            until(partial(reached, gateway, MARCH_S + tick * TICK_S), 30.0)


def agrees(gateway: Gateway, room: Desk) -> None:
    """Every figure of the panel is the API's; a feature's bars are its cells."""
    said = drift(gateway)
    [watch] = said["watches"]
    page = room.page
    expect(page.locator("#drift [data-watch=stable]")).to_contain_text(f"{watch['rows']:,} requests")
    expect(page.locator("#drift figure")).to_have_count(len(watch["findings"]))
    for one in watch["findings"]:
        shown = page.locator(f"#drift [data-feature='{one['feature']}']")
        expect(shown.locator(".finding")).to_have_text("drifted" if one["alarm"] else "calm")
        for name in ("psi", "js", "ks"):
            value = one["distances"][name]
            expect(shown).to_contain_text(f"{name.upper()} {DASH if value is None else f'{value:.3f}'}")
        tall = shown.locator(".is").evaluate_all("bars => bars.map(bar => bar.height.baseVal.value)")
        most = max(max(cell["live"], cell["reference"]) for cell in one["cells"])
        assert tall == pytest.approx([46 * cell["live"] / most for cell in one["cells"]], abs=0.01)


def test_traffic_like_the_training_data_is_calm_beside_its_reference(gateway: Gateway, desk: Desk) -> None:
    page = desk.open(f"{gateway.control.base_url}/#/d/{DEPLOYMENT}")
    expect(page.locator("#drift")).to_contain_text("nothing has moved")
    expect(page.locator("#drift")).to_contain_text("people of 2012")
    agrees(gateway, desk)
    assert desk.said == []


def test_traffic_that_moves_away_is_drawn_as_drift_of_the_data_feature_by_feature(gateway: Gateway, desk: Desk) -> None:
    tell(gateway, range(4, 12), 30.0)
    until(lambda: drift(gateway)["cause"] == "data", 30.0)
    page = desk.open(f"{gateway.control.base_url}/#/d/{DEPLOYMENT}")
    expect(page.locator("#drift")).to_contain_text("the data moved, for every arm alike")
    expect(page.locator("#drift [data-feature=age] .finding")).to_have_text("drifted")
    expect(page.locator("#drift [data-feature=visits] .finding")).to_have_text("calm")
    agrees(gateway, desk)
    expect(page.locator("#timeline")).to_contain_text("age moved up")
    assert desk.said == []
