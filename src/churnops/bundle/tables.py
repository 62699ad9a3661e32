"""From an Arrow table's columns to the two matrices of the graph. The server reads it when a table comes."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as is_type

from churnops.bundle.categories import MISSING, Categories
from churnops.bundle.manifest import InputColumn, Manifest
from churnops.bundle.views import taken
from churnops.bundle.whole_numbers import whole_numbers

_TEXT = (pa.string(), pa.large_string(), pa.string_view())
_WHOLE = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_FLOAT = (pa.float16(), pa.float32(), pa.float64())
_DECIMAL = (pa.decimal32(1), pa.decimal64(1), pa.decimal128(1), pa.decimal256(1))
_KINDS = {
    "text": _TEXT,
    "text or whole numbers": (*_TEXT, *_WHOLE, pa.null()),
    "a timestamp or date": (pa.timestamp("us"), pa.date32(), pa.date64(), pa.null()),
    "a number": (*_WHOLE, *_FLOAT, *_DECIMAL, pa.bool_(), pa.null()),
}
_IDS = {wanted: frozenset(kind.id for kind in kinds) for wanted, kinds in _KINDS.items()}


def column_problems(manifest: Manifest, schema: pa.Schema) -> list[str]:
    """Columns of the model and the key that `schema` lacks (as_of it may), repeats or has as another kind."""
    wanted = {"customer_id": "text"} | column_kinds(manifest)
    times = Counter(schema.names)
    missing = [f"{name}: column is missing" for name in wanted if name not in times and name != "as_of"]
    repeated = [f"{name}: column is there {times[name]} times" for name in wanted if times[name] > 1]
    kinds = misfits(wanted, schema).items()
    return missing + repeated + [f"{name}: type is {kind}, not {wanted[name]}" for name, kind in kinds]


def column_kinds(manifest: Manifest) -> dict[str, str]:
    """Of what kind, in words, as_of and the columns of the model must be."""
    kinds = {"as_of": "a timestamp or date"}
    kinds |= {column.name: "a number" for column in manifest.numeric}
    return kinds | {column.name: "text or whole numbers" for column in manifest.categorical}


def misfits(wanted: Mapping[str, str], schema: pa.Schema) -> dict[str, pa.DataType]:
    """The types of those columns that are there and of another kind than is `wanted`."""
    types = dict(zip(schema.names, schema.types, strict=True))
    return {
        name: types[name] for name, kind in wanted.items() if name in types and not _fits(types[name], kind)
    }


def numeric_matrix(columns: Sequence[InputColumn], batch: pa.RecordBatch) -> np.ndarray:
    """Of `columns` in their order [N, F], NaN for null and for a column that is not there."""
    there = {*batch.schema.names}
    found = [j for j, column in enumerate(columns) if column.name in there]
    sent = batch.select([columns[j].name for j in found])
    if any(not is_type.is_float64(kind) for kind in sent.schema.types):
        sent = sent.cast(pa.schema([(name, pa.float64()) for name in sent.schema.names]), safe=False)
    wide_NS = sent.to_tensor(null_to_nan=True).to_numpy() if found else np.empty((batch.num_rows, 0))
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and a problem
        sent_NS: np.ndarray = wide_NS.astype(np.float32)
    if len(found) == len(columns):
        return sent_NS
    numeric_NF = np.full((batch.num_rows, len(columns)), np.nan, dtype=np.float32)
    numeric_NF[:, found] = sent_NS
    return numeric_NF


def category_numbers(
    columns: Sequence[InputColumn], batch: pa.RecordBatch, categories: Categories, *, others: dict[str, int]
) -> np.ndarray:
    """Of `columns` in their order [N, C], as `categories` numbers them, who adds to `others`."""
    there = {*batch.schema.names}
    number_CN = np.full((len(columns), batch.num_rows), MISSING, dtype=np.intp)
    plain: dict[int, pa.Array] = {}
    for j, column in enumerate(columns):
        sent = batch[column.name] if column.name in there else None
        if sent is None:
            continue
        if is_type.is_dictionary(sent.type):
            number_CN[j] = _numbered(sent, categories, others)
        else:
            plain[j] = sent if is_type.is_string(sent.type) else sent.cast(pa.string())
    if plain:  # each text is looked up once, not once a row, and not once a column
        all_of_them = pa.concat_arrays([*plain.values()]).dictionary_encode(null_encoding="encode")
        number_CN[[*plain]] = _numbered(all_of_them, categories, others).reshape(len(plain), -1)
    return number_CN.T


def with_used_levels(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same, with no more levels than rows: there may be millions for a batch of one row."""
    levels = column.dictionary
    if len(levels) <= len(column):
        return column
    used = column.indices.dictionary_encode()
    take = taken if is_type.is_string_view(levels.type) else pa.Array.take
    return pa.DictionaryArray.from_arrays(used.indices, take(levels, used.dictionary))


def _numbered(column: pa.DictionaryArray, categories: Categories, others: dict[str, int]) -> np.ndarray:
    column = with_used_levels(column)
    levels, indices = column.dictionary, column.indices
    texts = (levels if is_type.is_string(levels.type) else levels.cast(pa.string())).to_pylist()
    number_L = np.append(categories.numbers(texts, others), MISSING)
    number_N: np.ndarray = number_L[whole_numbers(indices, null=len(levels))]
    return number_N


def _fits(kind: pa.DataType, wanted: str) -> bool:
    value = kind.value_type if is_type.is_dictionary(kind) else kind
    return value.id in _IDS[wanted]
