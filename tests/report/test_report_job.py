"""`write_report`: the page beside what it is made of, or an error that names what is wrong."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sample

from churnops.errors import SourceError
from churnops.jobs.report import write_report


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "result.json").write_text(sample.result().model_dump_json(), encoding="utf-8")
    pq.write_table(sample.predictions(), tmp_path / "predictions.parquet")
    return tmp_path


def test_page_replaces_the_earlier_one(run_folder: Path) -> None:
    (run_folder / "report.html").write_text("old", encoding="utf-8")
    path = write_report(run_folder)
    assert path == run_folder / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(file.name for file in run_folder.iterdir()) == [
        "predictions.parquet",
        "report.html",
        "result.json",
    ]


@pytest.mark.parametrize("name", ["result.json", "predictions.parquet"])
def test_missing_file_is_named(run_folder: Path, name: str) -> None:
    (run_folder / name).unlink()
    with pytest.raises(SourceError, match=f"{name}:\n  - no such file: finish the run first"):
        write_report(run_folder)
    assert not (run_folder / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "file: Invalid JSON"),
        (b'{"name": 3}', "name: Input should be a valid string"),
        (b"\xff", "file: Invalid JSON"),
    ],
)
def test_damaged_result_is_named(run_folder: Path, content: bytes, message: str) -> None:
    (run_folder / "result.json").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        write_report(run_folder)


def test_result_that_contradicts_itself_is_refused(run_folder: Path) -> None:
    less = sample.candidates()[0].model_copy(update={"metrics": {}})
    result = sample.result(chosen="nobody", candidates=(less,))
    (run_folder / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
    with pytest.raises(
        SourceError, match=r"nobody is not among the candidates\n.*lightgbm has no average_prec"
    ):
        write_report(run_folder)


def test_truncated_predictions_are_named(run_folder: Path) -> None:
    path = run_folder / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"predictions\.parquet:\n  - cannot be read"):
        write_report(run_folder)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("lightgbm", None, "no column lightgbm"),
        ("torch", [0.5, None, 0.5], "torch: 1 missing values"),
        ("torch", [0.5, float("nan"), 0.5], "torch: scores that are not finite"),
        ("churned", [True, True, True], "churned: there must be customers who left and customers who stayed"),
    ],
)
def test_predictions_that_cannot_be_drawn_are_named(
    run_folder: Path, column: str, values: list[float | None] | None, message: str
) -> None:
    columns = {name: pa.array(np.full(3, 0.5)) for name in sample.NOISE} | {
        "churned": pa.array([True, False, True])
    }
    columns.pop(column)
    if values is not None:
        columns[column] = pa.array(values)
    pq.write_table(pa.table(columns), run_folder / "predictions.parquet")
    with pytest.raises(SourceError, match=message):
        write_report(run_folder)
