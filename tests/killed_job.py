"""A job that waits to be told to begin: `killed_job.py DATA_DIR LAKE SOURCE_DIR ENGINE`."""

import sys
from pathlib import Path

from exports import purchases

from churnops.config import Settings
from churnops.jobs.features import make_features


def main(data_dir, lake, source_dir, engine):
    """Say that everything is imported and started, and do the job when a line comes."""
    settings = Settings(
        data_dir=Path(data_dir), lake=lake, source_dir=source_dir, engine=engine, spark_master="local[2]"
    )
    if engine == "spark":
        from churnops.engines.on_spark import Spark

        Spark(settings.spark_master).query("select 1 as one", {})
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.readline():
        make_features(purchases(), settings, as_of=None, tell=lambda *_: None)
        sys.stdout.write("done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
