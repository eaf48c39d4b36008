"""What the control room stands on: its page, its files, and the routes that were made for it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI

from gateway.adapters.clock import ManualClock
from gateway.edge import api_docs
from gateway.edge.control_room import FOLDER, POLICY
from gateway.edge.pulse import Pulse
from gateway.edge.room_schemas import CourseView, KpisView
from gateway.ports import VariantPerformance
from tests.control_house import NAME, T0, House
from tests.edge.test_control_plane import Desk

HERE = f"/admin/deployments/{NAME}"
BETTER = {"1": 0.3, "2": 0.1}
WORSE = {"1": 0.2, "2": 0.6}

_T = TypeVar("_T")


@pytest.fixture
def house() -> House:
    return House().open()


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Desk(house).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8001") as client:
        yield client


# The page


async def test_the_page_may_run_nothing_but_its_own_files(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert (page.headers["x-content-type-options"], page.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\bstyle=", page.text)


async def test_every_file_that_a_page_names_is_served_here(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = (await client.get(path)).text
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert named
        for name in named:
            found = await client.get(f"/{name}")
            assert found.status_code == 200, name
            assert found.headers["x-content-type-options"] == "nosniff" or name in ("docs", "metrics")


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.js")) + sorted(FOLDER.rglob("*.css")), ids=lambda path: path.name
)
def test_no_file_of_the_page_asks_another_machine_for_anything(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r"""(?:from\s*["']|import\s*\(?["']|url\(["']?|src=["']?|fetch\(["'`])(https?:|//)""", text)
    assert asked == []
    for name in re.findall(r"""(?:from|import)\s*["'](\.[^"']+)["']""", text):
        assert (path.parent / name).exists(), name


async def test_the_api_describes_itself_without_a_delivery_network(client: httpx.AsyncClient) -> None:
    app = FastAPI(docs_url=None)
    api_docs.install(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://data:8000") as data:
        for door in (client, data):
            page = await door.get("/docs")
            assert page.status_code == 200
            assert "http" not in page.text.replace("http-equiv", "")
            assert (await door.get("/docs/files/swagger-ui-bundle.js")).status_code == 200


def test_what_was_copied_from_others_stands_beside_its_licence() -> None:
    vendor = FOLDER / "vendor"
    page = (vendor / "README.md").read_text()
    for path in vendor.glob("*.*"):
        assert path.name == "README.md" or f"`{path.name}`" in page
    assert {path.stem for path in (vendor / "licences").iterdir()} == {"uplot", "preact", "htm", "inter"}


# Conditional reading


async def test_what_has_not_changed_is_304_and_what_has_is_sent_again(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    first = await client.get("/admin/deployments")
    known = {"If-None-Match": first.headers["etag"]}
    again = await client.get("/admin/deployments", headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    house.serve(30, BETTER)
    house.look()
    changed = await client.get("/admin/deployments", headers=known)
    assert (changed.status_code, changed.headers["etag"] != first.headers["etag"]) == (200, True)


async def test_the_etag_of_a_deployment_stays_its_revision_and_is_never_304(
    house: House, client: httpx.AsyncClient
) -> None:
    """Its verdict changes between revisions."""
    house.start()
    first = await client.get(HERE)
    assert first.headers["etag"] == f'"{house.document.revision}"'
    assert (await client.get(HERE, headers={"If-None-Match": first.headers["etag"]})).status_code == 200


async def test_a_refusal_carries_no_etag(client: httpx.AsyncClient) -> None:
    assert "etag" not in (await client.get("/admin/deployments/nowhere")).headers


# The course of evidence


async def test_a_course_shows_intervals_that_narrow_and_ends_where_the_verdict_stands(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    made = house.live(20, BETTER)
    assert made[-1].action == "promote"
    course = (await client.get(f"{HERE}/course?candidate=canary")).json()
    assert (course["candidate"], course["generation"]) == ("canary", house.rollout().generation)
    points = course["points"]
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    widths = [_width(point, "accuracy") for point in points]
    assert widths[-1] < 0.7 * widths[0]
    verdict = (await client.get(f"{HERE}/verdict?candidate=canary")).json()
    last = {one["metric"]: one for one in points[-1]["metrics"]}
    for guardrail in verdict["guardrails"]:
        shown = last[guardrail["metric"]]
        words = {name: value for name, value in shown.items() if not isinstance(value, float)}
        assert {name: guardrail[name] for name in words} == words
        numbers = {name: value for name, value in shown.items() if isinstance(value, float)}
        assert {name: guardrail[name] for name in numbers} == pytest.approx(numbers, rel=1e-9)


def _width(point: dict[str, Any], metric: str) -> float:
    [one] = [each for each in point["metrics"] if each["metric"] == metric]
    return float(one["candidate_high"] - one["candidate_low"])


async def test_a_course_outlives_the_process_that_drew_it(house: House, client: httpx.AsyncClient) -> None:
    house.start()
    house.serve(100, BETTER)
    house.look()
    before = (await client.get(f"{HERE}/course")).json()["points"]
    again = House(house.state, house.log, house.clock)
    again.end, again.served = house.end, house.served
    again.look()
    assert (await client.get(f"{HERE}/course")).json()["points"] == before
    again.serve(100, BETTER)
    again.look()
    assert len((await client.get(f"{HERE}/course")).json()["points"]) == len(before) + 1


async def test_a_course_of_nobody_is_refused_as_a_verdict_on_nobody_is(client: httpx.AsyncClient) -> None:
    for query in ("", "?candidate=nobody"):
        refusals = [await client.get(f"{HERE}/{what}{query}") for what in ("course", "verdict")]
        assert [refusal.status_code for refusal in refusals] == [422, 422]


# The plan


async def test_a_candidate_shows_its_whole_plan_and_what_it_has_seen_of_the_step(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start(plan="watchful")
    house.serve(60, {"1": 0.2, "2": 0.2})
    house.look()
    [_, canary] = (await client.get(HERE)).json()["variants"]
    assert [(step["shadow"], step["weight"], step["events"]) for step in canary["plan"]["steps"]] == [
        (1.0, 0.0, 100),
        (0.0, 0.5, 50),
    ]
    assert (canary["step"]["number"], canary["step"]["seen"], canary["step"]["events"]) == (1, 60, 100)


# The pulse


async def test_a_pulse_has_spans_that_begin_at_multiples_of_their_length(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    house.serve(200, {"1": 0.0, "2": 1.0})
    spans = (await client.get(f"{HERE}/pulse?hours=0.1&spans=6")).json()["spans"]
    assert len(spans) == 6
    assert all(span["after"] % 60 == 0 and span["until"] - span["after"] == 60 for span in spans)
    assert spans[-1]["after"] <= house.clock.data() < spans[-1]["until"]
    assert sum(line["predictions"] for span in spans for line in span["variants"]) == 200
    [canary, stable] = spans[-2]["variants"]
    assert (canary["accuracy"], stable["accuracy"]) == (0.0, 1.0)
    assert stable["label_delay_s"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    assert stable["latency_s"].keys() == {"p50", "p95", "p99"}


@pytest.mark.parametrize("query", ["hours=1e-300", "hours=0", "hours=nan", "spans=0", "spans=101"])
async def test_a_pulse_of_no_length_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"{HERE}/pulse?{query}")).status_code == 422


@dataclass(slots=True)
class Costly:
    """An event log whose counting takes ``cost_s`` of a hand-wound clock, and which remembers what it was asked."""

    clock: ManualClock
    cost_s: float
    asked: list[float] = field(default_factory=list)

    def performance(self, deployment: str, after: float, until: float) -> list[VariantPerformance]:
        del deployment, until
        self.asked.append(after)
        self.clock.advance(self.cost_s)
        return []

    async def run(self, work: Callable[[], _T]) -> _T:
        await asyncio.sleep(0)
        return work()


async def test_what_was_dear_to_count_is_kept_so_that_pages_cost_a_fifth_of_the_thread_at_most() -> None:
    clock = ManualClock(data=T0)
    log = Costly(clock, 0.3)
    pulse = Pulse(log, clock, log.run)
    started, spent = clock.machine(), 0
    while clock.machine() - started < 600.0:
        await pulse.spans(NAME, 60.0, 10, T0)
        spent = len(log.asked)
        clock.advance(0.5)
    busy = 0.3 * (spent - 10)
    assert busy <= 0.2 * (clock.machine() - started)
    newest = log.asked.count(T0 // 60 * 60)
    assert newest > 5 * max(log.asked.count(after) for after in set(log.asked) - {T0 // 60 * 60})


async def test_what_cost_nothing_to_count_is_never_kept() -> None:
    clock = ManualClock(data=T0)
    log = Costly(clock, 0.0)
    pulse = Pulse(log, clock, log.run)
    for _ in range(3):
        await pulse.spans(NAME, 60.0, 1, T0)
    assert len(log.asked) == 3


# Figures of change


async def test_figures_tell_promotions_recoveries_and_the_age_of_the_model(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    house.live(20, BETTER)
    house.start("3")
    house.live(20, {"2": 0.1, "3": 0.6})
    told = (await client.get(f"{HERE}/kpis")).json()
    newest = house.state.timeline(NAME)[0]
    assert told["weeks"][-1] | {"after": 0} == {"after": 0, "started": 2, "promoted": 1, "demoted": 1, "rolled_back": 0}
    assert (told["per_week"], told["recoveries"]) == (1.0, 1)
    ready = next(one for one in house.state.timeline(NAME) if one.action == "ready")
    assert told["recovery_s"] == newest.data_at - ready.data_at
    promoted = next(one for one in house.state.timeline(NAME) if one.action == "promote")
    assert told["model_since"] == promoted.data_at
    assert told["model_age_s"] == house.clock.data() - promoted.data_at


# Signals for the revision that was seen


@pytest.mark.parametrize("signal", ["promote", "demote", "pause", "resume", "rollback"])
async def test_a_signal_made_for_a_revision_that_has_gone_by_changes_nothing(
    house: House, client: httpx.AsyncClient, signal: str
) -> None:
    house.start()
    revision = house.document.revision
    refused = await client.post(f"{HERE}/{signal}", json={"reason": "late"}, headers={"If-Match": f'"{revision - 1}"'})
    assert (refused.status_code, refused.json()["type"]) == (412, "revision-conflict")
    assert house.document.revision == revision


async def test_a_signal_made_for_the_revision_in_force_is_done_and_one_without_any_too(
    house: House, client: httpx.AsyncClient
) -> None:
    house.start()
    headers = {"If-Match": f'"{house.document.revision}"'}
    assert (await client.post(f"{HERE}/pause", json={"reason": "lunch"}, headers=headers)).status_code == 200
    assert (await client.post(f"{HERE}/resume")).status_code == 200
    bad = await client.post(f"{HERE}/pause", headers={"If-Match": "*"})
    assert (bad.status_code, house.rollout().phase) == (400, "running")


@pytest.mark.parametrize("view", [CourseView, KpisView])
def test_the_examples_of_the_room_are_what_its_views_say(view: type[CourseView] | type[KpisView]) -> None:
    extra = view.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    assert isinstance(extra["examples"], list)
    [example] = extra["examples"]
    assert view.model_validate(example).model_dump(mode="json") == example
