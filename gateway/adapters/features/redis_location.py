"""Where a Redis is, without its secrets: what a feature plan may say aloud, and what a worker adds on its own host.

A plan's location is ``redis://HOST:PORT/DB``, with ``tls=true`` and ``tls_ca=PATH`` where asked for. When Feast's
connection string holds a user or password the location names Feast's file instead (``secrets=PATH``), and whoever
connects reads them there: plans are stored, pushed and shown.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import yaml
from redis.asyncio.connection import Connection, SSLConnection

from gateway.core.errors import PlanImpossible

_UNDERSTOOD = {"db", "username", "password", "ssl", "ssl_ca_certs", "socket_timeout", "socket_connect_timeout"}
"""Parameters of Feast's connection string that a location can say. The timeouts are the reader's own business."""


def parse_connection_string(text: str) -> tuple[list[str], dict[str, Any]]:
    """Split Feast's ``host:port,db=0,ssl=true`` into its nodes and parameters, as Feast does."""
    parts = text.split(",")
    parameters: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            try:
                parameters[name] = json.loads(value)
            except json.JSONDecodeError:
                parameters[name] = value
    return [part for part in parts if "=" not in part], parameters


def redis_location(connection_string: str, settings_file: Path) -> str:
    """Write the location for Feast's connection string, read from ``settings_file`` (feature_store.yaml).

    Raises PlanImpossible for a parameter the direct reader does not understand, and for anything but one node.

    >>> redis_location("localhost:6379,db=2,password=x", Path("/repo/feature_store.yaml"))
    'redis://localhost:6379/2?secrets=%2Frepo%2Ffeature_store.yaml'
    """
    nodes, parameters = parse_connection_string(connection_string)
    unknown = sorted(parameters.keys() - _UNDERSTOOD)
    if unknown or len(nodes) != 1 or ":" not in nodes[0]:
        raise PlanImpossible(f"the direct reader takes one HOST:PORT, and no {', '.join(unknown) or 'other form'}")
    query = {}
    if parameters.get("ssl"):
        query["tls"] = "true"
    if "ssl_ca_certs" in parameters:
        query["tls_ca"] = str(parameters["ssl_ca_certs"])
    if parameters.keys() & {"username", "password"}:
        query["secrets"] = str(settings_file)
    return f"redis://{nodes[0]}/{int(parameters.get('db', 0))}" + (f"?{urlencode(query)}" if query else "")


def connection_options(location: str) -> tuple[type[Connection], dict[str, Any]]:
    """Turn a location into redis-py's connection class and its arguments, secrets included.

    Raises OSError when the file with the secrets cannot be read.
    """
    parts = urlsplit(location)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    options: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "db": int(parts.path.strip("/") or 0)}
    if "secrets" in query:
        options |= _secrets(Path(query["secrets"]))
    if query.get("tls") != "true":
        return Connection, options
    if "tls_ca" in query:
        options["ssl_ca_certs"] = query["tls_ca"]
    return SSLConnection, options


def _secrets(settings_file: Path) -> Mapping[str, str]:
    try:
        settings = yaml.safe_load(os.path.expandvars(settings_file.read_text()))  # variables expanded as Feast does
        _, parameters = parse_connection_string(settings["online_store"]["connection_string"])
    except (yaml.YAMLError, LookupError, TypeError) as error:
        raise OSError(f"{settings_file} has no online_store with a connection_string") from error
    return {name: str(parameters[name]) for name in ("username", "password") if name in parameters}
