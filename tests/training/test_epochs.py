"""How long a network learns, whatever the framework."""

import math

import numpy as np
import pytest

from churnops.errors import Diverged
from churnops.training.epochs import Span, learn_epochs, learning_rate
from churnops.training.group import LONE_HOST, Host
from churnops.training.recipe import Recipe, Schedule

SPAN = Span(train=100, validation_churned_N=np.array([False, True]))


class Scripted:
    """Learns nothing; its validation losses are those given, its weights the number of the epoch."""

    def __init__(self, losses, broken_batch=None, ranked_well=()):
        self.ranked_well = ranked_well
        self.losses, self.broken_batch, self.epoch = losses, broken_batch, 0
        self.rates, self.seeds = [], []

    def learn(self, lesson):
        self.epoch += 1
        self.rates.append(lesson.learning_rate)
        self.seeds.append(lesson.seed)
        loss_by_batch = np.full(len(lesson.batches), 0.5)
        if self.broken_batch and self.epoch == self.broken_batch[0]:
            loss_by_batch[self.broken_batch[1] :] = math.nan
        return loss_by_batch

    def validation_logits(self):
        """Their mean loss is the one given; where it is large the order is wrong, unless told otherwise."""
        loss = self.losses[self.epoch - 1]
        if self.epoch in self.ranked_well:
            return np.array([-50.0, -np.log(np.expm1(2 * loss))])
        certain = np.log(np.expm1(loss))
        return np.array([certain, -certain])

    def weights(self):
        return {"dense_0.weight": np.array([self.epoch], np.float32)}

    def load(self, weights):
        self.epoch = self.loaded = int(weights["dense_0.weight"][0])

    def momentum(self):
        return {"0/step": np.array([self.epoch], np.float32)}

    def load_momentum(self, momentum):
        self.remembered = int(momentum["0/step"][0])


def learn(learner, host=LONE_HOST, on_epoch=lambda _: None, **schedule):
    recipe = Recipe(schedule=Schedule(batch_size=10, **schedule))
    return learn_epochs(learner, SPAN, recipe, on_epoch=on_epoch, host=host)


def test_it_stops_when_patience_has_run_out_and_the_best_weights_come_back():
    learner = Scripted([0.9, 0.5, 0.6, 0.7, 0.8, 0.1])

    history = learn(learner, patience=3)

    assert [epoch.figures["validation_loss"] for epoch in history] == pytest.approx([0.9, 0.5, 0.6, 0.7, 0.8])
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


def test_every_epoch_draws_its_own_dropout_wherever_training_begins(tmp_path):
    whole, first, rest = Scripted([0.9, 0.8, 0.7]), Scripted([0.9, 0.8, 0.7]), Scripted([0.9, 0.8, 0.7])
    host = Host(checkpoint=tmp_path / "kept.safetensors")

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    history = learn(whole, max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        learn(first, host, on_epoch=stop, max_epochs=3)
    again = learn(rest, host, max_epochs=3)

    assert again == history
    assert rest.remembered == 2
    assert len(set(whole.seeds)) == 3
    assert first.seeds + rest.seeds == whole.seeds
    assert rest.loaded == whole.loaded == 3


def test_a_finished_training_is_not_begun_again(tmp_path):
    host = Host(checkpoint=tmp_path / "kept.safetensors")
    history = learn(Scripted([0.9, 0.5, 0.6, 0.7]), host, max_epochs=4)
    again = Scripted([])

    assert learn(again, host, max_epochs=4) == history
    assert (again.seeds, again.loaded) == ([], 2)


def test_the_checkpoint_of_the_last_good_epoch_outlives_a_loss_that_is_no_number(tmp_path):
    host = Host(checkpoint=tmp_path / "kept.safetensors")

    for _ in range(2):
        with pytest.raises(Diverged, match=r"epoch 3: .* of epoch 2"):
            learn(Scripted([0.9, 0.5, math.nan]), host)


def test_by_auc_the_epoch_that_ranks_best_is_kept_however_sure_of_itself_it_is():
    learner = Scripted([0.7, 0.8, 0.9, 1.0, 1.1], ranked_well={3, 4, 5})

    history = learn(learner, best_by="auc", patience=2)

    assert [epoch.figures["validation_auc"] for epoch in history] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert learner.loaded == 3
