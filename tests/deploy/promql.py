"""Reads PromQL: which metrics a query asks for, with which labels, and by which labels it groups and joins."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "gateway.json"

_GRAFANA = {"$__rate_interval": "1m", "$__interval": "15s", "$deployment": ".*", "$host": ".*"}
_LABEL_VALUES = re.compile(r"label_values\((?P<metric>\w+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Query:
    """A query, where it stands, and what it asks for. ``labels`` by metric; ``loose`` are those of no one metric."""

    where: str
    text: str
    labels: dict[str, frozenset[str]]
    loose: frozenset[str]


def read(where: str, text: str) -> Query:
    """Parse one query, Grafana's variables filled in. Raises ValueError where it is none."""
    for name, value in _GRAFANA.items():
        text = text.replace(name, value)
    asked: dict[str, set[str]] = {}
    loose: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found = asked.setdefault(str(node.name), set())
            found |= {matcher.name for matcher in node.matchers.matchers}
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            below = set[str]()
            promql_parser.walk(node.expr, lambda inner: _names(inner, below))
            for name in below:
                asked.setdefault(name, set()).update(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
            loose.update(node.modifier.matching.labels)

    promql_parser.walk(promql_parser.parse(text), visit)
    return Query(where, text, {name: frozenset(labels) for name, labels in asked.items()}, frozenset(loose))


def _names(node: Any, found: set[str]) -> None:
    if isinstance(node, promql_parser.VectorSelector):
        found.add(str(node.name))


def rules() -> list[dict[str, Any]]:
    """Every recording and alerting rule."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def of_rules() -> Iterator[Query]:
    """The query of every rule."""
    for rule in rules():
        yield read(rule.get("alert") or rule["record"], rule["expr"])


def of_dashboard() -> Iterator[Query]:
    """The query of every panel, variable and annotation."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield read(f"{panel['title']} {target['refId']}", target["expr"])
    for variable in dashboard["templating"]["list"]:
        match = _LABEL_VALUES.fullmatch(variable.get("definition", ""))
        if match:
            yield Query(variable["name"], match["metric"], {match["metric"]: frozenset({match["label"]})}, frozenset())
    for annotation in dashboard["annotations"]["list"]:
        yield read(annotation["name"], annotation["expr"])


def legends() -> Iterator[tuple[Query, frozenset[str]]]:
    """Every panel's query with the labels its legend shows."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            shown = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            yield read(f"{panel['title']} {target['refId']}", target["expr"]), frozenset(shown)
