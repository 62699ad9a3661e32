"""How long a network learns, whatever the framework."""

import math

import numpy as np
import pytest

from churnops.errors import Diverged
from churnops.training.epochs import learn_epochs, learning_rate
from churnops.training.network import Dense
from churnops.training.recipe import Recipe, Schedule


class Scripted:
    """Learns nothing; its validation losses are those given, its weights the number of the epoch."""

    def __init__(self, losses, broken_batch=None):
        self.losses, self.broken_batch, self.epoch, self.rates = losses, broken_batch, 0, []

    def learn(self, batches, learning_rate):
        self.epoch += 1
        self.rates.append(learning_rate)
        loss_by_batch = np.full(len(batches), 0.5)
        if self.broken_batch and self.epoch == self.broken_batch[0]:
            loss_by_batch[self.broken_batch[1] :] = math.nan
        return loss_by_batch

    def validation_loss(self):
        return self.losses[self.epoch - 1]

    def weights(self):
        return (Dense(np.array([[self.epoch]]), np.zeros(1)),)

    def load(self, weights):
        self.loaded = int(weights[0].weight[0, 0])


def learn(learner, **schedule):
    return learn_epochs(
        learner,
        100,
        Recipe(schedule=Schedule(batch_size=10, **schedule)),
        on_epoch=lambda _: None,
    )


def test_it_stops_when_patience_has_run_out_and_the_best_weights_come_back():
    learner = Scripted([0.9, 0.5, 0.6, 0.7, 0.8, 0.1])

    history = learn(learner, patience=3)

    assert [epoch.figures["validation_loss"] for epoch in history] == [0.9, 0.5, 0.6, 0.7, 0.8]
    assert learner.loaded == 2


def test_the_rate_falls_along_half_a_cosine():
    learner = Scripted([1.0 / n for n in range(1, 6)])
    learn(learner, max_epochs=5, learning_rate=0.4)

    assert learner.rates[0] == 0.4
    assert learner.rates == sorted(learner.rates, reverse=True)
    schedule = Schedule(max_epochs=10, learning_rate=0.4)
    assert learning_rate(schedule, 6) == pytest.approx(0.2)
    assert learning_rate(schedule, 11) == pytest.approx(0.0)


def test_a_loss_that_is_no_number_stops_and_keeps_the_best_weights():
    learner = Scripted([0.9, 0.5, math.nan], broken_batch=(3, 6))

    with pytest.raises(Diverged, match=r"epoch 3: the loss is not finite in batch 7 of 10; .* of epoch 2"):
        learn(learner)

    assert learner.loaded == 2


def test_a_validation_loss_that_is_no_number_is_told_too():
    with pytest.raises(Diverged, match=r"epoch 1: .* on the validation rows; nothing was learnt"):
        learn(Scripted([math.inf]))
