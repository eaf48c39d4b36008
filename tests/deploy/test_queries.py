"""Dashboard and alerts ask for what a gateway really exports, by the labels it really has."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.conftest import live
from tests.deploy.promql import DASHBOARD, DEPLOY, RULES, Query, legends, of_dashboard, of_rules, read, rules
from tests.docs.pages import DOCS, rows
from tests.e2e.harness import Gateway, until

pytest_plugins = ["tests.feast_sandbox"]

QUERIES = [*of_rules(), *of_dashboard()]
SCRAPE = frozenset({"instance", "job", "namespace", "pod"})
"""Labels that Prometheus adds to every series of a target."""
HTTP = {
    "http_requests_total": {"method", "status", "handler"},
    "http_request_duration_seconds": {"method", "handler"},
    "http_request_duration_highr_seconds": set[str](),
    "http_request_size_bytes": {"handler"},
    "http_response_size_bytes": {"handler"},
}
"""The instrumentator's metrics; the reference names them in its first paragraph."""
RARE = {
    "gateway_log_refused_total",
    "gateway_feature_read_errors_total",
    "gateway_alerts_total",
    "gateway_retraining_steps_total",
    "gateway_events_told_total",
    "gateway_outcomes_taken_total",
}
"""They appear when a disk is full, a store gone, a broker there, somebody told or trained anew, which is not played."""
DRIFT = "gateway_drift_"
"""They appear a day after a reference is there."""
RARE_PANELS = {
    "Feature reads that went wrong A",
    "Refused by the log; revisions A",
    "Alerts A",
    "Retraining A",
    "Told to the broker A",
    "Taken from the broker A",
    "Decisions",
}
"""Panels that are empty while nothing of that kind happens."""


def family(name: str) -> str:
    """The metric a series belongs to: histograms and summaries have several."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and (base in HTTP or base.endswith("_seconds")):
            return base
    return name


def referenced() -> dict[str, set[str]]:
    """Every metric with its labels as the reference says."""
    page = rows(DOCS / "reference" / "metrics.md")
    ours = {row[0].strip("`"): set(row[2].split(", ")) - {"-"} for row in page if row[0].startswith("`gateway_")}
    return ours | HTTP


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def exported(gateway: Gateway) -> dict[str, set[str]]:
    """Every series of a scrape with the labels it has."""
    found: dict[str, set[str]] = {}
    for metric in text_string_to_metric_families(gateway.control.get("/metrics").text):
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def asked() -> Iterator[tuple[str, str, frozenset[str]]]:
    for query in QUERIES:
        for name, labels in query.labels.items():
            if name not in recorded():
                yield query.where, name, labels - SCRAPE - {"le"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_query_asks_for_metrics_of_the_reference_by_their_labels(query: Query) -> None:
    known = referenced()
    ours = {name: labels for name, labels in query.labels.items() if name not in recorded()}
    assert {name for name in ours if family(name) not in known} == set()
    for name, labels in ours.items():
        bucket = {"le"} if name.endswith("_bucket") else set()
        assert labels - SCRAPE <= known[family(name)] | bucket, name


def test_every_query_finds_what_it_asks_for_in_a_scrape(busy: Gateway) -> None:
    found = exported(busy)
    missing = {(where, name) for where, name, _ in asked() if name not in found and name not in RARE}
    assert {(where, name) for where, name in missing if not name.startswith(DRIFT)} == set()
    strange = {(where, name) for where, name, labels in asked() if name in found and not labels <= found[name]}
    assert strange == set()


def test_every_metric_of_ours_that_is_exported_is_looked_at_by_somebody(busy: Gateway) -> None:
    looked_at = {family(name) for query in QUERIES for name in query.labels}
    ours = {family(name) for name in exported(busy) if name.startswith("gateway_") and not name.endswith("_created")}
    assert ours - looked_at == set(), "give it a panel in deploy/grafana/gateway.json, or an alert"


def test_a_legend_shows_labels_its_query_keeps() -> None:
    for query, shown in legends():
        kept = frozenset().union(*query.labels.values())
        assert shown <= kept, query.where


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket", "info"), rule["alert"]
            assert rule["annotations"]["summary"], rule["alert"]
            assert rule["annotations"]["description"].endswith((".", "?")), rule["alert"]


def test_every_panel_says_what_it_shows_and_none_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert taken.isdisjoint(cells), panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_a_query_that_names_what_is_not_there_would_be_noticed() -> None:
    typo = read("typo", "sum by (deploymnet) (rate(gateway_predictons_total[1m]))")
    assert typo.labels == {"gateway_predictons_total": frozenset({"deploymnet"})}
    assert "gateway_predictons_total" not in referenced()


def test_promtool_finds_nothing_wrong_with_the_rules_and_they_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine; on Debian: apt-get install prometheus")
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(DEPLOY / "prometheus" / "rules_test.yaml")]):
        said = subprocess.run([promtool, *words], capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr


def test_a_prometheus_that_scrapes_a_gateway_answers_every_query(busy: Gateway, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not on this machine; on Debian: apt-get install prometheus")
    address = busy.control.base_url.netloc.decode()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "gateway", "static_configs": [{"targets": [address]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stderr=log)
    try:
        port = until(lambda: listening(process.pid), 10.0)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0) as client:
            until(lambda: result(client, "gateway_workers"), 15.0, 0.2)
            for _ in range(3):  # a rate needs counts that grow between scrapes
                live(busy, 6)
                time.sleep(1.1)
            told = [query for query in of_dashboard() if not any(name.startswith(DRIFT) for name in query.labels)]
            empty = {query.where for query in told if not result(client, query.text)}
        assert empty == RARE_PANELS
    finally:
        process.terminate()
        process.wait(10.0)


def listening(pid: int) -> int | None:
    """The port a process listens on."""
    inodes = {str(path.readlink())[8:-1] for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and words[9] in inodes:
            return int(words[1].partition(":")[2], 16)
    return None


def result(client: httpx.Client, query: str) -> Any:
    answer = client.get("/api/v1/query", params={"query": query})
    assert answer.status_code == 200, (query, answer.text)
    return answer.json()["data"]["result"]
