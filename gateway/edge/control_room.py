"""The control room: a page for people, served from this package. It asks the admin routes and holds no data itself.

Nothing is fetched from elsewhere, and the page may run nothing but its own files: no inline script, no inline style.
"""

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.edge import schemas

FOLDER = Path(str(resources.files(__package__).joinpath("room")))
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Headers of every page and every file of a page."""

_pages = APIRouter(tags=["probing"], responses=schemas.problems([401, 403, 429]))


class PageFiles(StaticFiles):
    """Files of a page from some folders, each with the headers that keep it to itself."""

    def __init__(self, first: Path, *others: Path) -> None:
        super().__init__(directory=first)
        self.all_directories = [first, *others]

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve one; 404 where there is none."""
        response = await super().get_response(path, scope)
        response.headers.update(SAFE)
        return response

    def install(self, app: FastAPI, below: str) -> None:
        """Open them as one route, so that it has a door of its own; it stands in no description."""

        async def file(request: Request) -> Response:
            return await self.get_response(request.path_params["file"], request.scope)

        app.add_route(f"{below}/{{file:path}}", file, include_in_schema=False)


def page(path: Path) -> HTMLResponse:
    """Answer with a page from a file of this package."""
    return HTMLResponse(path.read_text(encoding="utf-8"), headers=SAFE)


@_pages.get("/", response_class=HTMLResponse)
def room() -> HTMLResponse:
    """The control room: a web page that shows every deployment live and takes the operators' signals."""
    return page(FOLDER / "index.html")


def install(app: FastAPI) -> None:
    """Open the page at ``/``, and its files below ``/room``."""
    app.include_router(_pages)
    PageFiles(FOLDER).install(app, "/room")
