"""The network in TensorFlow. Nothing here imports it before a test runs: other tests import PyTorch."""

import mlflow
import numpy as np
import pytest
from customers import COLUMNS, make_customers, rows_of
from trained import bundle_around, sample

from churnops.evaluation.calibration import Platt
from churnops.evaluation.metrics import auc_of
from churnops.export.onnx import to_onnx
from churnops.export.parity import parity
from churnops.jobs.steps.reasons import with_reasons
from churnops.registry.flavours import save_flavour
from churnops.training.dataset import Columns
from churnops.training.group import LONE_HOST, Host
from churnops.training.recipe import Network, Recipe, Schedule

pytestmark = pytest.mark.tensorflow

QUICK = Recipe(schedule=Schedule(max_epochs=4))
TABM = QUICK.model_copy(update={"network": Network(hidden=(32, 16), members=3, shared=True, bins=6)})
PLATT = Platt(slope=1.7, intercept=-0.6)


@pytest.fixture(scope="module")
def keras_mlp():
    from churnops.training import keras_mlp

    return keras_mlp


@pytest.fixture(scope="module")
def fit(keras_mlp):
    def fit(train, validation, recipe=QUICK):
        seen = []
        return keras_mlp.fit(train, validation, recipe, on_epoch=seen.append), seen

    return fit


@pytest.fixture(scope="module")
def fitted(fit):
    return fit(make_customers(1500), make_customers(500, seed=1))


def flat(keras_mlp, fitted):
    return np.concatenate([part.ravel() for part in keras_mlp.weights_of(fitted.model.network).values()])


def test_default_layers_are_128_and_64_units_with_dropout_after_the_first(fitted):
    layers = fitted[0].model.network.layers

    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["Dense", "ReLU", "Dropout", "Dense", "ReLU", "Dense"]
    assert [layer.units for layer in layers if type(layer).__name__ == "Dense"] == [128, 64, 1]


def test_same_seed_gives_the_same_weights_and_another_others(keras_mlp, fit, fitted):
    again, _ = fit(make_customers(1500), make_customers(500, seed=1))
    other, _ = fit(make_customers(1500), make_customers(500, seed=1), QUICK.model_copy(update={"seed": 1}))

    np.testing.assert_array_equal(flat(keras_mlp, again), flat(keras_mlp, fitted[0]))
    assert (flat(keras_mlp, other) != flat(keras_mlp, fitted[0])).any()


def test_loss_falls_and_every_epoch_is_told(fitted):
    done, seen = fitted

    assert tuple(seen) == done.history
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    for figure in ("train_loss", "validation_loss"):
        assert seen[-1].figures[figure] < seen[0].figures[figure]


def test_what_can_be_learnt_is_learnt(fit):
    def toy(n, seed):
        rng = np.random.default_rng(seed)
        x_NF = rng.standard_normal((n, 2))
        chance_N = 1 / (1 + np.exp(-4 * x_NF[:, 0] * x_NF[:, 1]))
        return rows_of(Columns(("a", "b"), ()), x_NF, [()] * n, churned_N=rng.random(n) < chance_N), chance_N

    (train, _), (validation, _), (test, chance_N) = toy(6000, 0), toy(2000, 1), toy(4000, 2)

    done, _ = fit(train, validation, Recipe(schedule=Schedule(max_epochs=12)))

    bound = auc_of(test.churned_N, chance_N)
    assert bound - 0.01 < auc_of(test.churned_N, done.model.logits(test)) < bound + 0.002


def test_weights_of_the_best_epoch_are_kept_and_dropout_has_no_part_in_scoring(fit):
    train, validation = make_customers(300), make_customers(300, seed=1)

    done, seen = fit(train, validation, Recipe(schedule=Schedule(learning_rate=0.02, patience=5)))

    losses = [epoch.figures["validation_loss"] for epoch in seen]
    logit_N = done.model.logits(validation)
    assert np.mean(np.logaddexp(0, logit_N) - logit_N * validation.churned_N) == pytest.approx(
        min(losses), rel=1e-5
    )


