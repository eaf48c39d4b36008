"""Reference pages of the command line and of the Python client, written from their own signatures and sentences.

``gateway reference cli`` and ``gateway reference client`` print them; a test holds ``docs/reference`` to it.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import typer

from gateway import client


def cli_page(app: typer.Typer) -> str:
    """Every command with its arguments and options, in Markdown."""
    lines = [
        "# Command line",
        "",
        "`gateway COMMAND --help` says the same. A mistake is one sentence and exit code 2; `--config` names the",
        "`gateway.yaml`, the one in the working folder unless it is given. This page is `gateway reference cli`.",
    ]
    root = typer.main.get_command(app)
    for path, command in sorted(_commands(root, ())):
        lines += ["", f"## `gateway {' '.join(path)}`", "", _sentences(command.help or "")]
        rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += ["", "| argument or option | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def client_page() -> str:
    """Everything that ``gateway.client`` exports, in Markdown."""
    lines = [
        "# Python client",
        "",
        "`from gateway.client import Client, AsyncClient`. It imports httpx, msgspec and tenacity, and nothing of the",
        "server. How to use it: [ask and tell from Python](../how-to/python-client.md). This page is",
        "`gateway reference client`.",
    ]
    for name in client.__all__:
        lines += ["", f"## `{name}`", "", *_described(getattr(client, name))]
    return "\n".join(lines) + "\n"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - Typer's
    """Every command below one; Typer brings its own copy of Click, so they have no public type."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, inner in below.items():
        yield from _commands(inner, (*path, name))


def _option(parameter: Any) -> str:  # noqa: ANN401 - as above
    names = [*parameter.opts, *parameter.secondary_opts]
    said = ", ".join(f"`{name}`" for name in (names if names[0].startswith("-") else [parameter.name.upper()]))
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        said += f" ({', '.join(f'`{choice}`' for choice in get_args(annotation))})"
    unset = parameter.default in (None, False, (), []) or callable(parameter.default)
    default = "required" if parameter.required else "none" if unset else f"`{parameter.default}`"
    return f"| {said} | {default} | {_cell(parameter.help or '')} |"


def _described(thing: type) -> list[str]:
    lines = [_sentences(inspect.getdoc(thing) or "")]
    if thing is client.AsyncClient:
        return lines
    if issubclass(thing, client.GatewayClientError):
        return lines
    made = inspect.getdoc(thing.__mro__[1]) if thing is client.Client else None
    if made is not None:
        lines += ["", _sentences(made.partition("\n\n")[2])]
    lines += ["", f"```py\n{_signature(thing.__name__, thing)}\n```"]
    for name, method in inspect.getmembers(thing, inspect.isfunction):
        if thing is client.Client and not name.startswith("_"):
            lines += [
                "",
                f"### `{name}`",
                "",
                f"```py\n{_signature(name, method)}\n```",
                "",
                _sentences(inspect.getdoc(method) or ""),
            ]
    return lines


def _signature(name: str, thing: Callable[..., object]) -> str:
    """A call as one would write it, one parameter a line where it is long."""
    signature = inspect.signature(thing)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    returns = signature.return_annotation
    tail = f" -> {_type(returns)}" if inspect.isfunction(thing) else ""
    said = [_parameter(each) for each in parameters]
    keyword = next((at for at, each in enumerate(parameters) if each.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if keyword is not None and not any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        said.insert(keyword, "*")
    flat = f"{name}({', '.join(said)}){tail}"
    return flat if len(flat) <= 100 else f"{name}(\n" + "".join(f"    {each},\n" for each in said) + f"){tail}"


def _parameter(parameter: inspect.Parameter) -> str:
    star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
    said = f"{star}{parameter.name}: {_type(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return said
    default = getattr(parameter.default, "__name__", None) or repr(parameter.default)
    return f"{said} = {'...' if 'factory' in default or default.startswith('_') else default}"


def _type(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:gateway\.client\.\w+|collections\.abc|datetime|typing|httpx)\.(?=[A-Za-z_])", "", text)
    return (
        text.replace("~_Transport", "BaseTransport")
        .replace("bool | int | float | str", "Label")
        .replace("Label | None", "Scalar")
    )


def _sentences(text: str) -> str:
    """A docstring as Markdown, its examples left out: names of parameters and roles as code."""
    text = text.partition("\n\n>>>")[0]
    text = re.sub(r":\w+:`~?(?:gateway\.client\.\w+\.)?([^`]+)`", r"`\1`", inspect.cleandoc(text))
    return text.replace("``", "`").replace("\f", "").strip()


def _cell(text: str) -> str:
    return " ".join(_sentences(text).split()).replace("|", "\\|")
