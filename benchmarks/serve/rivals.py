"""What people would otherwise run, as apps: ``python -m benchmarks.serve.rivals NAME FOLDER PORT``.

``raw``             an ASGI function that answers a constant: what uvicorn itself costs
``echo``            a route with a pydantic model of the body, nothing else: the floor of a FastAPI endpoint
``article``         FastAPI and a joblib model, features in the body (``article-forest``, ``article-boosting``)
``article-feast``   the same with the features read through Feast's SDK

All on uvicorn with uvloop and httptools, one worker, as the gateway's.
"""

import sys
from pathlib import Path
from typing import Any

import joblib
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serve.world import NAMES, SERVICE, World


class Body(BaseModel):
    """What the gateway is sent too."""

    entities: dict[str, int | str] = {}
    features: dict[str, float] = {}
    request_id: str | None = None


def echo(_: World) -> FastAPI:
    """Validate, and say it again."""
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: Body) -> Body:
        return body

    return app


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer, without FastAPI: what the server itself costs."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": _RAW_HEADERS})
    await send({"type": "http.response.body", "body": _RAW_BODY})


_RAW_BODY = b'{"prediction_id":"k1.fd.Wm3xQ0yXTl2fYw5o0dQ8Cg.8c1fTq2mR3sVbW4x","prediction":1,"score":0.83}'
_RAW_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_RAW_BODY)).encode())]


def article(world: World, model_name: str = "logistic") -> FastAPI:
    """Load the model at start-up, predict in the route."""
    app = FastAPI()
    model = joblib.load(world.model(model_name))

    @app.post("/predict")
    def predict(body: Body) -> dict[str, Any]:
        row = [[body.features[name] for name in NAMES]]
        return {"prediction": int(model.predict(row)[0]), "score": float(model.predict_proba(row)[0, 1])}

    return app


def article_feast(world: World) -> FastAPI:
    """Read the features with the SDK first."""
    from feast import FeatureStore

    app = FastAPI()
    model = joblib.load(world.model("logistic"))
    store = FeatureStore(repo_path=str(world.repo))
    service = store.get_feature_service(SERVICE)

    @app.post("/predict")
    def predict(body: Body) -> dict[str, Any]:
        found = store.get_online_features(features=service, entity_rows=[body.entities]).to_dict()
        row = [[found[name][0] for name in NAMES]]
        return {"prediction": int(model.predict(row)[0]), "score": float(model.predict_proba(row)[0, 1])}

    return app


def main(name: str, folder: str, port: str) -> None:
    """Serve one of them."""
    world = World(Path(folder))
    kind, _, variant = name.partition("-")
    app: Any
    if kind == "raw":
        app = raw
    elif kind.startswith("echo"):
        app = echo(world)
    elif variant == "feast":
        app = article_feast(world)
    else:
        app = article(world, variant or "logistic")
    uvicorn.run(
        app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
