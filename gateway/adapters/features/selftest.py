"""Whether what we read behind Feast's back is what this Feast writes, asked before any plan does so.

Run by the compiler, next to Feast, for each plan. A new Feast release that stores things otherwise makes plans slow
(they fall back to the SDK), never wrong.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from gateway.adapters.features.encoding import KINDS, KeyEncoder, decode, field_hash, table_name
from gateway.core.deployments import Scalar
from gateway.core.features import PlannedView, Status

_SAMPLES: Mapping[str, Sequence[Scalar]] = {
    "INT32": (0, 1, -1, 2**31 - 1, -(2**31)),
    "INT64": (0, 1, -1, 2**63 - 1, -(2**63)),
    "FLOAT": (0.0, -1.5, 2.0**-20, math.inf, math.nan),
    "DOUBLE": (0.0, -0.1, 5e-324, math.inf, math.nan),
    "STRING": ("", "a", "é𝄞\x00", "x" * 300),
    "BOOL": (True, False),
}
_FIELDS = {
    "INT32": "int32_val",
    "INT64": "int64_val",
    "FLOAT": "float_val",
    "DOUBLE": "double_val",
    "STRING": "string_val",
    "BOOL": "bool_val",
}


def differences(views: Sequence[PlannedView], project: str) -> list[str]:
    """Name every way in which our reading of ``views`` differs from the installed Feast's writing; best none."""
    return list(itertools.chain(_keys(views, project), _tables(views, project), _hashes(views), _values(views)))


def _keys(views: Sequence[PlannedView], project: str) -> Iterator[str]:
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    for view in views:
        encode = KeyEncoder(view.keys)
        for number in range(5):
            samples = [_SAMPLES[key.feast_type] for key in view.keys]
            chosen = [values[(number + place) % len(values)] for place, values in enumerate(samples)]
            theirs = _redis_key(
                project,
                EntityKey(
                    join_keys=[key.stored for key in view.keys],
                    entity_values=[
                        _message(key.feast_type, value) for key, value in zip(view.keys, chosen, strict=True)
                    ],
                ),
                entity_key_serialization_version=3,
            )
            ours = encode({key.request: value for key, value in zip(view.keys, chosen, strict=True)})
            if ours is None or ours + project.encode() != theirs:
                yield f"entity keys of {view.name} differ"
                break


def _tables(views: Sequence[PlannedView], project: str) -> Iterator[str]:
    from feast.infra.online_stores.helpers import compute_table_id

    for view in views:
        if table_name(project, view.stored) != compute_table_id(project, SimpleNamespace(name=view.stored)):
            yield f"the table of {view.name} differs"


def _hashes(views: Sequence[PlannedView]) -> Iterator[str]:
    from feast.infra.online_stores.helpers import _mmh3

    for view in views:
        for feature in view.features:
            if field_hash(view.stored, feature.stored) != _mmh3(f"{view.stored}:{feature.stored}"):
                yield f"the field hash of {view.name}:{feature.stored} differs"


def _values(views: Sequence[PlannedView]) -> Iterator[str]:

    for kind, feature_type in dict.fromkeys((f.feast_type, f.type) for view in views for f in view.features):
        for sample in _SAMPLES[kind]:
            stored = _message(kind, sample).SerializeToString()
            value, status = decode(stored, KINDS[feature_type])
            if status is not Status.PRESENT or not _same(value, sample):
                yield f"values of type {kind} differ"
                break


def _message(kind: str, sample: Scalar) -> Any:  # noqa: ANN401 - Feast's Value
    from feast.protos.feast.types.Value_pb2 import Value

    message: Any = Value()
    setattr(message, _FIELDS[kind], sample)
    return message


def _same(value: Scalar, sample: Scalar) -> bool:
    both_nan = isinstance(value, float) and isinstance(sample, float) and math.isnan(value) and math.isnan(sample)
    return both_nan or (type(value) is type(sample) and value == sample)
