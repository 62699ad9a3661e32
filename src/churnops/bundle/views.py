"""Texts as Arrow's views, of which its own functions know few: 16 bytes say how long one is, and where.

The format: arrow.apache.org/docs/format/Columnar.html, "Variable-size Binary View Layout".
"""

import numpy as np
import pyarrow as pa

from churnops.bundle.whole_numbers import whole_numbers


def claimed_bytes(texts: pa.Array) -> int:
    """How long the texts are together, as they say: many may be the same bytes."""
    length_N = _views(texts).view(np.int32)[texts.offset :, 0]
    return int(length_N.sum(dtype=np.int64, where=length_N > 0))


def without_null_views(texts: pa.Array) -> pa.Array:
    """The same, with the views of nulls empty: Arrow's casts follow them, its validation does not."""
    view_N2 = _views(texts).copy()
    view_N2[texts.offset :][whole_numbers(texts.is_null(), null=1) == 1] = 0
    validity, _, *bytes_of_all = texts.buffers()
    buffers = [validity, pa.py_buffer(view_N2), *bytes_of_all]
    return pa.Array.from_buffers(texts.type, len(texts), buffers, offset=texts.offset)


def taken(texts: pa.Array, places: pa.Array) -> pa.Array:
    """As `texts.take(places)`, where there is no null among the places."""
    view_N2 = _views(texts)[texts.offset :][whole_numbers(places, null=0)]
    (_, validity), (_, _, *bytes_of_all) = texts.is_valid().take(places).buffers(), texts.buffers()
    return pa.Array.from_buffers(texts.type, len(places), [validity, pa.py_buffer(view_N2), *bytes_of_all])


def _views(texts: pa.Array) -> np.ndarray:
    end = texts.offset + len(texts)
    return np.frombuffer(texts.buffers()[1], np.int64, 2 * end).reshape(end, 2)
