"""The job behind `churnops data`."""

from pathlib import Path

import pytest

from churnops.errors import SourceError
from churnops.jobs.data import make_data
from churnops.sources.synthetic import Population

TINY = Population(customers=50, days=60)


def test_data_is_made_again_and_nothing_else_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "customers.csv").write_text("stale")
    export = make_data(TINY, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "customers.csv", "transactions.csv", "truth.parquet"}
    assert export.customers.read_text().startswith("customer_id,signup_date,")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"file/folder:\n  - cannot be written: Not a directory"):
        make_data(TINY, tmp_path / "file" / "folder")
