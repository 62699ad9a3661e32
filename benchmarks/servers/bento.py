"""The plain model behind BentoML, as its documentation serves ONNX; runs in BentoML's own environment."""

import os
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1, traffic={"timeout": 10})
class Churn:
    """One score of one list of floats."""

    def __init__(self) -> None:
        self.session = ort.InferenceSession(Path(os.environ["MODELS"]) / "plain.onnx")

    @bentoml.api
    def score(self, features: list[float]) -> float:
        """One score."""
        numbers_NF = np.array([features], dtype=np.float32)
        return float(self.session.run(None, {"numbers": numbers_NF})[0][0, 0])
