"""The chosen candidate as a bundle: its graph, and a manifest an auditor and a server can work from."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import InputColumn, Manifest, Metric
from churnops.data_config import DataConfig
from churnops.features.definitions import declared, feature_hash, taken
from churnops.jobs.steps.audit import Prepared, read_findings
from churnops.jobs.steps.candidate import read_facts
from churnops.jobs.steps.cleaning import fingerprint
from churnops.jobs.steps.dataset import read_about
from churnops.jobs.steps.evaluation import read_figures
from churnops.jobs.steps.learning import MODEL, Facts, Held
from churnops.jobs.steps.ledger import Done
from churnops.jobs.steps.reasons import sample_of, with_reasons
from churnops.training.dataset import Rows, read_rows
from churnops.training.group import ALONE
from churnops.training.recipe import Recipe


def make_bundle(config: DataConfig, recipe: Recipe, steps: Mapping[str, Done], *, candidate: str) -> Bundle:
    """The bundle of one candidate. It holds no clock time."""
    facts, figures = read_facts(steps[candidate]), read_figures(steps["evaluation"])
    metrics = {name: Metric(**metric) for name, metric in figures["metrics"][facts.name].items()}
    prepared = Prepared(steps["dataset"], steps["audit"])
    known = known_before(config, steps["clean"], prepared)
    bundle = bundle_of(known, recipe, facts, metrics, (steps[candidate].folder / MODEL).read_bytes())
    rows = read_rows(prepared.address, prepared.columns)
    held = Held(rows, np.arange(len(rows)), prepared.rounds)
    return with_reasons(bundle, sample_of(held, ALONE, seed=recipe.seed))


def bundle_of(
    known: Mapping[str, Any], recipe: Recipe, facts: Facts, metrics: Mapping[str, Metric], graph: bytes
) -> Bundle:
    """What was known before training, and what training came to; without reasons yet."""
    manifest = Manifest(
        **known,
        candidate=facts.name,
        threshold=facts.threshold,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        calibration={"slope": facts.calibration.slope, "intercept": facts.calibration.intercept},
        metrics=dict(metrics),
        parity=facts.parity,
        code_commit=facts.code_commit,
        libraries=dict(facts.libraries),
        model_sha256=hashlib.sha256(graph).hexdigest(),
    )
    return Bundle(manifest, graph)


def known_before(config: DataConfig, cleaned: Done, prepared: Prepared) -> dict[str, Any]:
    """What a manifest says of the data, whoever learns from it."""
    about = read_about(prepared.dataset)
    learnt = read_rows(prepared.address, prepared.columns).take(prepared.rounds.bundled.train_N)
    texts = {f["name"]: f["text"] for f in about["features"]}
    # A feature made of purchases is undefined for some customers, whether or not training met one.
    inputs = _inputs(learnt, texts, nullable=config.shape == "purchases")
    return {
        "name": config.name,
        "inputs": inputs,
        "ignored_columns": _ignored(config, inputs),
        "shape": config.shape,
        "config_version": config.version,
        "horizon_days": config.churn.horizon_days if config.churn else None,
        "active_days": config.churn.active_days if config.churn else None,
        "spans": spans(config, about),
        "feature_hash": feature_hash(taken(config, [column.name for column in inputs])),
        "data_fingerprint": fingerprint(cleaned),
        "findings": tuple(f"{one.text} ({one.action})" for one in read_findings(prepared.audited)),
    }


def spans(config: DataConfig, about: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Span name -> its as_of dates, or its folds."""
    if about["plan"]:
        return {
            name: tuple(when[:10] for when in about["plan"][name]) for name in ("train", "validation", "test")
        }
    others = tuple(f"fold {i}" for i in range(1, config.split.folds))
    return {"train": others, "validation": ("fold 0",), "test": tuple(sorted(("fold 0", *others)))}


def _inputs(learnt: Rows, texts: Mapping[str, str], *, nullable: bool) -> tuple[InputColumn, ...]:
    """The columns as the training rows show them; `nullable` allows missing values they do not show."""
    numeric = [
        InputColumn(
            name=name,
            kind="numeric",
            nullable=nullable or bool(np.isnan(values_N).any()),
            text=texts[name],
            **_range(values_N[np.isfinite(values_N)]),  # beyond 32 bits is infinite, and not a value seen
        )
        for name, values_N in zip(learnt.columns.numeric, learnt.numeric_NF.T, strict=True)
    ]
    categorical = [
        InputColumn(
            name=name,
            kind="categorical",
            nullable=nullable or bool((values_N == "").any()),
            text=texts[name],
            levels=tuple(sorted(set(values_N.tolist()) - {""})),
        )
        for name, values_N in zip(learnt.columns.categorical, learnt.categorical_NC.T, strict=True)
    ]
    return (*numeric, *categorical)


def _range(value_N: npt.NDArray[np.float32]) -> dict[str, float]:
    return {"minimum": float(value_N.min()), "maximum": float(value_N.max())} if value_N.size else {}


def _ignored(config: DataConfig, inputs: tuple[InputColumn, ...]) -> tuple[str, ...]:
    """What else a caller's record of a customer holds: keys, the label, features and columns left out."""
    source = config.customers
    named = ["customer_id", "as_of", "churned", *(feature.name for feature in declared(config))]
    if source:
        named += [source.id, *source.columns]
        named += [source.label.column] if source.label else []
        named += [source.as_of.column] if source.as_of else []
    taken = {column.name for column in inputs}
    return tuple(sorted({name for name in named if name and name not in taken}))
