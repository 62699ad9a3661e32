"""Small datasets for tests of the lake."""

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.lake.content import read_back
from churnops.lake.lake import Made


def write_table(path, table):
    """The Parquet file of a table of `{name: values}` or an Arrow one; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return path


def publish(lake, folder, *, dataset="shop/orders", key="key", sources=(), draft=None, note=b"{}", **tables):
    """Publish tables, given as values of their one column, and a note; the version."""
    draft = draft or lake.draft(dataset)
    contents = {}
    for name, values in tables.items():
        path = write_table(folder / draft.folder / f"{name}.parquet", {"n": values})
        lake.upload(path, draft)
        contents[name] = read_back([path])
    path = folder / draft.folder / "note.json"
    path.write_bytes(note)
    lake.upload(path, draft)
    return lake.publish(draft, contents, Made(key, "duckdb", tuple(one.as_source() for one in sources)))


def values(folder, name):
    """The column of a fetched table."""
    return pq.read_table(folder / f"{name}.parquet")["n"].to_pylist()
