"""What a pipeline does with a trained model: register it, and move an alias to it. Needs nothing but MLflow.

    python release_model.py register --name flight-delay --model runs:/RUN/model --alias challenger  # or models:/m-ID
    python release_model.py alias    --name flight-delay --version 7 --alias champion --only-from 6

``register`` is safe to repeat: a model that is registered already is not registered again. ``alias`` moves only from
where its caller believes it to be, so that two pipelines cannot undo each other unseen. The address of the registry is
``MLFLOW_TRACKING_URI``, as always with MLflow.
"""

import argparse
import sys

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def register(client: MlflowClient, name: str, source: str, alias: str | None, commit: str | None) -> str:
    """Register ``source`` unless a version of it is there; returns the version."""
    if not any(each.name == name for each in client.search_registered_models(f"name = '{name}'")):
        client.create_registered_model(name)
    known = [each for each in client.search_model_versions(f"name = '{name}'") if _same(each, source, commit)]
    if known:
        version = str(known[0].version)
    else:
        tags = {"source": source} | ({"commit": commit} if commit else {})
        place, run_id, model_id = _found(client, source)
        version = str(client.create_model_version(name, place, run_id=run_id, tags=tags, model_id=model_id).version)
    if alias is not None:
        client.set_registered_model_alias(name, alias, version)
    return version


def move(client: MlflowClient, name: str, version: str, alias: str, only_from: str | None) -> str | None:
    """Move ``alias`` to ``version``; returns where it was. Raises ValueError when it is elsewhere than believed."""
    before = _where(client, name, alias)
    if only_from is not None and before not in (only_from, version):
        raise ValueError(f"{alias} of {name} is at version {before}, not at {only_from}: somebody moved it.")
    client.set_registered_model_alias(name, alias, version)
    return before


def _found(client: MlflowClient, source: str) -> tuple[str, str | None, str | None]:
    """Where a model lies, its run, and its own id: what MLflow 3 logs is a model of the run, no artifact in it."""
    kind, _, rest = source.partition(":/")
    if kind == "models" and rest.startswith("m-"):
        return source, client.get_logged_model(rest).source_run_id, rest
    if kind != "runs":
        return source, None, None
    run_id, _, name = rest.partition("/")
    outputs = client.get_run(run_id).outputs
    logged = [client.get_logged_model(each.model_id) for each in (outputs.model_outputs if outputs else ())]
    found = [each.model_id for each in logged if each.name == name]
    return (f"models:/{found[-1]}", run_id, found[-1]) if found else (source, run_id, None)


def _where(client: MlflowClient, name: str, alias: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException:  # nobody has set it yet
        return None


def _same(version: object, source: str, commit: str | None) -> bool:
    tags: dict[str, str] = getattr(version, "tags", {})
    return tags.get("source") == source and tags.get("commit") == commit


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    registering = commands.add_parser("register")
    registering.add_argument("--model", required=True, help="where MLflow finds it, such as runs:/RUN/model")
    registering.add_argument("--commit", help="what it was trained from")
    moving = commands.add_parser("alias")
    moving.add_argument("--version", required=True)
    moving.add_argument("--only-from", help="the version that the alias is believed to be at")
    for each in (registering, moving):
        each.add_argument("--name", required=True)
        each.add_argument("--alias", required=each is moving)
    said, client = parser.parse_args(), MlflowClient()
    if said.command == "register":
        print(register(client, said.name, said.model, said.alias, said.commit))
        return
    try:
        before = move(client, said.name, said.version, said.alias, said.only_from)
    except ValueError as error:
        sys.exit(str(error))
    print(f"{said.alias} of {said.name}: {before or 'nowhere'} -> {said.version}")


if __name__ == "__main__":
    main()
