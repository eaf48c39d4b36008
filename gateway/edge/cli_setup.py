"""``gateway doctor`` and ``gateway init``: is everything there, and a first file for what is."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.edge.cli_config import DEFAULT_FILE, Config, settings_of
from gateway.edge.cli_rollout import AsJson, Url
from gateway.edge.cli_tables import rows_table, show
from gateway.edge.control_client import CommandFailed, Exit
from gateway.edge.doctor import examine
from gateway.edge.doctor_checks import Level
from gateway.edge.draft import draft, look
from gateway.settings import load_settings


def doctor(config: Config = None, url: Url = None, as_json: AsJson = False) -> None:
    """Check settings, connections, versions, permissions and clocks, and say what to fix. Exit code 1: something is."""
    settings = settings_of(config)
    checks = examine(settings, url)
    rows = [[check.about, check.level.value, check.says, check.fix] for check in checks]
    table = rows_table("gateway doctor", ("about", "is", "what", "what to do"), rows)
    show({"checks": [asdict(check) for check in checks]}, table, as_json=as_json)
    if any(check.level is Level.FAIL for check in checks):
        raise typer.Exit(Exit.REFUSED)


def init(
    model: Annotated[str, typer.Argument(help="The registered model's name.")],
    registry: Annotated[str, typer.Option(help="An MLflow tracking URI, or a folder of joblib models.")],
    features: Annotated[Path | None, typer.Option(help="The Feast repository's folder.")] = None,
    out: Annotated[Path, typer.Option(help="Where to write.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Look at a model and a Feast repository, and write a commented gateway.yaml for them."""
    if out.exists() and not force:
        raise CommandFailed(f"{out} is there already; --force writes over it.", Exit.MISUSED)
    text = draft(look(registry, features, model))
    unfinished = out.with_name(f".{out.name}.draft")
    unfinished.write_text(text, encoding="utf-8")
    load_settings(unfinished).specs()
    unfinished.replace(out)
    typer.echo(f"{out} is written; next: gateway doctor, then gateway serve")
