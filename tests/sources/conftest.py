"""Fixtures for tests of what is read: one DuckDB for all of them."""

import duckdb
import pytest

from churnops.engines.on_duckdb import DuckDB
from churnops.sources.clean import clean


class SharedDuckDB(DuckDB):
    """DuckDB whose connections share one database: opening another takes longer than most queries here."""

    def _opened(self):
        return self.database.cursor()


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
