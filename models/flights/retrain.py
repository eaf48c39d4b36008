"""Trains the model that serves again, on what the gateway has logged: the command behind ``retraining.target``.

The exported joined log is the training set: each flight as the model saw it, with its truth. The next version goes on
from the one that serves (:mod:`models.flights.continued`), is registered with its reference profile, and the alias
``challenger`` is pointed at it; whether it is any better is for the gateway to find out.

The window is half a year, not the latest weeks: from five dates between April and June, on the six weeks that came
next, it did better than the model that served every time, where two weeks once did worse (docs/decisions/0062). The
reference is made of the latest weeks only, for drift is to be measured from the days that the version was made for.

    RETRAINING_EXPORT=state/gateway/lake RETRAINING_RUN_ID=by-hand-1 python -m models.flights.retrain

One version per run: called again with the same ``RETRAINING_RUN_ID``, it finds the version and trains nothing.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from gateway.adapters.models.profile import encode_profile
from gateway.core.drift.making import LEAST_PERIODS, made
from gateway.core.drift.profiles import Profile
from models.flights import register, train
from models.flights.continued import Continued, encoder_of
from models.flights.estimators import REQUEST_COLUMNS, Classifier
from models.flights.layout import DEFAULT, MODEL, Layout

WINDOW_DAYS = 182
"""Flights of so many days before the latest one are trained on."""
REFERENCE_DAYS = 42
"""Those of so many days make the reference profile; of more, where these hold too few days with flights."""
HELD_OUT = 0.2
"""Share of the window's days, the latest, on which both models are compared before the last fit."""
RUN_TAG = "retraining.run"
_FOLDS = 4
_DAY_S = 86_400.0
_SEED = 2013


class NothingToLearn(Exception):
    """The log does not hold enough; its sentence says what is missing."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The model that serves: its version, itself, and what its row is made of."""

    version: str
    model: Classifier
    columns: Mapping[str, type]
    service: str | None


def main() -> int:
    """Train, register, point the alias; print one line that says what came of it. Exit code 1: nothing was done."""
    parser = argparse.ArgumentParser(prog="python -m models.flights.retrain", description=__doc__)
    parser.add_argument("--dir", type=Path, default=DEFAULT, help="folder of the example's data (default: %(default)s)")
    parser.add_argument("--export", default=os.environ.get("RETRAINING_EXPORT"), help="folder of the exported log")
    parser.add_argument("--run", default=os.environ.get("RETRAINING_RUN_ID"), help="id of the run")
    asked = parser.parse_args()
    if not asked.export or not asked.run:
        parser.error("says neither the export nor the run: set RETRAINING_EXPORT and RETRAINING_RUN_ID")
    try:
        print(retrain(Layout(asked.dir), Path(asked.export), asked.run))
    except NothingToLearn as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def retrain(layout: Layout, export: Path, run_id: str) -> str:
    """Do it, once per run; returns the line. Raises NothingToLearn."""
    client = register.client_of(layout)
    known = client.search_model_versions(f"name = '{MODEL}' and tags.`{RUN_TAG}` = '{run_id}'")
    if known:
        number = str(known[0].version)
        if not any(name.endswith(".decision") for name in known[0].tags):  # else it has had its life
            client.set_registered_model_alias(MODEL, "challenger", number)
        return f"{MODEL} {number} was trained by this run already"
    serving = _serving(client)
    flights = window(logged(export / MODEL, serving.columns))
    before, after = held_out(serving, flights)
    model = _fitted(serving, flights)
    number = register.add(
        layout,
        train.Version(0, f"goes on from version {serving.version}", serving.columns, serving.service, _not_again),
        model,
        flights.dropna().head(1),
        figures={"accuracy": after.accuracy, "brier": after.brier, "auc": after.auc},
        profile=encode_profile(profile(serving, flights)),
        tags={RUN_TAG: run_id},
    )
    client.set_registered_model_alias(MODEL, "challenger", number)
    days = f"{_day(flights['sched_dep_at'].min())} to {_day(flights['sched_dep_at'].max())}"
    compared = (
        f"Brier {after.brier:.4f} on the {after.flights:,} latest, version {serving.version}'s {before.brier:.4f}"
    )
    return f"{MODEL} {number} is challenger: {len(flights):,} flights, {days}; {compared}"


