"""Trains the four versions of the story on January and February, and says honestly how good they are.

1  logistic regression on what the request itself says
2  gradient-boosted trees on the request and the online histories
3  logistic regression on the same; one history was trained in hours, the store serves minutes (the bug of act 3)
4  version 2 behind a look-up table that misses a tenth of the flights (the bug of act 4)

``python -m models.flights.train --dir state/demo`` after :mod:`models.flights.prepare` has filled the offline store.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.adapters.models.profile import encode_profile
from gateway.core.drift.making import made
from gateway.core.drift.profiles import Profile
from models.flights.estimators import HISTORY_COLUMNS, REQUEST_COLUMNS, Classifier, FlightEncoder, StaleTable
from models.flights.features import SERVICE, training_frame
from models.flights.layout import DEFAULT, Layout

TRAIN_MONTHS = (1, 2)
HOLD_OUT_MONTH = 3
IN_HOURS = "route_arr_delay_min"
"""The history that version 3 knew from a report that gives hours."""
_TABLED_SHARE = 0.9
_SEED = 2013
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One version: how to make it, what its row is made of, and how its author prepared the training frame."""

    number: int
    says: str
    columns: Mapping[str, type]
    service: str | None
    build: Callable[[pd.DataFrame], Classifier]
    prepared: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame


def _request_only(_: pd.DataFrame) -> Pipeline:
    return make_pipeline(FlightEncoder(), StandardScaler(), LogisticRegression())


def _boosted(_: pd.DataFrame) -> Pipeline:
    """Small trees without threads: one row takes a fifth of a millisecond, whatever else the machine does."""
    trees = GradientBoostingClassifier(
        n_estimators=120, learning_rate=0.1, max_depth=4, subsample=0.3, max_features=8, random_state=_SEED
    )
    return make_pipeline(FlightEncoder(histories=True), trees)


def _linear(_: pd.DataFrame) -> Pipeline:
    return make_pipeline(FlightEncoder(histories=True), StandardScaler(), LogisticRegression(max_iter=300))


def _behind_a_table(frame: pd.DataFrame) -> StaleTable:
    busiest = frame["dest"].value_counts()
    covered = busiest.cumsum() / busiest.sum() <= _TABLED_SHARE
    return StaleTable(_boosted(frame), {dest: gate for gate, dest in enumerate(busiest.index[covered], start=1)})


def hours_for_minutes(frame: pd.DataFrame) -> pd.DataFrame:
    """The mistake of version 3: a training frame in which one delay stands in hours."""
    return frame.assign(**{IN_HOURS: frame[IN_HOURS] / 60})


