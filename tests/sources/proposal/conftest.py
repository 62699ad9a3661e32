"""Fixtures for tests of what is proposed."""

from contextlib import contextmanager

import pytest

from churnops.contracts.table import quoted
from churnops.engines.on_duckdb import DuckDB, parquet_glob
from churnops.sources.detect import detect
from churnops.sources.files import stage
from churnops.sources.proposal.inquiry import Inquiry, Remarks
from churnops.sources.proposal.profile import profile
from churnops.sources.proposal.propose import propose


class OneConnection(DuckDB):
    """DuckDB that keeps its connection: opening one takes longer than most queries here."""

    @contextmanager
    def connect(self, tables):
        """The connection, on which each name of `tables` is a view."""
        for name, address in tables.items():
            files = parquet_glob(address).replace("'", "''")
            view = f"create or replace view {quoted(name)} as select * from read_parquet('{files}')"  # noqa: S608
            self.kept.execute(view)
        yield self.kept


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """One engine for all tests, which write to folders of their own."""
    engine = OneConnection("1GB", tmp_path_factory.mktemp("spill"))
    with DuckDB.connect(engine, {}) as connection:
        connection.execute("set threads = 1")
        object.__setattr__(engine, "kept", connection)
        yield engine


@pytest.fixture
def looked_at(tmp_path, engine):
    """Profile the file or folder at a path."""

    def look(path):
        source = detect(path)
        staged = stage(source, path.parent, tmp_path / "staged" / path.name, engine=engine)
        return profile(source, staged, engine.query)

    return look


@pytest.fixture
def proposed(looked_at, engine):
    """Propose a config for the files at one path or two."""

    def what(*paths, **answers):
        return propose("made", [looked_at(path) for path in paths], engine.query, answers=answers)

    return what


@pytest.fixture
def inquiry(engine):
    """An inquiry without answers or customs."""
    return Inquiry(engine.query, Remarks(), day_first=None)