def logged(folder: Path, columns: Mapping[str, type]) -> pd.DataFrame:
    """Flights of the exported log whose truth is known, in order, as training lays them out. Raises NothingToLearn.

    Left out are those from before anybody asked for histories, where a model wants them.
    """
    if not folder.is_dir():
        raise NothingToLearn(f"There is no exported log at {folder}.")
    counted = [("outcome_label", "in", [0, 1]), ("attempt", "==", 1)]
    rows = pd.read_parquet(folder, filters=counted)
    absent = [name for name in columns if f"feature_{name}" not in rows]
    if absent:
        raise NothingToLearn(f"The log knows nothing of {', '.join(absent)}.")
    flights = rows[[f"feature_{name}" for name in columns]].rename(columns=lambda name: name.removeprefix("feature_"))
    flights["late"] = rows["outcome_label"].astype(int)
    histories = [name for name in columns if name not in REQUEST_COLUMNS]
    if histories:
        flights = flights.dropna(subset=histories, how="all")
    ordered: pd.DataFrame = flights.sort_values("sched_dep_at", ignore_index=True)
    return ordered


def window(flights: pd.DataFrame, days: int = WINDOW_DAYS) -> pd.DataFrame:
    """The latest so many days; more where they hold fewer than a profile needs. Raises NothingToLearn."""
    there = np.unique(_days(flights))
    if len(there) < LEAST_PERIODS:
        raise NothingToLearn(f"The log holds labelled flights of {len(there)} days; {LEAST_PERIODS} are needed.")
    first = min(there[-1] - days + 1, there[-LEAST_PERIODS])
    latest: pd.DataFrame = flights[_days(flights) >= first].reset_index(drop=True)
    return latest


def held_out(serving: Serving, flights: pd.DataFrame) -> tuple[train.Figures, train.Figures]:
    """How good the model that serves and one fitted on the earlier days are on the latest days, which neither saw."""
    days = np.unique(_days(flights))
    later = _days(flights) >= days[-max(1, round(HELD_OUT * len(days)))]
    model, unseen = _fitted(serving, flights[~later]), flights[later]
    return _figures(serving.model, serving, unseen), _figures(model, serving, unseen)


def profile(serving: Serving, flights: pd.DataFrame) -> Profile:
    """What came in over the latest weeks, and what the version answers there; a day hangs together.

    Each flight's answer is given by a fit that has not seen its day. Moments (``..._at``) are left out.
    """
    latest = window(flights, REFERENCE_DAYS)
    watched = {name: kind for name, kind in serving.columns.items() if not name.endswith("_at")}
    rows, times = train.rows_of(latest, watched), latest["sched_dep_at"].astype(float).tolist()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(watched)}
    inputs = made(columns, times=times, period_s=_DAY_S, source=f"log, from {_day(times[0])} to {_day(times[-1])}")
    scores = _crossed(serving, flights)[-len(latest) :]
    labels = [int(score >= 0.5) for score in scores]
    answers = made({}, scores=scores, labels=labels, times=times, period_s=_DAY_S)
    return replace(inputs, predictions=answers.predictions)


def _crossed(serving: Serving, flights: pd.DataFrame) -> list[float]:
    """Score each flight by a fit on the other days."""
    fold, scores = _days(flights) % _FOLDS, np.zeros(len(flights))
    for number in range(_FOLDS):
        unseen = fold == number
        if unseen.any():
            model = _fitted(serving, flights[~unseen])
            scores[unseen] = model.predict_proba(train.rows_of(flights[unseen], serving.columns))[:, 1]
    found: list[float] = scores.tolist()
    return found


def _serving(client: Any) -> Serving:  # noqa: ANN401 - MLflow's client
    """What ``champion`` names."""
    version = client.get_model_version_by_alias(MODEL, "champion")
    model, service = register.load(f"models:/{MODEL}/{version.version}")
    columns = {name: kind for name, kind in train.ALL_COLUMNS.items() if name in encoder_of(model).columns}
    return Serving(str(version.version), model, columns, service)


def _fitted(serving: Serving, flights: pd.DataFrame) -> Classifier:
    model: Classifier = Continued(serving.model, encoder_of(serving.model), _SEED)
    return model.fit(train.rows_of(flights, serving.columns), flights["late"].to_numpy())


def _figures(model: Classifier, serving: Serving, flights: pd.DataFrame) -> train.Figures:
    late, scores = flights["late"].to_numpy(), model.predict_proba(train.rows_of(flights, serving.columns))[:, 1]
    accuracy, brier = float(accuracy_score(late, scores >= 0.5)), float(brier_score_loss(late, scores))
    return train.Figures(len(flights), accuracy, brier, float(roc_auc_score(late, scores)), failed=0.0)


def _not_again(frame: pd.DataFrame) -> Classifier:
    raise NotImplementedError("A version of the log is trained once.")


def _days(flights: pd.DataFrame) -> npt.NDArray[np.int64]:
    days: npt.NDArray[np.int64] = (flights["sched_dep_at"].to_numpy() // _DAY_S).astype(np.int64)
    return days


def _day(at: float) -> str:
    return datetime.fromtimestamp(float(at), UTC).strftime("%-d %B")


if __name__ == "__main__":
    sys.exit(main())
