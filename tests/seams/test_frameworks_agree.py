"""Both frameworks train one and the same network, each in a process of its own."""

from typing import NamedTuple

import numpy as np
import pytest
from customers import make_customers
from scipy.special import expit

from churnops.jobs.steps.apart import apart
from churnops.training.candidates import NETWORKS, fit
from churnops.training.recipe import Network, Recipe, Schedule

pytestmark = pytest.mark.tensorflow


class Task(NamedTuple):
    framework: str
    recipe: Recipe
    to: str


def learn(task, _):
    """Learn from made-up customers; leave losses and scores."""
    train, validation = make_customers(4000), make_customers(1000, seed=1)
    fitted = fit(task.framework, train, validation, task.recipe, on_epoch=lambda _: None)
    losses = [list(epoch.figures.values()) for epoch in fitted.history]
    np.savez(task.to, losses=losses, scores=expit(fitted.model.logits(validation)))


@pytest.mark.parametrize(
    "network",
    [
        Network(dropout=0.0),
        Network(hidden=(32,), dropout=0.0, members=3),
        Network(hidden=(32, 16), dropout=0.0, members=4, shared=True, bins=8),
    ],
    ids=["mlp", "ensemble", "tabm"],
)
def test_the_same_weights_and_batches_give_the_same_network(tmp_path, network):
    recipe = Recipe(network=network, schedule=Schedule(batch_size=64, max_epochs=1))
    for framework in NETWORKS:
        apart(learn, Task(framework, recipe, str(tmp_path / f"{framework}.npz")), lambda *_: None)

    one, other = (np.load(tmp_path / f"{framework}.npz") for framework in NETWORKS)
    np.testing.assert_allclose(one["losses"], other["losses"], atol=1e-5)
    np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5)
