"""How good the answers probably are, before their labels come; and how good they turned out, beside it.

A calibrated classifier says itself how often it is right: of answers given with 0.8, four in five. So the expected
accuracy of unlabelled answers is a mean of their own scores, and the expected confusion matrix a sum of them. It is
wrong where scores are not calibrated, or the world has changed what a score means (concept drift): the gap to the
realised value, on the requests whose label is known, says by how much. Source: NannyML's confidence-based performance
estimation (CBPE).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core.deployments import Scalar, Task
from gateway.core.drift.profiles import word_of
from gateway.core.drift.rows import LoggedRow


@dataclass(frozen=True, slots=True)
class Performance:
    """What is expected or known of some answers: shares between 0 and 1; None where there is nothing to tell it by.

    ``brier`` is the mean squared error of the scores (over all classes for several). ``precision``, ``recall`` and
    ``f1`` are a binary classifier's, of the class 1 (or true).
    """

    rows: int
    accuracy: float | None = None
    brier: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected performance of all answers; and of those whose label is known, expected beside realised.

    ``gap`` is realised less expected accuracy on the labelled ones and ``gap_se`` its standard error if the scores are
    calibrated: beyond about three of them the estimate is not to be trusted.
    """

    expected: Performance
    labelled_expected: Performance
    realised: Performance
    gap: float | None = None
    gap_se: float | None = None

    @property
    def trusted(self) -> bool | None:
        """Whether the estimate agrees with what is known; None while nothing is known."""
        if self.gap is None or self.gap_se is None:
            return None
        return abs(self.gap) <= 3.0 * self.gap_se + 0.01


@dataclass(frozen=True, slots=True)
class _Answer:
    """``chances`` by class, ``said`` the class answered, ``truth`` the class that was true, if known."""

    chances: dict[str, float]
    said: str
    truth: str | None


def estimated(rows: Sequence[LoggedRow], task: Task) -> Estimate:
    """Estimate from rows with scores. A regressor has none, and no estimate.

    >>> sure = LoggedRow(0.0, "a", "g", False, (), (), b"", label=1, score=0.8, truth=1)
    >>> found = estimated([sure] * 10, Task.BINARY)
    >>> round(found.expected.accuracy, 2), round(found.expected.brier, 2), found.realised.accuracy, round(found.gap, 2)
    (0.8, 0.16, 1.0, 0.2)
    """
    read: Callable[[LoggedRow], _Answer | None] = _binary if task is Task.BINARY else _several
    if task is Task.REGRESSION:
        return Estimate(Performance(0), Performance(0), Performance(0))
    answers = [answer for row in rows if not row.failed and (answer := read(row)) is not None]
    known = [answer for answer in answers if answer.truth is not None]
    binary = task is Task.BINARY
    there = _expected(known, binary=binary)
    realised = _expected([_told(answer) for answer in known], binary=binary, scores=known)
    gap = None
    if realised.accuracy is not None and there.accuracy is not None:
        gap = realised.accuracy - there.accuracy
    return Estimate(_expected(answers, binary=binary), there, realised, gap, _standard_error(known))


def _binary(row: LoggedRow) -> _Answer | None:
    if row.score is None or row.label is None:
        return None
    truth = None if row.truth is None else _positive(row.truth)
    return _Answer({"1": row.score, "0": 1.0 - row.score}, _positive(row.label), truth)


def _positive(label: Scalar) -> str:
    return "1" if label in (1, True, "1", "true") else "0"


def _several(row: LoggedRow) -> _Answer | None:
    if not row.scores or row.label is None:
        return None
    return _Answer(row.scores, word_of(row.label), None if row.truth is None else word_of(row.truth))


def _told(answer: _Answer) -> _Answer:
    """The same answer once the truth is known: its chances are certainties."""
    classes = {*answer.chances, str(answer.truth)}
    return _Answer({name: float(name == answer.truth) for name in classes}, answer.said, answer.truth)


def _expected(answers: Sequence[_Answer], *, binary: bool, scores: Sequence[_Answer] | None = None) -> Performance:
    """Sum up the chances; ``scores`` are the answers as given, where ``answers`` are as told."""
    if not answers:
        return Performance(0)
    rows = len(answers)
    accuracy = sum(answer.chances.get(answer.said, 0.0) for answer in answers) / rows
    given = answers if scores is None else scores
    brier = sum(_brier(said, true, binary=binary) for said, true in zip(given, answers, strict=True)) / rows
    if not binary:
        return Performance(rows, accuracy, brier)
    hits = sum(answer.chances["1"] for answer in answers if answer.said == "1")
    alarms = sum(1 for answer in answers if answer.said == "1")
    positives = sum(answer.chances["1"] for answer in answers)
    return Performance(
        rows,
        accuracy,
        brier,
        hits / alarms if alarms else None,
        hits / positives if positives else None,
        2.0 * hits / (alarms + positives) if alarms + positives else None,
    )


def _brier(given: _Answer, true: _Answer, *, binary: bool) -> float:
    """Expected squared error of the scores given, under the chances believed."""
    names = ["1"] if binary else sorted({*given.chances, *true.chances})
    total = 0.0
    for name in names:
        score, chance = given.chances.get(name, 0.0), true.chances.get(name, 0.0)
        total += chance * (1.0 - score) ** 2 + (1.0 - chance) * score**2
    return total


def _standard_error(known: Sequence[_Answer]) -> float | None:
    """Standard error of the realised accuracy around the expected one, if every score is what it says."""
    if not known:
        return None
    chances = [answer.chances.get(answer.said, 0.0) for answer in known]
    return math.sqrt(sum(chance * (1.0 - chance) for chance in chances)) / len(chances)
