"""Row P7: labels beyond their time and replays of old ones change no decision, and each is counted."""

from dataclasses import replace

from gateway.core.events import OutcomeRecord
from gateway.core.ids import tag_of
from gateway.ports import VariantPerformance
from tests.control_house import NAME, House
from tests.security.form import Form

TAG = tag_of(NAME)
GOOD = {"1": 0.2, "2": 0.2}


def test_labels_that_come_after_their_time_are_counted_and_change_nothing(form: Form) -> None:
    late = form.pick(5_000, 20_000)
    house = House().open()
    house.start()
    house.serve(400, GOOD)
    house.look()
    before = (house.control.verdict(NAME)[1], house.document)
    now = house.clock.data()
    flood = [OutcomeRecord(TAG, f"nobody-{n}", "label", 1, now, now) for n in range(late)]
    house.log.append("attacker-p000001", list(enumerate(flood)), late)
    assert house.log.expire_outcomes(now + 1.0) == late
    replayed = list(enumerate(flood, start=late))
    house.log.append("attacker-p000001", replayed, 2 * late)
    books = house.log.books().outcomes
    assert books["expired"] == late
    assert books["waiting"] == late
    house.look()
    assert (house.control.verdict(NAME)[1].finding, house.document) == (before[0].finding, before[1])
    assert house.log.expire_outcomes(now + 1.0) == late
    books = house.log.books().outcomes
    assert (books["expired"], books["waiting"]) == (2 * late, 0)
    assert books["accepted"] == sum(n for name, n in books.items() if name not in {"accepted", "corrected"}), books
    form.note(f"{books['expired']} of {2 * late} late ones and replays counted; the decision stands", "all; unchanged")


def counted(house: House) -> list[VariantPerformance]:
    """What is counted of each variant, without how long the first word took to come."""
    rows = house.log.performance(NAME, 0.0, house.clock.data())
    return [replace(row, label_delay_s=None) for row in rows]


def test_the_same_label_again_is_a_duplicate_and_is_bet_on_once() -> None:
    house = House().open()
    house.start()
    house.serve(400, GOOD)
    window_before = counted(house)
    again = [
        (n, OutcomeRecord(TAG, f"b{n}", "label", 0, house.clock.data() - 1e6, house.clock.data()))
        for n in range(1, 401)
    ]
    house.log.append("attacker-p000001", again, 1_000)
    assert counted(house) == window_before, "an older observation corrects nothing"
