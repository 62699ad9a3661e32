"""How a table is shared out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from churnops.scoring.parts import Part, dealt, plan


def test_processes_get_about_as_many_rows_each_in_the_order_of_the_table():
    sizes = [122_880, 7_120] * 16
    parts = [Part(i, Path("t"), (i,), 1, rows) for i, rows in enumerate(sizes, start=1)]

    shares = dealt(parts, 3)

    rows = [sum(part.rows for part in share) for share in shares]
    assert max(rows) - min(rows) <= max(sizes)
    assert sorted(part.number for share in shares for part in share) == [*range(1, 33)]
    assert all(share == sorted(share, key=lambda part: part.number) for share in shares)


def written(path, *groups):
    """A table with row groups of so many rows, numbered through."""
    numbers = pa.array(range(sum(groups)), pa.int64())
    plans = pa.array(["basic", None]).take(pc.bit_wise_and(numbers, 1))
    table = pa.table({"customer_id": numbers.cast(pa.string()), "plan": plans})
    with pq.ParquetWriter(path, table.schema) as writer:
        for rows in groups:
            writer.write_table(table[:rows])
            table = table[rows:]
    assert pq.read_metadata(path).num_row_groups == len(groups)
    return path


@pytest.mark.parametrize(
    ("groups", "plain", "with_reasons"),
    [
        ((4_000,), [4_000], [4_000]),
        ((40_000,), [40_000], [5_000] * 8),
        ((40_000, 10), [40_000, 10], [*[5_000] * 8, 10]),
        ((200_000, 120_000), [200_000, 120_000], [10_000] * 32),
        ((100, 0, 200, 0), [100, 200], [300]),
        ((0,), [0], [0]),
        ((), [0], [0]),
    ],
)
def test_row_groups_are_cut_where_a_row_takes_long(tmp_path, groups, plain, with_reasons):
    files = [written(tmp_path / "t.parquet", *groups)]

    assert [part.rows for part in plan(files, reasons=False)] == plain
    assert [part.rows for part in plan(files, reasons=True)] == with_reasons


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("groups", [(40_001,), (17_000, 0, 100, 2_000, 33_000), (10, 10, 0)])
def test_parts_together_are_the_table_and_each_knows_the_row_before(tmp_path, groups, reasons):
    files = [written(tmp_path / f"{name}.parquet", *groups) for name in "ab"]
    left, before = pq.read_table(files), []

    for part in plan(files, reasons=reasons):
        read = pa.Table.from_batches(part.batches(left.column_names)).cast(left.schema)
        last = part.last_before(["customer_id"])
        assert read.equals(left[: part.rows])
        assert read["customer_id"][0].as_py() == str(part.first_row - 1)
        assert (last["customer_id"].to_pylist() if last else []) == before
        left, before = left[part.rows :], read["customer_id"].to_pylist()[-1:]
    assert not left


def test_of_a_group_that_is_cut_no_more_rows_are_held_at_once(tmp_path):
    parts = plan([written(tmp_path / "t.parquet", 640_000)], reasons=True)

    assert {part.rows for part in parts} == {20_000}
    assert max(batch.num_rows for part in parts for batch in part.batches(["plan"])) <= 16_384
