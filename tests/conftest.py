"""Fixtures for all tests."""

import pytest
from builders import make_bundle
from hypothesis import settings

from churnops.engines.on_duckdb import DuckDB

# The same examples every run: a red test stays red until somebody mends it.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


# Not annotated with what they return: Hypothesis would keep that alive, and DuckDB report leaks at the end.
@pytest.fixture
def engine(tmp_path):
    """DuckDB with a spill folder of its own."""
    return DuckDB(memory_limit="1GB", spill_dir=tmp_path / "spill")


@pytest.fixture(scope="session")
def tiny_bundle():
    """The bundle of `builders.COLUMNS`: it never changes, so all tests share it."""
    return make_bundle()


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory):
    """MLflow on one SQLite for the session, since making its tables takes seconds; the path has a blank."""
    from churnops.registry.aliases import champion  # here, because MLflow takes seconds to import

    uri = f"sqlite:///{tmp_path_factory.mktemp('our registry')}/mlflow.db"
    champion(uri, "nobody")
    return uri
