"""From a table's columns to the two matrices of the graph, and what is wrong with either."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.types as is_type

from churnops.bundle.bundle import category_texts
from churnops.bundle.manifest import Manifest

_TEXT = (is_type.is_string, is_type.is_large_string, is_type.is_string_view)
_KINDS = {
    "text": _TEXT,
    "text or whole numbers": (*_TEXT, is_type.is_integer, is_type.is_null),
    "a timestamp or date": (is_type.is_timestamp, is_type.is_date, is_type.is_null),
    "a number": (
        is_type.is_integer,
        is_type.is_floating,
        is_type.is_decimal,
        is_type.is_boolean,
        is_type.is_null,
    ),
}


def column_problems(manifest: Manifest, schema: pa.Schema) -> list[str]:
    """Columns of the model and the key that `schema` lacks (as_of it may) or has as something else."""
    wanted = {"customer_id": "text", "as_of": "a timestamp or date"}
    wanted |= {column.name: "a number" for column in manifest.numeric}
    wanted |= {column.name: "text or whole numbers" for column in manifest.categorical}
    types = {field.name: field.type for field in schema}
    missing = [f"{name}: column is missing" for name in wanted if name not in {*types, "as_of"}]
    return missing + [
        f"{name}: type is {types[name]}, not {kind}"
        for name, kind in wanted.items()
        if name in types and not _fits(types[name], kind)
    ]


def matrices(manifest: Manifest, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """The graph's `numeric` [N, F], NaN for null, and `categorical` [N, C], '' for null and for blank."""
    numeric_NF = np.empty((batch.num_rows, len(manifest.numeric)), dtype=np.float32)
    categorical_NC = np.empty((batch.num_rows, len(manifest.categorical)), dtype=object)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and a problem
        for j, column in enumerate(manifest.numeric):
            numeric_NF[:, j] = (
                batch[column.name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            )
    for j, column in enumerate(manifest.categorical):
        categorical_NC[:, j] = category_texts(batch[column.name])
    return numeric_NF, categorical_NC


def value_problems(manifest: Manifest, numeric_NF: np.ndarray, categorical_NC: np.ndarray) -> Counter[str]:
    """What no row of a good table has -> how many rows here have it."""
    problems = Counter[str]()
    for column, values_N in zip(manifest.numeric, numeric_NF.T, strict=True):
        problems[f"{column.name}: infinite or beyond 32 bits"] += int(np.isinf(values_N).sum())
        problems[f"{column.name}: null"] += 0 if column.nullable else int(np.isnan(values_N).sum())
    for column, values_N in zip(manifest.categorical, categorical_NC.T, strict=True):
        problems[f"{column.name}: null or blank"] += 0 if column.nullable else int((values_N == "").sum())
    return +problems


def _fits(kind: pa.DataType, wanted: str) -> bool:
    value = kind.value_type if is_type.is_dictionary(kind) else kind
    return any(is_kind(value) for is_kind in _KINDS[wanted])
