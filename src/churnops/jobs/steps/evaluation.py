"""Step 5: how good each candidate really is, and which one becomes the bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.evaluation.intervals import bootstrap, intervals, paired_difference
from churnops.jobs.steps.audit import Prepared
from churnops.jobs.steps.candidate import read_facts, read_scores
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.training.candidates import NETWORKS
from churnops.training.recipe import Recipe

PREDICTIONS = "predictions.parquet"
_FIGURES = "evaluation.json"


def evaluation_step(
    candidates: Mapping[str, Done], prepared: Prepared, recipe: Recipe, *, reference: str, ledger: Ledger
) -> Done:
    """Test figures with intervals, and every candidate's scores side by side.

    Differences are paired: each to the best baseline, and the chosen to `reference`, the one-column one.
    """

    def work(to: Path) -> None:
        facts = {name: read_facts(done) for name, done in candidates.items()}
        by_validation = sorted(facts, key=lambda name: -facts[name].validation_auc)
        chosen = by_validation[0]
        best_baseline = next(name for name in by_validation if name not in NETWORKS)
        predictions = _side_by_side(candidates, prepared)
        drawn = bootstrap(
            predictions["churned"].to_numpy(),
            {name: predictions[name].to_numpy() for name in candidates},
            groups=prepared.groups[prepared.rounds.test_N],
            resamples=recipe.resamples,
            seed=recipe.seed,
        )
        gains = {name: paired_difference(drawn, name, best_baseline) for name in by_validation}
        figures = {
            "order": by_validation,
            "chosen": chosen,
            "best_baseline": best_baseline,
            "metrics": intervals(drawn),
            "gains": {name: gain for name, gain in gains.items() if name != best_baseline},
            "gain_over_one_column": paired_difference(drawn, chosen, reference),
            "between_frameworks": paired_difference(drawn, *NETWORKS) if facts.keys() >= {*NETWORKS} else {},
        }
        pq.write_table(predictions, to / PREDICTIONS)
        write_json(to / _FIGURES, figures)

    depends_on = {"candidates": {name: done.key for name, done in candidates.items()}, "reference": reference}
    return ledger.step("evaluation", depends_on, work)


def read_figures(evaluated: Done) -> dict[str, Any]:
    """`order`, `chosen`, `best_baseline`, `metrics`, `gains` and what else the step above writes."""
    figures: dict[str, Any] = evaluated.read_json(_FIGURES)
    return figures


def _side_by_side(candidates: Mapping[str, Done], prepared: Prepared) -> pa.Table:
    """`customer_id`, `as_of`, `churned` of the tested rows, and a column of scores per candidate."""
    tested = pq.read_table(prepared.address, columns=["customer_id", "as_of", "churned"])
    together = tested.take(prepared.rounds.test_N)
    for name, done in candidates.items():
        together = together.append_column(name, pa.array(read_scores(done)))
    return together
