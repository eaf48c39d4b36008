"""``gateway rollout ...``: the operators' signals from a terminal or a script. It translates and decides nothing."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from gateway.edge.cli_config import Config, settings_of
from gateway.edge.cli_tables import decision_line, deployment_table, show
from gateway.edge.control_client import CommandFailed, ControlClient, Exit

Url = Annotated[str | None, typer.Option(help="The control plane's address, instead of the one of the settings.")]
Deployment = Annotated[str | None, typer.Option("--deployment", "-d", help="By default the only one, or the default.")]
Candidate = Annotated[str | None, typer.Option(help="By default the one that is alive.")]
Reason = Annotated[str, typer.Option(help="Why; it goes into the timeline.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_ENDED = {"promoted": Exit.DONE, "watched": Exit.DONE, "demoted": Exit.DEMOTED}
_STUCK = frozenset({"paused", "waiting"})

app = typer.Typer(no_args_is_help=True, help="Start rollouts, watch them, and tell them what to do.")


def reach(config: Path | None, url: str | None) -> ControlClient:
    """A connection to the control plane that the settings or the address name."""
    return ControlClient.open(settings_of(config), url)


@app.command()
def start(
    model: Annotated[str, typer.Argument(help="URI of the model, such as models:/churn/7.")],
    plan: Annotated[str | None, typer.Option(help="One of the deployment's plans.")] = None,
    name: Annotated[str, typer.Option(help="What the candidate is called.")] = "canary",
    override: Annotated[bool, typer.Option(help="In spite of a quarantine, cool-down or freeze.")] = False,
    reason: Reason = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Prepare a model, hold it to the gate, and start its rollout. Exit code 1: it was refused."""
    body = {"model": model, "plan": plan, "name": name, "override": override, "reason": reason}
    with reach(config, url) as client:
        found = client.post(f"{client.place(deployment)}/canary", body)
    show(found, decision_line(found), as_json=as_json)


@app.command()
def status(
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Who answers what share, where candidates stand, and what the judge says of them."""
    with reach(config, url) as client:
        found = client.get(client.place(deployment))
    show(found, deployment_table(found), as_json=as_json)


@app.command()
def promote(
    reason: Reason = "",
    candidate: Candidate = None,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a candidate stable, on your word."""
    _tell("promote", {"reason": reason, "candidate": candidate}, deployment, reach(config, url), as_json=as_json)


@app.command()
def demote(
    reason: Reason = "",
    candidate: Candidate = None,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Take all traffic from a candidate, for good."""
    _tell("demote", {"reason": reason, "candidate": candidate}, deployment, reach(config, url), as_json=as_json)


@app.command()
def pause(
    reason: Reason = "",
    candidate: Candidate = None,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Hold a rollout where it is; the judge goes on and may still demote."""
    _tell("pause", {"reason": reason, "candidate": candidate}, deployment, reach(config, url), as_json=as_json)


@app.command()
def resume(
    reason: Reason = "",
    candidate: Candidate = None,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a rollout go on, or approve the step it waits for."""
    _tell("resume", {"reason": reason, "candidate": candidate}, deployment, reach(config, url), as_json=as_json)


@app.command()
def rollback(
    reason: Reason = "",
    to: Annotated[str | None, typer.Option(help="Version of a former stable; left out: the latest.")] = None,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Return to a former stable at once: the latest, or the one of a version."""
    _tell("rollback", {"reason": reason, "to": to}, deployment, reach(config, url), as_json=as_json)


@app.command()
def watch(
    candidate: Candidate = None,
    deployment: Deployment = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 1.0,
    timeout: Annotated[float | None, typer.Option(help="Give up after so many seconds.", min=0.0)] = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a rollout live until it ends. Exit code 0: promoted; 4: demoted; 5: it needs a person; 6: time is up."""
    until = None if timeout is None else time.monotonic() + timeout
    with reach(config, url) as client:
        name = client.deployment(deployment)
        found = client.get(f"/admin/deployments/{name}")
        watched = _watched(found, candidate)
        with Live(deployment_table(found), console=Console(stderr=as_json), refresh_per_second=4) as live:
            while (code := _code(found, watched)) is None:
                if until is not None and time.monotonic() >= until:
                    code = Exit.TIMED_OUT
                    break
                time.sleep(every)
                found = client.get(f"/admin/deployments/{name}")
                live.update(deployment_table(found))
    if as_json:
        show(found, "", as_json=True)
    raise typer.Exit(code)


def _tell(signal: str, body: dict[str, Any], deployment: str | None, client: ControlClient, *, as_json: bool) -> None:
    with client:
        found = client.post(f"{client.place(deployment)}/{signal}", body)
    show(found, decision_line(found), as_json=as_json)


def _watched(found: dict[str, Any], candidate: str | None) -> str:
    """The candidate to watch: the one named, or the only one alive. Raises CommandFailed."""
    candidates = [one for one in found["variants"] if one["role"] == "candidate"]
    alive = [one["name"] for one in candidates if one["phase"] not in _ENDED]
    named = [one["name"] for one in candidates if one["name"] == candidate] if candidate else alive
    if len(named) != 1:
        names = ", ".join(one["name"] for one in candidates) or "none"
        raise CommandFailed(f"Name a candidate to watch; there are: {names}.", Exit.MISUSED)
    return str(named[0])


def _code(found: dict[str, Any], watched: str) -> Exit | None:
    phase = next((one["phase"] for one in found["variants"] if one["name"] == watched), "demoted")
    return _ENDED.get(phase, Exit.NEEDS_A_PERSON if phase in _STUCK else None)
