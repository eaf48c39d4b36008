"""ONNX Runtime: most of scikit-learn, linear models and forests above all. One thread, no arena shared with anybody.

Compiled in doubles first, as scikit-learn computes; where a converter has no doubles, in floats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.adapters.models.foreign import Foreign
from gateway.core.deployments import ModelCard, Task

_INPUT = "rows"


class Onnx:
    """The ``onnx`` form: a serialised ONNX graph."""

    def compile(self, estimator: Foreign, card: ModelCard) -> bytes:
        """Convert with skl2onnx."""
        import skl2onnx
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        options = {} if card.task is Task.REGRESSION else {id(estimator): {"zipmap": False}}
        shape = [None, len(card.inputs)]
        try:
            graph = skl2onnx.to_onnx(estimator, initial_types=[(_INPUT, DoubleTensorType(shape))], options=options)
        except (RuntimeError, NotImplementedError):  # an operator without doubles
            graph = skl2onnx.to_onnx(estimator, initial_types=[(_INPUT, FloatTensorType(shape))], options=options)
        graph.opset_import.sort(key=lambda needed: needed.domain)  # it comes in the order of a set
        return bytes(graph.SerializeToString(deterministic=True))

    def open(self, content: bytes, card: ModelCard) -> "OnnxEngine":
        """Start a session on the graph."""
        return OnnxEngine(content, card.task)


class OnnxEngine:
    """A session that answers on the calling thread."""

    def __init__(self, content: bytes, task: Task) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]
        self.dtype = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32
        self._run = session.run
        self._wanted = [outputs[0] if task is Task.REGRESSION else outputs[1]]

    dtype: type[np.floating[Any]]

    def __call__(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Run the graph."""
        found: NDArray[Any] = self._run(self._wanted, {_INPUT: matrix})[0]
        return found
