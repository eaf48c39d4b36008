"""``/docs`` without a content delivery network: Swagger UI from an installed package, started by a file of our own."""

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.edge.control_room import FOLDER, PageFiles, page

_OURS = FOLDER / "docs"
_SWAGGER = Path(str(resources.files("fastapi_offline").joinpath("static")))


def install(app: FastAPI) -> None:
    """Open ``/docs``; its files lie below ``/docs/files``. Neither stands in the API's own description."""

    def docs(request: Request) -> Response:
        del request
        return page(_OURS / "index.html")

    app.add_route("/docs", docs, include_in_schema=False)
    PageFiles(_OURS, _SWAGGER).install(app, "/docs/files")
