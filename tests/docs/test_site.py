"""The pages as a site, and what they show: programs run, configurations load, values are the chart's."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import load_settings
from tests.deploy.promql import DEPLOY
from tests.docs.pages import DOCS, ROOT, blocks, pages
from tests.e2e.harness import Gateway

CLIENT = DOCS / "how-to" / "python-client.md"
KUBERNETES = DOCS / "how-to" / "kubernetes.md"
CONFIGURED = ("watch-it-in-production", "many-hosts", "add-a-metric", "add-an-alert-target")
SECTIONS = {"tutorial", "how-to", "reference", "explanation", "decisions"}


def test_every_program_of_the_client_page_does_what_it_says(served: Gateway, tmp_path: Path) -> None:
    """In one file, as a reader would type them, against a gateway that keys are not asked for."""
    program = "\n".join(block.text for block in blocks(CLIENT, "python"))
    program = program.replace("http://localhost:8000", str(served.data.base_url).rstrip("/"))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Receipt(accepted=1, rejected=())" in done.stdout
    assert "422 invalid-body" in done.stdout


@pytest.mark.parametrize("name", CONFIGURED)
def test_every_configuration_of_a_how_to_is_one(name: str, tmp_path: Path) -> None:
    found = blocks(DOCS / "how-to" / f"{name}.md", "yaml")
    assert found
    for number, block in enumerate(found):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block.text)
        load_settings(path).specs()


def test_the_values_of_the_kubernetes_page_are_the_charts() -> None:
    from helm_python.chart import Chart

    values: dict[str, Any] = {}
    for block in blocks(KUBERNETES, "yaml"):
        values |= yaml.safe_load(block.text)
        with Chart.load(DEPLOY / "helm" / "gateway") as chart:
            chart.validate_schema(values)
            assert chart.render(values=values, name="gateway")


def test_the_reference_of_the_chart_is_its_values() -> None:
    [block] = blocks(DOCS / "reference" / "helm.md", "yaml")
    assert block.text == (DEPLOY / "helm" / "gateway" / "values.yaml").read_text()


def test_the_ratios_of_telling_are_those_that_were_measured() -> None:
    page = (DOCS / "how-to" / "watch-it-in-production.md").read_text()
    measured = (ROOT / "benchmarks" / "results" / "telling.md").read_text()
    said = re.findall(r"^\| ([^|]+) \| (\d\.\d\d \(.*?\)) \|$", page, re.MULTILINE)
    assert said
    assert [name for name, ratio in said if f"| {ratio} |" not in measured or f"| {name} |" not in measured] == []


def test_every_page_is_in_a_section_of_diataxis_and_begins_with_its_title() -> None:
    found = [page for page in pages() if page.is_relative_to(DOCS) and page != DOCS / "README.md"]
    assert {page.relative_to(DOCS).parts[0] for page in found} == SECTIONS
    assert [page.name for page in found if not page.read_text().startswith("# ")] == []


def test_every_anchor_that_a_page_links_to_is_a_heading() -> None:
    broken = []
    for page in pages():
        for path, anchor in re.findall(r"\]\(([^)\s#]*\.md)?#([^)\s]+)\)", page.read_text()):
            target = page if not path else (page.parent / path).resolve()
            if anchor not in {slug(title) for title in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}:
                broken.append(f"{page.name}: {path}#{anchor}")
    assert broken == []


def slug(title: str) -> str:
    """How MkDocs and GitHub name a heading."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())