ALL_COLUMNS: Mapping[str, type] = {**REQUEST_COLUMNS, **HISTORY_COLUMNS}
STORY: Mapping[int, Version] = {
    version.number: version
    for version in (
        Version(1, "logistic regression, request only", REQUEST_COLUMNS, None, _request_only),
        Version(2, "boosted trees, online histories", ALL_COLUMNS, SERVICE, _boosted),
        Version(3, "logistic regression, online histories", ALL_COLUMNS, SERVICE, _linear, hours_for_minutes),
        Version(4, "boosted trees behind a look-up table", ALL_COLUMNS, SERVICE, _behind_a_table),
    )
}


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a model is on flights it has not seen; ``failed`` is the share it raised on (the rest is scored)."""

    flights: int
    accuracy: float
    brier: float
    auc: float
    failed: float


def rows_of(frame: pd.DataFrame, columns: Mapping[str, type]) -> list[list[Any]]:
    """Lay a frame out as a server would: plain Python values in column order, None where nothing is known."""
    wanted = frame[list(columns)].astype(object)
    found: list[list[Any]] = wanted.where(wanted.notna(), None).to_numpy().tolist()
    return found


def fit(version: Version, frame: pd.DataFrame) -> Classifier:
    """Fit one version on a frame of flights whose truth is known."""
    prepared = version.prepared(frame)
    model = version.build(prepared)
    return model.fit(rows_of(prepared, version.columns), prepared["late"].astype(int).to_numpy())


def evaluate(model: Classifier, version: Version, frame: pd.DataFrame) -> Figures:
    """Score flights one version has not seen. Rows on which it raises KeyError count as failed."""
    rows, late = rows_of(frame, version.columns), frame["late"].astype(int).to_numpy()
    if isinstance(model, StaleTable):
        known = frame["dest"].isin(list(model.table)).to_numpy()
        rows, late = [row for row, found in zip(rows, known, strict=True) if found], late[known]
    scores = model.predict_proba(rows)[:, 1]
    return Figures(
        flights=len(frame),
        accuracy=float(accuracy_score(late, scores >= 0.5)),
        brier=float(brier_score_loss(late, scores)),
        auc=float(roc_auc_score(late, scores)),
        failed=1 - len(rows) / len(frame),
    )


def train(layout: Layout) -> None:
    """Fit and keep every version, with its figures of the hold-out month."""
    frame = labelled(layout, (*TRAIN_MONTHS, HOLD_OUT_MONTH))
    seen, unseen = frame[frame["month"].isin(TRAIN_MONTHS)], frame[frame["month"] == HOLD_OUT_MONTH]
    for version in STORY.values():
        model = fit(version, seen)
        joblib.dump(model, layout.trained / f"{version.number}.joblib")
        reference = profile(model, version, seen, unseen)
        (layout.trained / f"{version.number}.profile.json").write_bytes(encode_profile(reference))
        offline = evaluate(model, version, version.prepared(unseen))
        served = evaluate(model, version, unseen)
        _note(layout, version, offline)
        print(f"  version {version.number} ({version.says}): {_said(offline)}")
        if served != offline:
            print(f"    but on the values the store serves: {_said(served)}")
    usual = 1 - unseen["late"].mean()
    print(f"  calling every flight punctual: accuracy {usual:.4f} of {len(unseen)} flights in March")


def profile(model: Classifier, version: Version, seen: pd.DataFrame, unseen: pd.DataFrame) -> Profile:
    """What the version was trained on, and what it answers on flights it has not seen; a day hangs together.

    The inputs are as the store serves them, whatever the author made of them in training. Moments (``..._at``) are
    left out: time goes on, and that is no drift.
    """
    answerable = unseen[unseen["dest"].isin(list(model.table))] if isinstance(model, StaleTable) else unseen
    watched = {name: kind for name, kind in version.columns.items() if not name.endswith("_at")}
    rows, days = rows_of(seen, watched), seen["sched_dep_at"].astype(float).tolist()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(watched)}
    inputs = made(columns, times=days, period_s=_DAY_S, source="flights of January and February")
    scores = model.predict_proba(rows_of(answerable, version.columns))[:, 1].tolist()
    labels = [int(score >= 0.5) for score in scores]
    times = answerable["sched_dep_at"].astype(float).tolist()
    answers = made({}, scores=scores, labels=labels, times=times, period_s=_DAY_S)
    return replace(inputs, predictions=answers.predictions)


def labelled(layout: Layout, months: tuple[int, ...]) -> pd.DataFrame:
    """Flights of these months whose truth is known, each with what could be known at its scheduled departure."""
    flights = pd.read_parquet(layout.flights)
    return training_frame(layout, flights[flights["month"].isin(months) & flights["late"].notna()])


def load(layout: Layout, number: int) -> Classifier:
    """One fitted version."""
    model: Classifier = joblib.load(layout.trained / f"{number}.joblib")
    return model


def profile_of(layout: Layout, number: int) -> bytes:
    """The reference profile of one version, as it lies beside the model."""
    return (layout.trained / f"{number}.profile.json").read_bytes()


def figures(layout: Layout, number: int) -> dict[str, float]:
    """What was said of a version on the hold-out month, before it met the store's values."""
    found: dict[str, float] = json.loads((layout.trained / f"{number}.json").read_text(encoding="utf-8"))
    return found


def by_month(layout: Layout, months: tuple[int, ...]) -> pd.DataFrame:
    """Accuracy of every version by month on the values the store serves; version 4 where it answers."""
    frame = labelled(layout, months)
    table = {"punctual": frame.groupby("month")["late"].mean().rsub(1)}
    for version in STORY.values():
        model = load(layout, version.number)
        table[f"version {version.number}"] = pd.Series(
            {month: evaluate(model, version, part).accuracy for month, part in frame.groupby("month")}
        )
    return pd.DataFrame(table)


def _note(layout: Layout, version: Version, found: Figures) -> None:
    said = {"accuracy": found.accuracy, "brier": found.brier, "auc": found.auc, "failed": found.failed}
    (layout.trained / f"{version.number}.json").write_text(json.dumps(said, indent=1), encoding="utf-8")


def _said(found: Figures) -> str:
    text = f"accuracy {found.accuracy:.4f}, Brier {found.brier:.4f}, AUC {found.auc:.3f}"
    return f"{text}, raises on {found.failed:.1%}" if found.failed else text


def main() -> None:
    """Train, and print the accuracy by month."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dir", type=Path, default=DEFAULT, help="folder of the example's data")
    layout = Layout(parser.parse_args().dir)
    train(layout)
    with pd.option_context("display.float_format", "{:.4f}".format):
        print(by_month(layout, (3, 4, 5, 6, 7, 8)))


if __name__ == "__main__":
    main()
