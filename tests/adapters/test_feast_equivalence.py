"""Whatever was written, the direct readers deliver what the SDK delivers."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.features import FeatureReader
from gateway.adapters.features.feast_compiler import FeastPlanCompiler, reread_by_sdk
from gateway.core.deployments import Scalar
from gateway.core.features import FeatureBatch, FeaturePlan, Status
from tests.feast_sandbox import PAIR, SQLITE, USER, FeastSandbox, Written, redis_store

pytest_plugins = ["tests.feast_sandbox"]

int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
user_values = st.fixed_dictionaries(
    {
        "count": st.none() | int64,
        "small": st.none() | st.integers(-(2**31), 2**31 - 1),
        "ratio": st.none() | st.floats(),
        "score": st.none() | st.floats(width=32),
        "label": st.none() | texts,
        "active": st.none() | st.booleans(),
    },
)
users = st.tuples(int64, user_values)
pairs = st.tuples(int64, texts, st.fixed_dictionaries({"spent": st.none() | st.floats(), "visits": st.none() | int64}))
clock = count(1_700_000_000)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def scratch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeastSandbox:
    """A repository to write anything into."""
    online = SQLITE if request.param == "sqlite" else redis_store(request.getfixturevalue("valkey"), db=4)
    return FeastSandbox(tmp_path_factory.mktemp("scratch"), online)


@settings(max_examples=40, deadline=None)
@given(written_users=st.lists(users, max_size=4), written_pairs=st.lists(pairs, max_size=4), absent=int64)
def test_values_statuses_and_event_times_equal_the_sdks(
    scratch: FeastSandbox,
    written_users: list[tuple[int, dict[str, Scalar]]],
    written_pairs: list[tuple[int, str, dict[str, Scalar]]],
    absent: int,
) -> None:
    now = float(next(clock))  # later than anything written before: Redis ignores an older write
    scratch.write([Written(USER, {"user_id": user}, values, now) for user, values in written_users])
    scratch.write(
        [Written(PAIR, {"merchant_id": name, "user_id": user}, values, now) for user, name, values in written_pairs]
    )
    keys = [(user, "nobody") for user, _ in written_users] + [(user, name) for user, name, _ in written_pairs]
    rows: list[dict[str, Scalar]] = [
        {"user_id": user, "merchant_id": name, "gate": 0} for user, name in [*keys, (absent, "")]
    ]
    plan = FeastPlanCompiler(scratch.path).compile(["large"])
    assert plan.tier != "sdk"
    direct, through_sdk = asyncio.run(both(plan, scratch, rows))
    answer = scratch.ask_feast("large", rows)
    for row in range(len(rows)):
        assert told(plan, direct, row) == told(plan, through_sdk, row)
        for name, value in zip(plan.names(), direct.values[row], strict=True):
            assert same(value, answer[name][row])


async def both(
    plan: FeaturePlan, sandbox: FeastSandbox, rows: Sequence[Mapping[str, Scalar]]
) -> tuple[FeatureBatch, FeatureBatch]:
    reader = FeatureReader()
    try:
        slow = reread_by_sdk(plan, sandbox.path, "compared")
        return await reader.read(plan, rows, 5.0), await reader.read(slow, rows, 5.0)
    finally:
        await reader.close()


def told(plan: FeaturePlan, batch: FeatureBatch, row: int) -> list[Any]:
    """What the batch says of a row, NaN made comparable, and the two states the SDK cannot tell apart made one."""
    absent = {Status.MISSING, Status.NULL}
    values = [repr(value) for value in batch.values[row]]
    statuses = ["absent" if status in absent else status for status in batch.statuses[row]]
    return [*values, *statuses, *batch.event_times[row]]


def same(ours: Scalar, theirs: Any) -> bool:
    if isinstance(ours, float) and math.isnan(ours):
        return isinstance(theirs, float) and math.isnan(theirs)
    return type(ours) is type(theirs) and ours == theirs


async def test_the_sdk_computes_what_is_computed_on_demand(sqlite_repo: FeastSandbox) -> None:
    plan = FeastPlanCompiler(sqlite_repo.path).compile(["computed"])
    reader = FeatureReader()
    batch = await reader.read(plan, [{"user_id": 7}], 5.0)
    await reader.close()
    assert dict(zip(plan.names(), batch.values[0], strict=True)) == {"count": 3, "doubled": 6}
    assert set(batch.statuses[0]) == {Status.PRESENT}


async def test_redis_keeps_fractions_of_a_second(redis_repo: FeastSandbox) -> None:
    redis_repo.write([Written(USER, {"user_id": 777}, {"count": 1}, 1_800_000_000.125)])
    plan = FeastPlanCompiler(redis_repo.path).compile(["small"])
    reader = FeatureReader()
    batch = await reader.read(plan, [{"user_id": 777}], 5.0)
    await reader.close()
    assert batch.event_times == [(1_800_000_000.125,)]


async def test_redis_tells_a_feature_newer_than_the_data_from_a_null(redis_repo: FeastSandbox) -> None:
    redis_repo.write([Written(USER, {"user_id": 778}, {"count": None}, 1_800_000_000.0)])
    plan = FeastPlanCompiler(redis_repo.path).compile(["small"])
    reader = FeatureReader()
    batch = await reader.read(plan, [{"user_id": 778}], 5.0)
    await reader.close()
    assert dict(zip(plan.names(), batch.statuses[0], strict=True)) == {"count": Status.NULL, "ratio": Status.MISSING}
