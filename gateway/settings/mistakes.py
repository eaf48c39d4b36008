"""What is said of a mistake in the file: where it is, what it is, and the word that was probably meant."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gateway.settings.words import Section


def explain(error: ValidationError, source: str, root: type[BaseModel]) -> str:
    """Say each mistake in one line: where, what, and the word that was probably meant. Never the value itself."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in mistake["loc"]) or "settings"
        if mistake["type"] == "extra_forbidden":
            words = _words_at(root, mistake["loc"][:-1])
            lines.append(f"{place}: no such setting{nearest(str(mistake['loc'][-1]), words)}")
        else:
            lines.append(f"{place}: {mistake['msg'].removeprefix('Value error, ')}")
    return f"{source}: " + "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a word nobody knows: the known one that was probably meant, or all of them.

    >>> nearest("acuracy", ["accuracy", "error_rate"])
    '; did you mean accuracy?'
    """
    words = sorted(known)
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else f"; there are: {', '.join(words)}."


def _words_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The settings that exist where ``loc`` points, following sections through lists and mappings."""
    here, sections = model, {section.__name__: section for section in Section.__subclasses__()}
    for part in loc:
        field = here.model_fields.get(str(part))
        if field is not None:
            here = next(_sections(field.annotation), here)
        elif str(part) in sections:  # pydantic names the branch of a union it tried
            here = sections[str(part)]
    return list(here.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
