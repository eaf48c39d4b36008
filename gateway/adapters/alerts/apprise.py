"""Alerts through apprise: Slack, PagerDuty, mail, webhooks and a hundred more, each a URL.

One thread of its own groups, sends and retries, so a dead target costs its own thread's time and a counter, and nothing
else. Targets hold secrets: they are never logged nor shown, only numbered. Whatever plugin sends, the address it
connects to is judged as for our own calls, and redirects are not followed.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from gateway.adapters.guarded import guarded
from gateway.core.alerts import Alert, Inbox, Kind, Message, Severity
from gateway.core.errors import SettingsError
from gateway.ports import Clock

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 1_000
ATTEMPTS: Final = 3
_END: Final = object()

Count = Callable[[Kind, str], None]
"""Told what became of an alert: ``sent`` or ``failed`` per target, ``repeated`` or ``dropped`` before any."""


class AppriseAnnouncer:
    """Announces alerts of the ``kinds`` wanted to every one of ``targets``; ``link`` is put below each message.

    ``group_s`` and ``quiet_s`` are machine seconds, see :class:`gateway.core.alerts.Inbox`. ``wait_s`` is the pause
    before the second attempt; it doubles. ``inside`` permits targets on private networks. Raises
    SettingsError for a target that apprise does not know, and where apprise is not installed.
    """

    def __init__(
        self,
        targets: Sequence[str],
        clock: Clock,
        *,
        kinds: Sequence[Kind] = tuple(Kind),
        group_s: float = 5.0,
        quiet_s: float = 3_600.0,
        link: str = "",
        count: Count = lambda _kind, _became: None,
        wait_s: float = 1.0,
        inside: bool = True,
    ) -> None:
        self._targets = [_opened(number, url) for number, url in enumerate(targets, 1)]
        self._clock, self._kinds, self._link, self._count = clock, frozenset(kinds), link, count
        self._inbox = Inbox(group_s, quiet_s)
        self._wait_s, self._inside = wait_s, inside
        self._queue: queue.Queue[Alert | object] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def announce(self, alert: Alert) -> None:
        """Put the alert on its way. Returns at once."""
        if alert.kind not in self._kinds:
            return
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self._count(alert.kind, "dropped")

    def close(self, longest_s: float = 5.0) -> None:
        """Send what waits, within ``longest_s`` seconds."""
        self._queue.put(_END)
        self._thread.join(longest_s)

    def _work(self) -> None:
        while True:
            found = self._next()
            now = self._clock.machine()
            if isinstance(found, Alert) and not self._inbox.put(found, now):
                self._count(found.kind, "repeated")
            for message in self._inbox.take_all() if found is _END else self._inbox.take(now):
                self._send(message)
            if found is _END:
                return

    def _next(self) -> object:
        """The next alert; None when the next message is due before one comes."""
        due = self._inbox.next_due()
        try:
            return self._queue.get(timeout=None if due is None else max(0.0, due - self._clock.machine()))
        except queue.Empty:
            return None

    def _send(self, message: Message) -> None:
        for number, target in enumerate(self._targets, 1):
            became = "sent" if self._deliver(target, message) else "failed"
            if became == "failed":
                log.warning("alert_not_sent", target=number, deployment=message.deployment, title=message.title)
            for alert in message.alerts:
                self._count(alert.kind, became)

    def _deliver(self, target: Any, message: Message) -> bool:  # noqa: ANN401 - apprise is untyped
        """Send, and again after a pause where that failed."""

        def notify() -> bool:
            try:
                with guarded(inside=self._inside):
                    return bool(target.notify(body=message.body(self._link), title=message.title, notify_type=kind))
            except Exception as error:  # noqa: BLE001 - a hundred plugins of other people's, in our thread
                log.warning("alert_target_raised", error=type(error).__name__)
                return False

        kind = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.FAILURE: "failure"}[message.severity]
        again = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(self._wait_s),
            retry=retry_if_result(lambda done: not done),
            retry_error_callback=lambda _state: False,
        )
        return bool(again(notify))


def _opened(number: int, url: str) -> Any:  # noqa: ANN401 - apprise is untyped
    try:
        import apprise
    except ImportError as error:
        raise SettingsError("alerts.targets needs apprise: pip install 'gateway[alerts]'.") from error
    asset = apprise.AppriseAsset(http_redirects=False, async_mode=False)  # one after the other
    target = apprise.Apprise(asset=asset)
    if not target.add(url):
        scheme = url.partition("://")[0] if "://" in url else "?"
        raise SettingsError(f"alerts.targets: number {number} ({scheme}://...) is no URL that apprise can use.")
    return target
