"""A figure of the table: what was asked, what was reached, whether that is enough; and how hard to try."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. ``reached`` must not exceed ``goal``."""

    row: str
    what: str
    goal: float
    reached: float
    unit: str = ""
    allowance: float = 0.0
    """What noise may add, where few lives are simulated."""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is reached. NaN is not."""
        return bool(self.reached <= self.goal + self.allowance)

    def told(self, value: float) -> str:
        """Say a number in the figure's unit."""
        if self.unit == "%":
            return f"{100 * value:.2f} %"
        return f"{value:.3g}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Effort:
    """How many lives: the full table, or the quick one whose limits allow for three standard errors."""

    quick: bool = False

    def lives(self, full: int) -> int:
        """Return how many lives to simulate where the full table simulates ``full``."""
        return max(200, full // 20) if self.quick else full

    def some(self, full: int) -> int:
        """Return how many variants of a row to try where the full table tries ``full``."""
        return 1 if self.quick else full

    def rate(self, row: str, what: str, goal: float, share: float, lives: int) -> Figure:
        """Return a figure about a share of lives."""
        noise = 3 * float(np.sqrt(goal * (1 - goal) / lives)) if self.quick else 0.0
        return Figure(row, f"{what}, {lives:,} lives", goal, share, "%", noise)

    def delay(self, row: str, what: str, goal: float, delays: "np.typing.NDArray[np.float64]", bound: float) -> Figure:
        """Return a figure about the mean delay against a bound."""
        ratio = delays / bound
        noise = 3 * float(ratio.std() / np.sqrt(len(ratio))) if self.quick and np.isfinite(ratio).all() else 0.0
        middle, late = np.median(delays), np.quantile(delays, 0.95)
        note = f"bound {bound:,.0f}, median {middle:,.0f}, 95 % {late:,.0f}, missed {np.isinf(delays).sum()}"
        return Figure(row, f"{what}, {len(delays):,} lives", goal, float(ratio.mean()), "x bound", noise, note)
