"""Feature services become plans: what is in one, which reader it gets and why, and what is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapters.features import open_compiler, open_source, selftest
from gateway.adapters.features.doctor import complaints
from gateway.adapters.features.feast_compiler import FeastPlanCompiler
from gateway.adapters.features.redis_location import connection_options, redis_location
from gateway.core.deployments import Type
from gateway.core.errors import PlanImpossible
from gateway.core.features import NO_FEATURES, FeaturePlan, JoinKey
from tests.feast_sandbox import SQLITE, FeastSandbox

pytest_plugins = ["tests.feast_sandbox"]


@pytest.fixture
def own_repo(tmp_path: Path) -> FeastSandbox:
    return FeastSandbox(tmp_path, SQLITE)


def compiled(sandbox: FeastSandbox, *services: str) -> FeaturePlan:
    return FeastPlanCompiler(sandbox.path).compile(services)


def test_a_plan_lists_features_in_the_order_of_the_service(sqlite_repo: FeastSandbox) -> None:
    plan = compiled(sqlite_repo, "small")
    assert plan.names() == ("ratio", "count")
    assert [(feature.type, feature.feast_type) for feature in plan.views[0].features] == [
        (Type.NUMBER, "DOUBLE"),
        (Type.INTEGER, "INT64"),
    ]
    assert plan.views[0].ttl_s == 86_400


def test_a_view_without_a_ttl_never_grows_stale(sqlite_repo: FeastSandbox) -> None:
    assert {view.name: view.ttl_s for view in compiled(sqlite_repo, "large").views} == {
        "user_stats": 86_400,
        "user_extra": None,
        "user_merchant": 3_600,
        "gate_load": None,
    }


def test_the_union_of_services_reads_a_shared_view_once(sqlite_repo: FeastSandbox) -> None:
    plan = compiled(sqlite_repo, "small", "large")
    assert [view.name for view in plan.views].count("user_stats") == 1
    assert sorted(plan.names()) == sorted(compiled(sqlite_repo, "large").names())
    assert plan.services["small"] == ("ratio", "count")
    assert set(plan.services) == {"small", "large"}


def test_the_same_services_in_any_order_are_the_same_plan(sqlite_repo: FeastSandbox) -> None:
    one = compiled(sqlite_repo, "small", "large")
    assert one == compiled(sqlite_repo, "large", "small", "large")
    assert one.plan_id != compiled(sqlite_repo, "large").plan_id
    assert len(one.plan_id) == 16


def test_a_renamed_view_keeps_its_stored_keys_and_is_asked_for_by_the_new_ones(sqlite_repo: FeastSandbox) -> None:
    origin, destination = compiled(sqlite_repo, "route").views
    assert origin.keys == (JoinKey("origin", "airport", Type.STRING, "STRING"),)
    assert (origin.stored, destination.stored) == ("airport_weather", "airport_weather")
    assert (origin.name, destination.name) == ("origin_weather", "destination_weather")


def test_a_plan_is_plain_data(sqlite_repo: FeastSandbox) -> None:
    plan = compiled(sqlite_repo, "large", "route")
    assert json.loads(json.dumps(dataclasses.asdict(plan)))["plan_id"] == plan.plan_id


def test_sqlite_and_redis_are_read_directly_and_their_locations_are_whole(
    sqlite_repo: FeastSandbox, redis_repo: FeastSandbox
) -> None:
    sqlite, redis = compiled(sqlite_repo, "large"), compiled(redis_repo, "large")
    assert (sqlite.tier, sqlite.location) == ("sqlite", str(sqlite_repo.path / "online.db"))
    assert Path(sqlite.location).is_absolute()
    assert redis.tier == "redis"
    assert redis.location.startswith("redis://127.0.0.1:")
    assert redis.location.endswith("/3")


def test_a_view_computed_on_demand_is_left_to_the_sdk_and_the_plan_says_why(sqlite_repo: FeastSandbox) -> None:
    plan = compiled(sqlite_repo, "computed")
    assert (plan.tier, plan.location) == ("sdk", str(sqlite_repo.path))
    assert plan.reason == "doubled is computed on demand"
    assert plan.names() == ("count", "doubled")
    [complaint] = complaints(plan)
    assert "doubled is computed on demand" in complaint


def test_a_feast_that_stores_otherwise_makes_the_plan_slow_not_wrong(
    sqlite_repo: FeastSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feast.infra.online_stores.helpers._mmh3", lambda key: key.encode()[:4])
    plan = compiled(sqlite_repo, "small")
    assert plan.tier == "sdk"
    assert plan.reason == "self-test: the field hash of user_stats:ratio differs from this Feast's"


def test_the_self_test_agrees_with_the_installed_feast(sqlite_repo: FeastSandbox) -> None:
    assert selftest.differences(compiled(sqlite_repo, "large", "route").views, "sandbox") == []


@pytest.mark.parametrize(
    ("services", "says"),
    [
        (["nonesuch"], "No feature service nonesuch in this repository; it has: computed, disabled,"),
        (["embedded"], "Feature embedding of lists is FLOAT_LIST"),
        (["disabled"], "View off is disabled"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(sqlite_repo: FeastSandbox, services: list[str], says: str) -> None:
    with pytest.raises(PlanImpossible, match=says):
        compiled(sqlite_repo, *services)


def test_one_name_for_two_features_is_refused(own_repo: FeastSandbox) -> None:
    from feast import FeatureService

    weather = own_repo.store.get_feature_view("airport_weather")
    by_origin = weather.with_join_key_map({"airport": "origin"})
    by_destination = weather.with_join_key_map({"airport": "destination"})
    own_repo.store.apply(
        [FeatureService(name="from", features=[by_origin]), FeatureService(name="to", features=[by_destination])]
    )
    with pytest.raises(PlanImpossible, match="The feature name wind would stand for"):
        compiled(own_repo, "from", "to")


def test_a_compiler_sees_what_was_applied_since(own_repo: FeastSandbox) -> None:
    from feast import FeatureService

    compiler = FeastPlanCompiler(own_repo.path)
    before = compiler.compile(["small"])
    own_repo.store.apply([FeatureService(name="small", features=[own_repo.store.get_feature_view("gate_load")])])
    after = compiler.compile(["small"])
    assert (before.names(), after.names()) == (("ratio", "count"), ("load",))
    assert before.plan_id != after.plan_id


def test_a_view_under_materialisation_keeps_being_served(own_repo: FeastSandbox) -> None:
    from feast.feature_view import FeatureViewState

    view = own_repo.store.get_feature_view("gate_load")
    view.state = FeatureViewState.MATERIALIZING
    own_repo.store.registry.apply_feature_view(view, "sandbox")
    assert "load" in compiled(own_repo, "large").names()


def test_a_folder_that_is_no_feast_repository_is_a_plan_impossible(tmp_path: Path) -> None:
    with pytest.raises(PlanImpossible, match="cannot be read"):
        open_compiler(str(tmp_path)).compile(["any"])


def test_no_services_are_no_features_and_need_no_repository(tmp_path: Path) -> None:
    assert open_compiler(str(tmp_path)).compile([]) is NO_FEATURES
    assert open_compiler("memory:").compile([]) is NO_FEATURES


def test_an_unknown_tier_is_refused_with_the_known_ones(sqlite_repo: FeastSandbox) -> None:
    plan = dataclasses.replace(compiled(sqlite_repo, "small"), tier="cassandra")
    with pytest.raises(PlanImpossible, match="there are: memory, sqlite, redis, sdk"):
        open_source(plan)


def test_a_location_never_holds_a_secret_and_a_connection_has_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "feature_store.yaml"
    settings.write_text(
        "online_store: {type: redis, connection_string: 'cache:6380,db=2,ssl=true,username=joe,password=${PASS}'}"
    )
    monkeypatch.setenv("PASS", "s3cret")
    location = redis_location("cache:6380,db=2,ssl=true,username=joe,password=s3cret", settings)
    assert "s3cret" not in location
    assert "joe" not in location
    kind, options = connection_options(location)
    assert kind.__name__ == "SSLConnection"
    assert options == {"host": "cache", "port": 6380, "db": 2, "username": "joe", "password": "s3cret"}


def test_secrets_that_are_gone_are_a_connection_that_fails(tmp_path: Path) -> None:
    settings = tmp_path / "feature_store.yaml"
    location = redis_location("cache:6380,password=s3cret", settings)
    for content in ("", "online_store: {type: sqlite}", "{"):
        settings.write_text(content)
        with pytest.raises(OSError, match="has no online_store"):
            connection_options(location)


@pytest.mark.parametrize("string", ["a:1,b:2", "a:1,retry_on_timeout=true", "justahost"])
def test_a_redis_the_direct_reader_does_not_understand_is_refused(string: str) -> None:
    with pytest.raises(PlanImpossible, match="takes one HOST:PORT"):
        redis_location(string, Path("feature_store.yaml"))


def test_the_doctor_asks_for_wal(sqlite_repo: FeastSandbox, tmp_path: Path) -> None:
    plan = compiled(sqlite_repo, "small")
    assert any("journal mode delete" in complaint for complaint in complaints(plan))
    [missing] = [c for c in complaints(dataclasses.replace(plan, location=str(tmp_path / "no.db"))) if "exist" in c]
    assert "materialise" in missing


def test_a_worker_reads_without_importing_feast() -> None:
    modules = "sqlite, redis, memory, doctor"
    code = (
        f"import sys; from gateway.adapters.features import {modules}, open_source, FeatureReader;"
        "sys.exit(any(name == 'feast' or name.startswith('feast.') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
