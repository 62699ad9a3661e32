"""The role of a column, judged by itself."""

import datetime as dt
from random import Random

import pytest
from exports import export_parquet
from made_tables import labelled_rows

GONE = [gone for _, _, gone in labelled_rows()]
N = range(len(GONE))
RANDOM = Random(11)
WORDS = ("alpha", "beta", "gamma", "delta")
CASES = {
    "numbers": ("spend", [f"{RANDOM.uniform(1, 99):.2f}" for _ in N], "numeric", "1."),
    "numbers with blanks": ("spend", [" " if i % 7 == 0 else f"{i % 50}.5" for i in N], "numeric", "missing"),
    "numbers and a word": (
        "age",
        ["?" if i % 9 == 0 else f"{20 + i % 60}" for i in N],
        "numeric",
        "no number",
    ),
    "flags": ("newsletter", [str(i % 2) for i in N], "numeric", "0 to 1"),
    "typed flags": ("newsletter", [i % 2 == 0 for i in N], "numeric", "0 to 1"),
    "yes and no": ("newsletter", [("Yes", "No")[i % 2] for i in N], "categorical", "No 50%, Yes 50%"),
    "bands": ("age", [("18-24", "25-34", "35+")[i % 3] for i in N], "categorical", "3 values"),
    "words": ("plan", [WORDS[i % 4] for i in N], "categorical", "4 values"),
    "few codes": ("region_id", [i % 8 + 100 for i in N], "categorical", "8 codes"),
    "codes with zeros": ("area", [f"{i % 8:03d}" for i in N], "categorical", "8 codes"),
    "many codes": ("zip", [10_000 + 7 * i for i in N], "dropped", "an id or code"),
    "numbers of rows": ("n", [i + 1 for i in N], "dropped", "numbers the rows"),
    "constant": ("country", ["DE" for _ in N], "dropped", "the same value in every row"),
    "empty": ("fax", ["" for _ in N], "dropped", "empty"),
    "names": ("surname", [f"{WORDS[i % 4]} {i % 70}" for i in N], "dropped", "free text or names"),
    "free text": ("comment", [f"{WORDS[i % 4]} {RANDOM.random()}" for i in N], "dropped", "its own value"),
    "another id": ("device_id", [f"d{i % 120}" for i in N], "dropped", "an id with 120 values"),
    "days": ("joined", [f"2019-{i % 12 + 1:02d}-03" for i in N], "date", "2019-01-03 to 2019-12-03"),
    "typed days": ("joined", [dt.date(2019, i % 12 + 1, 3) for i in N], "date", "2019-01-03"),
    "one day": ("exported", ["2021-01-01" for _ in N], "dropped", "the same value"),
    "lists": ("tags", [["a"] * (i % 3) for i in N], "dropped", "lists"),
    "percentages": ("share", [f"{i % 90}%" for i in N], "numeric", "0 to 89"),
    "dollars": ("income", [f"${i % 90 + 1},000.50" for i in N], "numeric", "1000.5 to 90000.5"),
}


@pytest.mark.parametrize(("name", "values", "role", "says"), CASES.values(), ids=CASES)
def test_a_columns_role_and_why(tmp_path, proposed, name, values, role, says):
    columns = {"customer_id": [f"k{i}" for i in N], name: values, "churned": GONE}
    proposal = proposed(export_parquet(tmp_path / "a.parquet", **columns))
    assert proposal.config.customers.columns[name].role == role
    assert says in proposal.reasons[f"customers.columns.{name}"]
