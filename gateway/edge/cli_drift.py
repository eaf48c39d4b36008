"""``gateway drift``: what is served now beside what was in the reference. Reads beside a running gateway."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway import compose
from gateway.adapters.files import write_whole
from gateway.contrast import Asked
from gateway.core.drift.sides import Span
from gateway.core.errors import SettingsError
from gateway.edge.cli_config import Config, settings_of

app = typer.Typer(no_args_is_help=True, help="Whether what comes in, or goes out, is still what it was in training.")

_MOMENT = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]
Moment = Annotated[datetime | None, typer.Option(formats=_MOMENT, help="Data time, UTC.")]


@app.callback()
def drift() -> None:
    """Keep ``report`` a word of its own."""


@app.command()
def report(
    deployment: Annotated[str, typer.Argument(help="Which deployment.")],
    to: Annotated[Path, typer.Option(help="The file that the page is written to.")] = Path("drift.html"),
    since: Moment = None,
    until: Moment = None,
    reference_since: Moment = None,
    reference_until: Moment = None,
    config: Config = None,
) -> None:
    """Write a page by Evidently: what was served (by default in the last day) beside the reference.

    The reference is what the deployment declares, by default the profile of its model; or a window of the log, named
    here. Needs gateway[drift-report].
    """
    asked = Asked(
        deployment,
        _span("--since", since, "--until", until),
        _span("--reference-since", reference_since, "--reference-until", reference_until),
    )
    page = compose.reporter(settings_of(config)).page(asked)
    try:
        write_whole(to, page, 0o644)
    except OSError as error:
        raise SettingsError(f"{to} cannot be written ({error.strerror}).") from error
    typer.echo(f"{to}: {len(page) / 1e6:.1f} MB")


def _span(begin: str, since: datetime | None, end: str, until: datetime | None) -> Span | None:
    if since is None and until is None:
        return None
    if since is None or until is None or since >= until:
        raise SettingsError(f"A span of time needs {begin}, and a later {end}.")
    return Span(*(at.replace(tzinfo=UTC).timestamp() for at in (since, until)))
