"""A Chromium for the control room's test: the machine's own, or one that can be had. ``python -m tests.room.browser``.

It never fails: where no browser can be had it says so, and the test is skipped with the same words.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHOSEN = "GATEWAY_CHROMIUM"
NONE = f"no Chromium on this machine: name one in {CHOSEN}, or run `make browser` where a package mirror can be reached"
_FETCH_WITHIN_S = 600


def find() -> Path | None:
    """The browser named by ``GATEWAY_CHROMIUM``, the machine's own, or the one that Playwright keeps."""
    named = os.environ.get(CHOSEN)
    if named:
        return Path(named)
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    kept = sorted(Path("~/.cache/ms-playwright").expanduser().glob("chromium*/**/headless_shell"))
    return Path(found) if found else next(iter(kept), None)


def main() -> None:
    """Find one, or fetch one: Debian's where we may install packages, else Playwright's."""
    if find() is None:
        for command in _ways():
            subprocess.run(command, check=False, timeout=_FETCH_WITHIN_S, stdout=subprocess.DEVNULL)
            if find() is not None:
                break
    found = find()
    how = f"is tested in {found}" if found else f"is not tested: {NONE}"
    sys.stdout.write(f"The control room {how}.\n")


def _ways() -> list[list[str]]:
    debian = [["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"]]
    own = [[sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]]
    return (debian if os.geteuid() == 0 and shutil.which("apt-get") else []) + own


if __name__ == "__main__":
    main()
