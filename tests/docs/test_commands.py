"""Every command in the docs is typed into a shell, against a real gateway, and answered as the page says."""

from pathlib import Path

import pytest

from tests.docs.pages import README, blocks, pages
from tests.docs.typing_along import commands, promises, type_along
from tests.e2e.harness import Gateway

TYPED = [page for page in pages() if commands(page) and page.stem != "your-model-and-features"]
"""That page has a gateway of its own; see ``test_your_model``."""


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_answered_as_it_says(page: Path, served: Gateway, tmp_path: Path) -> None:
    typed = type_along(page, served, tmp_path)
    assert typed.met == typed.promised, typed.shown[-2_000:]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_no_request_is_shown_that_is_not_tried(page: Path) -> None:
    elsewhere = [block for block in blocks(page) if "curl" in block.text and block.language != "bash"]
    assert elsewhere == []
    assert all(promises(command) for command in commands(page))


def test_the_readme_shows_what_an_application_and_an_operator_do() -> None:
    said = "\n".join(commands(README))
    words = ("/predict", "instances", "/feedback", "/canary", "/verdict", "/traffic", "If-Match", "/rollback")
    assert [word for word in (*words, "/timeline", "/ledger") if word not in said] == []
