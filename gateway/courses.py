"""Keeps how each candidate's evidence has gone, as points for people to watch: see :mod:`gateway.core.course`."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.course import CoursePoint, point_of, worth_keeping
from gateway.core.findings import Verdict
from gateway.core.judging import JudgeState, drawn
from gateway.core.looks import Opening
from gateway.ports import ControlState


class Seen(NamedTuple):
    """What one look has shown of a candidate; the verdict may lack its intervals, which cost work."""

    opening: Opening
    case: JudgeState
    verdict: Verdict


class Courses:
    """Adds a point to a candidate's course whenever a look has shown something new."""

    def __init__(self, state: ControlState) -> None:
        self._state = state
        self._last: dict[tuple[str, str], CoursePoint | None] = {}

    def note(self, looks: Sequence[Seen]) -> None:
        """Keep the numbers of those verdicts that show something which the point before them does not."""
        worth = [seen for seen in looks if worth_keeping(self._before(seen.opening), seen.verdict)]
        verdicts = drawn([(seen.case, seen.verdict) for seen in worth])
        for seen, verdict in zip(worth, verdicts, strict=True):
            about, point = (seen.opening.deployment, seen.opening.generation), point_of(verdict)
            self._state.save_point(*about, point)
            self._last[about] = point

    def _before(self, opening: Opening) -> CoursePoint | None:
        about = (opening.deployment, opening.generation)
        if about not in self._last:
            self._last[about] = next(reversed(self._state.course(*about)), None)
        return self._last[about]
