"""Which columns a model leans on: what it loses when one is shuffled among customers."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from churnops.evaluation.metrics import Array, auc_of

Score = Callable[[npt.NDArray[np.float32], npt.NDArray[np.object_]], Array]
"""Rows as the graph takes them, numbers and texts -> scores."""

_MOST_ROWS = 20_000


def importances(
    score: Score,
    numeric_NF: npt.NDArray[np.float32],
    categorical_NC: npt.NDArray[np.object_],
    *,
    churned: npt.NDArray[np.bool_],
    seed: int = 0,
) -> Array:
    """The ROC AUC lost per column, numbers first (Breiman 2001, Machine Learning 45, 5-32).

    Columns that tell the same share the loss, so each looks less important than both are. One shuffle, the
    same for every column; beyond 20,000 rows a fixed sample is asked. Raises as `metrics.rank` does.
    """
    rng = np.random.default_rng(seed)
    if churned.size > _MOST_ROWS:
        kept = np.sort(rng.choice(churned.size, _MOST_ROWS, replace=False))
        numeric_NF, categorical_NC, churned = numeric_NF[kept], categorical_NC[kept], churned[kept]
    shuffled_N = rng.permutation(churned.size)
    whole = auc_of(churned, score(numeric_NF, categorical_NC))
    lost = []
    for matrix in (numeric_NF, categorical_NC):
        for j in range(matrix.shape[1]):
            changed = matrix.copy()
            changed[:, j] = matrix[shuffled_N, j]
            asked = (changed, categorical_NC) if matrix is numeric_NF else (numeric_NF, changed)
            lost.append(whole - auc_of(churned, score(*asked)))
    return np.array(lost)
