"""The churn network in TensorFlow. Shapes: N rows, B rows of a batch, D prepared inputs, M members."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from churnops.training.dataset import Rows
from churnops.training.epochs import Lesson, Span, learn_epochs
from churnops.training.fit import Fit, OnEpoch, census
from churnops.training.group import LONE_HOST, Host
from churnops.training.network import Layer, NetworkSpec, Weights, first_weights, spec_of
from churnops.training.preprocessing import Preprocessing, fit_preprocessing
from churnops.training.recipe import Recipe

_AT_ONCE = 65_536  # rows scored together
_EPSILON = 1e-8
_EPOCH = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32))
_DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


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

    @property
    def weights(self) -> Weights:
        """A copy of what it has learnt."""
        return weights_of(self.network)

    def save(self, folder: Path) -> None:
        """The network as `network.keras`, Keras' own format."""
        self.network.save(folder / "network.keras")


def build(spec: NetworkSpec, weights: Weights, *, seed: int = 0, dtype: str = "float32") -> keras.Sequential:
    """The network of `spec` with these weights. While it trains it gives each member's logit: [M, N, 1]."""
    layers: list[Any] = [keras.Input((spec.inputs,))]
    for i, layer in enumerate(spec.layers):
        inner = i < len(spec.hidden)
        if layer.members > 1:
            layers.append(Members(**vars(layer), dtype=dtype))
        else:
            layers.append(keras.layers.Dense(layer.outputs, name=layer.name, dtype=dtype))
        layers += [keras.layers.ReLU(name=f"relu_{i}", dtype=dtype)] if inner else []
        if i == 0 and spec.dropout:
            layers.append(keras.layers.Dropout(spec.dropout, seed=seed, name="dropout", dtype=dtype))
    layers += [Mean(name="mean", dtype=dtype)] if spec.members > 1 else []
    network = keras.Sequential(layers, name="network")
    _set_weights(network, weights)
    return network


def weights_of(network: keras.Sequential) -> Weights:
    """A copy of the weights, named and shaped as in every framework; Keras turns those of one member."""
    weights = {}
    for layer in network.layers:
        for variable in layer.trainable_variables:
            array = variable.numpy().copy()
            turned = variable.name == "kernel"
            weights[f"{layer.name}.{'weight' if turned else variable.name}"] = (
                array.T.copy() if turned else array
            )
    return weights


def fit(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch, host: Host = LONE_HOST) -> Fit:
    """As `torch_mlp.fit`, whose first weights, batches and steps it shares; only dropout differs.

    TensorFlow's threads are its process's: one process fits one network.
    """
    trained = census(train, "train", host.group)
    census(validation, "validation", host.group)
    span = Span(trained.rows, validation.churned_N)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)
    preprocessing = fit_preprocessing(train, bins=recipe.network.bins, group=host.group)
    spec = spec_of(recipe.network, preprocessing.width)
    first = first_weights(spec, trained.left / trained.rows, recipe.seed)
    network = build(spec, first, seed=recipe.seed, dtype=_DTYPES[recipe.schedule.precision])
    optimiser = _AdamW(weight_decay=recipe.schedule.weight_decay, epsilon=_EPSILON)
    optimiser.build(network.trainable_variables)
    learner = _Learner(
        network,
        optimiser,
        _steps(network, optimiser, _Tensors.of(preprocessing, train), host),
        tf.constant(preprocessing.apply(validation)),
    )
    history = learn_epochs(learner, span, recipe, on_epoch=on_epoch, host=host)
    return Fit(KerasMlp(preprocessing, build(spec, weights_of(network))), history)


