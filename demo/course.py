"""How an act went, as a compact series for the report and its picture: who answered how well, and what was decided."""

from dataclasses import dataclass
from typing import Any

from demo.client import Gateway

SPANS = 16
"""So many equal spans of data time an act is cut into."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span that ends at data time ``until`` (seconds): requests drawn and labels known, by model version."""

    until: float
    requests: dict[str, int]
    labelled: dict[str, int]
    right: dict[str, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """One decision: data time and wall time in seconds, what, and by whom."""

    data_at: float
    machine_at: float
    action: str
    actor: str


@dataclass(frozen=True, slots=True)
class Course:
    """An act from its first flight to its end."""

    decisions: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()


async def newest_revision(gateway: Gateway) -> int:
    """The revision of the last decision so far."""
    return max((line["revision"] for line in (await gateway.get("/timeline"))["decisions"]), default=0)


async def course(gateway: Gateway, since: float, revision: int) -> Course:
    """Read what happened after ``revision``, from data time ``since`` (seconds) on, off the control plane."""
    await gateway.ledger()
    [latest] = (await gateway.get("/performance"))["spans"]
    hours = (latest["until"] - since + 1.0) / 3600
    spans = (await gateway.get("/performance", hours=hours, spans=SPANS))["spans"]
    lines = [line for line in (await gateway.get("/timeline"))["decisions"] if line["revision"] > revision]
    marks = [Mark(line["data_at"], line["machine_at"], line["action"], line["actor"]) for line in reversed(lines)]
    return Course(tuple(marks), tuple(span for span in map(_span, spans) if span.requests))


def _span(span: dict[str, Any]) -> Span:
    found = Span(span["until"], {}, {}, {})
    for row in span["variants"]:
        version, right = row["model_version"], round((row["accuracy"] or 0.0) * row["labelled"])
        if version is None:  # its rollout is so long over that nobody remembers its model
            continue
        for counts, count in ((found.requests, row["predictions"]), (found.labelled, row["labelled"])):
            counts[version] = counts.get(version, 0) + count
        found.right[version] = found.right.get(version, 0) + right
    return found
