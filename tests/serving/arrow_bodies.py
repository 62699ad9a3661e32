"""What schemathesis sends as Arrow, good and bad, whole and cut. SCHEMATHESIS_HOOKS leads it here.

A stream has one batch: a fault behind the first ends the answer as a broken connection does, on purpose.
"""

import pyarrow as pa
import schemathesis
from hypothesis import strategies as st

_OTHERS = ("spend.30d", "class", "city_tier", "customer_id", "unknown")
_END = bytes.fromhex("ffffffff00000000")
_VALUES = st.none() | st.floats(allow_nan=True)
_TEXTS = st.none() | st.sampled_from(["pro", "basic", "1", "", " ", "\x00"])


@st.composite
def _streams(draw: st.DrawFn) -> bytes:
    n = draw(st.integers(0, 5))
    columns = {"tenure months": [12.0] * n, '1st "plan"': ["pro"] * n}
    for name in draw(st.lists(st.sampled_from([*columns, *_OTHERS]), unique=True)):
        columns[name] = draw(st.lists(draw(st.sampled_from([_VALUES, _TEXTS])), min_size=n, max_size=n))
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        if draw(st.booleans()):
            writer.write_table(table)
    whole = sink.getvalue().to_pybytes()
    cut = len(whole) - len(_END) - 1  # inside of the batch
    return whole[: draw(st.integers(0, cut))] if draw(st.booleans()) else whole


schemathesis.openapi.media_type("application/vnd.apache.arrow.stream", _streams() | st.binary())
