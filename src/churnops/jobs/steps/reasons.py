"""What a bundle explains its scores by, and the made-up customers it is held to."""

import hashlib
from dataclasses import replace

import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import Reasons, Smoke
from churnops.export.reasons import Matrices, made_up, reasons_graph
from churnops.jobs.steps.learning import Held
from churnops.training.group import Group, gather_array, gather_json

_SAMPLED = 2048
_SMOKE_ROWS = 4


def sample_of(held: Held, group: Group, *, seed: int) -> Matrices:
    """Some of the rows that the bundle's model learns from: the same whichever process holds which."""
    all_N = np.sort(gather_array(group, held.number_N[held.rounds.bundled.train_N]))
    drawn = np.random.default_rng(seed).choice(all_N, min(_SAMPLED, all_N.size), replace=False)
    own_N = np.flatnonzero(np.isin(held.number_N, drawn))
    rows = held.rows.take(own_N)
    order = np.argsort(gather_array(group, held.number_N[own_N]))
    numeric = gather_array(group, rows.numeric_NF.ravel())
    texts = [row for part in gather_json(group, rows.categorical_NC.tolist()) for row in part]
    return (
        numeric.reshape(order.size, rows.numeric_NF.shape[1])[order],
        np.array(texts, dtype=object).reshape(order.size, rows.categorical_NC.shape[1])[order],
    )


def with_reasons(bundle: Bundle, sample: Matrices) -> Bundle:
    """`bundle` with the graph of reasons against `sample`, and smoke rows with their scores."""
    manifest = bundle.manifest
    graph = reasons_graph(bundle.model, sample, seed=manifest.seed)
    values = _smoke_values(bundle, sample)
    smoke = tuple(Smoke(values=v, score=s) for v, s in zip(values, bundle.score_rows(values), strict=True))
    reasons = Reasons(
        sha256=hashlib.sha256(graph.content).hexdigest(), base_score=graph.base_score, rows=graph.rows
    )
    described = manifest.model_copy(update={"smoke": smoke, "reasons": reasons})
    return replace(bundle, manifest=described, reasons=graph.content)


def _smoke_values(bundle: Bundle, sample: Matrices) -> list[dict[str, float | str | None]]:
    """Customers who are nobody, and one of whom nothing is known, with levels that nobody has seen."""
    names = [column.name for column in bundle.manifest.inputs]
    numeric_KF, categorical_KC = made_up(sample, _SMOKE_ROWS, np.random.default_rng(bundle.manifest.seed))
    rows = [
        [*(v if np.isfinite(v) else None for v in numbers), *(text or None for text in texts)]
        for numbers, texts in zip(numeric_KF.tolist(), categorical_KC.tolist(), strict=True)
    ]
    nothing = {c.name: None if c.kind == "numeric" else "?" for c in bundle.manifest.inputs}
    return [*(dict(zip(names, row, strict=True)) for row in rows), nothing]
