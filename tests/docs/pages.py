"""Reads Markdown pages: their code blocks, their tables, their links. Nothing here knows what a page is about."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced piece of code and the language it says it is in."""

    language: str
    text: str


def pages() -> list[Path]:
    """Every page a reader may open."""
    return [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The code of a page, in order; of one language only, where it is named."""
    found = [Block(*match) for match in _FENCE.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if language in (None, block.language)]


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every table row of a page, heads and rules included."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.replace(r"\|", "\0").strip("|").split("|")]


def sections(page: Path, level: int) -> dict[str, str]:
    """What stands below each heading of one level, by the heading's words."""
    marks = "#" * level
    parts = re.split(rf"^{marks} (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def links(page: Path) -> list[str]:
    """Where a page's links inside the repository point."""
    found = _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return [link for link in found if not re.match(r"https?:|#|mailto:", link)]