@keras.saving.register_keras_serializable("churnops")
class Members(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A dense layer of several members, each with inputs of its own or, in the first layer, the same."""

    def __init__(self, *, inputs: int, outputs: int, members: int, shared: bool, **rest: Any) -> None:
        super().__init__(**rest)
        self.layer = Layer(self.name, inputs, outputs, members, shared)

    def build(self, _: Any) -> None:
        """Make its tensors."""
        for name, shape in self.layer.shapes.items():
            setattr(self, name, self.add_weight(name=name, shape=shape))

    def call(self, x_MBI: tf.Tensor) -> tf.Tensor:
        """[M, B, I] or [B, I] -> [M, B, O]."""
        if self.layer.shared:
            return tf.matmul(x_MBI * self.scale_in, self.weight) * self.scale_out + self.bias
        return tf.matmul(x_MBI, self.weight) + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[M, B, O]."""
        return (self.layer.members, shape[-2], self.layer.outputs)

    def get_config(self) -> dict[str, Any]:
        """What it is made of, as Keras saves it."""
        return {**super().get_config(), **{k: v for k, v in vars(self.layer).items() if k != "name"}}


@keras.saving.register_keras_serializable("churnops")
class Mean(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """What the members say together, once they have learnt."""

    def call(self, logit_MB1: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[M, B, 1] -> [B, 1], and itself while they learn."""
        return logit_MB1 if training else tf.reduce_mean(logit_MB1, axis=0)


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
    steps: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
    x_validation_ND: tf.Tensor

    def learn(self, lesson: Lesson) -> npt.NDArray[np.float64]:
        self.optimiser.learning_rate = lesson.learning_rate
        for layer in self.network.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([lesson.seed, 0])
        edges = np.cumsum([0, *map(len, lesson.batches)], dtype=np.int32)
        order_N = np.concatenate(lesson.batches).astype(np.int32)
        losses = self.steps(tf.constant(order_N), tf.constant(edges), tf.constant(lesson.sizes, tf.float32))
        return np.asarray(losses.numpy(), dtype=np.float64)

    def validation_logits(self) -> npt.NDArray[np.float64]:
        return np.asarray(_logits(self.network, self.x_validation_ND).numpy(), dtype=np.float64)

    def weights(self) -> Weights:
        return weights_of(self.network)

    def load(self, weights: Weights) -> None:
        _set_weights(self.network, weights)

    def momentum(self) -> Weights:
        return {str(i): variable.numpy().copy() for i, variable in enumerate(self.optimiser.variables)}

    def load_momentum(self, momentum: Weights) -> None:
        for i, variable in enumerate(self.optimiser.variables):
            variable.assign(momentum[str(i)])


Step = Callable[[], tuple[tf.Tensor, list[tf.Tensor]]]
"""This process's part of the loss, and its gradients."""


def _summing(host: Host) -> Callable[[Step], tuple[tf.Tensor, list[tf.Tensor]]]:
    """What calls a step and sums its gradients over the group."""
    if host.group.size == 1:
        return lambda step: step()
    from churnops.training.keras_group import KerasGroup

    if not isinstance(host.group, KerasGroup):
        raise TypeError("TensorFlow's processes meet in a KerasGroup")
    return host.group.summed


def _steps(
    network: keras.Sequential, optimiser: keras.optimizers.Optimizer, train: _Tensors, host: Host
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """All steps of an epoch as one call: `order_N` are this process's rows, `edges` the places where batches
    begin, `sizes` the rows of each in the whole group."""
    summed = _summing(host)

    def steps(order_N: tf.Tensor, edges: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
        n_batches = tf.size(sizes)
        losses = tf.TensorArray(tf.float32, n_batches)
        for i in tf.range(n_batches):
            index_B = order_N[edges[i] : edges[i + 1]]

            def step(index_B: tf.Tensor = index_B, size: tf.Tensor = sizes[i]) -> Any:
                with tf.GradientTape() as tape:
                    logit = tf.squeeze(network(tf.gather(train.x_ND, index_B), training=True), -1)
                    members = logit.shape[0] if logit.shape.rank > 1 else 1
                    loss = tf.reduce_sum(_losses(logit, tf.gather(train.y_N, index_B))) / (size * members)
                return loss, tape.gradient(loss, network.trainable_variables)

            loss, gradients = summed(step)
            optimiser.apply(gradients, network.trainable_variables)
            losses = losses.write(i, loss)
        return losses.stack()

    compiled: Callable[..., tf.Tensor] = tf.function(steps, input_signature=_EPOCH)
    return compiled


def _set_weights(network: keras.Sequential, weights: Weights) -> None:
    for layer in network.layers:
        for variable in layer.trainable_variables:
            turned = variable.name == "kernel"
            array = weights[f"{layer.name}.{'weight' if turned else variable.name}"]
            variable.assign(array.T if turned else array)


def _losses(logit: tf.Tensor, y_N: tf.Tensor) -> tf.Tensor:
    logit = tf.cast(logit, tf.float32)
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(y_N, tf.shape(logit)), logit)


def _logits(network: keras.Sequential, x_ND: tf.Tensor) -> tf.Tensor:
    parts = [x_ND[start : start + _AT_ONCE] for start in range(0, x_ND.shape[0], _AT_ONCE)]
    return tf.concat([tf.squeeze(network(x_BD, training=False), 1) for x_BD in parts], 0)
