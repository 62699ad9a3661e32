"""What both frameworks must do alike."""

import numpy as np
import pytest

from churnops.training.network import NetworkSpec, epoch_batches, first_weights, spec_of
from churnops.training.recipe import Network

SPEC = NetworkSpec(inputs=20, hidden=(128, 64), dropout=0.2)


def test_default_network_is_128_then_64():
    spec = spec_of(Network(), inputs=20)

    assert spec == SPEC
    assert [(layer.inputs, layer.outputs) for layer in spec.layers] == [(20, 128), (128, 64), (64, 1)]


def test_first_weights_depend_on_the_seed_alone():
    one, again, other = (first_weights(SPEC, 0.3, seed) for seed in (0, 0, 1))

    for name in ("dense_0.weight", "dense_1.weight", "dense_2.weight"):
        np.testing.assert_array_equal(one[name], again[name])
        assert (one[name] != other[name]).any()


def test_first_weights_fit_the_layers():
    weights = first_weights(SPEC, 0.3, 0)

    assert [weights[f"dense_{i}.weight"].shape for i in range(3)] == [(128, 20), (64, 128), (1, 64)]
    assert [weights[f"dense_{i}.bias"].shape for i in range(3)] == [(128,), (64,), (1,)]
    assert {tensor.dtype for tensor in weights.values()} == {np.dtype(np.float32)}


def test_members_differ_from_the_start():
    apart = first_weights(NetworkSpec(20, (16,), 0.0, members=3), 0.3, 0)
    sharing = first_weights(NetworkSpec(20, (16,), 0.0, members=3, shared=True), 0.3, 0)

    assert apart["dense_0.weight"].shape == (3, 20, 16)
    assert (apart["dense_0.weight"][0] != apart["dense_0.weight"][1]).any()
    assert sharing["dense_0.weight"].shape == (20, 16)
    assert set(sharing["dense_0.scale_in"].ravel()) == {-1.0, 1.0}
    assert (sharing["dense_0.scale_in"][0] != sharing["dense_0.scale_in"][1]).any()
    assert sharing["dense_1.weight"].shape == (3, 16, 1)  # the last layer is each member's own


@pytest.mark.parametrize("churn_rate", [0.01, 0.3, 0.5, 0.9])
def test_training_starts_from_everybodys_rate(churn_rate):
    bias = first_weights(SPEC, churn_rate, 0)["dense_2.bias"][0]

    assert 1 / (1 + np.exp(-bias)) == pytest.approx(churn_rate, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "batch_size", "steps"), [(1000, 256, 4), (1, 256, 1), (100, 100, 1), (257, 256, 1)]
)
def test_an_epoch_sees_every_row_once_in_batches_of_one_size(rows, batch_size, steps):
    batches = epoch_batches(rows, batch_size, seed=0, epoch=1)

    assert len(batches) == steps
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_every_epoch_and_seed_has_its_own_order():
    orders = {
        tuple(np.concatenate(epoch_batches(50, 10, seed=seed, epoch=epoch)))
        for seed, epoch in [(0, 1), (0, 2), (1, 1)]
    }
    again = tuple(np.concatenate(epoch_batches(50, 10, seed=0, epoch=2)))

    assert len(orders) == 3
    assert again in orders
