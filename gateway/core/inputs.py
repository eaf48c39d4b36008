"""What an application may send, and the model's row that comes of it.

Pure: a decoded JSON body goes in, instances come out, or InvalidBody with a pointer for each place that does not fit.
Nothing is coerced and nothing that was sent is ever repeated: an unknown name is counted, not quoted.
"""

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from gateway.core.deployments import Field, ModelCard, OnInvalid, Scalar, Type
from gateway.core.errors import InvalidBody, Problem
from gateway.core.features import Freshness, FreshVector, Vector, freshness
from gateway.core.routing import RoutingTable

MAX_INSTANCES = 1_000
MAX_TEXT = 1_024
MAX_REQUEST_ID = 128
MAX_PLACES = 32
"""So many wrong places are listed; the check of a batch stops there."""
LARGEST = 3.4028234663852886e38
"""The greatest number taken where no range is declared: the end of float32, in which many models compute."""

_WORDS = {
    Type.INTEGER: "an integer",
    Type.NUMBER: "a number",
    Type.STRING: "a string",
    Type.BOOLEAN: "true or false",
}
_MEMBERS = frozenset({"entities", "features", "routing_key", "request_id"})
_ENTITY_PREFIX = "entities."


@dataclass(frozen=True, slots=True)
class Instance:
    """One valid request for one prediction. Optional values that were not sent, or sent as null, are absent.

    So are values that were not valid and whose field says ``on_invalid: default``; ``invalid`` names them.
    """

    entities: Mapping[str, Scalar]
    features: Mapping[str, Scalar]
    routing_key: str | None = None
    request_id: str | None = None
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowPlan:
    """A model's row that is picked whole from the served features, or else whole from the request's own.

    ``place`` picks it from served values as they were read.
    """

    inputs: tuple[Field, ...]
    served: bool
    pick: Callable[[Mapping[str, Scalar]], tuple[Scalar, ...]]
    place: Callable[[tuple[Scalar, ...]], tuple[Scalar, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A routing table laid out for checking requests and building rows: made once per table, used per request.

    ``features`` holds every request feature that any variant or warm model knows; ``served`` what the feature store
    delivers; ``delivered`` the same by feature service; ``required`` what stable reads and may refuse a request over.
    """

    entities: Mapping[str, Field]
    features: Mapping[str, Field]
    served: tuple[str, ...]
    delivered: Mapping[str, frozenset[str]]
    required: frozenset[str]
    sticky: bool
    key_entity: str | None
    names: tuple[str, ...]
    """What a record's values are called: served features, then entities, then request features."""
    no_entities: Mapping[str, str]
    """Names that are known, but not as entities, with what to say of them."""
    no_features: Mapping[str, str]
    fresh: Freshness
    rows: Mapping[str, "RowPlan"]
    """By model digest, where all of the model's row comes from, for those that take it from one place."""


def lay_out(table: RoutingTable) -> Layout:
    """Read off a routing table what its requests may and must carry."""
    delivered = {service: frozenset(names) for service, names in table.features.services.items()}
    entities = {entity.name: entity for entity in table.inputs.entities}
    features = {feature.name: feature for feature in table.inputs.features}
    for card in table.models():
        for known in card.inputs:
            if known.name not in entities and known.name not in _served_to(card, delivered):
                features.setdefault(known.name, _as_request_feature(known, card is table.stable.model))
    served = table.features.names()
    key_entity = _key_entity(table.rules.routing_key)
    if key_entity is not None and table.rules.sticky:
        entities[key_entity] = replace(entities.get(key_entity, Field(key_entity, Type.STRING)), required=True)
    return Layout(
        entities=entities,
        features=features,
        served=served,
        delivered=delivered,
        required=_served_to(table.stable.model, delivered),
        sticky=table.rules.sticky,
        key_entity=key_entity,
        names=(*served, *entities, *features),
        no_entities=dict.fromkeys(features, "Is a request feature; send it in features."),
        no_features=dict.fromkeys(entities, "Is an entity key; send it in entities.")
        | dict.fromkeys(served, "Is read from the feature store and cannot be sent."),
        fresh=freshness(table.features, table.policies),
        rows=dict(_row_plans(table, entities, delivered)),
    )


def _row_plans(
    table: RoutingTable, entities: Mapping[str, Field], delivered: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, RowPlan]]:
    for card in table.models():
        names, served = [field.name for field in card.inputs], _served_to(card, delivered)
        if len(names) < 2 or not entities.keys().isdisjoint(names):
            continue
        if served.issuperset(names):
            yield card.digest, RowPlan(card.inputs, True, itemgetter(*names), _placing(names, table.features.names()))
        elif served.isdisjoint(names):
            yield card.digest, RowPlan(card.inputs, False, itemgetter(*names), _as_it_is)


def _placing(names: Sequence[str], served: Sequence[str]) -> Callable[[tuple[Scalar, ...]], tuple[Scalar, ...]]:
    return _as_it_is if tuple(names) == tuple(served) else itemgetter(*[served.index(name) for name in names])


def _as_it_is(row: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    return row


def _key_entity(declared: str | None) -> str | None:
    return declared.removeprefix(_ENTITY_PREFIX) if declared and declared.startswith(_ENTITY_PREFIX) else None


def _served_to(card: ModelCard, delivered: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return delivered.get(card.feature_service or "", frozenset())


def _as_request_feature(known: Field, stables: bool) -> Field:
    """Take a model's input as what a request may carry; only stable's inputs may be demanded."""
    required = stables and known.required and known.default is None
    return replace(known, required=required)


def read_body(layout: Layout, body: object) -> tuple[Instance, ...]:
    """Check a decoded body, single or batch, and return its instances in order. Raises InvalidBody.

    A batch is checked whole: one bad instance spoils it.
    """
    found: list[Problem] = []
    if isinstance(body, dict) and "instances" in body:
        instances = _batch(layout, body, found)
    else:
        instances = [_instance(layout, body, "", found)]
    if found:
        raise InvalidBody(*found[:MAX_PLACES])
    return tuple(instances)


def _batch(layout: Layout, body: Mapping[str, object], found: list[Problem]) -> list[Instance]:
    items = body["instances"]
    beside = sorted(_MEMBERS & body.keys())
    found.extend(Problem(f"/{name}", "Belongs inside each instance, not beside them.") for name in beside)
    if len(body) > 1 and not beside:
        found.append(Problem("", "A batch takes one member: instances."))
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_INSTANCES:
        found.append(Problem("/instances", f"Must be an array of 1 to {MAX_INSTANCES} instances."))
        return []
    instances: list[Instance] = []
    for index, item in enumerate(items):
        instances.append(_instance(layout, item, f"/instances/{index}", found))
        if len(found) >= MAX_PLACES:
            break
    return instances


def _instance(layout: Layout, item: object, at: str, found: list[Problem]) -> Instance:
    if not isinstance(item, dict):
        found.append(Problem(at, "Must be an object."))
        return _NOTHING
    if item.keys() - _MEMBERS:
        found.append(Problem(at, f"Takes these members: {', '.join(sorted(_MEMBERS))}."))
    replaced: list[str] = []
    entities = _section(layout.entities, item.get("entities"), f"{at}/entities", found, replaced)
    features = _section(layout.features, item.get("features"), f"{at}/features", found, replaced)
    _strangers(layout.entities, item.get("entities"), layout.no_entities, f"{at}/entities", found)
    _strangers(layout.features, item.get("features"), layout.no_features, f"{at}/features", found)
    routing_key = _routing_key(layout, item.get("routing_key"), entities, f"{at}/routing_key", found)
    request_id = item.get("request_id")
    if request_id is not None and not _is_request_id(request_id):
        found.append(Problem(f"{at}/request_id", f"Must be 1 to {MAX_REQUEST_ID} printable ASCII characters."))
    return Instance(entities, features, routing_key, request_id, tuple(replaced))


def _section(
    fields: Mapping[str, Field], given: object, at: str, found: list[Problem], replaced: list[str]
) -> dict[str, Scalar]:
    """Check one object of named values; what is absent or null and may be so is left out, and what is replaced."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        found.append(Problem(at, "Must be an object."))
        return {}
    kept: dict[str, Scalar] = {}
    for name, declared in fields.items():
        value = given.get(name)
        if value is None:
            if declared.required:
                found.append(Problem(f"{at}/{_token(name)}", "Is missing."))
            continue
        complaint = fault(declared, value)
        if complaint is not None and declared.on_invalid is OnInvalid.DEFAULT:
            replaced.append(name)
            continue
        if complaint is not None:
            found.append(Problem(f"{at}/{_token(name)}", complaint))
        kept[name] = value
    return kept


def _strangers(
    fields: Mapping[str, Field], given: object, misplaced: Mapping[str, str], at: str, found: list[Problem]
) -> None:
    """Report names that are not among ``fields``: those known elsewhere by name, the others by their number."""
    if not isinstance(given, dict) or given.keys() <= fields.keys():
        return
    strangers = given.keys() - fields.keys()
    elsewhere = sorted(strangers & misplaced.keys())
    found.extend(Problem(f"{at}/{_token(name)}", misplaced[name]) for name in elsewhere)
    if len(strangers) > len(elsewhere):
        found.append(Problem(at, _unknown(strangers.difference(elsewhere), fields)))


def _unknown(strangers: Collection[str], fields: Mapping[str, Field]) -> str:
    """Count unknown names without quoting one, and name what is taken here and the nearest right words."""
    tried = [name[:64] for name, _ in zip(strangers, range(3), strict=False)]
    near = sorted({word for name in tried for word in difflib.get_close_matches(name, fields, 1)})
    known = ", ".join(list(fields)[:MAX_PLACES]) or "none"
    hint = f" Did you mean: {', '.join(near)}?" if near else ""
    return f"Unknown names: {len(strangers)}. This deployment takes here: {known}.{hint}"


def fault(declared: Field, value: object) -> str | None:
    """Say what is wrong with ``value`` for a field, or None. A number takes integers; nothing else is coerced.

    >>> fault(Field("hour", Type.INTEGER, maximum=23), 24)
    'Must be at most 23.'
    >>> fault(Field("hour", Type.INTEGER), True)
    'Must be an integer.'
    """
    if declared.categories:
        return None if _among(declared, value) else "Must be one of the declared categories."
    if type(value) is float and declared.type is Type.NUMBER and -LARGEST <= value <= LARGEST:
        low, high = declared.minimum, declared.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return None  # the usual case; NaN and infinity have failed the comparison
    if declared.type is Type.BOOLEAN:
        return None if isinstance(value, bool) else f"Must be {_WORDS[declared.type]}."
    if declared.type is Type.STRING:
        return text_fault(value)
    kinds = (int,) if declared.type is Type.INTEGER else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return f"Must be {_WORDS[declared.type]}."
    return number_fault(value, declared.minimum, declared.maximum)


def _among(declared: Field, value: object) -> bool:
    return any(type(value) is type(one) and value == one for one in declared.categories)


def text_fault(value: object, longest: int = MAX_TEXT) -> str | None:
    """Say what is wrong with ``value`` as a text of at most ``longest`` characters, or None."""
    if not isinstance(value, str):
        return "Must be a string."
    if len(value) > longest:
        return f"Must have at most {longest} characters."
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return "Must be a text without NUL and without half characters (lone surrogates)."
    return None


def number_fault(value: float, minimum: float | None = None, maximum: float | None = None) -> str | None:
    """Say what is wrong with ``value`` as a finite number within its range, or None.

    Integers keep to 64 bits; without a declared range, magnitudes beyond float32 are refused.
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "Must be an integer of at most 64 bits."
    if not math.isfinite(value):
        return "Must be a finite number."
    if minimum is not None and value < minimum:
        return f"Must be at least {minimum:g}."
    if maximum is not None and value > maximum:
        return f"Must be at most {maximum:g}."
    if (minimum is None or maximum is None) and abs(value) > LARGEST:
        return "Must lie within the range of float32; declare a minimum and a maximum for more."
    return None


def _routing_key(
    layout: Layout, given: object, entities: Mapping[str, Scalar], at: str, found: list[Problem]
) -> str | None:
    if layout.sticky and layout.key_entity is None:
        complaint = "Is missing, and this deployment is sticky." if given is None else text_fault(given)
        if complaint is not None or given == "":
            found.append(Problem(at, complaint or "Must not be empty."))
        return str(given)
    if given is not None:
        found.append(Problem(at, "Is not taken by this deployment."))
    return str(entities.get(layout.key_entity)) if layout.sticky and layout.key_entity is not None else None


def _is_request_id(given: object) -> bool:
    return isinstance(given, str) and 1 <= len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()


def _token(name: str) -> str:
    """Escape a name as an RFC 6901 reference token."""
    return name.replace("~", "~0").replace("/", "~1")


_NOTHING = Instance({}, {})


def row_of(layout: Layout, card: ModelCard, instance: Instance, vector: Vector) -> tuple[Scalar, ...]:
    """Build a model's input row, in the order of its card.

    A name that is an entity key takes the entity's value; one that the model's own feature service delivers takes it
    from the feature vector; any other is the request's, or its declared default.
    """
    plan = layout.rows.get(card.digest)
    if plan is not None and plan.inputs is card.inputs:
        if plan.served and type(vector) is FreshVector:
            return plan.place(vector.row)
        try:
            return plan.pick(vector.values if plan.served else instance.features)
        except KeyError:  # an optional one was not sent: its default has to be found
            pass
    delivered = _served_to(card, layout.delivered)
    return tuple([_cell(layout, declared, delivered, instance, vector) for declared in card.inputs])


def _cell(layout: Layout, declared: Field, delivered: frozenset[str], instance: Instance, vector: Vector) -> Scalar:
    name = declared.name
    if name in layout.entities:
        return instance.entities.get(name, layout.entities[name].default)
    if name in delivered:
        return vector.values[name]
    value = instance.features.get(name)
    if value is None:
        value = layout.features[name].default
    return declared.default if value is None else value
