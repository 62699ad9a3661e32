"""One bundle, two doors: a table scored at once and the same customers sent over HTTP get the same scores."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.scoring.batch import score_table
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served

_TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
_NUMBERS = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6) | st.booleans()
_TYPES = {"numeric": pa.float64(), "categorical": pa.string()}


def _values(column):
    known = st.sampled_from(column.levels) if column.levels else st.nothing()
    filled = _NUMBERS if column.kind == "numeric" else known | _TEXT.filter(lambda text: text.strip())
    blank = st.none() if column.kind == "numeric" else st.none() | st.sampled_from(["", " ", "\t"])
    return filled | blank if column.nullable else filled


_CUSTOMERS = st.lists(
    st.fixed_dictionaries({column.name: _values(column) for column in COLUMNS}), min_size=1, max_size=20
)


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


@settings(max_examples=50)
@given(customers=_CUSTOMERS)
def test_a_customer_has_one_score(client, tiny_bundle, tmp_path_factory, customers):
    folder = tmp_path_factory.mktemp("scoring")
    ids = [f"c{i}" for i in range(len(customers))]
    columns = {
        column.name: pa.array(
            [
                float(row[column.name]) if isinstance(row[column.name], bool) else row[column.name]
                for row in customers
            ],
            _TYPES[column.kind],
        )
        for column in COLUMNS
    }
    pq.write_table(pa.table({"customer_id": ids, **columns}), folder / "inputs.parquet")
    score_table(
        tiny_bundle,
        folder / "inputs.parquet",
        folder / "scores.parquet",
        as_of=dt.datetime.fromisoformat("2024-06-01"),
    )
    table = pq.read_table(folder / "scores.parquet")
    in_batch = dict(zip(table["customer_id"].to_pylist(), table["score"].to_pylist(), strict=True))

    sent = [{"customer_id": name, **row} for name, row in zip(ids, customers, strict=True)]
    answer = client.post("/v1/score", json={"customers": sent})
    assert answer.status_code == 200
    over_http = {scored["customer_id"]: scored["score"] for scored in answer.json()["scores"]}
    assert over_http == pytest.approx(in_batch, abs=1e-6)
    assert {scored["model_version"] for scored in answer.json()["scores"]} == set(
        table["model_version"].to_pylist()
    )
