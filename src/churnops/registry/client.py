"""One way to open MLflow, with our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from churnops.errors import RegistryError


@contextmanager
def connect(uri: str) -> Iterator[MlflowClient]:
    """A client for the runs and versions at `uri`; what goes wrong with them in the block is a RegistryError.

    The first to open a new database waits some seconds for its tables.
    """
    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:  # ImportError: no driver for it
        raise RegistryError(f"tracking store {_without_password(uri)}: {error}") from error


def _without_password(uri: str) -> str:
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri
