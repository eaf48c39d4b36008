"""MLServer: inference in the serving process, adaptive batches that wait a millisecond (``model-settings.json``)."""

import joblib
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):  # type: ignore[misc]
    """A joblib model behind MLServer."""

    async def load(self) -> bool:
        self.model = joblib.load(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        scores = self.model.predict_proba(rows)[:, 1]
        outputs = [NumpyCodec.encode_output(name="score", payload=scores)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
