"""Last words to the collector: for two seconds what is left is sent, and one that is away costs no more than that."""

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final

from opentelemetry.sdk.trace import TracerProvider

LAST_S: Final = 2.0


def close(providers: Sequence[TracerProvider]) -> None:
    """Send what is left, all at once, for two seconds at most. Blocks; what is not sent by then is lost."""
    ends = [threading.Thread(target=_end, args=(one,), daemon=True, name="last-spans") for one in providers]
    until = monotonic() + LAST_S
    for end in ends:
        end.start()
    for end in ends:
        end.join(max(0.0, until - monotonic()))


def _end(provider: TracerProvider) -> None:
    provider.force_flush(int(1_000 * LAST_S))
    provider.shutdown()
