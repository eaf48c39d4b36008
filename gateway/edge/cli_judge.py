"""What the judge can be asked in a terminal: the past computed again, another policy, a rollout still to come.

These commands only read: they open the store beside the gateway that writes it. They translate, and decide nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.store import Store, open_store
from gateway.backtest import Act, Course
from gateway.backtest import backtest as tried
from gateway.core.errors import InvalidBody, NotReplayable, Problem, UnknownDeployment
from gateway.core.events import Decision
from gateway.core.forecast import about
from gateway.edge.cli_config import Config, settings_of
from gateway.edge.policy_file import load_policy
from gateway.edge.tables import table
from gateway.replay import Replayed, from_evidence
from gateway.replay import replay as computed_again

_EVERY = 2**62
_NAMED = re.compile(r"(?:(?P<deployment>.+)@)?(?P<revision>\d{1,18})")


def replay(
    decision: Annotated[
        str | None, typer.Argument(help="deployment@revision, or the revision alone; left out: every one.")
    ] = None,
    config: Config = None,
) -> None:
    """Compute recorded decisions again from the log. Exit code 0 only if each one is the same to the last bit."""
    with reading(config) as store:
        found = _decisions(store, decision)
        results = [computed_again(store.control, store.events, one) for one in found]
    for result in results:
        typer.echo(_told(result))
    typer.echo(f"{sum(result.equal for result in results)} of {len(results)} the same")
    raise typer.Exit(0 if results and all(result.equal for result in results) else 1)


def backtest(
    policy: Annotated[Path, typer.Option(help="A YAML file: guardrails, alpha, alpha_promote, maturity, plan.")],
    config: Config = None,
    deployment: Annotated[str | None, typer.Option(help="One deployment; left out: every one.")] = None,
    generation: Annotated[str | None, typer.Option(help="One candidate's generation; left out: every one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say when another policy would have acted on the logged history, and after how much, against what happened."""
    wanted = load_policy(policy)
    with reading(config) as store:
        names = [state.deployment for state in store.control.all()]
        if deployment is not None and deployment not in names:
            raise UnknownDeployment
        chosen = names if deployment is None else [deployment]
        courses = [course for name in chosen for course in tried(store.control, store.events, wanted, name, generation)]
    typer.echo(_as_json(courses) if as_json else _as_table(courses))


@contextmanager
def reading(config: Path | None) -> Iterator[Store]:
    """Open the store of these settings beside its writer."""
    store = open_store(settings_of(config).store_url, read_only=True)
    try:
        yield store
    finally:
        store.close()


def _decisions(store: Store, named: str | None) -> list[Decision]:
    """The decision named, or every one that came from evidence, oldest first. Raises NotReplayable."""
    match = None if named is None else _NAMED.fullmatch(named)
    if named is not None and match is None:
        raise InvalidBody(Problem("/decision", "Must be a revision, or deployment@revision."))
    names = [state.deployment for state in store.control.all()]
    if match is not None and match["deployment"] is not None:
        if match["deployment"] not in names:
            raise UnknownDeployment
        names = [match["deployment"]]
    lines = [line for name in names for line in reversed(store.control.timeline(name, _EVERY))]
    if match is None:
        return [line for line in lines if from_evidence(line)]
    found = [line for line in lines if line.revision == int(match["revision"])]
    if len(found) != 1:
        raise NotReplayable(
            f"There are {len(found)} decisions of revision {match['revision']}; name one as deployment@revision."
        )
    return found


def _as_table(courses: Sequence[Course]) -> str:
    heads = ("candidate", "generation", "then", "after", "samples", "policy", "after", "samples", "compared")
    rows = [
        (
            f"{course.deployment} {course.candidate} {course.version}",
            course.generation,
            *_cells(course.ended),
            *_cells(course.would_have_ended),
            course.compared,
        )
        for course in courses
    ]
    counts = Counter(course.compared for course in courses)
    summary = ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items()))
    return f"{table(heads, rows)}\n{len(courses):,} candidates: {summary or 'none whose looks were kept'}"


def _cells(act: Act | None) -> tuple[str, str, str]:
    if act is None:
        return "undecided", "", ""
    seen = act.samples or act.pairs
    return f"{act.action} ({act.actor})", about(act.after_s), "" if seen is None else f"{seen:,}"


def _as_json(courses: Sequence[Course]) -> str:
    """``ended`` and ``compared`` are worked out from the courses; everything else is as it is kept."""
    found = [asdict(course) | {"compared": course.compared} for course in courses]
    return json.dumps(found, indent=2)


def _told(result: Replayed) -> str:
    decision = result.decision
    head = f"{decision.deployment}@{decision.revision} {decision.action} {decision.candidate or ''}".rstrip()
    lines = [
        f"{head}: {'the same' if result.equal else 'NOT the same'} after {result.looks:,} looks",
        f"  recorded:   {decision.reason}",
        f"  recomputed: {result.action or 'nothing'}: {result.verdict.sentence}",
    ]
    lines += [f"  {one.place}: recorded {one.recorded!r}, recomputed {one.recomputed!r}" for one in result.differences]
    return "\n".join(lines)
