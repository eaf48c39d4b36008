"""``gateway audit``: is the trail of decisions as it was written? Reads beside a running gateway, changes nothing."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import compose
from gateway.adapters.alerts.heads import read_heads
from gateway.adapters.store import open_store
from gateway.core.audit import faults
from gateway.edge.cli_config import Config, settings_of

app = typer.Typer(no_args_is_help=True, help="The trail of decisions: who did what, when, why, on which evidence.")


@app.command()
def verify(
    heads: Annotated[Path | None, typer.Option(help="Heads noted elsewhere; else those beside the store.")] = None,
    config: Config = None,
) -> None:
    """Check every timeline's seals, documents and heads. Exit code 1: something is not as it was written."""
    settings = settings_of(config)
    noted = read_heads(heads or compose.heads_file(settings))
    store = open_store(settings.store_url, read_only=True)
    trail = store.control.trail()
    store.close()
    found = faults(trail, noted)
    for fault in found:
        place = f"line {fault.line}" if fault.line else "as a whole"
        typer.echo(f"{fault.deployment}, {place}: {fault.says}")
    if found:
        raise typer.Exit(1)
    for deployment, links in sorted(trail.links.items()):
        typer.echo(f"{deployment}: {len(links)} lines as they were written; head {links[-1].seal}")
