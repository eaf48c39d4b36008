"""What every FeatureSource promises, whatever it reads from."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest

from gateway.adapters.features import FeatureReader, MemoryFeatureSource, MemoryPlanCompiler
from gateway.adapters.features.feast_compiler import FeastPlanCompiler, reread_by_sdk
from gateway.adapters.features.plans import seal
from gateway.core.deployments import Scalar
from gateway.core.features import NO_FEATURES, FeatureBatch, FeaturePlan, Status
from gateway.ports import FeatureSource
from tests.feast_sandbox import T0, WRITTEN, FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]

BUDGET_S = 5.0
EMPTY: dict[str, Scalar] = {"user_id": 12345, "merchant_id": "nobody", "gate": 99}


@dataclass
class Sourced:
    """A source and what compiles plans for it, over the rows of the sandbox."""

    source: FeatureSource
    compile: Callable[..., FeaturePlan]

    async def read(self, service: str, *rows: Mapping[str, Scalar]) -> list[dict[str, tuple[Scalar, Status]]]:
        plan = self.compile(service)
        batch = await self.source.read(plan, rows, BUDGET_S)
        return [named(plan, batch, row) for row in range(len(rows))]


def named(plan: FeaturePlan, batch: FeatureBatch, row: int) -> dict[str, tuple[Scalar, Status]]:
    cells = zip(plan.names(), batch.values[row], batch.statuses[row], strict=True)
    return {name: (value, Status(status)) for name, value, status in cells}


@pytest.fixture(params=["memory", "sqlite", "redis", "sdk-on-sqlite", "sdk-on-redis"])
async def sourced(request: pytest.FixtureRequest) -> AsyncIterator[Sourced]:
    kind: str = request.param
    sandbox: FeastSandbox = request.getfixturevalue("redis_repo" if kind.endswith("redis") else "sqlite_repo")
    compiler = FeastPlanCompiler(sandbox.path)

    def compile_(*services: str) -> FeaturePlan:
        plan = compiler.compile(services)
        if kind.startswith("sdk"):
            return reread_by_sdk(plan, sandbox.path, "asked for by the test")
        return seal_memory(plan) if kind == "memory" else plan

    reader = FeatureReader(sources={("memory", ""): remembering()})
    yield Sourced(reader, compile_)
    await reader.close()


def seal_memory(plan: FeaturePlan) -> FeaturePlan:
    return seal(FeaturePlan("", "memory", "a test", plan.project, "", plan.views, plan.services))


def remembering() -> MemoryFeatureSource:
    source = MemoryFeatureSource()
    for written in WRITTEN:
        source.write(written.view, written.key, written.values, written.event_time)
    return source


async def test_what_was_written_is_read_back_with_its_type(sourced: Sourced) -> None:
    for written in WRITTEN[:5]:
        [row] = await sourced.read("large", {**EMPTY, **written.key})
        for name, value in written.values.items():
            assert row[name] == (value, Status.PRESENT)
            assert type(row[name][0]) is type(value)


async def test_a_null_is_not_a_nan_and_not_a_missing_entity(sourced: Sourced) -> None:
    nulls, mixed, nobody = await sourced.read(
        "large", EMPTY | {"user_id": 40}, EMPTY | {"user_id": 41}, EMPTY | {"user_id": 42}
    )
    assert nulls["count"] == nulls["label"] == (None, Status.NULL)
    assert mixed["ratio"][1] is Status.PRESENT
    assert isinstance(mixed["ratio"][0], float) and math.isnan(mixed["ratio"][0])
    assert mixed["small"] == (None, Status.NULL)
    assert nobody["count"] == nobody["label"] == (None, Status.MISSING)


async def test_every_view_of_a_row_is_found_by_its_own_keys(sourced: Sourced) -> None:
    [row] = await sourced.read("large", {"user_id": 7, "merchant_id": "ünïcode", "gate": -5})
    assert row["count"] == (3, Status.PRESENT)
    assert row["bonus"] == (11, Status.PRESENT)
    assert row["spent"] == (9.5, Status.PRESENT)
    assert row["load"] == (4, Status.PRESENT)


async def test_an_empty_string_is_a_key_like_any_other(sourced: Sourced) -> None:
    [row] = await sourced.read("large", {"user_id": -1, "merchant_id": "", "gate": 1})
    assert row["spent"] == (None, Status.NULL)
    assert row["visits"] == (0, Status.PRESENT)


async def test_event_times_are_those_that_were_written_and_none_for_a_missing_entity(sourced: Sourced) -> None:
    plan = sourced.compile("large")
    row: dict[str, Scalar] = {"user_id": 7, "merchant_id": "ünïcode", "gate": 99}
    batch = await sourced.source.read(plan, [row], BUDGET_S)
    times = dict(zip([view.name for view in plan.views], batch.event_times[0], strict=True))
    assert times == {"user_stats": T0, "user_extra": T0 + 5, "user_merchant": T0 + 1, "gate_load": None}


async def test_a_batch_answers_its_rows_in_order_and_twins_alike(sourced: Sourced) -> None:
    users: list[int] = [7, 999, 0, 7, -1, 40, 999]
    together = await sourced.read("small", *({"user_id": user} for user in users))
    alone = [(await sourced.read("small", {"user_id": user}))[0] for user in users]
    assert together == alone
    assert [row["count"][0] for row in together] == [3, None, 0, 3, -3, None, None]


async def test_a_batch_larger_than_any_internal_limit_is_one_answer(sourced: Sourced) -> None:
    rows = await sourced.read("small", *({"user_id": 7 if index % 3 else index} for index in range(700)))
    assert [row["count"][0] for row in rows if row["count"][0] is not None].count(3) == 466
    assert len(rows) == 700


async def test_no_rows_are_no_rows(sourced: Sourced) -> None:
    assert await sourced.read("small") == []


@pytest.mark.parametrize("user_id", [None, True, 7.0, "7", 2**63, 2**70, "\ud800"])
async def test_a_key_that_no_store_could_hold_finds_nothing(sourced: Sourced, user_id: Scalar) -> None:
    bad, good = await sourced.read("small", {"user_id": user_id}, {"user_id": 7})
    assert bad["count"] == (None, Status.MISSING)
    assert good["count"] == (3, Status.PRESENT)


async def test_a_lone_surrogate_in_a_string_key_finds_nothing(sourced: Sourced) -> None:
    [row] = await sourced.read("large", EMPTY | {"merchant_id": "\ud800"})
    assert row["spent"] == (None, Status.MISSING)


async def test_one_view_read_under_two_names_is_two_views(sourced: Sourced) -> None:
    [row] = await sourced.read("route", {"origin": "JFK", "destination": "SFO"})
    assert row == {
        "origin_weather__wind": (12.0, Status.PRESENT),
        "destination_weather__wind": (3.0, Status.PRESENT),
    }


async def test_one_read_serves_the_union_of_services(sourced: Sourced) -> None:
    plan = sourced.compile("small", "large", "route")
    row: dict[str, Scalar] = {"user_id": 7, "merchant_id": "x", "gate": -5, "origin": "SFO", "destination": "JFK"}
    found = named(plan, await sourced.source.read(plan, [row], BUDGET_S), 0)
    assert found["count"] == (3, Status.PRESENT)
    assert found["origin_weather__wind"] == (3.0, Status.PRESENT)
    assert found["spent"] == (None, Status.MISSING)


async def test_a_row_without_another_variants_keys_still_gets_its_own_features(sourced: Sourced) -> None:
    plan = sourced.compile("small", "route")
    found = named(plan, await sourced.source.read(plan, [{"user_id": 7}], BUDGET_S), 0)
    assert found["count"] == (3, Status.PRESENT)
    assert found["origin_weather__wind"] == (None, Status.MISSING)


async def test_a_closed_reader_may_be_read_again(sourced: Sourced) -> None:
    plan = sourced.compile("small")
    await sourced.source.read(plan, [{"user_id": 7}], BUDGET_S)
    await sourced.source.close()
    if plan.tier != "memory":
        assert (await sourced.source.read(plan, [{"user_id": 7}], BUDGET_S)).values[0][1] is not None


async def test_no_feature_service_reads_as_rows_without_features() -> None:
    batch = await FeatureReader().read(NO_FEATURES, [{}, {}], BUDGET_S)
    assert batch == FeatureBatch([(), ()], [b"", b""], [(), ()])


async def test_an_outage_of_the_memory_source_is_unavailable() -> None:
    source = remembering()
    source.available = False
    plan = MemoryPlanCompiler({"s": []}).compile(["s"])
    assert (await source.read(plan, [{}], BUDGET_S)).statuses == [b""]
