"""Drift reports for whoever asks at the control plane: aside, and one at a time, for each takes half a gigabyte."""

from gateway.adapters.drift import Reporter
from gateway.contrast import Asked
from gateway.core.errors import Overloaded
from gateway.processes.duties import aside


class ReportDesk:
    """Hands out reports."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._busy = False

    async def page(self, asked: Asked) -> bytes:
        """Make one. Raises Overloaded while another one is being made, and what the reporter raises."""
        if self._busy:
            raise Overloaded("Another drift report is being made.")
        self._busy = True
        return await aside(self._make, asked)

    def _make(self, asked: Asked) -> bytes:
        """Until it is made, nobody else's is begun: not even where nobody waits for it any more."""
        try:
            return self._reporter.page(asked)
        finally:
            self._busy = False
