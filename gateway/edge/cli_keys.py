"""``gateway keys``: make, list and revoke API keys. A key is shown once, when it is made, and is kept by digest only.

Running processes take over a change within about a second; nothing is started again.
"""

import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.adapters.access import KeyFile
from gateway.adapters.access.rates import parse_rate
from gateway.adapters.clock import open_clock
from gateway.core.access import KEY_PREFIX, Key, digest_of, with_key, without_key
from gateway.core.amounts import parse_duration
from gateway.core.errors import SettingsError
from gateway.edge.cli_config import Config, settings_of

app = typer.Typer(no_args_is_help=True, help="API keys: who may do what. The first one locks the doors.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; the timeline says so.")],
    scope: Annotated[list[str], typer.Option(help="What it opens; say it again for another scope.")],
    expires: Annotated[str | None, typer.Option(help="How long it lives, such as 90d; for ever without.")] = None,
    rate: Annotated[str | None, typer.Option(help="What it may ask of each worker, such as 100/second.")] = None,
    config: Config = None,
) -> None:
    """Make a key and print it, once. Two of one name may live at a time, so that the old one can be replaced."""
    now = open_clock("wall").wall()
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    until = None if expires is None else now + _seconds(expires)
    if rate is not None:
        parse_rate(rate)
    key = Key(
        secrets.token_hex(4),
        name,
        digest_of(secret.encode()).hex(),
        tuple(dict.fromkeys(scope)),
        now,
        until,
        None,
        rate,
    )
    _file(config).change(lambda keys: with_key(keys, key, now))
    typer.echo(secret)
    typer.echo(f"key {key.id} of {name}: {', '.join(key.scopes)}. It is not shown again.", err=True)


@app.command("list")
def list_keys(config: Config = None) -> None:
    """Say which keys there are, dead ones too."""
    now = open_clock("wall").wall()
    for key in _file(config).list():
        state = "live" if key.lives(now) else ("revoked" if key.revoked is not None else "expired")
        until = "" if key.expires is None else f", until {_day(key.expires)}"
        typer.echo(f"{key.id}  {key.name}  {state}  {','.join(key.scopes)}  since {_day(key.created)}{until}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id that `list` shows.")], config: Config = None) -> None:
    """End a key: within about a second it opens nothing."""
    now = open_clock("wall").wall()
    _file(config).change(lambda keys: without_key(keys, key_id, now))
    typer.echo(f"key {key_id} is revoked")


def _seconds(text: str) -> float:
    seconds = parse_duration(text)
    if not isinstance(seconds, float):
        raise SettingsError("A duration is written like 90d or 12h.")
    return seconds


def _file(config: Config) -> KeyFile:
    return KeyFile(settings_of(config).keys_path)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
