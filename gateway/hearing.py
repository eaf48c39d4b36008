"""The story of the labels' source: people are told once when it falls silent (:mod:`gateway.core.hearing`).

What was heard is not kept in the store: whoever takes over listens from then on, and tells of a silence that much
later.
"""

from gateway.control import Control
from gateway.core.forecast import about
from gateway.core.hearing import Heard
from gateway.core.state import DeploymentState
from gateway.documents import Note
from gateway.ports import EventLog

ACTOR = "drift"


class Hearing:
    """Listens to every deployment. Everything may block."""

    def __init__(self, events: EventLog, control: Control) -> None:
        self._events, self._control = events, control
        self._heard: dict[str, Heard] = {}

    def look(self, state: DeploymentState, watermark: float) -> None:
        """Count at ``watermark`` (data time, seconds), and leave a line in the timeline where a silence has begun."""
        longest_s = state.spec.drift.label_silence_s
        if longest_s <= 0.0:
            return
        books = self._events.books(state.deployment)
        outcomes, asked = books.outcomes["accepted"], books.predictions["stored"]
        before = self._heard.get(state.deployment) or Heard(outcomes, asked, watermark)
        now = before.after(outcomes, asked, watermark, longest_s)
        if now.silent and not before.silent:
            unanswered = asked - now.asked
            said = f"no outcome came for {about(watermark - now.since)}, in which {unanswered:,} predictions were made"
            evidence = {"since": now.since, "predictions": unanswered, "outcomes": outcomes}
            note = Note("labels_stopped", ACTOR, f"{said}; nothing that needs labels can be judged", evidence=evidence)
            self._control.change(state.deployment, lambda state: state, note)
        self._heard[state.deployment] = now
