"""What is wrong with the values of a table, counted."""

from collections import Counter

import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.categories import MISSING


def value_problems(bundle: Bundle, numeric_NF: np.ndarray, number_NC: np.ndarray) -> Counter[str]:
    """What no row of a good table has -> how many rows here have it; categories by number."""
    problems = Counter[str]()
    infinite_NF = np.isinf(numeric_NF)
    if infinite_NF.any():  # to count by column takes ten times as long
        for column, n in zip(bundle.numeric, infinite_NF.sum(axis=0).tolist(), strict=True):
            problems[f"{column.name}: infinite or beyond 32 bits"] += n
    for column, values_N in zip(bundle.numeric, numeric_NF.T, strict=True):
        problems[f"{column.name}: null"] += 0 if column.nullable else int(np.isnan(values_N).sum())
    for column, values_N in zip(bundle.categorical, number_NC.T, strict=True):
        problems[f"{column.name}: null or blank"] += (
            0 if column.nullable else int((values_N == MISSING).sum())
        )
    return +problems
