"""The reference says what the code says: every route, member, error, setting and metric, and none that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.edge import problems
from gateway.edge.reference import metrics_page
from gateway.settings import Settings
from tests.docs.conftest import FLIGHTS
from tests.docs.pages import DOCS, ROOT, rows, sections
from tests.e2e.harness import Gateway

HTTP = DOCS / "reference" / "http.md"
ROUTE = re.compile(r"`(GET|POST|PUT|DELETE) (/\S*)`")
OURS = {"HTTPValidationError", "ValidationError"}
"""Components that FastAPI adds and no route of ours answers."""


def documents(gateway: Gateway) -> list[dict[str, Any]]:
    return [door.get("/openapi.json").json() for door in (gateway.data, gateway.control)]


def members(section: str) -> set[str]:
    return set(re.findall(r"^\| `(\S+)` \|", section, re.MULTILINE))


def described() -> dict[tuple[str, str], list[str]]:
    """What the page says of each route; /livez and /readyz are on both planes, and stand there twice."""
    found: dict[tuple[str, str], list[str]] = {}
    text = HTTP.read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    for title, said in zip(parts[1::2], parts[2::2], strict=True):
        match = ROUTE.fullmatch(title)
        if match:
            found.setdefault((match[1], match[2]), []).append(re.split(r"^# ", said, flags=re.MULTILINE)[0])
    return found


def routes(gateway: Gateway) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for document in documents(gateway):
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                found.setdefault((method.upper(), path), []).append(operation)
    return found


def test_every_route_of_both_planes_is_described_and_no_other(flights: Gateway) -> None:
    assert {route: len(said) for route, said in described().items()} == {
        route: len(operations) for route, operations in routes(flights).items()
    }


def test_every_route_is_described_with_its_statuses(flights: Gateway) -> None:
    said = {route: [statuses(section) for section in found] for route, found in described().items()}
    assert said == {route: [set(each["responses"]) for each in found] for route, found in routes(flights).items()}


def statuses(section: str) -> set[str]:
    match = re.search(r"Statuses: ([\d ]+)\.", section)
    return set(match[1].split()) if match else set()


def test_every_route_is_described_with_its_headers_and_queries(flights: Gateway) -> None:
    for route, operations in routes(flights).items():
        for section, operation in zip(described()[route], operations, strict=True):
            taken = {each["name"].lower() for each in operation.get("parameters", []) if each["in"] != "path"}
            assert {name.lower() for name in members(section)} == taken, route


def test_every_body_is_described_with_its_members_and_no_other(flights: Gateway) -> None:
    schemas: dict[str, set[str]] = {}
    for document in documents(flights):
        for name, schema in document["components"]["schemas"].items():
            if "properties" in schema and name not in OURS:
                schemas[name] = set(schema["properties"])
    assert {title.strip("`"): members(said) for title, said in sections(HTTP, 3).items()} == schemas


def test_every_error_is_described_with_its_status_and_no_other() -> None:
    said = {(row[0].strip("`"), row[1]) for row in rows(DOCS / "reference" / "errors.md") if row[0].startswith("`")}
    table = {(row.type, str(row.status)) for row in problems.TABLE.values()}
    protocol = {(word, str(status)) for status, word in problems.PROTOCOL.items()}
    assert said == table | protocol | written_in_place() | {("http-error", "any other")}


def written_in_place() -> set[tuple[str, str]]:
    """Problems that a door writes without an error of the core: ``Row(503, "not-ready", ...)`` and bare bodies."""
    sources = [path.read_text() for path in sorted((ROOT / "gateway" / "edge").glob("*.py"))]
    found = {pair for source in sources for pair in re.findall(r'[^>]Row\((\d{3}), "([\w-]+)"', source)}
    bare = {pair for source in sources for pair in re.findall(r'"type": "([\w-]+)",\s.*\s*"status": (\d{3})', source)}
    return {(word, status) for status, word in found} | bare


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_of_the_file_is_described_with_its_variable(name: str) -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    assert f"| `{name}` | `GATEWAY_{name.upper()}` |" in page


def test_every_metric_that_is_exported_is_described(served: Gateway) -> None:
    """The page itself is written from the code (``tests/edge/test_cli.py``); here is what Prometheus really gets."""
    served.data.post("/predict", json={"features": {}})
    text = served.control.get("/metrics").text
    exported = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    page = (DOCS / "reference" / "metrics.md").read_text()
    assert {name for name in exported if f"`{name}`" not in page} == set()
    assert len({name for name in exported if name.startswith("gateway_")}) > 10
    assert f'gateway_variant_weight{{deployment="{FLIGHTS}"' in text


def test_the_committed_example_names_only_what_the_reference_knows() -> None:
    named = set(re.findall(r"^(\w+):", Path(ROOT / "gateway.yaml").read_text(), re.MULTILINE))
    assert named <= set(Settings.model_fields)


def test_the_metrics_page_says_units_in_its_names() -> None:
    names = re.findall(r"`(gateway_\w+)`", metrics_page())
    assert all(not re.search(r"_(ms|millis|kb|mb)$", name) for name in names)
