"""Rows a second of `churnops score` beside raw ONNX Runtime, and beside the pandas loop that people write.

    python benchmarks/batch_scoring.py [--rows 4_000_000] [--rounds 3] [--reasons 0]

All use every core and take turns in each round. at once: arrays built before, 122,880 rows a call, with ONNX
Runtime's own threads; nothing read, nothing written. raw: the same, as quick as it gets: a process for each
core with one thread, 1,024 rows a call, which stay in the processor's cache. ours: from a Parquet table to
the Parquet files of its scores, checks and the start of processes included. pandas: `read_parquet`, 10,000
rows at a time as arrays to a session with ONNX Runtime's own threads, `to_parquet`.

Beside rows a second there are rows a second of CPU time, which is the figure to believe where other work is
on the machine. Then what else the command does, once, and the memory of the largest process at two sizes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from servers import LEVELS, NUMERIC

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0))
GROUP_ROWS = 122_880  # as DuckDB writes
COUNTS = 7  # of the numbers are whole; the others have cents

# Each begins when it is told to, and says how long it took and how much memory.
STARTED = """
import json, resource, sys, time
from pathlib import Path
def used(which):
    found = resource.getrusage(which)
    return found.ru_utime + found.ru_stime
def measured(work):
    print("ready", flush=True)
    sys.stdin.readline()
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    wall, cpu = time.perf_counter(), sum(map(used, both))
    work()
    peak = max(resource.getrusage(which).ru_maxrss for which in both) / 1024
    wall, cpu = time.perf_counter() - wall, sum(map(used, both)) - cpu
    print(json.dumps({"seconds": wall, "cpu_seconds": cpu, "peak_mb": peak}))
"""
RAW = f"""{STARTED}
import numpy as np, onnxruntime
from churnops.bundle.bundle import read_bundle
from churnops.bundle.tables import category_numbers, numeric_matrix
import pyarrow.parquet as pq
bundle = read_bundle(Path(sys.argv[1]))
(rows,) = pq.ParquetFile(sys.argv[2]).read_row_group(0).combine_chunks().to_batches()
numeric_NF = numeric_matrix(bundle.numeric, rows)
numbers_NC = category_numbers(bundle.categorical, rows, bundle.categories, others={{}})
categorical_NC = bundle.categories.texts(numbers_NC)
left, step = map(int, sys.argv[3:])
session = bundle.session if step < len(numeric_NF) else onnxruntime.InferenceSession(bundle.model)
def work():
    for first in range(0, left, len(numeric_NF)):
        for start in range(0, min(left - first, len(numeric_NF)), step):
            piece = slice(start, start + step)
            session.run(["score"], {{"numeric": numeric_NF[piece], "categorical": categorical_NC[piece]}})
measured(work)
"""
OURS = f"""{STARTED}
def work():
    bundle, table, to = map(Path, sys.argv[1:4])
    batch = Batch(read_bundle(bundle), (table,), to, reasons=int(sys.argv[4]))
    score_table(batch, lambda *_: None)
if __name__ == "__main__":
    from churnops.bundle.bundle import read_bundle
    from churnops.jobs.steps.scoring import score_table
    from churnops.scoring.batch import Batch
    measured(work)
"""
PANDAS = f"""{STARTED}
import numpy as np, onnxruntime, pandas as pd
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
numbers, texts = json.loads(sys.argv[4])
def work():
    table = pd.read_parquet(sys.argv[2])
    scores = []
    for start in range(0, len(table), 10_000):
        piece = table.iloc[start : start + 10_000]
        numeric = piece[numbers].to_numpy(np.float32)
        categorical = piece[texts].fillna("").astype(object).to_numpy()
        scores.extend(session.run(["score"], {{"numeric": numeric, "categorical": categorical}})[0])
    table[["customer_id", "as_of"]].assign(score=scores).to_parquet(sys.argv[3])
measured(work)
"""
REST = f"""{STARTED}
from churnops.engines import parts_of
from churnops.engines.on_duckdb import DuckDB
from churnops.jobs.steps.scoring import RANKED
from churnops.lake.content import read_back
folder = Path(sys.argv[1])
hashed = lambda: read_back(parts_of(folder))
ranked = lambda: DuckDB("4GB", folder.parent / "spill").write(
    RANKED, {{"scores": str(folder)}}, str(folder.parent / "ranked.parquet"))
measured({{"hash": hashed, "rank": ranked}}[sys.argv[2]])
"""

Spent = dict[str, float]


def main() -> None:
    """All in every round; then medians, and ours beside each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reasons", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.rows, given.reasons)
        rounds = [bench.round() for _ in range(given.rounds)]
        report(rounds, given.rows)
        bench.report_rest()
        bench.report_memory()


