"""How far data time has been drained."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import Punctuation
from gateway.core.watermark import Watermark, advance, hear, leave


def heard(*words: tuple[str, float | None, float], now: float = 0.0, mark: Watermark | None = None) -> Watermark:
    mark = mark or Watermark()
    for spool, low, high in words:
        mark = hear(mark, spool, Punctuation(low, high), now)
    return mark


def test_nothing_is_known_before_the_first_word() -> None:
    assert advance(Watermark(), now=5.0).value is None


def test_the_watermark_lies_just_below_the_smallest_time_still_under_way() -> None:
    mark = advance(heard(("a", 50.0, 90.0), ("b", 70.0, 95.0)), now=0.1)
    assert mark.value == math.nextafter(50.0, -math.inf)


def test_an_idle_spool_holds_nobody_up() -> None:
    mark = advance(heard(("a", None, 40.0), ("b", 70.0, 95.0)), now=0.1)
    assert mark.value == math.nextafter(70.0, -math.inf)


def test_when_all_are_idle_it_reaches_the_greatest_time_seen_once_no_twin_is_to_be_expected() -> None:
    mark = heard(("a", None, 40.0), ("b", None, 95.0))
    assert advance(mark, now=0.1).value == math.nextafter(95.0, -math.inf)
    assert advance(mark, now=1.0).value == 95.0


def test_saying_the_same_again_is_still_idleness() -> None:
    mark = heard(("a", None, 40.0), now=0.9, mark=heard(("a", None, 40.0)))
    assert advance(mark, now=1.0).value == 40.0


def test_a_silent_spool_leaves_after_three_seconds() -> None:
    mark = heard(("dead", 10.0, 20.0))
    mark = heard(("live", 80.0, 90.0), now=2.9, mark=mark)
    assert advance(mark, now=2.9).value == math.nextafter(10.0, -math.inf)
    assert advance(mark, now=3.0).value == math.nextafter(80.0, -math.inf)


def test_a_sealed_spool_leaves_at_once() -> None:
    mark = leave(heard(("done", 10.0, 20.0), ("live", 80.0, 90.0)), "done")
    assert advance(mark, now=0.1).value == math.nextafter(80.0, -math.inf)


word = st.tuples(st.sampled_from("abc"), st.none() | st.floats(0, 100), st.floats(0, 100), st.floats(0, 2))


@given(st.lists(word, max_size=40))
def test_it_never_moves_back(words: list[tuple[str, float | None, float, float]]) -> None:
    mark, now, last = Watermark(), 0.0, -math.inf
    for spool, low, high, wait in words:
        now += wait
        mark = advance(hear(mark, spool, Punctuation(low, high), now), now)
        value = -math.inf if mark.value is None else mark.value
        assert value >= last
        last = value
