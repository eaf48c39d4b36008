"""The section ``alerts``: who is told of what, and how often."""

from gateway.core.alerts import Kind
from gateway.settings.words import Seconds, Section


class AlertSettings(Section):
    """Who is told of demotions, promotions, drift and what else people want to hear of."""

    targets: tuple[str, ...] = ()
    """URLs as apprise writes them: ``slack://...``, ``pagerduty://...``, ``mailto://...``, ``jsons://...``. Secrets."""
    kinds: tuple[Kind, ...] = tuple(Kind)
    """What they are told of; by default everything."""
    link: str = ""
    """The address of the control room as people reach it; below each message stands the way to its deployment there."""
    group: Seconds = 5.0
    """Alerts of a deployment within this time of the first go out as one message, a duration in machine time."""
    quiet: Seconds = 3_600.0
    """The same alert is not told again for this long, a duration in machine time."""
