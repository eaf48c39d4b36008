"""LitServe with the settings its documentation names for speed: the fast queue, and batches that wait a millisecond."""

import sys
from typing import Any

import joblib
import litserve as ls

NAMES = [f"u{n}" for n in range(8)] + [f"m{n}" for n in range(6)] + [f"p{n}" for n in range(6)]


class Api(ls.LitAPI):  # type: ignore[misc]
    """A joblib model behind LitServe."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - as LitServe calls it
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request: dict[str, Any]) -> list[float]:
        return [request["features"][name] for name in NAMES]

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        return inputs

    def predict(self, rows: list[list[float]]) -> Any:
        return self.model.predict_proba(rows)[:, 1]

    def unbatch(self, output: Any) -> list[float]:
        found: list[float] = output.tolist()
        return found

    def encode_response(self, score: float) -> dict[str, Any]:
        return {"prediction": int(score > 0.5), "score": score}


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.001)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
