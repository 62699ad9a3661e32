"""What tutorials serve: a sync handler, one list of floats, a session as it comes."""

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel


class Customer(BaseModel):
    """The features, in the order the model was trained with."""

    features: list[float]


class Answer(BaseModel):
    """Of one customer."""

    score: float


app = FastAPI()
session = ort.InferenceSession(Path(os.environ["MODELS"]) / "plain.onnx")


@app.post("/score", response_model=Answer)
def score(customer: Customer) -> Answer:
    """One score."""
    numbers_NF = np.array([customer.features], dtype=np.float32)
    return Answer(score=float(session.run(None, {"numbers": numbers_NF})[0][0, 0]))
