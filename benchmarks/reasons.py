"""How close reasons come to Shapley values against all of training, and what they cost.

    python benchmarks/reasons.py RUN_FOLDER... [--customers 40] [--walks 4000] [--candidates torch,lightgbm]

A run folder is what `churnops run` leaves: var/runs/<name>. For each candidate's graph the reasons of some
tested customers are compared with the mean over `--walks` walks, each from another customer of training drawn
at random, asked of the graph itself: the definition, but for a sampling error that is printed too.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from churnops.bundle.bundle import Bundle, read_bundle
from churnops.export.walks import walks
from churnops.jobs.steps.audit import read_columns, read_rounds
from churnops.jobs.steps.learning import Held
from churnops.jobs.steps.ledger import Done
from churnops.jobs.steps.reasons import sample_of, with_reasons
from churnops.training.dataset import Rows, read_rows
from churnops.training.group import ALONE

_AT_ONCE = 40  # walks of one request
_ROUNDS = 5
_TOGETHER = 16  # as under load


def reference(bundle: Bundle, train: Rows, one: Rows, n_walks: int) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values of one customer's score against all of `train`, and their standard errors."""
    rng, columns = np.random.default_rng(1), len(bundle.manifest.inputs)
    numbers, found = len(bundle.manifest.numeric), []
    for _ in range(n_walks // _AT_ONCE):
        way = walks(rng, columns, rows=_AT_ONCE * columns, most_pairs=_AT_ONCE // 2)
        others = train.take(rng.choice(len(train), way.pairs))
        on_way = others.take(way.other_R)
        numeric = np.where(way.own_RP[:, :numbers], one.numeric_NF, on_way.numeric_NF)
        categorical = np.where(way.own_RP[:, numbers:], one.categorical_NC, on_way.categorical_NC)
        begun = way.begun(bundle.score(others.numeric_NF, others.categorical_NC))
        found.append(bundle.score(numeric, categorical) @ way.weight_RP - begun)
    return np.mean(found, axis=0), np.std(found, axis=0) / len(found) ** 0.5


def three_largest(effects_NX: np.ndarray) -> np.ndarray:
    """The columns of each row's largest effects."""
    return np.argsort(-np.abs(effects_NX), axis=1)[:, :3]


def microseconds(work: Callable[[], object], times: int = 200) -> float:
    """CPU time for one of those asked about together: the median of some calls, the best of some rounds."""

    def seconds() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return 1e6 / _TOGETHER * min(statistics.median(seconds() for _ in range(times)) for _ in range(_ROUNDS))


def measure(folder: Path, candidate: str, n_customers: int, n_walks: int) -> None:
    """Print one line."""
    dataset, audited = (Done(folder / name, "") for name in ("dataset", "audit"))
    rows, rounds = (
        read_rows(str(dataset.folder / "dataset.parquet"), read_columns(audited)),
        read_rounds(audited),
    )
    graph = (folder / "candidates" / candidate / "model.onnx").read_bytes()
    manifest = read_bundle(folder / "bundle").manifest.model_copy(
        update={"model_sha256": hashlib.sha256(graph).hexdigest(), "smoke": (), "reasons": None}
    )
    sample = sample_of(Held(rows, np.arange(len(rows)), rounds), ALONE, seed=manifest.seed)
    start = time.perf_counter()
    bundle = with_reasons(Bundle(manifest, graph), sample)
    made = time.perf_counter() - start
    train = rows.take(rounds.bundled.train_N)
    drawn = np.random.default_rng(0).choice(rounds.unseen_N, n_customers, replace=False)
    asked = rows.take(drawn)
    wanted, errors = zip(
        *(reference(bundle, train, asked.take(np.array([i])), n_walks) for i in range(n_customers)),
        strict=True,
    )
    found = bundle.effects(asked.numeric_NF, asked.categorical_NC)
    off = np.abs(found - wanted)
    pairs = zip(three_largest(found), three_largest(np.array(wanted)), strict=True)
    shared = np.mean([len({*ours} & {*theirs}) / len(ours) for ours, theirs in pairs])
    some = asked.numeric_NF[:_TOGETHER], asked.categorical_NC[:_TOGETHER]
    scored, explained = (
        microseconds(lambda work=work: work(*some)) for work in (bundle.score, bundle.effects)
    )
    size = np.abs(wanted).max(axis=1).mean()
    print(f"{folder.name} {candidate}: {len(manifest.inputs)} columns, {bundle.manifest.reasons.rows} rows")
    print(
        f"  off by {off.mean():.4f}, at most {off.max(axis=1).mean():.4f} where the largest is {size:.3f}",
        end="",
    )
    print(f"; of three {shared:.2f} the same; standard error of the reference {np.mean(errors):.4f}")
    print(f"  score {scored:.0f} us, effects {explained:.0f} us for one of {_TOGETHER} together", end="")
    print(f"; made in {made:.1f} s", flush=True)


def main() -> None:
    """Read the options and measure every candidate of every run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--customers", type=int, default=40)
    parser.add_argument("--walks", type=int, default=4000)
    parser.add_argument("--candidates", default="")
    options = parser.parse_args()
    for folder in options.runs:
        names = sorted(path.parent.name for path in folder.glob("candidates/*/model.onnx"))
        for name in options.candidates.split(",") if options.candidates else names:
            measure(folder, name, options.customers, options.walks)


if __name__ == "__main__":
    main()
