"""``gateway retraining ...``: runs that train a model again, from a terminal or a script. It decides nothing."""

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from gateway.edge.cli_config import Config
from gateway.edge.cli_rollout import AsJson, Deployment, Reason, Url, reach
from gateway.edge.cli_tables import show
from gateway.edge.control_client import Exit

_ALIVE = frozenset({"waiting", "called", "accepted"})

app = typer.Typer(no_args_is_help=True, help="See when a model is trained again, and have it done.")


@app.command()
def runs(deployment: Deployment = None, config: Config = None, url: Url = None, as_json: AsJson = False) -> None:
    """Which runs there were: what asked for them, and how they ended."""
    with reach(config, url) as client:
        found = client.get(f"{client.place(deployment)}/retraining")
    show(found, _table(found), as_json=as_json)


@app.command()
def ask(
    key: Annotated[str | None, typer.Option(help="Names the wish: typed twice, it asks for one run.")] = None,
    wait: Annotated[bool, typer.Option(help="Return when the run has ended. Exit code 1: it failed.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 1.0,
    reason: Reason = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have the model trained again. Exit code 1: a run is under way already, or nobody is there to do it."""
    with reach(config, url) as client:
        place = f"{client.place(deployment)}/retraining"
        run = client.post(place, {"key": key or secrets.token_hex(8), "reason": reason})
        while wait and run["phase"] in _ALIVE:
            time.sleep(every)
            run = next(one for one in client.get(place)["runs"] if one["id"] == run["id"])
    show(run, _line(run), as_json=as_json)
    raise typer.Exit(Exit.REFUSED if run["phase"] == "failed" else Exit.DONE)


@app.command()
def end(
    run: Annotated[str, typer.Argument(help="The run's id, as the target was told it.")],
    result: Annotated[Literal["succeeded", "failed"], typer.Argument(help="How it ended.")],
    said: Annotated[str, typer.Option(help="What it made, or what went wrong, in a sentence.")] = "",
    link: Annotated[str, typer.Option(help="Where the run is shown.")] = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say how a run ended that a server carries out: for the last step of a pipeline."""
    with reach(config, url) as client:
        body = {"result": result, "said": said, "link": link}
        found = client.post(f"{client.place(deployment)}/retraining/{run}/end", body)
    show(found, _line(found), as_json=as_json)


def _line(run: Mapping[str, Any]) -> str:
    said = f": {run['said']}" if run["said"] else ""
    return f"{run['id']} is {run['phase']}{said}"


def _table(found: Mapping[str, Any]) -> Table:
    causes = ", ".join(found["causes"]) or "nothing but a hand"
    target = found["target"] or "nobody"
    table = Table(title=f"{found['deployment']} · {target} trains it again, on {causes}", title_justify="left")
    for column in ("run", "at", "phase", "attempts", "cause", "said"):
        table.add_column(column)
    for run in found["runs"]:
        at = datetime.fromtimestamp(run["at"], UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(run["id"], at, run["phase"], str(run["attempt"]), run["cause"], run["said"])
    return table
