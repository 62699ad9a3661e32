"""Whether the graph says what the framework's model says."""

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from churnops.errors import ParityError
from churnops.training.dataset import Rows

TOLERANCE = 1e-5
_ROWS_AT_ONCE = 50_000  # bounds the memory that the one-hot categories of a large table take


def parity(onnx: bytes, rows: Rows, score_N: npt.NDArray[np.float64]) -> float:
    """The largest difference between ONNX Runtime's scores of `rows` and `score_N`.

    0 without rows; infinite where either is not a number: a model must score every row.
    """
    difference_N = np.abs(_graph_scores(onnx, rows) - score_N)
    return float(np.nan_to_num(difference_N, nan=np.inf).max(initial=0.0))


def check_parity(onnx: bytes, rows: Rows, score_N: npt.NDArray[np.float64]) -> float:
    """`parity`, or ParityError where it exceeds TOLERANCE."""
    largest = parity(onnx, rows, score_N)
    if largest > TOLERANCE:
        raise ParityError(f"the ONNX graph's scores differ by up to {largest:.2g} from the model's")
    return largest


def _graph_scores(onnx: bytes, rows: Rows) -> npt.NDArray[np.float64]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # as in production, where callers bring their own parallelism
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    score_N = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        index_N = np.arange(start, min(start + _ROWS_AT_ONCE, len(rows)))
        (score_N[index_N],) = session.run(["score"], _feed(rows.take(index_N)))
    return score_N


def _feed(rows: Rows) -> dict[str, npt.NDArray[np.generic]]:
    matrices = {"numeric": rows.numeric_NF, "categorical": rows.categorical_NC}
    return {name: matrix for name, matrix in matrices.items() if matrix.shape[1]}
