"""A Parquet table scored by a bundle."""

import pyarrow.parquet as pq

from churnops.engines import parts_of
from churnops.jobs.steps.scoring import score_table
from churnops.scoring.batch import Batch


def scored_in(folder, bundle, table, **options):
    """The scores of the Parquet file or folder `table`, made in `folder`."""
    files = score_table(Batch(bundle, tuple(parts_of(table)), folder, **options), lambda *_: None)
    return pq.read_table(files)
