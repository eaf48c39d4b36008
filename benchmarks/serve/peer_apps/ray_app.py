"""Ray Serve: one replica, without its dashboard."""

import sys
import time
from typing import Any

import joblib
import ray
from ray import serve

NAMES = [f"u{n}" for n in range(8)] + [f"m{n}" for n in range(6)] + [f"p{n}" for n in range(6)]


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Model:
    """A joblib model behind Ray Serve."""

    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    async def __call__(self, request: Any) -> dict[str, Any]:
        features = (await request.json())["features"]
        score = float(self.model.predict_proba([[features[name] for name in NAMES]])[0, 1])
        return {"prediction": int(score > 0.5), "score": score}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=10**8, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Model.bind(sys.argv[1]), route_prefix="/predict")  # type: ignore[attr-defined]  # what it decorates
    while True:
        time.sleep(60.0)
