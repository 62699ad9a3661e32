"""Why each customer of a table has a score, as columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import Manifest
from churnops.bundle.reasons import largest


def reason_columns(
    bundle: Bundle, numeric_NF: np.ndarray, categorical_NC: np.ndarray, *, top: int
) -> dict[str, pa.Array]:
    """The columns that `scores_with(top)` adds, words as dictionaries.

    Raises BundleError for a bundle without reasons.
    """
    found = largest(bundle, numeric_NF, categorical_NC, top=top)
    inputs, said = bundle.manifest.inputs, bundle.manifest.reasons
    texts = pa.array([column.text for column in inputs], pa.string())
    names = pa.array([column.name for column in inputs], pa.string())
    values = _values(bundle.manifest, numeric_NF, categorical_NC)
    rows = len(numeric_NF)
    columns = {
        "base_score": pa.repeat(said.base_score if said else np.nan, rows),
        "other_effects": pa.array(found.other_N),
    }
    for i in range(top):
        if i < found.column_NT.shape[1]:
            effect_N = found.effect_NT[:, i]
            which = pa.array(found.column_NT[:, i].astype(np.int32), mask=effect_N == 0)
            effects = pa.array(effect_N, mask=effect_N == 0)
        else:
            which, effects = pa.nulls(rows, pa.int32()), pa.nulls(rows, pa.float64())
        columns |= {
            f"reason_{i + 1}": pa.DictionaryArray.from_arrays(which, texts),
            f"reason_{i + 1}_column": pa.DictionaryArray.from_arrays(which, names),
            f"reason_{i + 1}_value": pc.choose(which, *values),
            f"reason_{i + 1}_effect": effects,
        }
    return columns


def _values(manifest: Manifest, numeric_NF: np.ndarray, categorical_NC: np.ndarray) -> list[pa.Array]:
    """The values of every column as text: of numbers the shortest that is this one in 32 bits."""
    numbers = (numeric_NF[:, j] for j in range(len(manifest.numeric)))
    texts = (categorical_NC[:, j] for j in range(len(manifest.categorical)))
    return [
        *(pa.array(number_N, mask=np.isnan(number_N)).cast(pa.string()) for number_N in numbers),
        *(pa.array(text_N, pa.string(), mask=text_N == "") for text_N in texts),
    ]
