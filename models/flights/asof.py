"""A Feast offline store that looks up the past instead of multiplying it.

Feast's own file store joins every request with *every* row its key ever had and filters afterwards: fifty thousand
flights and eight thousand states of an airport make four hundred million rows. It also drops a request whose key has
rows, but none that is both old and young enough. This store answers the same question with one as-of join per view: the
latest row at or before the request's time and within the view's TTL, or nulls. A test holds the two side by side.

It is for training only, chosen in :func:`models.flights.features.training_store`; the repository stays plain Feast.
"""

from collections.abc import Callable

import dask.dataframe as dd
import pandas as pd
from feast import FeatureView
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig

_TIME = "event_timestamp"


class AsOfOfflineStoreConfig(DaskOfflineStoreConfig):  # type: ignore[misc]  # Feast has no types
    """Settings of the store: none but its name."""

    type: str = "models.flights.asof.AsOfOfflineStore"


class AsOfOfflineStore(DaskOfflineStore):  # type: ignore[misc]  # Feast has no types
    """Feast's file store with another point-in-time join. Parquet sources, entity data frames, no on-demand views."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        registry: BaseRegistry,  # noqa: ARG004  Feast passes it
        project: str,  # noqa: ARG004  Feast passes it
        full_feature_names: bool = False,
        **options: object,
    ) -> RetrievalJob:
        """Add to each row of ``entity_df`` what its ``event_timestamp`` could know. Order and index are kept."""
        if full_feature_names or any(options.values()):
            raise NotImplementedError("This store joins plain names on an entity data frame and knows no options.")
        wanted = _by_view(feature_refs)

        def evaluate() -> dd.DataFrame:
            rows = entity_df.reset_index(drop=True)
            rows[_TIME] = pd.to_datetime(rows[_TIME], utc=True).astype("datetime64[ns, UTC]")
            for view in feature_views:
                rows = _join(rows, view, wanted[view.projection.name_to_use()], str(config.repo_path))
            frame: dd.DataFrame = dd.from_pandas(rows, npartitions=1)  # type: ignore[no-untyped-call]  # dask half has types
            return frame

        job: Callable[..., RetrievalJob] = DaskRetrievalJob
        return job(evaluation_function=evaluate, full_feature_names=False, repo_path=str(config.repo_path))


def _by_view(feature_refs: list[str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for ref in feature_refs:
        view, feature = ref.split(":")
        wanted.setdefault(view, []).append(feature)
    return wanted


def _join(rows: pd.DataFrame, view: FeatureView, features: list[str], repo_path: str) -> pd.DataFrame:
    keys = [column.name for column in view.entity_columns]
    source = FileSource.get_uri_for_file_path(repo_path, view.batch_source.path)
    time = view.batch_source.timestamp_field
    past = pd.read_parquet(source, columns=[time, *keys, *features]).sort_values(time, kind="stable")
    past[time] = past[time].astype("datetime64[ns, UTC]")
    found = pd.merge_asof(
        rows[[_TIME, *keys]].reset_index().sort_values(_TIME, kind="stable"),
        past.rename(columns={time: "known_at"}),
        left_on=_TIME,
        right_on="known_at",
        by=keys,
        tolerance=view.ttl or None,
    )
    joined: pd.DataFrame = rows.join(found.set_index("index")[features])
    return joined
