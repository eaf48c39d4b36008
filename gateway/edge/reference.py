"""Reference pages written from the code itself, so that no setting or metric is ever missing from them.

``gateway reference settings`` and ``gateway reference metrics`` print them; a test holds ``docs/reference`` to it.
"""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.edge.metrics import AgentMetrics, ControlCollector, ControlGauges, VariantGauges, WorkerMetrics
from gateway.settings import Settings

_EVERYTHING = ControlGauges(
    revisions={"d": 1},
    variants=(VariantGauges("d", "v", "1", "p", 0.0, accuracy=0.0),),
    books={("d", "b", "s"): 1},
    watermark=0.0,
)


def settings_page() -> str:
    """Every setting with its default and its sentence, in Markdown."""
    lines = [
        "# Settings",
        "",
        "One `gateway.yaml`; every value can be overridden by `GATEWAY_...`, with `__` one level down. Durations are",
        "written `500ms`, `3s`, `5m`, `10h`, `1d` (a bare number is seconds), sizes `512KiB`, `8MiB`, shares `5%` or",
        "`0.05`. A misspelt word is an error that names the right one. `NAME` in a variable is the name in the file; a",
        "list is set as a whole, as JSON. This page is `gateway reference settings`.",
    ]
    for title, section, prefix in _sections(Settings, "The file", "GATEWAY_", set()):
        lines += [
            "",
            f"## {title}",
            "",
            *_sentence(section),
            "| setting | variable | default | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{name}` | {_variable(prefix, name)} | {_default(field)} | {_cell(field)} |"
            for name, field in section.model_fields.items()
        ]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of our own with its labels and its sentence, in Markdown."""
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` on the control plane: all processes of the host, those that have died included. Units are",
        "seconds, bytes and shares. prometheus-fastapi-instrumentator counts HTTP by route, probes left out:",
        "`http_requests_total`, `http_request_duration_seconds`, `http_request_duration_highr_seconds` (finer buckets,",
        "no labels), `http_request_size_bytes` and `http_response_size_bytes`. The rest is our own.",
        "This page is `gateway reference metrics`.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    described = (*metrics.described(), *AgentMetrics(registry).described())
    lines += [_row(name, kind, labels, says) for name, kind, labels, says in described]
    lines += [_row(*_described(family)) for family in ControlCollector(lambda: _EVERYTHING).collect()]
    return "\n".join(lines) + "\n"


def _sections(
    model: type[BaseModel], title: str, prefix: str | None, seen: set[type[BaseModel]]
) -> Iterator[tuple[str, type[BaseModel], str | None]]:
    """A section and those below it, each once, in the order in which they are first named.

    With each goes the beginning of its environment variables; None inside a list, which has none.
    """
    if model in seen:
        return
    seen.add(model)
    yield title, model, prefix
    for name, field in model.model_fields.items():
        named = prefix is not None and get_origin(field.annotation) is dict
        below = f"{prefix}{name.upper()}__NAME__" if named else None
        for inner in _models(field.annotation):
            yield from _sections(inner, f"{name}: {inner.__name__.removesuffix('Settings').lower()}", below, seen)


def _variable(prefix: str | None, name: str) -> str:
    return "-" if prefix is None else f"`{prefix}{name.upper()}`"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    found = [model for inner in get_args(annotation) for model in _models(inner)]
    yield from dict.fromkeys(found)


def _sentence(section: type[BaseModel]) -> list[str]:
    return [section.__doc__.splitlines()[0], ""] if section.__doc__ else []


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return "its own"
    value = getattr(field.default, "value", field.default)
    return "none" if value in (None, "", {}, ()) else f"`{value}`".replace("|", "\\|")


def _cell(field: FieldInfo) -> str:
    return (field.description or "").replace("``", "`").replace("\n", " ").replace("|", "\\|")


def _described(family: Metric) -> tuple[str, str, tuple[str, ...], str]:
    labels = tuple(getattr(family, "_labelnames", ()))  # also of one that has nothing to tell yet
    return family.name, family.type, labels, family.documentation


def _row(name: str, kind: str, labels: tuple[str, ...], says: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(labels) or '-'} | {says} |"