@pytest.mark.parametrize("recipe", [QUICK, TABM], ids=["mlp", "tabm"])
def test_the_graph_is_the_model_for_missing_unknown_and_extreme_values_too(fit, recipe):
    model = fit(make_customers(1500), make_customers(500, seed=1), recipe)[0].model
    odd = rows_of(
        COLUMNS,
        [[np.nan, 1e30, -5.0], [np.inf, -np.inf, np.nan], [0.0, 0.0, 0.0]],
        [["never seen", ""], ["", "東京"], ["pro", "Mars"]],
    )
    graph = to_onnx(model, COLUMNS, PLATT)

    for rows in (make_customers(500, seed=3), odd):
        assert parity(graph, rows, PLATT.apply(model.logits(rows))) < 1e-6
    assert to_onnx(model, COLUMNS, PLATT) == graph
    assert b"site-packages" not in graph


@pytest.mark.parametrize("recipe", [QUICK, TABM], ids=["mlp", "tabm"])
def test_its_reasons_add_up(fit, recipe):
    model = fit(make_customers(1500), make_customers(500, seed=1), recipe)[0].model
    bundle = with_reasons(bundle_around(to_onnx(model, COLUMNS, PLATT)), sample())
    rows = make_customers(100, seed=3)

    effects_NX = bundle.effects(rows.numeric_NF, rows.categorical_NC)

    sum_N = bundle.manifest.reasons.base_score + effects_NX.sum(axis=1)
    assert np.abs(sum_N - PLATT.apply(model.logits(rows))).max() < 1e-5
    assert np.abs(effects_NX).max() > 0.01


@pytest.mark.parametrize("recipe", [QUICK, TABM], ids=["mlp", "tabm"])
def test_it_is_saved_as_keras_has_it(fit, recipe, tmp_path):
    import keras

    model = fit(make_customers(300), make_customers(100, seed=1), recipe)[0].model
    model.save(tmp_path)

    x_ND = model.preprocessing.apply(make_customers(20, seed=4))
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again(x_ND), model.network(x_ND))


def test_a_stopped_training_goes_on_to_the_same_weights(keras_mlp, tmp_path):
    train, validation, kept = make_customers(500), make_customers(200, seed=1), tmp_path / "kept.safetensors"

    def weights(host, stop_after=None):
        def on_epoch(epoch):
            if epoch.number == stop_after:
                raise KeyboardInterrupt

        return flat(keras_mlp, keras_mlp.fit(train, validation, TABM, on_epoch=on_epoch, host=host))

    with pytest.raises(KeyboardInterrupt):
        weights(Host(checkpoint=kept), stop_after=2)

    np.testing.assert_array_equal(weights(Host(checkpoint=kept)), weights(LONE_HOST))


def test_half_precision_is_for_those_who_ask(fit):
    asked = QUICK.model_copy(update={"schedule": Schedule(max_epochs=4, precision="bfloat16")})
    rows = make_customers(500, seed=1)

    halved, whole = (fit(make_customers(1500), rows, recipe)[0].model for recipe in (asked, QUICK))

    difference = np.abs(halved.logits(rows) - whole.logits(rows)).max()
    assert 1e-4 < difference < 0.2
    assert {variable.dtype for variable in halved.network.trainable_variables} == {"float32"}


def test_two_customers_are_enough_to_fit(fit):
    two = rows_of(Columns(("a",), ()), [[0.0], [1.0]], [()] * 2, churned_N=np.array([False, True]))

    assert np.isfinite(fit(two, two)[0].model.logits(two)).all()


@pytest.mark.parametrize("recipe", [QUICK, TABM], ids=["mlp", "tabm"])
def test_mlflow_loads_it_as_its_users_expect_and_without_a_pickle(fit, recipe, tmp_path):
    model = fit(make_customers(300), make_customers(100, seed=1), recipe)[0].model
    rows = make_customers(20, seed=4)
    save_flavour(model, tmp_path / "model")

    again = mlflow.tensorflow.load_model(str(tmp_path / "model"))

    logit_N1 = again(model.preprocessing.apply(rows)).numpy()
    np.testing.assert_allclose(logit_N1[:, 0], model.logits(rows), atol=1e-6)
    assert not list((tmp_path / "model").rglob("*pickle*"))
