"""Keeps how each candidate's evidence has gone, as points for people to watch: see :mod:`gateway.core.course`."""

from collections.abc import Callable

from gateway.core.course import CoursePoint, point_of, worth_keeping
from gateway.core.findings import Verdict
from gateway.core.looks import Opening
from gateway.ports import ControlState


class Courses:
    """Adds a point to a candidate's course whenever a look has shown something new."""

    def __init__(self, state: ControlState) -> None:
        self._state = state
        self._last: dict[tuple[str, str], CoursePoint | None] = {}

    def note(self, opening: Opening, verdict: Verdict, drawn: Callable[[], Verdict]) -> None:
        """Keep a verdict's numbers, if they show something that the point before them does not.

        ``verdict`` may lack its intervals, which cost work; ``drawn`` gives it with them.
        """
        about = (opening.deployment, opening.generation)
        if about not in self._last:
            self._last[about] = next(reversed(self._state.course(*about)), None)
        if worth_keeping(self._last[about], verdict):
            point = point_of(drawn())
            self._state.save_point(*about, point)
            self._last[about] = point
