"""Spark: the engine of purchases that no longer fit one machine. Executors read and write the tables.

Everything about the cluster beyond its address (memory, jars, the storage's connector) is Spark's own
business: `spark-submit` options and `spark-defaults.conf`. No Python runs on executors: all work is SQL.
"""

import atexit
import functools
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from churnops.contracts.table import quoted
from churnops.errors import ConfigError, EngineError

_MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",  # an instant has no zone, as in our tables
    "spark.sql.ansi.enabled": "true",  # what overflows or cannot be cast is an error
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.adaptive.enabled": "true",  # the parts of a shuffle get their size from the data
    "spark.sql.parquet.compression.codec": "zstd",
}
"""What our SQL takes for granted."""

_QUIET = {
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.defaultJavaOptions": "-Dlog4j2.configurationFile="
    + Path(__file__).with_name("log4j2.properties").as_uri(),
}
"""Of a Spark that this process starts: what goes wrong is told by our errors."""

_ALONE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
"""Of a Spark within this process: nobody else shall talk to it."""

_JAVA = "needs Java 17 or newer: apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
_CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Spark:
    """Runs SQL on `master`; under `spark-submit`, which names one, leave it empty.

    A process has one session, stopped when it ends. Methods raise EngineError, which names a file that cannot
    be read, and ConfigError where Spark cannot be had.
    """

    master: str = "local[*]"
    name: ClassVar[str] = "spark"
    distributed: ClassVar[bool] = True

    def write(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """Write the result of `sql` as a folder of Parquet files at `to`, which nobody reads yet; its rows.

        What was there is replaced. Sorted results stay sorted in the order of the files' names.
        """
        with self._views(tables) as session:
            session.sql(sql).write.mode("overwrite").parquet(address_of(to))
            return int(session.read.parquet(_to_read(to)).count())  # of the files' footers

    def query(self, sql: str, tables: Mapping[str, str]) -> pa.Table:
        """Run `sql` and return its (small) result."""
        with self._views(tables) as session:
            return session.sql(sql).toArrow()

    def explain(self, sql: str, tables: Mapping[str, str]) -> str:
        """The plan Spark has for `sql`, as it stands before it runs."""
        with self._views(tables) as session:
            plan: str = session.sql(sql)._jdf.queryExecution().executedPlan().toString()
            return plan

    @functools.cached_property
    def _session(self) -> SparkSession:
        _reach(self.master)
        PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(CRITICAL)  # it repeats what errors say
        options: dict[str, bool | float | int | str | None] = {
            **_MEANING,
            **_storage(),
            **(_QUIET if self.master else {}),
            **(_ALONE if self.master.startswith("local") else {}),
        }
        builder = SparkSession.builder.appName("churnops").config(map=options)
        session = (builder.master(self.master) if self.master else builder).getOrCreate()
        atexit.register(session.stop)
        return session

    @contextmanager
    def _views(self, tables: Mapping[str, str]) -> Iterator[SparkSession]:
        """The session, on which each name of `tables` is a view; its errors as ours."""
        try:
            session = self._session
            for name, address in tables.items():
                session.read.parquet(_to_read(address)).createOrReplaceTempView(quoted(name))
            yield session
        except (PySparkException, Py4JError) as error:
            if "JAVA_GATEWAY_EXITED" in str(error):
                raise ConfigError("--engine", [f"spark: Java did not start it; it {_JAVA}"]) from error
            if "S3AFileSystem not found" in str(error):
                raise ConfigError("--engine", [f"spark: {_connector(self._session)}"]) from error
            raise EngineError(f"Spark ({self.master or 'spark-submit'}): {_told(error)}") from error


def address_of(address: str) -> str:
    """An address as Hadoop's file systems have it."""
    if address.startswith("s3://"):
        return f"s3a://{address.removeprefix('s3://')}"
    return f"file://{Path(address).resolve()}"  # Hadoop takes an escaped `=` for a name


def _to_read(address: str) -> str:
    """The same where Spark reads, which takes names for patterns: ours is `{one,other}`, of `Lake`."""
    return re.sub(r"([\[\]*?])", r"\\\1", address_of(address))


def _reach(master: str) -> None:
    """Raise ConfigError where nobody answers at a standalone master: Spark itself would try for a minute."""
    if not re.fullmatch(r"(local(-cluster)?(\[.+\])?|spark://.+|yarn|k8s://.+)?", master):
        raise ConfigError("--master", [f"{master}: is none: spark://host:7077, yarn, k8s://..., local[*]"])
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        if not (host and port.isdigit()):
            raise ConfigError("--master", [f"{master}: is no address: spark://host:7077"])
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or error
        else:
            return
    raise ConfigError("--master", [f"{master}: no master answers there ({reason})"])


def _storage() -> dict[str, str]:
    """An S3-compatible server, where AWS's own setting names one."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return {}
    return {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https:")).lower(),
    }


def _connector(session: SparkSession) -> str:
    """Which one Spark lacks for S3, and where to say so."""
    version = session._jvm.org.apache.hadoop.util.VersionInfo.getVersion()
    package = f"spark.jars.packages org.apache.hadoop:hadoop-aws:{version}"
    return f"has no S3 connector: add `{package}` to spark-defaults.conf"


def _told(error: Exception) -> str:
    """The first cause that says something, in one line; what to do about the usual ones."""
    text = str(error)
    causes = re.findall(r"^(?:Caused by)?: (.+)$", text, flags=re.MULTILINE)
    cause = causes[-1] if causes else next((line for line in text.splitlines() if line.strip()), repr(error))
    damaged = re.search(r"\[FAILED_READ_FILE\S* Encountered error while reading file (\S+?)\.?\s", text)
    return f"{damaged[1]}: is truncated or damaged: {cause}" if damaged else str(cause)
