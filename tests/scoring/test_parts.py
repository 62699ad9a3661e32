"""How a table is shared out."""

from pathlib import Path

from churnops.scoring.parts import Part, dealt


def test_processes_get_about_as_many_rows_each_in_the_order_of_the_table():
    sizes = [122_880, 7_120] * 16
    parts = [Part(i, Path("t"), (i,), 1, rows) for i, rows in enumerate(sizes, start=1)]

    shares = dealt(parts, 3)

    rows = [sum(part.rows for part in share) for share in shares]
    assert max(rows) - min(rows) <= max(sizes)
    assert sorted(part.number for share in shares for part in share) == [*range(1, 33)]
    assert all(share == sorted(share, key=lambda part: part.number) for share in shares)
