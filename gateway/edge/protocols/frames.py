"""Rows of named values, as other protocols send them, turned into the batch that ``POST /predict`` takes.

A frame says what every row holds and where each value stood in what was sent, so that a complaint about an instance
points there. Which name is an entity and which a request feature is the deployment's to say. Nothing is checked here
that :mod:`gateway.core.inputs` checks; the one liberty is that one type of number stands for another where a table or
a tensor has one type only: 5.0 is the integer 5, and NaN is a gap.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.core.deployments import Field, Type
from gateway.core.errors import InvalidBody, Problem
from gateway.core.inputs import MAX_INSTANCES, Layout
from gateway.core.routing import RoutingTable

MEMBERS = ("request_id", "routing_key")
"""Names that mean the instance's own members, wherever no entity and no feature is called so."""

Place: TypeAlias = Callable[[int, str | None], str]
_INSTANCE = re.compile(r"/instances/(\d+)(?:/(?:entities|features)(?=/|$))?(?:/(.+))?")


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows by name, and where the value of a name stood in the row of a number (None: the row itself).

    ``whole`` points to what held the rows.
    """

    rows: Sequence[Mapping[str, object]]
    place: Place
    whole: str = ""

    def body(self, layout: Layout) -> dict[str, object]:
        """The batch that this deployment takes."""
        if not 1 <= len(self.rows) <= MAX_INSTANCES:
            raise InvalidBody(Problem(self.whole, f"Must hold 1 to {MAX_INSTANCES} rows."))
        fields = {**layout.features, **layout.entities}
        return {"instances": [_instance(layout, fields, row) for row in self.rows]}

    def pointing(self, error: InvalidBody) -> InvalidBody:
        """The same complaints, pointing into what was sent; each is made once."""
        return InvalidBody(*dict.fromkeys(Problem(self._place(each.pointer), each.detail) for each in error.problems))

    def _place(self, pointer: str) -> str:
        match = _INSTANCE.fullmatch(pointer)
        if match is None:
            return self.whole
        name = match[2]
        return self.place(int(match[1]), None if name is None else name.replace("~1", "/").replace("~0", "~"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What a deployment takes now, and which candidates may take traffic here."""

    table: RoutingTable
    layout: Layout
    able: frozenset[str]

    def fields(self) -> dict[str, Field]:
        """What an application sends, by name: entities, then features."""
        return {**self.layout.features, **self.layout.entities}

    def row(self) -> tuple[str, ...]:
        """The names of a row that comes without: stable's own, in its order, where a request carries all of it.

        Where the feature store fills in part of it there is no such row, whatever candidates come and go.
        """
        names = tuple([field.name for field in self.table.stable.model.inputs])
        return names if self.fields().keys() >= set(names) else ()


def named(names: Sequence[str], row: Sequence[object], pointer: str) -> dict[str, object]:
    """Name the values of a row that came without (``names`` are those of :meth:`Offer.row`). Raises InvalidBody."""
    if not names:
        raise InvalidBody(Problem(pointer, "Rows need names here: a part of the model's row is read, not sent."))
    if len(row) != len(names):
        raise InvalidBody(Problem(pointer, f"Must have {len(names)} values, or names."))
    return dict(zip(names, row, strict=True))


def token(name: str) -> str:
    """Escape a name as an RFC 6901 reference token."""
    return name.replace("~", "~0").replace("/", "~1")


def _instance(layout: Layout, fields: Mapping[str, Field], row: Mapping[str, object]) -> dict[str, object]:
    entities: dict[str, object] = {}
    features: dict[str, object] = {}
    members: dict[str, object] = {}
    for name, value in row.items():
        declared = fields.get(name)
        if declared is None and name in MEMBERS:
            members[name] = value
            continue
        target = entities if name in layout.entities else features
        target[name] = value if declared is None else adapted(declared, value)
    return {"entities": entities, "features": features, **members}


def adapted(declared: Field, value: object) -> object:
    """Let one type of number stand for another: whole floats for integers, NaN for a gap.

    >>> adapted(Field("hour", Type.INTEGER), 5.0), adapted(Field("hour", Type.INTEGER), 5.5)
    (5, 5.5)
    """
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return int(value) if declared.type is Type.INTEGER and value.is_integer() else value
