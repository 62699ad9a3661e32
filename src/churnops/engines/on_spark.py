"""Spark: the engine of purchases that no longer fit one machine. Executors read and write the tables.

Everything about the cluster beyond its address (memory, jars, the storage's connector) is Spark's own
business: `spark-submit` options and `spark-defaults.conf`.
"""

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as fn

from churnops.contracts.table import quoted
from churnops.errors import EngineError

_MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",  # an instant has no zone, as in our tables
    "spark.sql.ansi.enabled": "true",  # what overflows or cannot be cast is an error
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""What our SQL takes for granted."""

_QUIET = {"spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
_ALONE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
"""Of a Spark within this process: nobody else shall talk to it."""


@dataclass(frozen=True)
class Spark:
    """Runs SQL on `master`; under `spark-submit`, which names one, leave it empty."""

    master: str = "local[*]"
    name: ClassVar[str] = "spark"
    distributed: ClassVar[bool] = True

    def write(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """Write the result of `sql` as a folder of Parquet files at `to`, which nobody reads yet; its rows.

        What was there is replaced. Sorted results stay sorted in the order of the files' names.
        """
        with self._views(tables) as session:
            counted = Observation()
            frame = session.sql(sql).observe(counted, fn.count(fn.lit(1)).alias("n_rows"))
            frame.write.mode("overwrite").parquet(address_of(to))
            return int(counted.get["n_rows"])

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
        # Workers would take whichever `python3` comes first on their path.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        options: dict[str, bool | float | int | str | None] = {
            **_QUIET,
            **_MEANING,
            **_storage(),
            **(_ALONE if self.master.startswith("local") else {}),
        }
        builder = SparkSession.builder.appName("churnops").config(map=options)
        return (builder.master(self.master) if self.master else builder).getOrCreate()

    @contextmanager
    def _views(self, tables: Mapping[str, str]) -> Iterator[SparkSession]:
        """The session, on which each name of `tables` is a view; its errors as EngineError."""
        try:
            session = self._session
            for name, address in tables.items():
                session.read.parquet(address_of(address)).createOrReplaceTempView(quoted(name))
            yield session
        except (PySparkException, Py4JError) as error:
            raise EngineError(f"Spark ({self.master or 'spark-submit'}): {_told(error)}") from error


def address_of(address: str) -> str:
    """An address as Hadoop's file systems have it."""
    if address.startswith("s3://"):
        return f"s3a://{address.removeprefix('s3://')}"
    return Path(address).resolve().as_uri()


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


def _told(error: Exception) -> str:
    """The first cause that says something, in one line; what to do about the usual ones."""
    text = str(error)
    if "S3AFileSystem not found" in text:
        return (
            "has no S3 connector: add `spark.jars.packages org.apache.hadoop:hadoop-aws:<its Hadoop version>`"
            " to spark-defaults.conf"
        )
    causes = [line.partition("Caused by:")[2].strip() for line in text.splitlines() if "Caused by:" in line]
    return causes[-1] if causes else next((line for line in text.splitlines() if line.strip()), repr(error))
