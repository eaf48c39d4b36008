"""``/docs`` without a content delivery network: Swagger UI from an installed package, started by a file of our own."""

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from gateway.edge.control_room import FOLDER, PageFiles, page

_SWAGGER = Path(str(resources.files("fastapi_offline").joinpath("static")))


def install(app: FastAPI) -> None:
    """Open ``/docs``; its files lie below ``/docs/files``. Neither stands in the API's own description."""

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def docs() -> HTMLResponse:
        return page(FOLDER / "docs" / "index.html")

    app.mount("/docs/files/swagger", PageFiles(directory=_SWAGGER))
    app.mount("/docs/files", PageFiles(directory=FOLDER / "docs"))
