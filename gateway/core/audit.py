"""The timeline as a chain: each line carries a digest of itself and of everything before it.

A link is SHA-256 over the link before it, the deployment, the digest of the control document written with the line, and
the line as it is stored. So a line that was changed, taken out, put in or moved breaks the chain where it happened, and
a document that was changed by hand is none that the last line accounts for. Whoever can rewrite the whole store can
rewrite the whole chain: that is what heads kept elsewhere are for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BEGINNING = ""
"""The link before a deployment's first line."""


@dataclass(frozen=True, slots=True)
class Link:
    """One line of a timeline as it is stored, the digest of the document written with it, and its seal."""

    line: str
    document: str
    seal: str


@dataclass(frozen=True, slots=True)
class Head:
    """How long a timeline was, and its last seal: noted elsewhere, it pins everything up to there."""

    count: int
    seal: str


@dataclass(frozen=True, slots=True)
class Trail:
    """Every deployment's chain in order, and the digest of each control document as it stands."""

    links: Mapping[str, tuple[Link, ...]]
    documents: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written. ``line`` counts from 1; 0 is the deployment as a whole."""

    deployment: str
    line: int
    says: str


def digest(text: str) -> str:
    """The digest of a document as it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(before: str, deployment: str, document: str, line: str) -> str:
    """The seal of a line that follows ``before``.

    >>> seal(BEGINNING, "d", "", "{}") == seal("x", "d", "", "{}")
    False
    """
    parts = (before, deployment, document, line)
    framed = "".join(f"{len(part.encode())}:{part}" for part in parts)  # so that no two lists read alike
    return hashlib.sha256(framed.encode()).hexdigest()


def chained(before: str, deployment: str, document: str, lines: Sequence[str]) -> tuple[Link, ...]:
    """Seal lines that are written with one document, after a line whose seal is ``before``."""
    links, last, said = list[Link](), before, digest(document)
    for line in lines:
        last = seal(last, deployment, said, line)
        links.append(Link(line, said, last))
    return tuple(links)


def faults(trail: Trail, heads: Mapping[str, Head]) -> list[Fault]:
    """Everything in a trail that is not as it was written, also as far as ``heads`` noted elsewhere can tell."""
    found = list[Fault]()
    for deployment in sorted({*trail.links, *trail.documents, *heads}):
        links = trail.links.get(deployment, ())
        found += _broken(deployment, links)
        found += _unaccounted(deployment, links, trail.documents.get(deployment))
        head = heads.get(deployment)
        if head is not None:
            found += _beheaded(deployment, links, head)
    return found


def _broken(deployment: str, links: Sequence[Link]) -> list[Fault]:
    found, before = list[Fault](), BEGINNING
    for number, link in enumerate(links, 1):
        if link.seal != seal(before, deployment, link.document, link.line):
            says = "it or a line before it is not as it was written"
            found.append(Fault(deployment, number, says))
        before = link.seal
    return found


def _unaccounted(deployment: str, links: Sequence[Link], document: str | None) -> list[Fault]:
    if document is None:
        return [Fault(deployment, 0, "its control document is gone")]
    if not links:
        return [Fault(deployment, 0, "its timeline is gone")]
    if links[-1].document != document:
        return [Fault(deployment, 0, "its control document is none that the last line was written with")]
    return []


def _beheaded(deployment: str, links: Sequence[Link], head: Head) -> list[Fault]:
    if len(links) < head.count:
        return [Fault(deployment, 0, f"it has {len(links)} lines, and had {head.count} when its head was noted")]
    if head.count and links[head.count - 1].seal != head.seal:
        return [Fault(deployment, head.count, "it is another line than the one that was noted as the head")]
    return []
