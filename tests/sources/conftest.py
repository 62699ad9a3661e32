"""Fixtures for tests of what is read: one DuckDB for all of them."""

from contextlib import contextmanager

import duckdb
import pytest

from churnops.contracts.table import quoted
from churnops.engines.on_duckdb import DuckDB, parquet_glob
from churnops.errors import EngineError
from churnops.sources.clean import clean


class SharedDuckDB(DuckDB):
    """DuckDB whose connections share one database: opening another takes longer than most queries here."""

    @contextmanager
    def connect(self, tables):
        """A connection of its own, on which each name of `tables` is a view."""
        with self.database.cursor() as connection:
            connection.execute("set timezone = 'UTC'")
            for name, address in tables.items():
                files = parquet_glob(address).replace("'", "''")
                view = f"create temp view {quoted(name)} as select * from read_parquet('{files}')"  # noqa: S608
                connection.execute(view)
            try:
                yield connection
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise EngineError(str(error)) from error


# Not annotated with what they return: Hypothesis would keep that alive, and DuckDB report leaks at the end.
@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """One engine for all tests, which write to folders of their own."""
    engine = SharedDuckDB("1GB", tmp_path_factory.mktemp("spill"))
    with duckdb.connect(config={"threads": 1, "memory_limit": engine.memory_limit}) as database:
        object.__setattr__(engine, "database", database)
        yield engine


@pytest.fixture
def clean_in(engine):
    """Clean the exports in a folder, as a config says, into its folder `clean`."""

    def cleaned(folder, config):
        return clean(config, engine, source_dir=folder, to=folder / "clean")

    return cleaned
