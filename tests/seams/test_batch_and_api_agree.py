"""One bundle, two doors: a table scored at once and the same customers sent over HTTP get the same scores."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import scored_in
from trained import explained

from churnops.serving.app import create_app
from churnops.serving.model import Models, Served

AS_OF = dt.datetime.fromisoformat("2024-06-01")
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
    table = scored_in(folder / "scores", tiny_bundle, folder / "inputs.parquet", as_of=AS_OF)
    in_batch = dict(zip(table["customer_id"].to_pylist(), table["score"].to_pylist(), strict=True))

    sent = [{"customer_id": name, **row} for name, row in zip(ids, customers, strict=True)]
    answer = client.post("/v1/score", json={"customers": sent})
    assert answer.status_code == 200
    over_http = {scored["customer_id"]: scored["score"] for scored in answer.json()["scores"]}
    assert over_http == pytest.approx(in_batch, abs=1e-6)
    assert {scored["model_version"] for scored in answer.json()["scores"]} == set(
        table["model_version"].to_pylist()
    )


NUMBERS = ("recency_days", "spend_30d", "age")
EXPLAINED = {
    "customer_id": ["a", "b", "c", "d"],
    "recency_days": [0.1, 400.0, 1e6, 12345.678],
    "spend_30d": [0.1, None, 1e20, -4.0],
    "age": [None, 30.5, 1 / 3, 18.0],
    "plan": ["pro", None, "basic", "no such plan"],
    "city": ["nowhere", "", " ", None],
}


@pytest.mark.parametrize("kind", ["logistic", "lightgbm"])
@pytest.mark.parametrize("k", [1, 3, 9])
def test_a_customer_has_the_same_reasons(tmp_path, kind, k):
    bundle = explained(kind)
    table = pa.table(EXPLAINED)
    pq.write_table(table, tmp_path / "inputs.parquet")
    in_batch = scored_in(tmp_path / "scores", bundle, tmp_path / "inputs.parquet", as_of=AS_OF, reasons=k)
    with TestClient(create_app(Models(Served(bundle)))) as client:
        answer = client.post(f"/v1/score?reasons={k}", json={"customers": table.to_pylist()}).json()

    for row, over_http in zip(in_batch.to_pylist(), answer["scores"], strict=True):
        told = [reason for i in range(1, k + 1) if (reason := _reason(row, i))]
        assert told == [
            (one["text"], one["column"], one["value"], pytest.approx(one["effect"], abs=1e-6))
            for one in over_http["reasons"]
        ]
        assert row["base_score"] == answer["base_score"]
        effects = sum(effect for *_, effect in told)
        assert row["base_score"] + effects + row["other_effects"] == pytest.approx(row["score"], abs=1e-4)


def _reason(row, i):
    """Text, column, value and effect of the i-th reason; None where there is none."""
    text, column, value, effect = (row[f"reason_{i}{end}"] for end in ("", "_column", "_value", "_effect"))
    if text is None:
        assert (column, value, effect) == (None, None, None)
        return None
    return text, column, float(value) if value and column in NUMBERS else value, effect
