"""Step 6: which columns the bundle leans on, and for whom it works better or worse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from churnops.bundle.bundle import Bundle
from churnops.evaluation.importance import importances
from churnops.evaluation.metrics import Array
from churnops.evaluation.slices import Slice, slices
from churnops.jobs.steps.audit import read_columns, read_rounds
from churnops.jobs.steps.dataset import DATASET
from churnops.jobs.steps.evaluation import PREDICTIONS
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.training.dataset import Rows, read_rows

_EXPLANATION = "explanation.json"
_SLICED = 8  # columns, those the bundle leans on most


def explanation_step(bundle: Bundle, dataset: Done, audited: Done, evaluated: Done, ledger: Ledger) -> Done:
    """Importances by column, on rows the bundle's model has not learnt from; slices of the tested rows."""

    def work(to: Path) -> None:
        rows, rounds = read_rows(str(dataset.folder / DATASET), read_columns(audited)), read_rounds(audited)
        scores = pq.read_table(evaluated.folder / PREDICTIONS)[bundle.manifest.candidate].to_numpy()
        lost = _importances(bundle, rows.take(rounds.unseen_N))
        sliced = _slices(rows.take(rounds.test_N), scores, lost)
        write_json(to / _EXPLANATION, {"importances": lost, "slices": sliced})

    depends_on = {"evaluation": evaluated.key, "bundle": bundle.manifest.content_hash}
    return ledger.step("explanation", depends_on, work)


def read_explanation(explained: Done) -> dict[str, Any]:
    """`importances` by column, and `slices`."""
    said: dict[str, Any] = explained.read_json(_EXPLANATION)
    return said


def _importances(bundle: Bundle, unseen: Rows) -> dict[str, float]:
    lost = importances(
        bundle.score,
        unseen.numeric_NF,
        unseen.categorical_NC,
        churned=unseen.churned_N,
        seed=bundle.manifest.seed,
    )
    names = (*unseen.columns.numeric, *unseen.columns.categorical)
    return dict(zip(names, lost.tolist(), strict=True))


def _slices(rows: Rows, score_N: Array, lost: Mapping[str, float]) -> tuple[Slice, ...]:
    most = sorted(lost, key=lambda name: -lost[name])[:_SLICED]
    texts_NC = rows.categorical_NC.copy()
    texts_NC[texts_NC == ""] = None
    numbers_NF = rows.numeric_NF.astype(np.float64)
    return slices(
        rows.churned_N,
        score_N,
        categorical={n: texts_NC[:, j] for j, n in enumerate(rows.columns.categorical) if n in most},
        numeric={n: numbers_NF[:, j] for j, n in enumerate(rows.columns.numeric) if n in most},
    )
