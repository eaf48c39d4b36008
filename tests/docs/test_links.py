"""The pages hang together: every link leads somewhere, every page can be reached, every record is indexed."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, README, ROOT, blocks, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link.partition("#")[0]).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        found = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        waiting += [other for other in found if other.suffix == ".md" and other not in reached and other.exists()]
    assert {page for page in DOCS.rglob("*.md") if page not in reached} == set()


def test_decision_records_have_a_number_of_their_own_each_and_are_indexed() -> None:
    records = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
    assert len({name[:4] for name in records}) == len(records)
    index = (DOCS / "decisions" / "README.md").read_text()
    assert [name for name in records if f"({name})" not in index] == []


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda path: path.name[:4])
def test_a_decision_record_says_what_was_decided_why_and_what_it_costs(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {path.name[:4]} \S", text)
    assert [word for word in ("**Decided.**", "**Why.**", "**Costs.**") if word not in text] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_a_page_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block.text, page.name, "exec")
