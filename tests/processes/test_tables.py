"""What a worker knows of who answers: never a step back, never a model it lacks, no candidate without a lease."""

from pathlib import Path

import pytest

from gateway.adapters.clock import ManualClock
from gateway.core.errors import NoModelReady, UnknownDeployment
from gateway.processes.tables import TableBook, find_on_disk, leave_on_disk
from tests.processes.parts import Held, default_rules, table


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(machine=100.0)


@pytest.fixture
def held() -> Held:
    return Held({"d1", "d2"})


@pytest.fixture
def book(clock: ManualClock, held: Held) -> TableBook:
    return TableBook(clock, held)


def test_a_table_never_gives_way_to_a_lower_revision(book: TableBook) -> None:
    book.adopt([table(5)])
    book.adopt([table(4, stable="2")])
    assert book.table("churn").revision == 5
    assert book.table("churn").stable.model.version == "1"


def test_the_same_revision_worked_out_anew_takes_its_place(book: TableBook) -> None:
    book.adopt([table(5)])
    book.adopt([table(5, policies={"age": None})])
    assert "age" in book.table("churn").policies


def test_a_table_whose_stable_is_not_loaded_waits_for_it(book: TableBook, held: Held) -> None:
    book.adopt([table(1)])
    book.adopt([table(2, stable="9")])
    assert book.table("churn").revision == 1
    assert "d9" in {card.digest for card in book.wanted()}
    held.digests.add("d9")
    book.settle()
    assert book.table("churn").revision == 2


def test_without_a_lease_no_candidate_takes_traffic(book: TableBook, clock: ManualClock) -> None:
    book.adopt([table(1, canary="2")])
    assert book.able(book.table("churn")) == frozenset()
    book.extend_lease(clock.machine() + 3.0)
    assert book.able(book.table("churn")) == {"canary"}
    clock.advance(3.0)
    assert book.able(book.table("churn")) == frozenset()


def test_a_lease_never_shrinks(book: TableBook, clock: ManualClock) -> None:
    book.adopt([table(1, canary="2")])
    book.extend_lease(clock.machine() + 3.0)
    book.extend_lease(clock.machine() - 1.0)
    assert book.able(book.table("churn")) == {"canary"}


def test_a_candidate_that_is_not_loaded_or_refused_here_takes_no_traffic(
    book: TableBook, clock: ManualClock, held: Held
) -> None:
    book.extend_lease(clock.machine() + 3.0)
    book.adopt([table(1, canary="3")])
    assert book.able(book.table("churn")) == frozenset()
    held.digests.add("d3")
    assert book.able(book.table("churn")) == {"canary"}
    held.refusing.add("canary")
    assert book.able(book.table("churn")) == frozenset()


def test_a_candidate_that_a_waiting_table_has_demoted_takes_no_traffic_any_more(
    book: TableBook, clock: ManualClock
) -> None:
    book.extend_lease(clock.machine() + 3.0)
    book.adopt([table(1, canary="2")])
    book.adopt([table(2, stable="9")])
    assert book.table("churn").revision == 1
    assert book.able(book.table("churn")) == frozenset()


def test_the_only_deployment_is_the_default_one_and_of_several_the_marked_one(book: TableBook) -> None:
    book.adopt([table(1)])
    assert book.table(None).deployment == "churn"
    book.adopt([table(1, deployment="fraud", rules=default_rules())])
    assert book.table(None).deployment == "fraud"
    assert book.table_by_tag("tag-churn") == book.table("churn")


def test_a_declared_deployment_that_has_no_table_yet_is_not_ready_and_nobody_answers_for_it(
    clock: ManualClock, held: Held
) -> None:
    book = TableBook(clock, held, ["churn", "fraud"])
    book.adopt([table(1)])
    for name in ("fraud", None):
        with pytest.raises(NoModelReady):
            book.table(name)
    with pytest.raises(UnknownDeployment):
        book.table("nobody")
    book.adopt([table(1, deployment="fraud", rules=default_rules())])
    assert book.table(None).deployment == "fraud"


def test_the_only_declared_deployment_is_the_default_one_beside_those_of_former_days(
    clock: ManualClock, held: Held
) -> None:
    book = TableBook(clock, held, ["churn"])
    book.adopt([table(1), table(1, deployment="fraud")])
    assert book.table(None).deployment == "churn"


def test_an_unknown_deployment_is_said_to_be_unknown(book: TableBook) -> None:
    for name in ("churn", None):
        with pytest.raises(UnknownDeployment):
            book.table(name)


def test_a_worker_is_ready_when_every_stable_is_loaded(book: TableBook, held: Held) -> None:
    assert not book.ready()
    book.adopt([table(1), table(1, stable="9", deployment="fraud")])
    assert not book.ready()
    held.digests.add("d9")
    assert book.ready()


def test_a_worker_whose_stable_is_refused_is_not_sound(book: TableBook, held: Held) -> None:
    book.adopt([table(1)])
    assert not book.stable_refused()
    held.refusing.add("stable")
    assert book.stable_refused()


def test_tables_on_disk_are_whole_or_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    leave_on_disk(folder, table(1, canary="2"))
    leave_on_disk(folder, table(7, deployment="fraud"))
    leave_on_disk(folder, table(2))
    (folder / ".half.json").write_text("{")
    (folder / "broken.json").write_text("{")
    assert find_on_disk(folder) == [table(2), table(7, deployment="fraud")]


def test_no_tables_on_disk_is_nothing_special(tmp_path: Path) -> None:
    assert find_on_disk(tmp_path / "absent") == []
