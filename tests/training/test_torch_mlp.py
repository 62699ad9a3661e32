"""The network learns what can be learnt, the same way every time."""

import functools

import mlflow
import numpy as np
import pytest
import torch
from customers import make_customers, rows_of
from torch import nn

from churnops.errors import NotEnoughData
from churnops.evaluation.metrics import auc_of
from churnops.registry.flavours import save_flavour
from churnops.training import torch_mlp
from churnops.training.dataset import Columns
from churnops.training.group import LONE_HOST, Host
from churnops.training.recipe import Network, Recipe, Schedule

QUICK = Recipe(schedule=Schedule(max_epochs=4))
TABM = QUICK.model_copy(update={"network": Network(hidden=(32, 16), members=3, shared=True, bins=6)})


def _toy(n, seed):
    """Rows where the product of two columns decides, which no straight line tells; and their true chance."""
    rng = np.random.default_rng(seed)
    x_NF = rng.standard_normal((n, 2))
    chance_N = 1 / (1 + np.exp(-4 * x_NF[:, 0] * x_NF[:, 1]))
    return rows_of(Columns(("a", "b"), ()), x_NF, [()] * n, churned_N=rng.random(n) < chance_N), chance_N


def _fit(train, validation, recipe=QUICK):
    seen = []
    return torch_mlp.fit(train, validation, recipe, on_epoch=seen.append), seen


@functools.cache
def _fitted(recipe=QUICK):
    return _fit(make_customers(1500), make_customers(500, seed=1), recipe)


def _weights(fitted):
    return torch.cat([weight.flatten() for weight in fitted.model.network.state_dict().values()])


def test_default_layers_are_128_and_64_units_with_dropout_after_the_first():
    network = _fitted()[0].model.network

    kinds = [type(layer) for layer in network]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Linear]
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [128, 64, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_same_seed_gives_the_same_weights_on_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.manual_seed(threads)  # whatever others have drawn, dropout is ours
    torch.set_num_threads(threads)
    try:
        again, _ = _fit(make_customers(1500), make_customers(500, seed=1))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)

    assert torch.equal(_weights(again), _weights(_fitted()[0]))


def test_another_seed_gives_other_weights():
    other, _ = _fitted(QUICK.model_copy(update={"seed": 1}))

    assert not torch.equal(_weights(other), _weights(_fitted()[0]))


def test_the_generator_of_others_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    _fit(make_customers(200), make_customers(100, seed=1))

    assert torch.equal(torch.rand(3), expected)


def test_loss_falls_and_every_epoch_is_told():
    fitted, seen = _fitted()

    assert tuple(seen) == fitted.history
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    for figure in ("train_loss", "validation_loss"):
        assert seen[-1].figures[figure] < seen[0].figures[figure]


def test_what_can_be_learnt_is_learnt():
    (train, _), (validation, _), (test, chance_N) = _toy(6000, 0), _toy(2000, 1), _toy(4000, 2)

    fitted, _ = _fit(train, validation, Recipe(schedule=Schedule(max_epochs=12)))

    bound = auc_of(test.churned_N, chance_N)
    assert bound - 0.01 < auc_of(test.churned_N, fitted.model.logits(test)) < bound + 0.002


def test_weights_of_the_best_epoch_are_kept():
    train, validation = make_customers(300), make_customers(300, seed=1)
    eager = Recipe(schedule=Schedule(learning_rate=0.02, patience=5))

    fitted, seen = _fit(train, validation, eager)

    losses = [epoch.figures["validation_loss"] for epoch in seen]
    best = int(np.argmin(losses))
    logit_N = fitted.model.logits(validation)
    loss = np.mean(np.logaddexp(0, logit_N) - logit_N * validation.churned_N)
    assert len(seen) == best + 1 + 5  # patience ran out long before the epochs did
    assert loss == pytest.approx(losses[best], rel=1e-5)
    assert not fitted.model.network.training


def test_dropout_has_no_part_in_scoring():
    model, rows = _fitted()[0].model, make_customers(100, seed=3)

    np.testing.assert_array_equal(model.logits(rows), model.logits(rows))


@pytest.mark.parametrize("span", ["train", "validation"])
@pytest.mark.parametrize("churned", [False, True])
def test_a_span_of_one_kind_of_customer_is_not_enough(span, churned):
    spans = {"train": make_customers(100), "validation": make_customers(100, seed=1)}
    alike = rows_of(
        spans[span].columns,
        spans[span].numeric_NF,
        spans[span].categorical_NC,
        churned_N=np.full(100, churned),
    )

    with pytest.raises(NotEnoughData, match=f"{span}.*\n.*{100 * churned} of 100 customers left"):
        _fit(**(spans | {span: alike}))


def test_two_customers_are_enough_to_fit():
    two = rows_of(Columns(("a",), ()), [[0.0], [1.0]], [()] * 2, churned_N=np.array([False, True]))

    assert np.isfinite(_fit(two, two)[0].model.logits(two)).all()


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    train, validation, kept = make_customers(500), make_customers(200, seed=1), tmp_path / "kept.safetensors"

    def weights(host, stop_after=None):
        def on_epoch(epoch):
            if epoch.number == stop_after:
                raise KeyboardInterrupt

        return _weights(torch_mlp.fit(train, validation, TABM, on_epoch=on_epoch, host=host))

    with pytest.raises(KeyboardInterrupt):
        weights(Host(checkpoint=kept), stop_after=2)

    assert torch.equal(weights(Host(checkpoint=kept)), weights(LONE_HOST))


def test_half_precision_is_for_those_who_ask():
    asked = QUICK.model_copy(update={"schedule": Schedule(max_epochs=4, precision="bfloat16")})
    rows = make_customers(500, seed=1)

    halved, whole = _fitted(asked)[0].model, _fitted()[0].model

    difference = np.abs(halved.logits(rows) - whole.logits(rows)).max()
    assert 1e-4 < difference < 0.2
    assert {tensor.dtype for tensor in halved.network.state_dict().values()} == {torch.float32}


def test_the_score_is_the_mean_of_what_the_members_say():
    network = _fitted(TABM)[0].model.network
    x_BD = torch.randn(5, network.dense_0.scale_in.shape[-1])

    said_MB1 = network[:-1](x_BD)

    assert said_MB1.shape == (3, 5, 1)
    assert torch.allclose(network(x_BD), said_MB1.mean(0))
    assert (said_MB1[0] != said_MB1[1]).all()


@pytest.mark.parametrize("recipe", [QUICK, TABM], ids=["mlp", "tabm"])
def test_mlflow_loads_it_as_its_users_expect_and_without_a_pickle(recipe, tmp_path):
    model, rows = _fitted(recipe)[0].model, make_customers(20, seed=4)
    save_flavour(model, tmp_path / "model")

    again = mlflow.pytorch.load_model(str(tmp_path / "model"))

    logit_N1 = again(torch.from_numpy(model.preprocessing.apply(rows))).detach().numpy()
    np.testing.assert_allclose(logit_N1[:, 0], model.logits(rows), atol=1e-6)
    assert not list((tmp_path / "model").rglob("*pickle*"))
