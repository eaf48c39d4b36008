"""Joined rows as columns: their names, and types that are learnt from the values and only ever widen.

Every file of a deployment has one schema, so that any reader takes the folder as one table. Feature names and outcome
metrics become columns as they are met; a feature whose type changed (a number that became a string) widens its column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from gateway.core.deployments import Scalar
from gateway.core.events import ArmRecord, JoinedRow
from gateway.core.features import Status

_TIME: Final = pa.timestamp("us", tz="UTC")
_SERVED: Final = frozenset({Status.PRESENT, Status.REQUEST})

FIXED: Final[dict[str, pa.DataType]] = {
    "at": _TIME,
    "tag": pa.string(),
    "body": pa.string(),
    "attempt": pa.int32(),
    "revision": pa.int64(),
    "epoch": pa.int64(),
    "assigned": pa.string(),
    "served": pa.string(),
    "generation": pa.string(),
    "digest": pa.string(),
    "propensity": pa.float64(),
    "randomised": pa.bool_(),
    "sticky": pa.bool_(),
    "key_hash": pa.string(),
    "request_hash": pa.string(),
    "status": pa.int16(),
    "error": pa.string(),
    "degraded": pa.bool_(),
    "not_served": pa.list_(pa.string()),
    "score": pa.float64(),
    "scores": pa.map_(pa.string(), pa.float64()),
    "latency_features_s": pa.float64(),
    "latency_model_s": pa.float64(),
    "latency_total_s": pa.float64(),
}
"""Columns that every export has. ``generation``, ``digest`` and ``propensity`` are those of the assigned arm."""

_WIDTH: Final = ("bool", "int64", "double", "string")
"""Types of learnt columns, each able to hold what those before it hold."""
_TYPES: Final = {name: pa.type_for_alias(name) for name in _WIDTH}
_UNSEEN: Final = "double"
"""The type of a column of which no value was ever seen."""
_INT64: Final = range(-(2**63), 2**63)


@dataclass
class Columns:
    """The learnt columns of one deployment: name to type, in the order in which they were met."""

    learnt: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """Columns of which a value was seen; the type of another one is a guess that the first value replaces."""

    def learn(self, rows: Sequence[JoinedRow]) -> bool:
        """Make room for these rows. True when that changed the schema."""
        before = dict(self.learnt)
        for row in rows:
            for name, value in _learnt_values(row).items():
                self._fit(name, value)
        return self.learnt != before

    def schema(self) -> pa.Schema:
        """The schema that every file is to have."""
        times = {name: _TIME for name in self.learnt if name.endswith("_observed_at")}
        return pa.schema({**FIXED, **{name: times.get(name, _TYPES[kind]) for name, kind in self.learnt.items()}})

    def table(self, rows: Sequence[JoinedRow]) -> pa.Table:
        """Rows as a table of this schema; they must have been learnt."""
        records = [{**_fixed_values(row), **_learnt_values(row)} for row in rows]
        schema = self.schema()
        return pa.table([_array(column, [record.get(column.name) for record in records]) for column in schema], schema)

    def _fit(self, name: str, value: Scalar) -> None:
        if name not in self.learnt:
            self.learnt[name] = _UNSEEN
        if value is None:
            return
        kind = _kind(value)
        if name in self.seen:
            kind = max(kind, self.learnt[name], key=_WIDTH.index)
        self.learnt[name] = kind
        self.seen.add(name)


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if value in _INT64 else "string"
    return "double" if isinstance(value, float) else "string"


def _array(column: pa.Field, values: list[Any]) -> pa.Array:
    if column.type == pa.string():
        values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    elif column.type == pa.float64():
        values = [value if value is None else float(value) for value in values]
    elif column.type == pa.int64():
        values = [value if value is None else int(value) for value in values]
    elif column.type == _TIME:
        values = [value if value is None else round(value * 1e6) for value in values]
    return pa.array(values, column.type)


def _fixed_values(row: JoinedRow) -> dict[str, Any]:
    record = row.record
    arm = next((arm for arm in record.arms if arm.name == record.assigned), _NO_ARM)
    latency: Mapping[str, float] = record.latency
    missing = [n for n, status in zip(record.names, record.statuses, strict=True) if status not in _SERVED]
    return {
        **{name: getattr(record, name) for name in FIXED if hasattr(record, name)},
        "attempt": row.attempt,
        "generation": arm.generation,
        "digest": arm.digest,
        "propensity": arm.propensity if arm is not _NO_ARM else None,
        "not_served": missing,
        "scores": None if record.scores is None else list(record.scores.items()),
        "latency_features_s": latency.get("features"),
        "latency_model_s": latency.get("model"),
        "latency_total_s": latency.get("total"),
    }


def _learnt_values(row: JoinedRow) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {"prediction": row.record.label}
    values |= {f"feature_{name}": value for name, value in zip(row.record.names, row.record.values, strict=True)}
    for metric, outcome in sorted(row.outcomes.items()):
        values[f"outcome_{metric}"] = outcome.value
        values[f"outcome_{metric}_observed_at"] = outcome.observed_at
    return values


_NO_ARM = ArmRecord("", "", 0.0, "")
