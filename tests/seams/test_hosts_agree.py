"""Several processes train the network that one would, whatever each holds and however often they stop."""

import socket

import numpy as np
import pytest
from two_processes import train

from churnops.errors import ProcessLost
from churnops.jobs.steps.apart import apart
from churnops.training.candidates import joined
from churnops.training.group import Place
from churnops.training.recipe import Network, Recipe, Schedule

MLP = Network(hidden=(64, 32), dropout=0.0)
TABM = Network(hidden=(32, 16), dropout=0.0, members=4, shared=True, bins=8)

both = pytest.mark.parametrize(
    "framework", ["torch", pytest.param("tensorflow", marks=pytest.mark.tensorflow)]
)


def recipe(network):
    return Recipe(network=network, schedule=Schedule(max_epochs=3, batch_size=64))


@both
@pytest.mark.parametrize("network", [MLP, TABM], ids=["mlp", "tabm"])
def test_two_processes_come_to_what_one_does_whatever_each_holds(framework, network, tmp_path):
    (alone,) = train(framework, recipe(network), tmp_path)
    one, other = train(framework, recipe(network), tmp_path, edges=(40,))  # it has no row of most batches

    for name, weights in alone.items():
        np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_allclose(one[name], weights, atol=1e-5)


@both
def test_a_killed_process_ends_the_others_and_training_goes_on_to_the_same_weights(framework, tmp_path):
    dropping = recipe(TABM.model_copy(update={"dropout": 0.3}))
    kept, told = tmp_path / "kept.safetensors", []

    with pytest.raises(ProcessLost, match="process 2 of 2 was ended by signal 9"):
        train(framework, dropping, tmp_path, edges=(1000,), kept=kept, dies_after=2)
    again = train(
        framework, dropping, tmp_path, edges=(1000,), kept=kept, tell=lambda *said: told.append(said)
    )
    whole = train(framework, dropping, tmp_path, edges=(1000,))

    assert {what.split()[1] for _, what in told} == {"3"}
    for name, weights in whole[0].items():
        np.testing.assert_array_equal(again[0][name], weights)


def meet(seat, _):
    with joined(*seat):
        raise AssertionError("nobody is there to be met")


@both
def test_a_port_that_is_taken_is_told_with_its_address(framework):
    with socket.create_server(("127.0.0.2", 0)) as taken:
        address = f"127.0.0.2:{taken.getsockname()[1]}"
        with pytest.raises(ProcessLost, match=f"{address}: could not listen there.*is the port taken"):
            apart(meet, (framework, Place(0, (address, "127.0.0.3:9"))), lambda *_: None)
