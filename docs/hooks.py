"""What `make docs` does beyond MkDocs: sections in the order of Diataxis, and links into the repository as names."""

import re
from pathlib import Path
from typing import Any

_ORDER = ("Tutorial", "How to", "Reference", "Explanation", "Decisions")
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")


def on_nav(nav: Any, config: Any, files: Any) -> Any:  # noqa: ANN401, ARG001 - MkDocs' own types are not installed
    """Put the sections into their order; what belongs to none comes first."""
    nav.items.sort(key=lambda item: _ORDER.index(item.title) if item.title in _ORDER else -1)
    return nav


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ANN401, ARG001 - likewise
    """Say where in the repository a link points that leaves docs/, for the site does not have it."""
    docs = Path(config["docs_dir"]).resolve()
    here = (docs / page.file.src_path).parent

    def named(match: "re.Match[str]") -> str:
        target = (here / match[2]).resolve()
        if target.is_relative_to(docs):
            return match[0]
        name = target.relative_to(docs.parent)
        return f"`{name}`" if match[1].strip("`") == str(name) else f"{match[1]} (`{name}`)"

    return _LINK.sub(named, markdown)
