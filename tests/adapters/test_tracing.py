"""Spans of what runs off the request path: shadows in the trace of their request, and the agent's rounds."""

from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from gateway.adapters.store import open_store
from gateway.adapters.store.judge_codec import JsonJudgeCodec
from gateway.adapters.tracing import AgentTraces, TracedShadowLane, Tracing
from gateway.adapters.tracing.passages import PASSAGE
from gateway.control import Control
from gateway.core.errors import StoreUnavailable
from gateway.ports import Unobserved
from tests.control_house import NAME, House
from tests.data_house import House as DataHouse
from tests.data_house import shadow, table

CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def provider(exporter: InMemorySpanExporter, sampler: Sampler = ALWAYS_ON) -> TracerProvider:
    made = TracerProvider(sampler)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def watched(exporter: InMemorySpanExporter) -> tuple[Tracing, DataHouse]:
    """A data plane whose every answer is watched by a shadow, and whose shadows are traced."""
    tracing = Tracing(provider(exporter))
    lane = partial(TracedShadowLane, tracing.shadows(Unobserved()))
    return tracing, DataHouse(table(shadows=[shadow()]), make_lane=lane)


async def asked(tracing: Tracing, house: DataHouse, times: int = 1) -> None:
    """Ask within a caller's trace, and let the answer go out before any shadow has run."""
    for _ in range(times):
        passage, _ = tracing.arrive("POST /predict", CALLER, {})
        assert passage is not None
        token = PASSAGE.set(passage)
        await house.ask()
        PASSAGE.reset(token)
        passage.end(200)


async def test_a_shadows_run_is_a_span_under_the_request_it_watched_though_that_has_ended(
    exporter: InMemorySpanExporter,
) -> None:
    tracing, house = watched(exporter)
    await asked(tracing, house, times=3)
    await house.shadows.drain(1.0)
    requests, runs = named(exporter, "POST /predict"), named(exporter, "shadow")
    assert len(requests) == len(runs) == 3
    assert {f"{CALLER['traceparent'][3:35]}"} == {f"{span.context.trace_id:032x}" for span in runs}
    parents = [span.parent.span_id for span in runs if span.parent is not None]
    assert parents == [span.context.span_id for span in requests]
    for span, record in zip(runs, house.predictions, strict=True):
        assert span.attributes is not None
        assert span.attributes["gateway.prediction"] == f"{record.tag}.{record.body}"
        assert (span.attributes["gateway.variant"], span.attributes["gateway.model_version"]) == ("shadow", "v3")
        assert "gateway.dropped" not in span.attributes


async def test_a_shadow_takes_as_long_in_its_span_as_in_its_record(exporter: InMemorySpanExporter) -> None:
    tracing, house = watched(exporter)
    house.runner.seconds["shadow"] = 0.25
    await asked(tracing, house)
    await house.shadows.drain(1.0)
    [span], [record] = named(exporter, "shadow"), house.shadowed
    assert span.start_time is not None and span.end_time is not None
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(record.latency_s) == 0.25


async def test_one_that_was_dropped_or_fell_says_so(exporter: InMemorySpanExporter) -> None:
    tracing, house = watched(exporter)
    house.runner.failing["shadow"] = ValueError("no")
    await asked(tracing, house)
    await house.shadows.drain(1.0)
    await house.shadows.close()
    await asked(tracing, house)
    fell, dropped = named(exporter, "shadow")
    assert fell.attributes is not None and dropped.attributes is not None
    assert (fell.attributes["error.type"], fell.status.is_ok) == ("ValueError", False)
    assert dropped.attributes["gateway.dropped"] == "closed"


async def test_shadows_of_requests_that_are_not_sampled_leave_nothing_behind(exporter: InMemorySpanExporter) -> None:
    tracing = Tracing(provider(exporter, ALWAYS_OFF))
    spans = tracing.shadows(Unobserved())
    house = DataHouse(table(shadows=[shadow()]), make_lane=partial(TracedShadowLane, spans))
    assert tracing.arrive("POST /predict", CALLER, {})[0] is None
    await house.ask()
    await house.shadows.drain(1.0)
    assert exporter.get_finished_spans() == ()
    assert len(house.shadowed) == 1
    assert spans._invited == {}


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> AgentTraces:
    return AgentTraces(provider(exporter), provider(exporter))


def judged(traces: AgentTraces) -> House:
    """A house whose judge's store is traced, with a canary that is wrong most of the time."""
    house, store = House(), traces.store(open_store("memory:"))
    house.state, house.log = store.control, store.events
    tokens = (f"t{number}" for number in range(100))
    house.control = Control(
        store.control, store.events, house.clock, JsonJudgeCodec(), token=lambda: next(tokens), alerts=[traces]
    )
    house.open()
    house.start()
    return house


def test_a_look_and_what_it_asks_the_store_are_spans_and_a_decision_is_linked_to_it(
    exporter: InMemorySpanExporter, traces: AgentTraces
) -> None:
    house = judged(traces)
    exporter.clear()
    house.serve(400, {"1": 0.1, "2": 0.8})
    with traces.round("look") as told:
        decisions = house.look()
        told.tell({"gateway.deployments": 1})
    assert [one.action for one in decisions] == ["demote"]
    [look], [decide] = named(exporter, "look"), named(exporter, "decide")
    asked = {span.name for span in exporter.get_finished_spans() if span.parent is not None}
    assert asked >= {"store.evidence", "store.save_look", "store.write"}
    for span in exporter.get_finished_spans():
        if span.parent is not None:
            assert span.parent.span_id == look.context.span_id
            assert look.start_time <= span.start_time <= span.end_time <= look.end_time  # type: ignore[operator]
    assert decide.attributes is not None
    assert (decide.attributes["gateway.action"], decide.attributes["gateway.deployment"]) == ("demote", NAME)
    assert [link.context.span_id for link in decide.links] == [look.context.span_id]


def test_what_an_operator_decides_is_a_span_without_a_look(exporter: InMemorySpanExporter, traces: AgentTraces) -> None:
    judged(traces)
    assert [span.attributes["gateway.action"] for span in named(exporter, "decide") if span.attributes] == [
        "found",
        "start",
        "ready",
    ]
    assert all(not span.links for span in named(exporter, "decide"))
    assert {span.name for span in exporter.get_finished_spans()} == {"decide"}


def test_a_round_that_does_nothing_leaves_no_span_and_one_that_fails_says_how(
    exporter: InMemorySpanExporter, traces: AgentTraces
) -> None:
    store = traces.store(open_store("memory:"))
    with traces.round("drain"):
        store.events.append("spool", [], 0)
    assert exporter.get_finished_spans() == ()
    with pytest.raises(StoreUnavailable), traces.round("drain"):
        raise StoreUnavailable("away")
    [span] = exporter.get_finished_spans()
    assert span.attributes == {"error.type": "StoreUnavailable"}


def test_rounds_are_sampled_and_decisions_are_all_told(exporter: InMemorySpanExporter) -> None:
    traces = AgentTraces(provider(exporter, ALWAYS_OFF), provider(exporter))
    house = judged(traces)
    exporter.clear()
    house.serve(400, {"1": 0.1, "2": 0.8})
    with traces.round("look") as told:
        house.look()
        told.tell({"gateway.deployments": 1})
    [decide] = exporter.get_finished_spans()
    assert (decide.name, list(decide.links)) == ("decide", [])
