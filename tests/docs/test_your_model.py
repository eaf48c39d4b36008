"""What "serve your own model" tells a reader to write is written, checked, served and asked."""

import subprocess
import sys
from pathlib import Path

import yaml

from gateway.settings import load_settings
from tests.docs.pages import DOCS, README, ROOT, blocks
from tests.docs.typing_along import type_along
from tests.e2e.harness import Gateway

PAGE = DOCS / "how-to" / "your-model-and-features.md"


def test_a_model_of_ones_own_is_served_as_the_page_says(tmp_path: Path) -> None:
    program, config = blocks(PAGE, "python")[0].text, blocks(PAGE, "yaml")[0].text
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT)}, timeout=60)
    settings = yaml.safe_load(config) | {"registry": str(tmp_path / "models")}
    gateway = Gateway(tmp_path / "gw", settings)
    try:
        typed = type_along(PAGE, gateway.start(), tmp_path)
    finally:
        gateway.close()
    assert typed.met == typed.promised, typed.shown


def test_every_configuration_in_a_page_is_one(tmp_path: Path) -> None:
    for page in (README, PAGE):
        for number, block in enumerate(blocks(page, "yaml")):
            path = tmp_path / f"{page.stem}-{number}.yaml"
            path.write_text(block.text)
            load_settings(path).specs()
