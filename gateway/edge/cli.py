"""The ``gateway`` command: it translates words typed in a terminal, and decides nothing.

Errors are one sentence and exit code 2; a stack trace here is a bug.
"""

import sys
from typing import Annotated, Literal

import typer

from gateway import compose
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.edge import cli_audit, cli_drift, cli_keys, cli_models, cli_retraining, cli_rollout, cli_setup, cli_shadows
from gateway.edge.cli_config import Config, settings_of
from gateway.edge.cli_export import export
from gateway.edge.cli_judge import backtest, replay
from gateway.edge.cli_plan import plan
from gateway.edge.control_client import CommandFailed
from gateway.edge.reference import metrics_page, settings_page
from gateway.edge.reference_code import cli_page, client_page
from gateway.processes import supervisor
from gateway.processes.logs import start_logs

_OPERATOR = "gateway apply"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Serve models, and judge canaries from the truth.")
app.add_typer(cli_rollout.app, name="rollout")
app.add_typer(cli_shadows.app, name="shadow")
app.add_typer(cli_retraining.app, name="retraining")
for _command in (
    replay,
    backtest,
    plan,
    export,
    cli_models.models,
    cli_models.validate,
    cli_setup.doctor,
    cli_setup.init,
):
    app.command()(_command)
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_audit.app, name="audit")
app.add_typer(cli_drift.app, name="drift")


@app.command()
def serve(
    config: Config = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes, a count.", min=1)] = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then drain. Exit code 1: something acknowledged is still in the spool."""
    settings = settings_of(config, **({} if workers is None else {"workers": workers}))
    settings.specs()
    start_logs(settings.log_level, "supervisor")
    raise typer.Exit(supervisor.serve(settings))


@app.command()
def check(config: Config = None) -> None:
    """Say what the settings mean, or what is wrong with them."""
    settings = settings_of(config)
    typer.echo(f"state {settings.state_dir}, store {settings.store_url}, registry {settings.registry}")
    for name, spec in settings.specs().items():
        guardrails = ", ".join(guardrail.metric for guardrail in spec.guardrails)
        typer.echo(f"{name}: stable {spec.stable}; plans {', '.join(spec.plans)}; guardrails {guardrails}")


@app.command()
def apply(
    reason: Annotated[str, typer.Option(help="Why; it goes into the timeline.")],
    config: Config = None,
) -> None:
    """Write changed deployment specs to control state. The store has one writer, so the gateway must be stopped."""
    settings = settings_of(config)
    try:
        parts = compose.controlling(settings)
    except StoreUnavailable as error:
        message = f"{error} Stop the gateway first: its store has one writer."
        raise StoreUnavailable(message) from error
    for name, spec in settings.specs().items():
        standing = parts.store.control.read(name)
        if standing is None:
            typer.echo(f"{name}: not founded yet; the first start does that")
        elif standing.spec == spec:
            typer.echo(f"{name}: nothing to change at revision {standing.revision}")
        else:
            decision = parts.control.apply(spec, actor=_OPERATOR, reason=reason)
            typer.echo(f"{name}: now at revision {decision.revision}")
    parts.store.close()


@app.command()
def reference(
    page: Annotated[Literal["settings", "metrics", "cli", "client"], typer.Argument(help="Which page.")],
) -> None:
    """Print a reference page, written from the code."""
    pages = {"settings": settings_page, "metrics": metrics_page, "cli": lambda: cli_page(app), "client": client_page}
    typer.echo(pages[page](), nl=False)


def main() -> None:
    """Run the command."""
    try:
        app()
    except CommandFailed as error:
        typer.echo(f"gateway: {error}", err=True)
        sys.exit(error.code)
    except GatewayError as error:
        typer.echo(f"gateway: {error}", err=True)
        sys.exit(2)
