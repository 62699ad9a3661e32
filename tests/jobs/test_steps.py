"""The steps of a run, one after the other, on small labelled tables."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from gym import gym_config

from churnops.config import Settings
from churnops.jobs.run import prepare
from churnops.jobs.steps.audit import read_groups, read_rounds
from churnops.jobs.steps.candidate import Here, candidate_step, task_of
from churnops.jobs.steps.evaluation import evaluation_step, read_figures
from churnops.jobs.steps.packaging import make_bundle
from churnops.jobs.steps.workshop import working
from churnops.training.recipe import Recipe

RECIPE = Recipe()
CONFIG = gym_config({"visits": "numeric", "points": "numeric"})


def members(n, *, seed=0):
    """Who comes seldom tends to leave."""
    rng = np.random.default_rng(seed)
    for visits, points in zip(rng.normal(10, 3, n), rng.normal(0, 1, n), strict=True):
        left = rng.random() < 1 / (1 + math.exp(0.4 * (visits - 8)))
        yield {"visits": f"{visits:.6f}", "points": f"{points:.6f}", "left": "yes" if left else "no"}


def run_steps(rows, folder: Path):
    """Everything up to the comparison of the one-column model."""
    folder.mkdir()
    with (folder / "gym.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["member", "visits", "points", "left"])
        writer.writeheader()
        writer.writerows({"member": f"m{i:04d}", **row} for i, row in enumerate(rows))
    settings = Settings(data_dir=folder / "var", source_dir=str(folder))
    with working(settings, CONFIG.name, lambda *_: None) as shop:
        cleaned, prepared = prepare(CONFIG, shop)
    ledger = shop.ledger
    candidates = {
        name: candidate_step(task_of(name, RECIPE, prepared, ledger, Here()), ledger, Here())
        for name in ("single_column", "logistic")
    }
    evaluated = evaluation_step(candidates, prepared, RECIPE, reference="single_column", ledger=ledger)
    return {
        "clean": cleaned,
        "dataset": prepared.dataset,
        "audit": prepared.audited,
        "evaluation": evaluated,
        **candidates,
    }


def width(steps):
    auc = read_figures(steps["evaluation"])["metrics"]["logistic"]["roc_auc"]
    return auc["high"] - auc["low"]


def test_a_twin_is_no_further_witness(tmp_path: Path) -> None:
    rows = list(members(400))
    alone, twice = run_steps(rows, tmp_path / "alone"), run_steps([*rows, *rows], tmp_path / "twice")

    group_N = read_groups(twice["audit"])
    assert (group_N[:400] == group_N[400:]).all()
    assert np.unique(group_N).size == 400
    for round_ in read_rounds(twice["audit"]).tested:
        assert not np.intersect1d(group_N[round_.test_N], group_N[round_.train_N]).size
    assert width(twice) == pytest.approx(width(alone), rel=0.15)  # were twins witnesses, it would be 0.71


def test_numbers_beyond_32_bits_are_not_the_range_of_a_column(tmp_path: Path) -> None:
    rows = [row | ({"points": "1e300"} if i % 50 == 0 else {}) for i, row in enumerate(members(400))]
    steps = run_steps(rows, tmp_path / "huge")

    manifest = make_bundle(CONFIG, RECIPE, steps, candidate="logistic").manifest
    points = next(one for one in manifest.inputs if one.name == "points")

    assert points.minimum == pytest.approx(-3, abs=1)
    assert points.maximum == pytest.approx(3, abs=1)
