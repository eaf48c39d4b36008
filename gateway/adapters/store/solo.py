"""One host with a store of its own: it leads, always, and is the only one to wait for."""

from gateway.ports import HostWord

_EPOCH = 1


class SoloLeadership:
    """The Leadership port of a host that nobody contends with. It remembers no watermark: its judge's case does."""

    def __init__(self) -> None:
        self._reached: float | None = None

    def acquire(self) -> int | None:
        """Lead."""
        return _EPOCH

    def epoch(self) -> int:
        """The only epoch there is."""
        return _EPOCH

    def reach(self, watermark: float | None) -> float | None:
        """Keep the greatest."""
        if watermark is not None and (self._reached is None or watermark > self._reached):
            self._reached = watermark
        return self._reached

    def resign(self) -> None:
        """Nobody else would."""


class SoloHosts:
    """The Hosts port of one process: the host is alive as long as it can ask."""

    def __init__(self) -> None:
        self._words: dict[str, HostWord] = {}

    def beat(self, word: HostWord) -> None:
        """Keep its last word."""
        self._words[word.host] = word

    def live(self) -> list[HostWord]:
        """Every host there is."""
        return [self._words[host] for host in sorted(self._words)]

    def leave(self, host: str) -> None:
        """Forget it."""
        self._words.pop(host, None)
