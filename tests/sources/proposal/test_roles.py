"""The role of a column, judged by itself."""

import datetime as dt
from random import Random

from exports import export_parquet
from made_tables import labelled_rows

GONE = [gone for _, _, gone in labelled_rows()]
N = range(len(GONE))
RANDOM = Random(11)
WORDS = ("alpha", "beta", "gamma", "delta")
CASES = {
    "spend": ([f"{RANDOM.uniform(1, 99):.2f}" for _ in N], "numeric", "1."),
    "spend with blanks": ([" " if i % 7 == 0 else f"{i % 50}.5" for i in N], "numeric", "missing"),
    "age": (["?" if i % 9 == 0 else f"{20 + i % 60}" for i in N], "numeric", "no number"),
    "newsletter": ([str(i % 2) for i in N], "numeric", "0 to 1"),
    "typed flag": ([i % 2 == 0 for i in N], "numeric", "0 to 1"),
    "yes or no": ([("Yes", "No")[i % 2] for i in N], "categorical", "No 50%, Yes 50%"),
    "age band": ([("18-24", "25-34", "35+")[i % 3] for i in N], "categorical", "3 values"),
    "plan": ([WORDS[i % 4] for i in N], "categorical", "4 values"),
    "region_id": ([i % 8 + 100 for i in N], "categorical", "8 codes"),
    "area": ([f"{i % 8:03d}" for i in N], "categorical", "8 codes"),  # codes lead with zeros
    "zip": ([10_000 + 7 * i for i in N], "dropped", "an id or code"),
    "n": ([i + 1 for i in N], "dropped", "numbers the rows"),
    "country": (["DE" for _ in N], "dropped", "the same value in every row"),
    "fax": (["" for _ in N], "dropped", "empty"),
    "surname": ([f"{WORDS[i % 4]} {i % 70}" for i in N], "dropped", "free text or names"),
    "comment": ([f"{WORDS[i % 4]} {RANDOM.random()}" for i in N], "dropped", "its own value"),
    "device_id": ([f"d{i % 120}" for i in N], "dropped", "an id with 120 values"),
    "joined": ([f"2019-{i % 12 + 1:02d}-03" for i in N], "date", "2019-01-03 to 2019-12-03"),
    "typed day": ([dt.date(2019, i % 12 + 1, 3) for i in N], "date", "2019-01-03"),
    "exported": (["2021-01-01" for _ in N], "dropped", "the same value"),
    "tags": ([["a"] * (i % 3) for i in N], "dropped", "lists"),
    "share": ([f"{i % 90}%" for i in N], "numeric", "0 to 89"),
    "income": ([f"${i % 90 + 1},000.50" for i in N], "numeric", "1000.5 to 90000.5"),
}


def test_each_columns_role_and_why(tmp_path, proposed):
    columns = {name: values for name, (values, _, _) in CASES.items()}
    path = export_parquet(tmp_path / "a.parquet", customer_id=[f"k{i}" for i in N], **columns, churned=GONE)
    proposal = proposed(path)
    roles = {name: column.role for name, column in proposal.config.customers.columns.items()}
    assert roles == {name: role for name, (_, role, _) in CASES.items()}
    unsaid = {
        name: proposal.reasons[f"customers.columns.{name}"]
        for name, (_, _, says) in CASES.items()
        if says not in proposal.reasons[f"customers.columns.{name}"]
    }
    assert unsaid == {}
