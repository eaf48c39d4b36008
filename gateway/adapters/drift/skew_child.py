"""The process that asks the offline store: ``python -m gateway.adapters.drift.skew_child``.

It reads one job (JSON) from standard input, limits itself, and prints one answer (JSON). Whatever Feast prints is lost.
"""

import math
import os
import sys
from typing import Any

import msgspec

from gateway.adapters.children import keep_stdout_for_the_answer, limit
from gateway.adapters.drift.skew import Found, Job
from gateway.core.deployments import Scalar


def main() -> None:
    """Answer the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    answers = keep_stdout_for_the_answer()
    limit(job.wall_s, job.memory_bytes)
    os.chdir(job.folder)
    try:
        found = Found(asked(job))
    except Exception as error:  # noqa: BLE001 - offline stores raise whatever their libraries do; it is told, not hidden
        found = Found(trouble=f"The offline store failed: {type(error).__name__}: {str(error)[:500]}")
    answers.write(msgspec.json.encode(found))
    answers.flush()
    os._exit(0)


def asked(job: Job) -> list[dict[str, Scalar]]:
    """What the offline store held for each row at its time, the union of the services' features."""
    import pandas as pd
    from feast import FeatureStore

    store = FeatureStore(repo_path=job.repository)
    rows: list[dict[str, Scalar]] = [{} for _ in job.keys]
    for service, names in job.services.items():
        frame = pd.DataFrame(job.keys)
        frame["row_number"] = range(len(frame))
        apart = pd.to_timedelta(frame["row_number"], unit="us")  # Feast's file store drops one of two at one moment
        frame["event_timestamp"] = pd.to_datetime(pd.Series(job.times), unit="s", utc=True) + apart
        for part in _parts(store.get_feature_service(service)):
            history = store.get_historical_features(frame, part).to_df()
            for record in history.to_dict("records"):
                rows[int(record["row_number"])] |= {name: plain(record[name]) for name in names if name in record}
    return rows


def _parts(service: Any) -> list[Any]:  # noqa: ANN401 - Feast's own
    """What to ask for, a view at a time: Feast's file store loses a row altogether where one view knew nothing yet.

    A view that the service knows by another name, or by other keys, can only be asked for with the whole service.
    """
    views = service.feature_view_projections
    if any(view.name_alias or view.join_key_map for view in views):
        return [service]
    return [[f"{view.name}:{feature.name}" for feature in view.features] for view in views]


def plain(value: Any) -> Scalar:  # noqa: ANN401 - a cell of any column
    """A cell as JSON knows it; what is missing is None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    found = value.item() if hasattr(value, "item") else value
    if isinstance(found, float) and math.isnan(found):
        return None
    return found if isinstance(found, (bool, int, float, str)) else str(found)


if __name__ == "__main__":
    main()
