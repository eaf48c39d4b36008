"""The operators' door. It translates: every route is one question to the control story or to the store's records.

Nothing here blocks the event loop: whatever touches the store runs through ``ControlPlane.run``, on its one thread.
Who asks is in the timeline by name: a key's, a token's, or ``local`` where there are no keys; then the guard lets in
none but this machine.
"""

from fastapi import APIRouter, FastAPI, Response

from gateway.edge import (
    api_docs,
    control_desk,
    control_reading,
    control_room,
    problems,
    retraining_routes,
    room_routes,
    schemas,
)
from gateway.edge.control_examples import EXAMPLES
from gateway.edge.control_guard import ControlGuard
from gateway.edge.control_parts import ControlPlane, Plane
from gateway.edge.control_schemas import HealthView
from gateway.edge.dear import Dear
from gateway.edge.doors import CONTROL_DOORS, Doors
from gateway.edge.fresh import Fresh
from gateway.edge.locks import Locked
from gateway.edge.pulse import Pulse

_METRIC = 'gateway_deployment_revision{deployment="flight-delay"} 12.0\n'

_probing = APIRouter(tags=["probing"], responses=schemas.problems([403]))


def create_app(plane: ControlPlane) -> FastAPI:
    """Build the control plane's app."""
    app = FastAPI(
        title="Gateway control plane",
        description="What is deployed, who gets which traffic, what the judge says, and the operators' signals.",
        version="1",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.plane = plane
    app.state.pulse = Pulse(plane.log, plane.clock, plane.run)
    app.state.degraded = Dear[float](plane.clock, plane.run)
    app.add_middleware(Fresh)
    if plane.locks is not None:
        app.add_middleware(Locked, locks=plane.locks, doors=Doors(CONTROL_DOORS))
    app.add_middleware(ControlGuard, hosts=plane.hosts, locks=plane.locks)
    app.include_router(control_reading.router)
    app.include_router(control_desk.router)
    app.include_router(_probing)
    app.include_router(room_routes.router)
    app.include_router(retraining_routes.router)
    control_room.install(app)
    api_docs.install(app)
    problems.install(app)
    schemas.document(app, [schemas.ProblemDetails], EXAMPLES)
    return app


@_probing.get("/livez")
async def livez() -> HealthView:
    """Alive."""
    return HealthView(status="ok")


@_probing.get("/readyz", responses=schemas.problems([503]), response_model=HealthView)
async def readyz(plane: Plane) -> HealthView | Response:
    """Ready to work, or why not."""
    reason = plane.unready()
    return HealthView(status="ok") if reason is None else problems.not_ready(reason)


@_probing.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": _METRIC}}}, **schemas.problems([401, 429])},
)
def metrics(plane: Plane) -> Response:
    """All processes of this host, as Prometheus reads them."""
    return plane.metrics()
