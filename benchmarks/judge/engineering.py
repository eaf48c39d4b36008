"""E1 to E4: many workers, restarts, repeated outcomes, and what it costs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from benchmarks.judge.figures import Effort, Figure
from benchmarks.judge.lives import ENOUGH, RateLives, steady
from gateway.adapters.store.memory import MemoryEventLog
from gateway.core.cases import bet_on_rate
from gateway.core.deployments import Guardrail, Task
from gateway.core.events import ArmRecord, Event, EvidenceRow, OutcomeRecord, PairRow, Position, PredictionRecord
from gateway.core.ids import tag_of
from gateway.core.judging import JudgeState, look, open_case, verdict
from gateway.core.metrics import METRICS, default_guardrail
from gateway.core.tallies import Tally
from gateway.ports import Window

SECOND = 20
"""Requests a second."""
OUT_OF_ORDER_S = 5
START = 1_363_000_000.0


def workers(effort: Effort) -> list[Figure]:
    """E1: four workers whose records come up to five seconds late and out of order, merged each second.

    The watermark holds every look back until all four have spoken, so a look takes what is five seconds old.
    """
    lives, found = effort.lives(2_000), []
    regressions = (("accuracy .90 > .87", 0.10, 0.13), ("error 1 > 2 %", 0.01, 0.02))
    for what, s, c in regressions[: effort.some(2)]:
        alone, late = _exposed(lives, s, c)
        found.append(Figure("E1", f"{what}, delay of four workers", 1.1, late / alone, "x that of one"))
    quiet = effort.lives(2_000)
    hit = _ever(quiet, 0.01, 10_000 if effort.quick else 100_000)
    return [*found, effort.rate("E1", "alike, four workers merged each second", 0.05, hit, quiet), _same_state()]


def _exposed(lives: int, s: float, c: float) -> tuple[float, float]:
    """Mean canary samples served until a verdict, with one worker and with the watermark five seconds back."""
    judge, source = RateLives(lives), steady(s, c, 0.05, 501)
    served: list[np.ndarray] = []
    judged_at = np.full(lives, -1)
    for second in range(40_000):
        counts, new, pi = source.draw(SECOND, lives)
        served.append((served[-1] if served else 0) + new)
        hit = (judge.see(counts, SECOND, pi) >= ENOUGH) & (judged_at < 0)
        judged_at[hit] = second
        if (judged_at >= 0).all() and second >= judged_at.max() + OUT_OF_ORDER_S:
            break
    which = np.arange(lives)
    at = np.array(served)
    return float(at[judged_at, which].mean()), float(at[judged_at + OUT_OF_ORDER_S, which].mean())


def _ever(lives: int, rate: float, requests: int) -> float:
    judge, source, hit = RateLives(lives), steady(rate, rate, 0.05, 502), np.zeros(lives, dtype=bool)
    for _ in range(requests // SECOND):
        counts, _, pi = source.draw(SECOND, lives)
        hit |= judge.see(counts, SECOND, pi) >= ENOUGH
    return float(hit.mean())


def _same_state() -> Figure:
    """Rows of four spools, drained in any order, give the state that one spool's give."""
    rows = traffic(8_000, seed=503)
    shuffled = [rows[index] for index in np.random.default_rng(504).permutation(len(rows))]
    straight = _watched(rows)
    merged = _watched(sorted(shuffled, key=lambda row: row.position))
    gap = max(abs(a - b) for a, b in zip(_evidence(straight), _evidence(merged), strict=True))
    return Figure("E1", "difference in evidence after draining four spools in another order", 1e-9, gap)


def everything(task: Task = Task.BINARY) -> tuple[Guardrail, ...]:
    """Return a guardrail on every metric that fits, and on a business value."""
    named = tuple(metric.default for metric in METRICS.values() if task in metric.tasks)
    value = Guardrail("value:revenue", absolute=0.2, margin_absolute=1.0, low=0.0, high=10.0, higher_is_better=True)
    return (*named, value)


