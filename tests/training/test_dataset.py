"""From Parquet to arrays."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churnops.training.dataset import Columns, read_rows

COLUMNS = Columns(("spend_30d",), ("plan",))


def _table(spend, plan, as_of=None):
    n = len(spend)
    return pa.table(
        {
            "customer_id": pa.array([f"{i:03d}" for i in range(n)], pa.string()),
            "as_of": pa.array([as_of] * n, pa.timestamp("us")),
            "churned": pa.array([i % 2 == 1 for i in range(n)], pa.bool_()),
            "plan": pa.array(plan, pa.string()),
            "spend_30d": pa.array(spend, pa.float64()),
        }
    )


def _read(table, tmp_path, columns=COLUMNS):
    pq.write_table(table, tmp_path / "dataset.parquet")
    return read_rows(str(tmp_path / "dataset.parquet"), columns)


def test_values_and_their_absence_arrive(tmp_path):
    as_of = dt.datetime(2024, 6, 1)

    rows = _read(_table([1.5, None, -2.0, 0.0], ["pro", None, " ", "007"], as_of), tmp_path)

    assert rows.numeric_NF.dtype == np.float32
    np.testing.assert_array_equal(rows.numeric_NF[:, 0], np.float32([1.5, np.nan, -2.0, 0.0]))
    assert rows.categorical_NC[:, 0].tolist() == ["pro", "", "", "007"]
    assert rows.churned_N.tolist() == [False, True, False, True]
    assert rows.customer_id_N.tolist() == ["000", "001", "002", "003"]
    assert (rows.as_of_N == np.datetime64(as_of)).all()


def test_without_dates_there_is_no_as_of(tmp_path):
    assert np.isnat(_read(_table([1.0], ["pro"]), tmp_path).as_of_N).all()


def test_a_number_too_large_for_32_bits_is_infinite(tmp_path):
    assert _read(_table([1e300], ["pro"]), tmp_path).numeric_NF[0, 0] == np.inf


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (pa.array([3, None], pa.int64()), [3.0, np.nan]),
        (pa.array([2**62 + 1, 0], pa.int64()), [2.0**62, 0.0]),  # beyond what 64-bit floats tell apart
        (pa.array([True, False, None]), [1.0, 0.0, np.nan]),
        (pa.array([Decimal("1.50"), None]), [1.5, np.nan]),
        (pa.array([None, None], pa.null()), [np.nan, np.nan]),
    ],
    ids=["whole", "large", "flag", "decimal", "nothing known"],
)
def test_every_type_of_number_is_taken(values, numbers, tmp_path):
    table = _table([0.0] * len(values), ["pro"] * len(values)).append_column("x", values)

    rows = _read(table, tmp_path, Columns(("x",), ()))

    np.testing.assert_array_equal(rows.numeric_NF[:, 0], np.float32(numbers))


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([7, None, -1], pa.int64()), ["7", "", "-1"]),
        (pa.array(["a", None, "\t"]).dictionary_encode(), ["a", "", ""]),
        (pa.array([None, None], pa.string()), ["", ""]),
    ],
    ids=["whole", "encoded", "nothing known"],
)
def test_every_type_of_category_is_text(values, texts, tmp_path):
    table = _table([0.0] * len(values), ["pro"] * len(values)).append_column("x", values)

    assert _read(table, tmp_path, Columns((), ("x",))).categorical_NC[:, 0].tolist() == texts


def test_only_the_columns_asked_for_are_read_in_their_order(tmp_path):
    table = _table([1.0, 2.0], ["a", "b"]).append_column("age", pa.array([30.0, 40.0]))

    rows = _read(table, tmp_path, Columns(("age", "spend_30d"), ()))

    assert rows.numeric_NF.tolist() == [[30.0, 1.0], [40.0, 2.0]]
    assert rows.categorical_NC.shape == (2, 0)


def test_no_rows_are_no_rows(tmp_path):
    rows = _read(_table([], []), tmp_path)

    assert len(rows) == 0
    assert rows.numeric_NF.shape == rows.categorical_NC.shape == (0, 1)


def test_row_groups_with_levels_of_their_own_are_one_column(tmp_path):
    table = _table([0.0] * 6, ["b", "b", "a", None, "c", "b"])
    pq.write_table(table, tmp_path / "dataset.parquet", row_group_size=2)

    rows = read_rows(str(tmp_path / "dataset.parquet"), COLUMNS)

    assert rows.categorical_NC[:, 0].tolist() == ["b", "b", "a", "", "c", "b"]


def test_rows_are_taken_whole_and_in_the_order_asked(tmp_path):
    rows = _read(_table([0.0, 1.0, 2.0], ["a", "b", "c"]), tmp_path)

    taken = rows.take(np.array([2, 0]))

    assert taken.numeric_NF.tolist() == [[2.0], [0.0]]
    assert taken.categorical_NC.tolist() == [["c"], ["a"]]
    assert taken.customer_id_N.tolist() == ["002", "000"]
    assert len(taken) == len(taken.churned_N) == len(taken.as_of_N) == 2
