"""The example's own scikit-learn parts, importable wherever its models are loaded.

Every model takes rows whose values stand in the order of :data:`REQUEST_COLUMNS` (and then :data:`HISTORY_COLUMNS`):
a list of lists, an object array, or a data frame whose columns bear these names, in any order. They are fitted without
feature names, so a server may send plain rows. A value that is missing is None or NaN.

Rows are encoded one at a time in plain Python: for the single rows of online serving that is several times faster
than a ColumnTransformer, and it is the same code in training.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

REQUEST_COLUMNS: Mapping[str, type] = {
    "carrier": str,
    "origin": str,
    "dest": str,
    "sched_dep_at": int,
    "sched_dep_hour": int,
    "day_of_week": int,
    "distance": int,
    "sched_block_min": int,
}
HISTORY_COLUMNS: Mapping[str, type] = {
    "plane_last_delay_min": float,
    "plane_ready_at": int,
    "plane_late_share": float,
    "origin_dep_delay_min": float,
    "origin_late_share": float,
    "origin_overdue": int,
    "origin_waiting_min": float,
    "carrier_late_share": float,
    "carrier_arr_delay_min": float,
    "carrier_dep_delay_min": float,
    "route_late_share": float,
    "route_arr_delay_min": float,
    "weather_wind_mph": float,
    "weather_precip_in": float,
    "weather_visibility_mi": float,
}

Rows: TypeAlias = pd.DataFrame | npt.NDArray[Any] | Sequence[Sequence[Any]]
Matrix: TypeAlias = npt.NDArray[np.float64]

_SLACK_LIMIT_MIN = 600.0
_NEAR_MIN = 60.0
_UNKNOWN_SLACK = (math.nan, math.nan, math.nan)
_SEEN_OFTEN = 50.0


def plain_rows(rows: Rows, columns: Sequence[str]) -> Sequence[Sequence[Any]]:
    """Lay rows out as lists in the order of ``columns``."""
    if isinstance(rows, pd.DataFrame):
        return [list(row) for row in rows[list(columns)].itertuples(index=False, name=None)]
    return rows.tolist() if isinstance(rows, np.ndarray) else rows


class FlightEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns flights into numbers.

    A word (carrier, airport, day of the week) becomes the log-odds of being late it had in training, drawn toward
    the average where it was rare; a word never seen is average. The minute of the hour joins the hour of departure.
    When the plane is due back becomes its slack before departure: in minutes, the part of it near zero, and what is
    missing of it - so that a linear model can tell a plane that is there from one that cannot be. A missing number
    becomes the training median.

    ``histories`` says whether rows carry the history columns.
    """

    def __init__(self, histories: bool = False) -> None:
        self.histories = histories

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a row's values, in order."""
        return (*REQUEST_COLUMNS, *HISTORY_COLUMNS) if self.histories else tuple(REQUEST_COLUMNS)

    def fit(self, rows: Rows, late: npt.ArrayLike) -> Self:
        """Learn words' log-odds and numbers' medians."""
        table = plain_rows(rows, self.columns)
        labels = np.asarray(late, dtype=float)
        self.average_ = _log_odds(labels.mean())
        self.carriers_ = _rates([row[0] for row in table], labels)
        self.origins_ = _rates([row[1] for row in table], labels)
        self.dests_ = _rates([row[2] for row in table], labels)
        self.days_ = _rates([row[5] for row in table], labels)
        self.medians_ = np.zeros(0)
        self.medians_ = np.nanmedian(self._numbers(table), axis=0)
        return self

    def transform(self, rows: Rows) -> Matrix:
        """Encode rows; the result has one column per number the models look at."""
        numbers = self._numbers(plain_rows(rows, self.columns))
        missing = np.isnan(numbers)
        if missing.any():
            numbers = np.where(missing, self.medians_, numbers)
        return numbers

    def _numbers(self, table: Sequence[Sequence[Any]]) -> Matrix:
        carriers, origins, dests, days, average = (
            self.carriers_,
            self.origins_,
            self.dests_,
            self.days_,
            self.average_,
        )
        encoded = []
        for row in table:
            carrier, origin, dest, at, hour, day, distance, block = row[:8]
            numbers = [
                carriers.get(carrier, average),
                origins.get(origin, average),
                dests.get(dest, average),
                days.get(day, average),
                hour + at % 3600 / 3600,
                distance,
                block,
            ]
            if self.histories:
                delay, ready_at, *others = row[8:]
                numbers += [delay, *_slack_min(at, ready_at), *others]
            encoded.append(numbers)
        return np.array(encoded, dtype=float)


class Classifier(Protocol):
    """What every version of the model can do."""

    classes_: npt.NDArray[np.int64]

    def fit(self, rows: Rows, late: npt.ArrayLike) -> Self:
        """Learn from flights whose truth (0 or 1) is known."""

    def predict(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Label flights: 1 is late."""

    def predict_proba(self, rows: Rows) -> Matrix:
        """Score flights: a column per label."""


class StaleTable(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted classifier behind a look-up that does not know every destination. A bug, kept for the story.

    Its author had every destination's terminal looked up before scoring ("for the dashboard"), in a table made from the
    busiest destinations of one winter. Tests on the usual destinations pass. A flight elsewhere raises KeyError.
    """

    def __init__(self, classifier: Classifier, table: Mapping[str, int]) -> None:
        self.classifier = classifier
        self.table = table

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """The labels, as the classifier behind has them."""
        return self.classifier.classes_

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, rows: Rows, late: npt.ArrayLike) -> Self:
        """Fit the classifier behind."""
        self.classifier.fit(rows, late)
        return self

    def predict(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Label rows. Raises KeyError for a destination outside the table."""
        self._look_up(rows)
        return self.classifier.predict(rows)

    def predict_proba(self, rows: Rows) -> Matrix:
        """Score rows. Raises KeyError for a destination outside the table."""
        self._look_up(rows)
        return self.classifier.predict_proba(rows)

    def _look_up(self, rows: Rows) -> list[int]:
        columns = (*REQUEST_COLUMNS, *HISTORY_COLUMNS)
        place = columns.index("dest")
        return [self.table[row[place]] for row in plain_rows(rows, columns)]


def _rates(words: Sequence[Any], labels: Matrix) -> dict[Any, float]:
    """Map each word to its smoothed log-odds of being late."""
    average = float(labels.mean())
    seen: dict[Any, list[float]] = {}
    for word, label in zip(words, labels, strict=True):
        seen.setdefault(word, []).append(label)
    return {
        word: _log_odds((sum(found) + average * _SEEN_OFTEN) / (len(found) + _SEEN_OFTEN))
        for word, found in seen.items()
    }


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _slack_min(at: int, ready_at: float | None) -> tuple[float, float, float]:
    """Minutes from a plane's return to its departure: within ten hours, within one, and those missing; or NaN."""
    if ready_at is None or ready_at != ready_at:
        return _UNKNOWN_SLACK
    slack = (at - ready_at) / 60
    far, near = (max(-limit, min(limit, slack)) for limit in (_SLACK_LIMIT_MIN, _NEAR_MIN))
    return far, near, max(0.0, -far)
