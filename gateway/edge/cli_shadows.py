"""``gateway shadow ...``: models that watch, from a terminal or a script. It translates and decides nothing."""

from typing import Annotated, Literal
from urllib.parse import quote

import typer

from gateway.edge.cli_config import Config
from gateway.edge.cli_rollout import AsJson, Deployment, Reason, Url, reach
from gateway.edge.cli_tables import decision_line, show, verdict_table

Name = Annotated[str, typer.Argument(help="What the shadow is called.")]

app = typer.Typer(no_args_is_help=True, help="Let models watch, read what pairs show of them, and let them rise or go.")


@app.command()
def add(
    name: Name,
    model: Annotated[str, typer.Argument(help="URI of the model, such as models:/churn/7.")],
    rate: Annotated[float, typer.Option(help="Share of the requests it watches, 0 to 1.")] = 1.0,
    reason: Reason = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Prepare a model and let it watch; it answers nobody, and is judged on pairs. Exit code 1: it was refused."""
    body = {"name": name, "model": model, "rate": rate, "reason": reason}
    with reach(config, url) as client:
        found = client.post(f"{client.place(deployment)}/shadows", body)
    show(found, decision_line(found), as_json=as_json)


@app.command()
def verdict(
    name: Name,
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """What pairs with stable have shown so far: each guardrail's estimates, evidence and sentence."""
    with reach(config, url) as client:
        found = client.get(f"{client.place(deployment)}/verdict", candidate=name)
    show(found, verdict_table(found), as_json=as_json)


@app.command()
def promote(
    name: Name,
    to: Annotated[Literal["canary", "stable"], typer.Option(help="What it becomes; stable is stable at once.")],
    plan: Annotated[str | None, typer.Option(help="One of the deployment's plans.")] = None,
    revision: Annotated[int | None, typer.Option(help="Only if the deployment is still at this revision.")] = None,
    reason: Reason = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a shadow rise on what pairs have shown. Exit code 1: they do not show enough, or the gate said no."""
    body = {"to": to, "plan": plan, "reason": reason}
    with reach(config, url) as client:
        path = f"{client.place(deployment)}/shadows/{quote(name, safe='')}/promote"
        found = client.post(path, body, revision=revision)
    show(found, decision_line(found), as_json=as_json)


@app.command()
def remove(
    name: Name,
    reason: Reason = "",
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a shadow go."""
    with reach(config, url) as client:
        path = f"{client.place(deployment)}/shadows/{quote(name, safe='')}"
        found = client.delete(path, reason=reason)
    show(found, decision_line(found), as_json=as_json)
