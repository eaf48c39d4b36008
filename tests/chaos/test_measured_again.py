"""What the small form measures again, and what never."""

from collections.abc import Callable, Iterator
from random import Random

from tests.chaos.__main__ import line_of
from tests.chaos.report import Outcome, Row, Setting, Status


def measuring(*outcomes: Callable[[Outcome], None]) -> Row:
    """A row that measures these, one after the other."""
    coming: Iterator[Callable[[Outcome], None]] = iter(outcomes)

    def run(_: Setting) -> Outcome:
        outcome = Outcome(faults=1, what="faults")
        next(coming)(outcome)
        return outcome

    return Row("X1", "nothing is lost, and soon", run)


def late(outcome: Outcome) -> None:
    outcome.exactly("lost", 0, 0)
    outcome.at_most("took", 2.0, 1.0, " s")


def in_time(outcome: Outcome) -> None:
    outcome.exactly("lost", 0, 0)
    outcome.at_most("took", 0.5, 1.0, " s")


def lossy(outcome: Outcome) -> None:
    outcome.exactly("lost", 1, 0)
    outcome.at_most("took", 2.0, 1.0, " s")


def test_the_small_form_measures_a_late_row_again_and_says_so() -> None:
    line = line_of(measuring(late, in_time), Random(1), quick=True)
    assert line.status is Status.PASS
    assert "measured again, as it was late at first: took 2 s (<= 1 s)" in line.show()


def test_a_row_that_is_late_three_times_fails() -> None:
    assert line_of(measuring(late, late, late, in_time), Random(1), quick=True).status is Status.FAIL


def test_a_row_that_lost_something_is_never_measured_again() -> None:
    assert line_of(measuring(lossy, in_time), Random(1), quick=True).status is Status.FAIL


def test_the_full_form_never_measures_again() -> None:
    assert line_of(measuring(late, in_time), Random(1), quick=False).status is Status.FAIL
