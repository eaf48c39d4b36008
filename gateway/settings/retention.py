"""The section ``retention``: how long the store keeps what."""

from pydantic import Field

from gateway.core.retention import DAY_S, Keeping
from gateway.settings.words import Seconds, Section


class RetentionSettings(Section):
    """How long the store keeps what; by default for ever. Whole days of data time (UTC) go, one by one."""

    predictions: Seconds | None = Field(default=None, ge=DAY_S)
    """How long predictions are kept, with their shadow scores, outcomes and bets, a duration in data time (``400d``);
    none for ever. What a living candidate is judged by stays as long as it lives."""
    looks: Seconds | None = Field(default=None, ge=DAY_S)
    """How long the looks of an ended candidate are kept, from its beginning on, a duration in data time; none as long
    as the predictions. Without them its decisions cannot be computed again; the timeline stays."""
    exported: str | None = None
    """Folder or URL of an export: a day is forgotten only once it lies there as it is; none waits for no export."""

    def keeping(self) -> Keeping:
        """The same as the core's value."""
        return Keeping(self.predictions, self.looks)
