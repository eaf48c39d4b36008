"""``gateway export``: the log as Parquet files. It reads beside the gateway that writes the store."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.adapters.lake import ParquetLake
from gateway.core.errors import UnknownDeployment
from gateway.edge.cli_config import Config
from gateway.edge.cli_judge import reading
from gateway.export import Exported
from gateway.export import export as exported

_DAY_S = 86_400


def export(
    to: Annotated[str, typer.Argument(help="A folder, or a URL that fsspec knows: s3://bucket/predictions.")],
    config: Config = None,
    deployment: Annotated[str | None, typer.Option(help="One deployment; left out: every one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per day.")] = False,
) -> None:
    """Write joined predictions and outcomes as Parquet, a file per day; only days that changed since the last time."""
    lake, written = ParquetLake(to), 0
    with reading(config) as store:
        names = [state.deployment for state in store.control.all()]
        if deployment is not None and deployment not in names:
            raise UnknownDeployment
        for name in names if deployment is None else [deployment]:
            for one in exported(store.events, lake, name):
                written += 1
                typer.echo(_line(name, one, as_json=as_json))
    if not as_json:
        typer.echo(f"days written: {written:,}" if written else "nothing has changed since the last export")


def _line(name: str, one: Exported, *, as_json: bool) -> str:
    date = datetime.fromtimestamp(one.day * _DAY_S, UTC).date().isoformat()
    if as_json:
        return json.dumps({"deployment": name, "date": date, "rows": one.rows})
    return f"{name} {date}: {one.rows:,} predictions"