def traffic(n: int, *, seed: int, pi: float = 0.2, worse: float = 0.0) -> list[EvidenceRow]:
    """Draw labelled requests of four workers, fifty a second, with scores, latencies and a business value."""
    rng = np.random.default_rng(seed)
    ours, x = rng.random(n) < pi, rng.normal(0.0, 1.5, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-x))
    score = 1 / (1 + np.exp(-(x + worse * ours * rng.normal(0.5, 1.0, n))))
    latency = rng.lognormal(-3.0, 0.5, n) * np.where(ours, 1.0 + worse, 1.0)
    failed, revenue = rng.random(n) < 0.005, rng.random(n) * 10
    return [
        EvidenceRow(
            Position(START + k / 50, f"spool-{k % 4}", k // 4),
            bool(ours[k]),
            pi,
            bool(failed[k]),
            int(score[k] > 0.5),
            float(score[k]),
            None,
            float(latency[k]),
            {"label": int(truth[k]), "revenue": float(revenue[k])},
        )
        for k in range(n)
    ]


def pairs_of(rows: Sequence[EvidenceRow]) -> list[PairRow]:
    """Let a shadow answer stable's requests, a little differently."""
    return [
        PairRow(r.position, r.label, r.score, int((r.score or 0) > 0.55), r.score, False, r.outcomes)
        for r in rows
        if not r.candidate
    ]


def opened() -> JudgeState:
    """Open a case on everything."""
    return open_case(everything(), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=True)


def _watched(
    rows: Sequence[EvidenceRow], *, every: int = 250, lost: Callable[[int, JudgeState], JudgeState] | None = None
) -> JudgeState:
    state = opened()
    for number, start in enumerate(range(0, len(rows), every)):
        chunk = rows[start : start + every]
        if lost is not None:
            state = lost(number, state)
        state = look(state, health=chunk, mature=chunk, pairs=pairs_of(chunk), at=chunk[-1].position.at)
    return state


def _evidence(state: JudgeState) -> list[float]:
    found = verdict(state, state.looked_at).findings
    return [float(np.log(one.evidence)) for one in found] + [float(np.log(one.evidence_now)) for one in found]


def restarts(effort: Effort) -> list[Figure]:
    """E2: killed at twenty random looks, each time after the look was made and before it was saved."""
    rows = traffic(4_000 if effort.quick else 20_000, seed=505, worse=0.1)
    looks = len(rows) // 250
    killed = set(np.random.default_rng(506).choice(looks, min(20, looks), replace=False).tolist())

    def lost(number: int, state: JudgeState) -> JudgeState:
        saved = msgspec.json.encode(state)
        if number in killed:
            chunk = rows[number * 250 : number * 250 + 250]
            look(state, health=chunk, mature=chunk, pairs=(), at=chunk[-1].position.at)  # and nobody remembers it
            return msgspec.json.decode(saved, type=JudgeState)
        return state

    straight, restored = _watched(rows), _watched(rows, lost=lost)
    gap = max(abs(a - b) for a, b in zip(_evidence(straight), _evidence(restored), strict=True))
    alike = verdict(straight, 0.0) == verdict(restored, 0.0)
    return [
        Figure("E2", f"difference in evidence after {len(killed)} restarts, every metric", 1e-9, gap),
        Figure("E2", "verdicts that differ", 0, float(not alike)),
    ]


def repeats(effort: Effort) -> list[Figure]:  # noqa: ARG001
    """E3: labels posted twice, records drained twice, outcomes of ids that were never issued."""
    once, noisy = MemoryEventLog(), MemoryEventLog()
    events = list(enumerate(_records(2_000)))
    once.append("spool", events, len(events))
    noisy.append("spool", events[:1_500], 1_500)
    noisy.append("spool", events, len(events))
    again = [event for _, event in events if isinstance(event, OutcomeRecord)]
    strange = [replace(event, body=f"unknown-{event.body}") for event in again[:500]]
    noisy.append("other", list(enumerate([*again, *strange])), len(again) + len(strange))
    states = []
    for log in (once, noisy):
        rows = log.evidence("d", "g2", Window(START - 1, START + 1e6, log.cursors()))
        guardrails = (default_guardrail("error_rate"), default_guardrail("accuracy"))
        state = open_case(guardrails, alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=False)
        states.append(look(state, health=rows, mature=rows, pairs=(), at=START + 1e6))
    gap = max(abs(a - b) for a, b in zip(*map(_evidence, states), strict=True))
    bets = states[0].n_candidate
    gap = gap if bets > 100 and states[0].rates == states[1].rates else float("nan")
    return [Figure("E3", f"difference in evidence after repeats and unknown ids ({bets} canary bets)", 0, gap)]


def _records(n: int) -> list[Event]:
    rng = np.random.default_rng(507)
    found: list[Event] = []
    arms = (ArmRecord("stable", "g1", 0.8, "a"), ArmRecord("canary", "g2", 0.2, "b"))
    for k in range(n):
        arm = "canary" if rng.random() < 0.2 else "stable"
        body, at = f"body-{k}", START + k
        found.append(
            PredictionRecord(tag_of("d"), body, "d", 1, 0, str(k), at, arm, arm, arms, label=int(rng.random() < 0.8))
        )
        found.append(OutcomeRecord(tag_of("d"), body, "label", 1, at + 1, at + 1))
    return found


def cost(effort: Effort) -> list[Figure]:  # noqa: ARG001
    """E4: nothing on the request path; per judged event, per look and metric, and in bytes."""
    guardrails = tuple(map(default_guardrail, ("error_rate", "accuracy", "false_negatives", "brier")))
    state = open_case(guardrails, alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=False)
    rows = traffic(20_000, seed=508)
    state = look(state, health=rows, mature=rows, pairs=(), at=START)
    an_event = _best(lambda: look(state, health=rows, mature=rows, pairs=(), at=START), 3) / len(rows)
    tallies = [Tally(0, 0.05, (1, 4, 1, 94))]
    a_look = _best(lambda: bet_on_rate(state.rates["error_rate"], guardrails[0], tallies), 50)
    few = rows[:20]
    alone = open_case((guardrails[0],), alpha=0.05, alpha_promote=0.05, task=Task.BINARY, at=START, pairs=False)
    alone = look(alone, health=rows, mature=(), pairs=(), at=START)
    deployments = 1_000 * _best(lambda: look(alone, health=few, mature=(), pairs=(), at=START), 50)
    several = 1_000 * _best(lambda: look(state, health=few, mature=few, pairs=(), at=START), 50)
    also = f"with four guardrails {several:.1f} s"
    return [
        Figure("E4", "a judged event, per metric (the request path itself: 0)", 2.0, 1e6 * an_event / 4, "us"),
        Figure("E4", "a judged event, four metrics (100,000 a second)", 10.0, 1e6 * an_event, "us"),
        Figure("E4", "a look at counts, per metric", 0.5, 1e3 * a_look, "ms"),
        Figure("E4", "looks at 1,000 deployments, 20 new requests each", 1.0, deployments, "s", note=also),
        Figure("E4", "greatest state of a metric", 4_096, _greatest(), "bytes"),
    ]


def _best(work: Callable[[], object], times: int) -> float:
    """The shortest of several runs, in seconds of the processor: a busy neighbour does not count."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def _greatest() -> float:
    state = _watched(traffic(6_000, seed=509))
    kinds = (state.rates, state.means, state.tails, state.blocks, state.ranks, state.calibrations, state.pairs)
    return float(max(len(msgspec.json.encode(case)) for cases in kinds for case in cases.values()))
