"""Fixtures for all tests."""

import gc
import signal
import uuid

import pytest
import structlog
from builders import make_bundle
from hypothesis import settings
from s3_server import s3_client, serving, settings_of

from churnops.engines.on_duckdb import DuckDB

# The same examples every run: a red test stays red until somebody mends it.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """The command line logs to standard error, which is another in the next test."""
    yield
    structlog.reset_defaults()


# Not annotated with what they return: Hypothesis would keep that alive, and DuckDB report leaks at the end.
@pytest.fixture
def engine(tmp_path):
    """DuckDB with a spill folder of its own."""
    return DuckDB(memory_limit="1GB", spill_dir=tmp_path / "spill")


@pytest.fixture(scope="module")
def spark():
    """Spark within this process."""
    from churnops.engines.on_spark import Spark  # here, because it is an extra

    yield Spark("local[2]")
    gc.collect()  # PySpark leaves sockets open: they shall end where a module's mark lets them


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


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory):
    """A real S3 server with the bucket `lake`."""
    with serving(tmp_path_factory.mktemp("s3")) as address:
        s3_client(address).create_bucket(Bucket="lake")
        yield address


@pytest.fixture
def s3(s3_address, monkeypatch):
    """A client of the server, which is that of this test's environment too."""
    for name, value in settings_of(s3_address).items():
        monkeypatch.setenv(name, value)
    return s3_client(s3_address)


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.servers)])
def place(request, tmp_path):
    """An empty place for files: a folder, and one on S3."""
    if request.param == "disk":
        return str(tmp_path / "lake")
    request.getfixturevalue("s3")
    return f"s3://lake/{tmp_path.name}-{uuid.uuid4().hex}"
