"""What commands print: tables for people, JSON for scripts. Nothing is asked for or decided here."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "pass": "green",
    "promoted": "green",
    "running": "cyan",
    "fail": "red",
    "demoted": "red",
    "paused": "yellow",
    "waiting": "yellow",
}


def show(found: Mapping[str, Any], table: RenderableType, *, as_json: bool) -> None:
    """Print one or the other to standard output."""
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))  # noqa: T201 - a command speaks on standard output
    else:
        Console(soft_wrap=True).print(table)


def deployment_table(deployment: Mapping[str, Any]) -> RenderableType:
    """Who answers what share, where each candidate stands, and what the judge says."""
    table = Table(title=f"{deployment['deployment']} · revision {deployment['revision']}", title_justify="left")
    for column in ("variant", "role", "version", "phase", "weight", "shadow", "step", "verdict"):
        table.add_column(column)
    for one in deployment["variants"]:
        verdict = (one.get("verdict") or {}).get("finding", "")
        table.add_row(
            one["name"],
            one["role"],
            one["model_version"],
            _coloured(one.get("phase") or ""),
            f"{one['weight']:.1%}",
            f"{one['shadow']:.0%}" if one["shadow"] else "",
            _step(one.get("step")),
            _coloured(verdict),
        )
    return Group(table, *_sentences(deployment))


def verdict_table(verdict: Mapping[str, Any]) -> RenderableType:
    """What the judge says of one candidate or shadow, guardrail by guardrail."""
    title = f"{verdict['candidate']} (version {verdict['model_version']}): {verdict['finding']}"
    table = Table("guardrail", "finding", "stable", "candidate", "seen", "harm", "safety", title=title)
    table.title_justify = "left"
    for one in verdict["guardrails"]:
        table.add_row(
            one["metric"],
            _coloured(one["finding"]),
            _figure(one["stable"], amount=one["amount"]),
            _figure(one["candidate"], amount=one["amount"]),
            f"{one['n_candidate']:,}",
            _evidence(one["evidence_now"], one["threshold"]),
            _evidence(one["promote_evidence"], one["promote_threshold"]),
        )
    return Group(table, *(Text(one["sentence"]) for one in verdict["guardrails"]))


def decision_line(decision: Mapping[str, Any]) -> Text:
    """One line of the timeline."""
    who = f"{decision['candidate']}: " if decision.get("candidate") else ""
    return Text(f"{who}{decision['action']} by {decision['actor']} (revision {decision['revision']}): ").append(
        decision["reason"]
    )


def gates_table(validation: Mapping[str, Any]) -> RenderableType:
    """What each gate found."""
    verdict = "passes" if validation["passed"] else "does not pass"
    title = f"{validation['model']} {validation['model_version']} ({validation['digest'][:12]}) {verdict}"
    table = Table("gate", "result", "why", title=title, title_justify="left")
    for one in validation["gates"]:
        word = "skipped" if one["skipped"] else "pass" if one["passed"] else "fail"
        table.add_row(one["gate"], _coloured(word), one["sentence"])
    return table


def rows_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """A plain table."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(_coloured, row))
    return table


def _figure(value: float | None, *, amount: bool) -> str:
    return "" if value is None else f"{value:.4g}" if amount else f"{value:.1%}"


def _evidence(value: float | None, enough: float | None) -> str:
    return "" if value is None or enough is None else f"{value:.3g} of {enough:.3g}"


def _step(step: Mapping[str, Any] | None) -> str:
    return f"{step['number']}/{step['of']} of {step['plan']}" if step else ""


def _sentences(deployment: Mapping[str, Any]) -> list[Text]:
    said = [
        (one["name"], (one.get("verdict") or {}).get("sentence") or one["reason"]) for one in deployment["variants"]
    ]
    return [Text(f"{name}: {sentence}") for name, sentence in said if sentence]


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, ""))
