"""The story of a drift report: what is laid beside what, and what it says where one side is missing."""

from collections import Counter
from dataclasses import replace

import pytest

from gateway.contrast import LEAST, Asked, Contrasting
from gateway.core.drift.profiles import Kind
from gateway.core.drift.sides import Column, Sides, Span
from gateway.core.drift.terms import DriftTerms, Reference
from gateway.core.errors import NothingToCompare, UnknownDeployment
from tests.control_house import NAME
from tests.drift_house import DriftHouse


def sides(house: DriftHouse, live: Span | None = None, reference: Span | None = None, name: str = NAME) -> Sides:
    story = Contrasting(house.house.state, house.house.log, house.store, house.profiles.get)
    return story.sides(Asked(name, live, reference))


def named(found: Sides, name: str) -> Column:
    return next(column for column in found.columns if column.name == name)


def test_beside_a_profile_both_sides_lie_in_its_cells_in_the_proportions_of_its_counts() -> None:
    house = DriftHouse()
    house.tick(delay=3.0)
    found = sides(house)
    assert [column.name for column in found.columns] == ["delay", "carrier", "prediction.score", "prediction.label"]
    assert {column.kind for column in found.columns} == {Kind.CATEGORY}
    delay = named(found, "delay")
    were, are = Counter(delay.reference), Counter(delay.live)
    assert len(were) == 10 and max(were.values()) - min(were.values()) <= 1  # its bins are its tenths
    assert all(str(word).startswith(f"{place:02}: ") for place, word in enumerate(sorted(map(str, were)), 1))
    assert are[max(map(str, were))] > 180
    assert "profile (tests)" in found.sentence and "stable version 1" in found.sentence


def test_values_that_were_lost_are_cells_of_their_own_beside_a_profile() -> None:
    house = DriftHouse()
    house.tick(stale=0.5)
    assert 60 < Counter(named(sides(house), "delay").live)["stale"] < 140


def test_an_input_that_is_served_no_more_is_absent_beside_a_profile() -> None:
    house = DriftHouse()
    house.tick(names=("carrier",))
    assert set(named(sides(house), "delay").live) == {"absent"}


def test_beside_a_window_of_the_log_numbers_are_as_they_were_and_rare_words_are_one() -> None:
    house = DriftHouse()
    start = house.at
    house.tick()
    middle = house.at
    house.tick(delay=5.0, stale=0.1, carriers=("UA", "<b>new</b>"))
    found = sides(house, Span(middle, house.at), Span(start, middle))
    delay = named(found, "delay")
    assert delay.kind is Kind.NUMBER
    values = [value for value in delay.live if isinstance(value, float)]
    assert 4.5 < sum(values) / len(values) < 5.5 and None in delay.live
    assert set(named(found, "delay (lost)").live) == {"there", "stale"}
    assert set(named(found, "carrier").live) == {"UA", "other"}
    assert "beside the log from" in found.sentence


def test_a_declared_window_is_the_reference_without_being_named_again() -> None:
    house = DriftHouse()
    start = house.at
    house.tick()
    terms = DriftTerms(reference=Reference.LOG, since=start, until=house.at, features=("delay",))
    house.house.control.apply(replace(house.house.document.spec, drift=terms), actor="ann", reason="")
    found = sides(house)
    assert [column.name for column in found.columns] == ["delay", "prediction.score", "prediction.label"]
    assert "beside the log from" in found.sentence


def test_answers_are_those_of_the_stable_version_only() -> None:
    house = DriftHouse()
    house.house.start("2")
    house.tick(share=0.5)
    answers = named(sides(house), "prediction.score").live
    assert 50 < len(answers) < 150


def test_what_is_missing_is_said() -> None:
    house = DriftHouse()
    with pytest.raises(UnknownDeployment):
        sides(house, name="nobody")
    with pytest.raises(NothingToCompare, match="Nothing has been served yet"):
        sides(house)
    house.tick(LEAST - 1)
    with pytest.raises(NothingToCompare, match=f"live window, from 2013.* holds {LEAST - 1} requests; {LEAST} are"):
        sides(house)
    house.tick(LEAST)
    with pytest.raises(NothingToCompare, match=r"reference window, from 1970.* holds 0 requests"):
        sides(house, reference=Span(0.0, 1.0))
    house.profiles.clear()
    with pytest.raises(NothingToCompare, match="carries no reference profile"):
        sides(house)
