"""``gateway models`` and ``gateway validate``: what the registry has, and what the gate says of it."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.adapters.registry import registry_of
from gateway.compose import model_store
from gateway.edge.cli_config import Config, settings_of
from gateway.edge.cli_rollout import AsJson, Deployment, Url, reach
from gateway.edge.cli_tables import gates_table, rows_table, show
from gateway.edge.control_client import CommandFailed, ControlClient, Exit
from gateway.ports import RegisteredVersion
from gateway.settings import Settings


def models(
    model: Annotated[str | None, typer.Argument(help="By default every model that a deployment names.")] = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List versions with their aliases, what they serve as, and what was decided about them."""
    settings = settings_of(config)
    registry = registry_of(model_store(settings))
    names = [model] if model is not None else sorted({spec.model for spec in settings.specs().values()})
    if not names:
        raise CommandFailed("Name a model: no deployment is declared here.", Exit.MISUSED)
    serving = _serving(settings, url)
    found = {name: [_version(name, version, serving) for version in registry.versions(name)] for name in names}
    columns = ("model", "version", "aliases", "serves as", "decision", "made")
    rows = [[name, *(str(one[column]) for column in _COLUMNS)] for name, all_ in found.items() for one in all_]
    show({"models": found}, rows_table(f"registry {settings.registry}", columns, rows), as_json=as_json)


def validate(
    model: Annotated[str, typer.Argument(help="URI of the model, such as models:/churn/7.")],
    deployment: Deployment = None,
    config: Config = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Hold a model to a deployment's validation gate, without starting anything. Exit code 1: it does not pass."""
    with reach(config, url) as client:
        found = client.post(f"{client.place(deployment)}/validate", {"model": model})
    show(found, gates_table(found), as_json=as_json)
    if not found["passed"]:
        raise typer.Exit(Exit.REFUSED)


_COLUMNS = ("version", "aliases", "serves_as", "decision", "made")


def _version(model: str, version: RegisteredVersion, serving: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    decisions = [f"{name.split('.')[1]}: {value}" for name, value in version.tags.items() if name.endswith(".decision")]
    made = version.created_at
    return {
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "serves_as": ", ".join(serving.get((model, version.version), [])),
        "decision": "; ".join(decisions),
        "made": "" if made is None else datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d %H:%M"),
    }


def _serving(settings: Settings, url: str | None) -> dict[tuple[str, str], list[str]]:
    """Which version plays which part, as far as a control plane can be asked."""
    found: dict[tuple[str, str], list[str]] = {}
    try:
        with ControlClient.open(settings, url) as client:
            deployments = client.get("/admin/deployments")["deployments"]
    except CommandFailed:  # the registry can be listed without a gateway
        return found
    for deployment in deployments:
        for one in deployment["variants"]:
            if one["phase"] not in ("promoted", "watched", "demoted"):
                part = f"{deployment['deployment']}/{one['name']}"
                found.setdefault((one["model"], one["model_version"]), []).append(part)
    return found
