"""What a deployment's owner demands before and beside the judge: the validation gate, and when nothing may start.

Frozen values and the questions they can answer about a moment. All times are seconds of data time, days are UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

DAY_S = 86_400.0


class Pickles(StrEnum):
    """Where a model may come from that runs code of whoever wrote it when it is opened."""

    REFUSE = "refuse"
    FOLDER = "folder"
    """From a folder of joblib files, which holds nothing else; not from MLflow."""
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which no candidate starts and none moves up by itself. Demotions and people's words go on.

    ``after`` and ``before`` bound it (None: no bound). ``days`` (0 is Monday; none: every day) with ``from_s`` and
    ``until_s`` (seconds since midnight) say when within them; a window that ends before it begins runs into the next
    day, and one without any of them lasts from bound to bound.
    """

    reason: str
    after: float | None = None
    before: float | None = None
    days: tuple[int, ...] = ()
    from_s: float = 0.0
    until_s: float = DAY_S

    def holds(self, at: float) -> bool:
        """Whether data time ``at`` lies in it.

        >>> weekend = Freeze("weekend", days=(4,), from_s=16 * 3600.0, until_s=8 * 3600.0)
        >>> friday_evening, saturday_morning, saturday_noon = 1_767_376_800.0, 1_767_423_600.0, 1_767_441_600.0
        >>> weekend.holds(friday_evening), weekend.holds(saturday_morning), weekend.holds(saturday_noon)
        (True, True, False)
        """
        if (self.after is not None and at < self.after) or (self.before is not None and at >= self.before):
            return False
        moment = datetime.fromtimestamp(at, UTC)
        today, seconds = moment.weekday(), at % DAY_S
        if self.from_s < self.until_s:
            return self._on(today) and self.from_s <= seconds < self.until_s
        return (self._on(today) and seconds >= self.from_s) or (self._on((today - 1) % 7) and seconds < self.until_s)

    def _on(self, day: int) -> bool:
        return not self.days or day in self.days


@dataclass(frozen=True, slots=True)
class StartRules:
    """When a candidate may start. All durations in seconds of data time.

    The digest of a model that the judge demoted stays out for ``quarantine_s``, and ``quarantine_growth`` times longer
    at each further demotion, at most ``quarantine_max_s``. ``cooldown_s`` after such a demotion nothing starts at all.
    """

    quarantine_s: float = 3_600.0
    quarantine_growth: float = 2.0
    quarantine_max_s: float = 30 * DAY_S
    cooldown_s: float = 0.0
    freezes: tuple[Freeze, ...] = ()

    def frozen(self, at: float) -> Freeze | None:
        """The freeze that holds at data time ``at``, if one does."""
        return next((freeze for freeze in self.freezes if freeze.holds(at)), None)

    def stay_out_s(self, times: int) -> float:
        """How long a model stays out after its ``times``-th demotion.

        >>> [StartRules(quarantine_s=60.0, quarantine_max_s=200.0).stay_out_s(times) for times in (1, 2, 3)]
        [60.0, 120.0, 200.0]
        """
        if self.quarantine_s <= 0.0:
            return 0.0
        grown: float = self.quarantine_s * self.quarantine_growth ** min(times - 1, 64)
        return min(grown, self.quarantine_max_s)


@dataclass(frozen=True, slots=True)
class Holdout:
    """Labelled requests of the log, replayed by candidate and stable alike.

    The candidate must better stable's figure by ``margin`` (below zero: may be worse by so much), in the metric's
    unit. Fewer than ``at_least`` labelled requests are no hold-out: the gate says so and, where ``required``, refuses.
    """

    metric: str = "accuracy"
    margin: float = -0.02
    at_least: int = 100
    required: bool = False


@dataclass(frozen=True, slots=True)
class Robustness:
    """Of the answers, at most a share ``flips`` may change when every number moves by ``noise`` of its spread."""

    noise: float = 0.05
    flips: float = 0.05


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a model has to show before it gets traffic. None lets that gate be.

    ``latency_s`` bounds the 95th percentile of one row's answer, in machine seconds (None: the deployment's
    ``canary_deadline_s``), ``memory_bytes`` what loading and answering add to a process. At most ``rows`` requests of
    the log are replayed.
    """

    golden: bool = True
    latency_s: float | None = None
    memory_bytes: int | None = 4 * 2**30
    rows: int = 500
    holdout: Holdout | None = None
    robustness: Robustness | None = None

    @property
    def replays(self) -> bool:
        """Whether any gate needs requests of the log."""
        return self.holdout is not None or self.robustness is not None