class Bench:
    """A bundle and a table, and those who score it."""

    def __init__(self, folder: Path, rows: int, reasons: int) -> None:
        self.folder, self.rows, self.reasons = folder, rows, reasons
        self.paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        self.bundle, self.table = folder / "bundle", folder / "features.parquet"
        make = [sys.executable, "-m", "servers.models", folder]
        subprocess.run(make, check=True, capture_output=True, env=self.environment)
        write_features(self.table, rows)

    @property
    def environment(self) -> dict[str, str]:
        """Where the modules are."""
        return os.environ | {"PYTHONPATH": os.pathsep.join(self.paths)}

    def round(self) -> dict[str, Spent]:
        """Each once, by name."""
        share = str(self.rows // CORES)
        names = json.dumps([NUMERIC, tuple(LEVELS)])
        return {
            "at once": self.run(RAW, self.bundle, self.table, str(self.rows), str(GROUP_ROWS)),
            "raw": self.run(RAW, self.bundle, self.table, share, "1024", times=CORES),
            "ours": self.ours(self.table),
            "pandas": self.run(PANDAS, self.bundle, self.table, self.folder / "loop.parquet", names),
        }

    def ours(self, table: Path) -> Spent:
        """The table scored anew."""
        to = self.folder / "scores"
        shutil.rmtree(to, ignore_errors=True)
        script = self.folder / "ours.py"  # a file: the processes that it starts read it too
        script.write_text(OURS)
        return self.run(script, self.bundle, table, to, str(self.reasons))

    def run(self, script: str | Path, *words: Any, times: int = 1) -> Spent:
        """Processes that begin together: the time of the last, all CPU seconds, the largest peak."""
        begin = ["-c", script] if isinstance(script, str) else [script]
        started = [
            subprocess.Popen(
                [sys.executable, *begin, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.environment,
                text=True,
            )
            for _ in range(times)
        ]
        found = [json.loads(said) for said in _told_to_go(started)]
        return {
            "seconds": max(one["seconds"] for one in found),
            "cpu_seconds": sum(one["cpu_seconds"] for one in found),
            "peak_mb": max(one["peak_mb"] for one in found),
        }

    def report_rest(self) -> None:
        """What else the command does with the scores."""
        print()
        for name, what in (("hash", "content hash, read back"), ("rank", "file with ranks, by DuckDB")):
            spent = self.run(REST, self.folder / "scores", name)
            print(f"{what:<28} {self.rows / spent['seconds']:>12,.0f} rows/s {spent['seconds']:>7.1f} s")

    def report_memory(self) -> None:
        """The largest process at two sizes of the table."""
        smaller = self.folder / "smaller.parquet"
        write_features(smaller, self.rows // 4)
        print()
        for table, rows in ((smaller, self.rows // 4), (self.table, self.rows)):
            print(f"{rows:>12,} rows: peak {self.ours(table)['peak_mb']:,.0f} MB a process")


def report(rounds: Sequence[dict[str, Spent]], rows: int) -> None:
    """Medians of the rounds."""
    print(f"{rows:,} rows, {CORES} cores, {len(rounds)} rounds")
    print(f"{'':<8} {'rows/s':>12} {'of raw':>8} {'per CPU s':>12} {'of raw':>8} {'peak MB':>8}")
    speeds = {
        figure: {name: statistics.median(rows / one[name][figure] for one in rounds) for name in rounds[0]}
        for figure in ("seconds", "cpu_seconds")
    }
    for name in rounds[0]:
        wall, cpu = speeds["seconds"][name], speeds["cpu_seconds"][name]
        of_wall, of_cpu = wall / speeds["seconds"]["raw"], cpu / speeds["cpu_seconds"]["raw"]
        peak = max(one[name]["peak_mb"] for one in rounds)
        print(f"{name:<8} {wall:>12,.0f} {of_wall:>8.2f} {cpu:>12,.0f} {of_cpu:>8.2f} {peak:>8,.0f}")


def write_features(path: Path, rows: int) -> None:
    """Made-up features as the lake has them: 15 numbers, of which some are missing, and 5 categories."""
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, rows, GROUP_ROWS):
        n = min(GROUP_ROWS, rows - start)
        columns = {
            "customer_id": pa.array([f"c-{i:09}" for i in range(start, start + n)]),
            "as_of": pa.repeat(pa.scalar(np.datetime64("2024-06-01", "us")), n),
        }
        for i, name in enumerate(NUMERIC):
            number_N = np.round(rng.gamma(2.0, 30.0, n), 0 if i < COUNTS else 2)
            columns[name] = pa.array(number_N, mask=rng.random(n) < 0.02)
        columns |= {name: pa.array(rng.choice(levels, n)) for name, levels in LEVELS.items()}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def _told_to_go(started: Sequence[subprocess.Popen[str]]) -> list[str]:
    for one in started:
        if one.stdout:
            one.stdout.readline()  # it is ready
    for one in started:
        if one.stdin:
            one.stdin.write("go\n")
            one.stdin.flush()
    said = [one.communicate()[0] for one in started]
    for one in started:
        if one.returncode:
            raise SystemExit(f"a process ended with {one.returncode}")
    return said


if __name__ == "__main__":
    main()
