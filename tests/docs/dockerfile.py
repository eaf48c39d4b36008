"""Reads a Dockerfile and its .dockerignore, as far as ours go: no Docker is needed to know what they say."""

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of one stage (numbered from 0), its continuation lines joined."""

    stage: int
    word: str
    text: str


def instructions(path: Path) -> list[Instruction]:
    """Every instruction, in order."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, text = line.partition(" ")
        stage += word == "FROM"
        found += [Instruction(stage, word, " ".join(text.split()))] if word else []
    return found


def sources(found: list[Instruction]) -> list[tuple[list[str], str]]:
    """What is copied from the context, and where it goes."""
    copies = [each.text.split() for each in found if each.word == "COPY" and not each.text.startswith("--from")]
    return [(words[:-1], words[-1]) for words in copies]


def environment(found: list[Instruction]) -> dict[str, str]:
    """What the last stage's ENV sets."""
    last = max(each.stage for each in found)
    words = [word for each in found if (each.stage, each.word) == (last, "ENV") for word in each.text.split()]
    return dict(word.split("=", 1) for word in words)


def command(text: str) -> list[str]:
    """The words of a CMD in its exec form."""
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore leaves ``path`` (or a folder above it) out: the last pattern that fits decides."""
    out = False
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        if wanted.startswith("**/"):
            fits = any(fnmatch(part, wanted[3:]) for part in parts)
        else:
            fits = any(fnmatch(each, wanted) for each in above if each.count("/") == wanted.count("/"))
        out = not pattern.startswith("!") if fits else out
    return out
