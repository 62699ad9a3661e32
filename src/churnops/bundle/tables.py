"""From an Arrow table's columns to the two matrices of the graph. The server reads it when a table comes."""

from collections.abc import Mapping

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
    wanted = {"customer_id": "text"} | column_kinds(manifest)
    names = {*schema.names, "as_of"}
    missing = [f"{name}: column is missing" for name in wanted if name not in names]
    return missing + [
        f"{name}: type is {kind}, not {wanted[name]}" for name, kind in misfits(wanted, schema).items()
    ]


def column_kinds(manifest: Manifest) -> dict[str, str]:
    """Of what kind, in words, as_of and the columns of the model must be."""
    kinds = {"as_of": "a timestamp or date"}
    kinds |= {column.name: "a number" for column in manifest.numeric}
    return kinds | {column.name: "text or whole numbers" for column in manifest.categorical}


def misfits(wanted: Mapping[str, str], schema: pa.Schema) -> dict[str, pa.DataType]:
    """The types of those columns that are there and of another kind than is `wanted`."""
    types = {field.name: field.type for field in schema}
    return {
        name: types[name] for name, kind in wanted.items() if name in types and not _fits(types[name], kind)
    }


def matrices(manifest: Manifest, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """The graph's `numeric` [N, F], NaN for null, and `categorical` [N, C], '' for null and for blank.

    A column that is not there is null in every row.
    """
    numeric_NF = np.full((batch.num_rows, len(manifest.numeric)), np.nan, dtype=np.float32)
    categorical_NC = np.full((batch.num_rows, len(manifest.categorical)), "", dtype=object)
    there = {*batch.schema.names}
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and a problem
        for j, column in enumerate(manifest.numeric):
            if column.name in there:
                numbers = batch[column.name].cast(pa.float64(), safe=False)
                numeric_NF[:, j] = numbers.to_numpy(zero_copy_only=False)
    for j, column in enumerate(manifest.categorical):
        if column.name in there:
            categorical_NC[:, j] = category_texts(batch[column.name])
    return numeric_NF, categorical_NC


def _fits(kind: pa.DataType, wanted: str) -> bool:
    value = kind.value_type if is_type.is_dictionary(kind) else kind
    return any(is_kind(value) for is_kind in _KINDS[wanted])
