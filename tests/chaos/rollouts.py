"""``make chaos-rollouts``: the race, swap and bad-artifact figures, at length. Exit code 1: a promise was broken."""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tests.chaos import bad_artifacts, storm, swaps
from tests.e2e.harness import Gateway

_GROWTH_MIB = 30.0
"""By how much workers and agent may each have grown over all swaps; a leaked model each would be far more."""


def main() -> int:
    """Run everything and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=500)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        gateway = Gateway(folder, swaps.config(folder, said.workers))
        try:
            gateway.start()
            kept = [run_swaps(gateway, said.swaps), run_traps(gateway, folder), run_storm(gateway, said.signals)]
        finally:
            gateway.close()
    return 0 if all(kept) else 1


def run_swaps(gateway: Gateway, count: int) -> bool:
    """So many swaps of stable under load."""
    took: list[float] = []
    before = agent_before = 0.0
    with swaps.loaded(gateway) as load:
        for number in range(count // 2):
            took += swaps.swap_twice(gateway, 2 + number % (swaps.VERSIONS - 1))
            if number == min(5, count // 4):
                before, agent_before = swaps.resident_mib(gateway), swaps.resident_mib(gateway, "agent")
        grown = swaps.resident_mib(gateway) - before
        agent_grown = swaps.resident_mib(gateway, "agent") - agent_before
    slowest = sorted(took)[int(0.99 * (len(took) - 1))]
    print(
        f"swaps: {len(took)} under load, {load.answers.total()} answers, {len(load.failed)} failed, "
        f"{len(load.wrong)} from the wrong model; traffic moved after {statistics.median(took) * 1e3:.0f} ms "
        f"(median), {slowest * 1e3:.0f} ms (99 %); workers grew by {grown:.1f} MiB, the agent by {agent_grown:.1f} MiB"
    )
    for one in [*load.failed[:5], *load.wrong[:5]]:
        print(f"  {one}")
    return not load.failed and not load.wrong and max(grown, agent_grown) < _GROWTH_MIB


def run_traps(gateway: Gateway, folder: Path) -> bool:
    """Every kind of bad artifact, under load."""
    kept = True
    for number, trap in enumerate(bad_artifacts.TRAPS, 90):
        bad_artifacts.write(folder / "models", str(number), trap)
        with swaps.loaded(gateway, callers=1) as load:
            why, seconds = bad_artifacts.refused(gateway, str(number))
        print(
            f"artifact that {trap}: refused after {seconds:.1f} s ({why}); {load.answers.total()} answers, "
            f"{len(load.failed)} failed"
        )
        kept = kept and not load.failed and not load.wrong
    return kept


def run_storm(gateway: Gateway, signals: int) -> bool:
    """Operators who all talk at once."""
    seen, broken = storm.blow(gateway, seed=1, signals=signals), storm.illegal(gateway)
    held = sum(n for status, n in seen.items() if status < 300)
    strange = {status: n for status, n in seen.items() if status not in (200, 201, 409, 422)}
    print(f"storm: {seen.total()} signals by 4 operators, {held} held, {len(broken)} illegal steps, other: {strange}")
    for one in broken[:5]:
        print(f"  {one}")
    return not broken and not strange


if __name__ == "__main__":
    sys.exit(main())
