"""What the judge found, and how a person would say it. No statistics: numbers come in, sentences go out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.deployments import Role
from gateway.core.evidence.rates import Line

DISPLAY_CAP = 1e300
"""E-values are shown up to here; the judge itself keeps logarithms."""


class Finding(StrEnum):
    """What the evidence says. Inconclusive is an answer: not enough is known yet, in either direction."""

    PASS = "pass"  # noqa: S105 - a finding, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFinding:
    """One guardrail at one moment. All rates are *badness* (accuracy: the share of wrong answers), in [0, 1].

    Amounts (a loss, a business value) are means in their own unit, and ``bad_*`` does not apply. ``low``..``high``
    bound ``difference``, candidate against stable, turned so that above 0 is worse; all three intervals hold together
    at 95 %, at all times (of amounts: asymptotically). ``evidence`` is the greatest e-value against "no worse than
    tolerated" so far and fails the metric at ``threshold`` = 1 / alpha_m; ``evidence_now`` is where it stands.
    ``promote_evidence`` is the e-value against "worse than the margin" now. ``needed`` is how many more of the
    candidate's requests would decide it at this pace; None where no pace points anywhere.
    """

    metric: str
    role: Role
    finding: Finding
    dry_run: bool = False
    stable: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float = -1.0
    high: float = 1.0
    stable_low: float = 0.0
    stable_high: float = 1.0
    candidate_low: float = 0.0
    candidate_high: float = 1.0
    evidence: float
    evidence_now: float
    threshold: float
    promote_evidence: float | None = None
    promote_threshold: float | None = None
    n_stable: int
    n_candidate: int
    bad_stable: int = 0
    bad_candidate: int = 0
    sentence: str
    amount: bool = False
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says about a candidate at data time ``at``. ``paused_by`` names the signals that have fired."""

    finding: Finding
    findings: tuple[MetricFinding, ...]
    at: float
    sentence: str
    version: str
    paused_by: tuple[str, ...] = ()


def percent(rate: float | None) -> str:
    """Say a rate.

    >>> percent(0.0512), percent(0.00021), percent(None)
    ('5.1 %', '0.021 %', 'none')
    """
    if rate is None:
        return "none"
    value = 100.0 * rate
    return f"{value:.1f} %" if value >= 1.0 or value == 0.0 else f"{value:.2g} %"


def amount(evidence: float) -> str:
    """Say an e-value.

    >>> amount(0.034), amount(19.96), amount(12345.0), amount(3.2e17)
    ('0.03', '20.0', '12,345', '3.2e+17')
    """
    if evidence < 10.0:
        return f"{evidence:.2f}"
    return f"{evidence:,.1f}" if evidence < 1e3 else f"{evidence:,.0f}" if evidence < 1e6 else f"{evidence:.1e}"


def quantity(value: float | None) -> str:
    """Say an amount.

    >>> quantity(0.18234), quantity(1234.5), quantity(None)
    ('0.1823', '1,234', 'none')
    """
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"


def limit(line: Line, *, points: bool = True) -> str:
    """Say a line of tolerance or a margin; offsets as percentage points, or as amounts.

    >>> limit(Line()), limit(Line(1.1)), limit(Line(1.5, 0.005)), limit(Line(absolute=-0.01))
    ("stable's", "1.1 x stable's", "1.5 x stable's + 0.5 points", "stable's - 1 points")
    >>> limit(Line(absolute=0.02), points=False)
    "stable's + 0.02"
    """
    base = "stable's" if line.relative == 1.0 else f"{line.relative:g} x stable's"
    if line.absolute == 0.0:
        return base
    size = f"{abs(100.0 * line.absolute):g} points" if points else f"{abs(line.absolute):g}"
    return f"{base} {'+' if line.absolute > 0 else '-'} {size}"


def lasting(seconds: float) -> str:
    """Say a duration.

    >>> lasting(40.0), lasting(2_500.0), lasting(9_000.0), lasting(400_000.0)
    ('40 seconds', '42 minutes', '2.5 hours', '4.6 days')
    """
    for unit, length, most in (("seconds", 1.0, 90.0), ("minutes", 60.0, 5_400.0), ("hours", 3_600.0, 172_800.0)):
        if seconds < most:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds / 86_400.0:.2g} days"


def counts(found: MetricFinding, of: str, says: str) -> str:
    """Say how often it happened to whom, in numbers."""
    return (
        f"{percent(found.candidate)} of the candidate's {of} {says} "
        f"({found.bad_candidate:,} of {found.n_candidate:,}), "
        f"{percent(found.stable)} of stable's ({found.bad_stable:,} of {found.n_stable:,})"
    )


def amounts(found: MetricFinding, of: str) -> str:
    """Say what an amount comes to in whose answers."""
    return (
        f"the candidate's {of} is {quantity(found.candidate)} (over {found.n_candidate:,}), "
        f"stable's {quantity(found.stable)} (over {found.n_stable:,})"
    )


def all_safe(passed: Sequence[MetricFinding]) -> str:
    """Say that every counted metric has passed, with the numbers of each."""
    each = ", ".join(_against(one) for one in passed)
    weakest = min(one.promote_evidence or 0.0 for one in passed)
    enough = passed[0].promote_threshold or 0.0
    return (
        f"The candidate is shown to be safe: {each}, over {min(one.n_candidate for one in passed):,} of its requests "
        f"or more; the weakest evidence is {amount(weakest)}, {amount(enough)} is enough."
    )


def _against(one: MetricFinding) -> str:
    if one.amount:
        return f"{one.metric} {quantity(one.candidate)} against {quantity(one.stable)}"
    return f"{one.metric} {percent(one.candidate)} bad against {percent(one.stable)}"


def sentence(found: MetricFinding, seen: str, tolerance: str, margin: str, waiting: Sequence[str] = ()) -> str:
    """Say what was found about one metric. ``seen`` is in numbers, ``waiting`` what stands between it and a verdict."""
    if not found.n_candidate or not found.n_stable:
        return f"{found.metric}: nothing to compare yet ({seen})."
    seen = f"{found.metric}: {seen}"
    if found.finding is Finding.FAIL:
        return (
            f"{seen}: worse than tolerated (at most {tolerance}); "
            f"evidence {amount(found.evidence)}, {amount(found.threshold)} is enough."
        )
    promote, enough = found.promote_evidence or 0.0, found.promote_threshold or 0.0
    if found.finding is Finding.PASS:
        return f"{seen}: shown to be below {margin}; evidence {amount(promote)}, {amount(enough)} is enough."
    undecided = (
        f"not decided yet; evidence of harm {amount(found.evidence_now)} of {amount(found.threshold)}, "
        f"of safety {amount(promote)} of {amount(enough)}"
    )
    return f"{seen}: {'; '.join((undecided, *waiting))}."
