"""Takes pictures of the control room while the story is played, in a process of its own: ``make screenshots``.

The page is opened before the first act and never again; each picture is taken when the page itself shows its moment.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

IMAGES = Path("docs/images")
CHROMIUM = os.environ.get("GATEWAY_CHROMIUM", "/usr/bin/chromium")
_STORY_WITHIN_S = 900.0
_EVERY_S = 0.5
_SETTLED_S = 2.5


class Photographer:
    """Starts and ends the process that takes the pictures; a browser that cannot be had costs nothing but them."""

    def __init__(self, control: str, deployment: str) -> None:
        self._page = f"{control}/#/d/{deployment}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "demo.pictures", self._page])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._process.wait(20.0)  # the last picture is taken when the story is over
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()


def main() -> None:
    """Take every picture, in the order of the story."""
    from playwright.sync_api import ViewportSize, sync_playwright  # only who wants pictures needs a browser

    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        desk, phone = ViewportSize(width=1440, height=1180), ViewportSize(width=390, height=844)
        wide = browser.new_page(viewport=desk, color_scheme="light", device_scale_factor=1.5)
        dark = browser.new_page(viewport=desk, color_scheme="dark", device_scale_factor=1.5)
        small = browser.new_page(viewport=phone, color_scheme="light", device_scale_factor=2.0)
        pages = (wide, dark, small)
        _when(lambda: _answers(sys.argv[1]))
        for page in pages:
            page.goto(sys.argv[1])
        _when(lambda: _step(wide) >= 3 and _shown(wide, "v2"))
        _take(wide, "room-proving.png")
        _when(lambda: _shown(small, "v3") and _text(small, ".rollout .phase") == "demoted")
        _take(small, "room-phone.png")
        _when(lambda: dark.locator("#drift .drift-drifted").count() > 0)
        dark.evaluate("document.getElementById('traffic').scrollIntoView()")
        _take(dark, "room-live.png")
        browser.close()


def _when(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _STORY_WITHIN_S
    while not seen():
        if time.monotonic() > deadline:
            raise SystemExit("The control room never showed this moment of the story.")
        time.sleep(_EVERY_S)


def _answers(url: str) -> bool:
    where = urlsplit(url)
    with socket.socket() as trial:
        return trial.connect_ex((where.hostname or "", where.port or 80)) == 0


def _take(page: Any, name: str) -> None:
    page.wait_for_timeout(1000 * _SETTLED_S)
    page.screenshot(path=IMAGES / name)


def _step(page: Any) -> int:
    return int(page.locator("#track li.done, #track li.now").count())


def _shown(page: Any, version: str) -> bool:
    return version in _text(page, ".rollout-head h2")


def _text(page: Any, selector: str) -> str:
    found = page.locator(selector)
    return str(found.first.text_content() or "") if found.count() else ""


if __name__ == "__main__":
    main()
