"""A real headless browser before a real gateway. Skipped, with the reason, where no browser can be had."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.room.browser import NONE, find

_PATIENCE_MS = 20_000


@dataclass
class Desk:
    """An operator's browser: its page, and everything that went wrong in it."""

    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def open(self, url: str) -> Page:
        """Go there, and watch for errors, refused scripts and requests to anybody else."""
        self.page.on("console", lambda one: self.said.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(url)
        return self.page

    def words(self, name: str, *value: Any) -> str:
        """Say a value as the page says it."""
        asked = "async ([name, value]) => (await import('/room/words.js'))[name](...value)"
        return str(self.page.evaluate(asked, [name, list(value)]))

    def plotted(self, chart: str) -> list[list[float | None]]:
        """The columns that a chart was drawn from."""
        found: list[list[float | None]] = self.page.evaluate(
            "id => document.getElementById(id).plot.data.map(column => Array.from(column))", chart
        )
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find()
    if path is None:
        pytest.skip(NONE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def desk(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A fresh browser window; ``indirect`` parameters are Playwright's, such as its size."""
    said: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}} | getattr(request, "param", {})
    context = browser.new_context(**said)
    context.set_default_timeout(_PATIENCE_MS)
    yield Desk(context, context.new_page())
    context.close()
