"""Whether labels still come: who is told of a silence, once, and who is not."""

from dataclasses import replace

from gateway.core.drift.terms import DriftTerms
from gateway.core.events import Decision
from gateway.hearing import Hearing
from tests.control_house import NAME, SPEC, House

RIGHT = {"1": 0.0}
HOUR_S = 3_600.0


class Street:
    """A deployment that is served and, or not, told the truth; ``listen`` looks at its watermark."""

    def __init__(self, silence_s: float = HOUR_S) -> None:
        self.house = House().open(replace(SPEC, drift=DriftTerms(label_silence_s=silence_s)))
        self.hearing = Hearing(self.house.log, self.house.control)

    def hear(self, requests: int) -> None:
        """Requests with their labels right behind."""
        self.house.serve(requests, RIGHT)
        self.listen()

    def wait(self, requests: int, hours: float) -> None:
        """Requests nobody labels, and time that passes."""
        self.house.serve(requests, RIGHT, labelled=False)
        self.house.clock.advance(hours * HOUR_S)
        self.listen()

    def listen(self) -> None:
        """Look once."""
        self.hearing.look(self.house.document, self.house.clock.data())

    @property
    def told(self) -> list[Decision]:
        """What people were told, oldest first."""
        return [one for one in self.house.alerts.decisions if one.action == "labels_stopped"]


def test_a_source_that_falls_silent_while_requests_come_is_told_once() -> None:
    street = Street()
    street.hear(10)
    street.wait(150, hours=2.0)
    street.wait(150, hours=2.0)
    [line] = street.told
    assert line.reason.startswith("no outcome came for 2 hours, in which 150 predictions were made")
    assert street.house.state.timeline(NAME, 1)[0].action == "labels_stopped"


def test_it_is_told_again_after_it_spoke_in_between() -> None:
    street = Street()
    street.hear(10)
    street.wait(150, hours=2.0)
    street.hear(1)
    street.wait(150, hours=2.0)
    assert len(street.told) == 2


def test_a_short_silence_or_one_without_traffic_is_nobodys_business() -> None:
    street = Street()
    street.hear(10)
    street.wait(150, hours=0.5)
    street.hear(1)
    street.wait(20, hours=9.0)
    assert street.told == []


def test_a_deployment_that_was_never_told_the_truth_is_waited_for() -> None:
    street = Street()
    street.listen()
    street.wait(500, hours=24.0)
    assert street.told == []


def test_whoever_asks_for_no_alarm_gets_none() -> None:
    street = Street(silence_s=0.0)
    street.hear(10)
    street.wait(500, hours=24.0)
    assert street.told == []
