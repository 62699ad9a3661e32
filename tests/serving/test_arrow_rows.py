"""Answers as Arrow, made from buffers."""

import subprocess
import sys
import uuid

import numpy as np
import pyarrow as pa
import pytest
from builders import make_bundle
from served import arrow

from churnops.bundle.bundle import write_bundle
from churnops.serving.arrow_rows import read_arrow, written
from churnops.serving.columns import PIECE_ROWS, scored
from churnops.serving.model import Served

SERVED = Served(make_bundle())


def _stream(n: int) -> bytes:
    plans = pa.array(["pro", "basic", "new"] * n)[:n]
    table = pa.table({"customer_id": np.arange(n), "tenure months": np.arange(n) % 60, '1st "plan"': plans})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("n", [1, 7, 8, 9, PIECE_ROWS + 3])
def test_a_table_is_answered_row_by_row_as_json_is(n):
    parts = scored(SERVED, read_arrow(SERVED.bundle, _stream(n)))
    table = pa.ipc.open_stream(written(SERVED, parts)).read_all()
    table.validate(full=True)
    answers = [answer for part in parts for answer in SERVED.answers(*part)]
    for name in ("customer_id", "score", "decision", "model_version"):
        assert table[name].to_pylist() == [answer[name] for answer in answers]
    assert {*table["decision"].to_pylist()} <= {True, False}


def test_every_answer_has_a_name_of_its_own():
    n = PIECE_ROWS + 3
    parts = scored(SERVED, read_arrow(SERVED.bundle, _stream(n)))
    names = pa.ipc.open_stream(written(SERVED, parts)).read_all()["prediction_id"].to_pylist()
    names += [answer["prediction_id"] for part in parts for answer in SERVED.answers(*part)]
    assert len({*names}) == 2 * n
    assert {str(uuid.UUID(name, version=4)) for name in names} == {*names}


def test_a_dictionary_may_have_as_many_levels_as_its_indices_can_tell():
    tiers = pa.DictionaryArray.from_arrays(pa.array([1, None, 127], pa.int8()), [str(i) for i in range(128)])
    sent = {"tenure months": [1, 2, 3], '1st "plan"': ["pro"] * 3}
    numbers = [
        read_arrow(SERVED.bundle, arrow(pa.table(sent | {"city_tier": tier}))).category_NC
        for tier in (tiers, tiers.dictionary_decode())
    ]
    assert np.array_equal(*numbers)


def test_pandas_is_not_loaded(tmp_path):
    """Arrow loads it wherever it makes an array of Python's own values, and it takes 40 MB."""
    write_bundle(make_bundle(), tmp_path / "bundle")
    (tmp_path / "table").write_bytes(_stream(100))
    of_views = pa.table(
        {
            "customer_id": pa.array(["a", None, "c"], pa.string_view()),
            "tenure months": [1.0, 2.0, 3.0],
            '1st "plan"': pa.array(["pro", "new", "pro"]).dictionary_encode(),
            "city_tier": pa.array(["1", None, "2"]).dictionary_encode(),
        }
    )
    (tmp_path / "views").write_bytes(arrow(of_views))
    (tmp_path / "wrong").write_bytes(arrow(of_views.set_column(0, "customer_id", [["a", "", None]])))
    code = (
        "import sys; from pathlib import Path\n"
        "from churnops.bundle.bundle import read_bundle\n"
        "from churnops.serving.arrow_rows import read_arrow, written\n"
        "from churnops.serving.columns import scored\n"
        "from churnops.serving.model import Served\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "served = Served(read_bundle(folder / 'bundle'))\n"
        "parts = scored(served, read_arrow(served.bundle, (folder / 'table').read_bytes()))\n"
        "assert len(written(served, parts)) > 100\n"
        "assert len(read_arrow(served.bundle, (folder / 'views').read_bytes())) == 3\n"
        "assert read_arrow(served.bundle, (folder / 'wrong').read_bytes()).status == 422\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
