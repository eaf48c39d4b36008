"""What the judge remembers of a candidate: cases by kind, and how its error budget is split over them."""

from dataclasses import dataclass, field

from gateway.core.block_cases import BlockCase, CoverageCase, PairRankCase, RankCase
from gateway.core.calibration import CalibrationCase
from gateway.core.cases import PairCase, RateCase, RatioCase
from gateway.core.deployments import Guardrail, Role, Task
from gateway.core.evidence.intervals import Stratum
from gateway.core.metrics import Kind, known, told_as
from gateway.core.pair_cases import PairCalibrationCase, PairShareCase
from gateway.core.tail_cases import TailCase
from gateway.core.value_cases import MeanCase, PairMeanCase

JUDGE_VERSION = "4"
REPLAYABLE = frozenset({"3", JUDGE_VERSION})
"""Versions under which evidence may have been opened that this judge goes on with, and makes again bit for bit."""
PAIRED = "paired_"
SAMPLE_RATIO = "sample_ratio"
LABEL_RATIO = "label_ratio"


@dataclass(frozen=True, slots=True)
class JudgeState:
    """Everything the judge remembers of a candidate. Plain data: JSON keeps it bit for bit.

    Cases are held by kind, by the guardrail's metric; ``coverage`` by predicted class, ``values`` by the outcome that a
    business value is posted under. ``version`` is the judge's that opened it: by its rules it is judged to the end.
    ``yes`` names the positive class where that is neither 1 nor true. ``n_candidate`` is the
    number of the candidate's bets in the counted metric that has fewest, ``n_pairs`` likewise for pairs.
    ``judged_until``, ``matured_until``, ``paired_until`` (data time, seconds) and ``cursor`` (offset by spool) belong
    to the caller, who hands every row in exactly once; the judge carries them along.
    """

    version: str
    task: Task
    alpha: float
    alpha_promote: float
    opened_at: float
    looked_at: float
    guardrails: tuple[Guardrail, ...]
    rates: dict[str, RateCase]
    pairs: dict[str, PairCase]
    arrivals: RatioCase
    labels: RatioCase
    due: tuple[Stratum, ...] = ()
    n_candidate: int = 0
    n_pairs: int = 0
    judged_until: float | None = None
    matured_until: float | None = None
    paired_until: float | None = None
    cursor: dict[str, int] = field(default_factory=dict)
    means: dict[str, MeanCase] = field(default_factory=dict)
    tails: dict[str, TailCase] = field(default_factory=dict)
    blocks: dict[str, BlockCase] = field(default_factory=dict)
    ranks: dict[str, RankCase] = field(default_factory=dict)
    calibrations: dict[str, CalibrationCase] = field(default_factory=dict)
    paired_means: dict[str, PairMeanCase] = field(default_factory=dict)
    coverage: dict[str, CoverageCase] = field(default_factory=dict)
    values: dict[str, RatioCase] = field(default_factory=dict)
    yes: str | None = None
    paired_ranks: dict[str, PairRankCase] = field(default_factory=dict)
    paired_shares: dict[str, PairShareCase] = field(default_factory=dict)
    paired_calibrations: dict[str, PairCalibrationCase] = field(default_factory=dict)
    own: bool = True
    """Whether it is judged on traffic of its own, or on shadow pairs alone."""


def threshold(state: JudgeState) -> float:
    """Return ``1 / alpha_m``: alpha split equally over everything that may demote."""
    acting = [one.metric for one in state.guardrails if one.role is Role.GUARDRAIL and not one.dry_run]
    shares = sum((state.own and known(metric).kind is not Kind.AGREEMENT) + paired(state, metric) for metric in acting)
    return max(1, shares) / state.alpha


def paired(state: JudgeState, metric: str) -> bool:
    """Whether a metric is judged on shadow pairs too."""
    return metric in state.pairs or PAIRED + metric in state.pairs or PAIRED + metric in state.paired_means


def n_candidate(state: JudgeState, guardrail: Guardrail) -> int:
    """Return the number of the candidate's bets on one guardrail."""
    name, kind = guardrail.metric, told_as(guardrail).kind
    if kind is Kind.RATE:
        return sum(one.n_candidate for one in state.rates[name].strata)
    if kind in (Kind.MEAN, Kind.SHIFT):
        return sum(one.candidate.n for one in state.means[name].strata)
    if kind in (Kind.SLOWER, Kind.SPREAD):
        return sum(state.tails[name].candidate.values())
    if kind is Kind.AGREEMENT:
        return sum(state.pairs[name].cells)
    return sum(one.n_candidate for one in state.arrivals.strata)
