"""BentoML: one worker, production mode."""

import os

import bentoml
import joblib

NAMES = [f"u{n}" for n in range(8)] + [f"m{n}" for n in range(6)] + [f"p{n}" for n in range(6)]


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Model:
    """A joblib model behind BentoML."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["SERVE_MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, features: dict[str, float], request_id: str = "") -> dict[str, float]:  # noqa: ARG002 - sent
        """Answer one row."""
        score = float(self.model.predict_proba([[features[name] for name in NAMES]])[0, 1])
        return {"prediction": int(score > 0.5), "score": score}
