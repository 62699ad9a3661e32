"""The churn network in TensorFlow. Shapes: N rows, B rows of a batch, D prepared inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from churnops.training.dataset import Rows
from churnops.training.epochs import Batches, learn_epochs
from churnops.training.fit import Fit, OnEpoch, both_classes
from churnops.training.network import Dense, NetworkSpec, first_weights, spec_of
from churnops.training.preprocessing import Preprocessing, fit_preprocessing
from churnops.training.recipe import Recipe

_AT_ONCE = 65_536  # rows scored together
_EPSILON = 1e-8
_STEPS = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int32))


@dataclass(frozen=True)
class KerasMlp:
    """A fitted network and what its inputs look like."""

    framework: ClassVar[Literal["tensorflow"]] = "tensorflow"
    preprocessing: Preprocessing
    network: keras.Sequential
    """[N, D] -> logit [N, 1]."""

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = tf.constant(self.preprocessing.apply(rows))
        return np.asarray(_logits(self.network, x_ND).numpy(), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """The network as `network.keras`, Keras' own format."""
        self.network.save(folder / "network.keras")


def build(spec: NetworkSpec, weights: tuple[Dense, ...], *, seed: int) -> keras.Sequential:
    """The network of `spec` with these weights; `seed` is that of its dropout."""
    layers: list[Any] = [keras.Input((spec.inputs,))]
    for i, (_, outputs) in enumerate(spec.layers):
        activation = "relu" if i < len(spec.hidden) else None
        layers.append(keras.layers.Dense(outputs, activation, name=f"dense_{i}"))
        layers += [keras.layers.Dropout(spec.dropout, seed=seed)] if i == 0 and spec.dropout else []
    network = keras.Sequential(layers, name="network")
    _set_weights(network, weights)
    return network


def weights_of(network: keras.Sequential) -> tuple[Dense, ...]:
    """A copy of the weights, as every framework takes them: Keras keeps them turned."""
    arrays = network.get_weights()
    return tuple(
        Dense(kernel.T.copy(), bias.copy()) for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True)
    )


def fit(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """As `torch_mlp.fit`, whose first weights, batches and steps it shares; only dropout differs.

    TensorFlow's threads are its process's: one process fits one network.
    """
    both_classes(train, "train")
    both_classes(validation, "validation")
    tf.config.experimental.enable_op_determinism()
    preprocessing = fit_preprocessing(train)
    spec = spec_of(recipe.network, preprocessing.width)
    keras.utils.set_random_seed(recipe.seed)
    network = build(spec, first_weights(spec, float(train.churned_N.mean()), recipe.seed), seed=recipe.seed)
    optimiser = _AdamW(weight_decay=recipe.schedule.weight_decay, epsilon=_EPSILON)
    optimiser.build(network.trainable_variables)
    learning = _Tensors.of(preprocessing, train)
    learner = _Learner(
        network, optimiser, _steps(network, optimiser, learning), _Tensors.of(preprocessing, validation)
    )
    history = learn_epochs(learner, len(train), recipe, on_epoch=on_epoch)
    return Fit(KerasMlp(preprocessing, network), history)


@dataclass(frozen=True)
class _Tensors:
    x_ND: tf.Tensor
    y_N: tf.Tensor

    @classmethod
    def of(cls, preprocessing: Preprocessing, rows: Rows) -> "_Tensors":
        return cls(tf.constant(preprocessing.apply(rows)), tf.constant(rows.churned_N.astype(np.float32)))


class _AdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
    """Adam as published and as PyTorch has it: epsilon joins the corrected root (Kingma and Ba 2015, ICLR).

    Keras adds it before the correction, where it counts for up to thirty times as much in the first steps.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: keras.Variable
    ) -> None:
        """Move `variable` once."""
        place, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        mean, square = self._momentums[place], self._velocities[place]
        mean.assign(mean + (gradient - mean) * (1.0 - self.beta_1))
        square.assign(square * self.beta_2 + gradient * gradient * (1.0 - self.beta_2))
        root = tf.sqrt(square) / tf.sqrt(1.0 - self.beta_2**step) + self.epsilon
        variable.assign_sub(learning_rate / (1.0 - self.beta_1**step) * mean / root)


@dataclass(frozen=True)
class _Learner:
    network: keras.Sequential
    optimiser: keras.optimizers.Optimizer
    steps: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    validation: _Tensors

    def learn(self, batches: Batches, learning_rate: float) -> npt.NDArray[np.float64]:
        self.optimiser.learning_rate = learning_rate
        edges = np.cumsum([0, *map(len, batches)], dtype=np.int32)
        losses = self.steps(tf.constant(np.concatenate(batches).astype(np.int32)), tf.constant(edges))
        return np.asarray(losses.numpy(), dtype=np.float64)

    def validation_loss(self) -> float:
        return float(_loss(_logits(self.network, self.validation.x_ND), self.validation.y_N))

    def weights(self) -> tuple[Dense, ...]:
        return weights_of(self.network)

    def load(self, weights: tuple[Dense, ...]) -> None:
        _set_weights(self.network, weights)


def _steps(
    network: keras.Sequential, optimiser: keras.optimizers.Optimizer, train: _Tensors
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """All steps of an epoch as one call: `order_N` are its rows, `edges` the places where batches begin."""

    def steps(order_N: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
        n_batches = tf.size(edges) - 1
        losses = tf.TensorArray(tf.float32, n_batches)
        for i in tf.range(n_batches):
            index_B = order_N[edges[i] : edges[i + 1]]
            with tf.GradientTape() as tape:
                logit_B = tf.squeeze(network(tf.gather(train.x_ND, index_B), training=True), 1)
                loss = _loss(logit_B, tf.gather(train.y_N, index_B))
            variables = network.trainable_variables
            optimiser.apply(tape.gradient(loss, variables), variables)
            losses = losses.write(i, loss)
        return losses.stack()

    compiled: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.function(steps, input_signature=_STEPS)
    return compiled


def _set_weights(network: keras.Sequential, weights: tuple[Dense, ...]) -> None:
    network.set_weights([part for dense in weights for part in (dense.weight.T, dense.bias)])


def _loss(logit_N: tf.Tensor, y_N: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y_N, logit_N))


def _logits(network: keras.Sequential, x_ND: tf.Tensor) -> tf.Tensor:
    parts = [x_ND[start : start + _AT_ONCE] for start in range(0, x_ND.shape[0], _AT_ONCE)]
    return tf.concat([tf.squeeze(network(x_BD, training=False), 1) for x_BD in parts], 0)
