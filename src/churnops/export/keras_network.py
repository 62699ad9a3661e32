"""A Keras network as nodes."""

import keras
import tensorflow as tf
import tf2onnx
from onnx import TensorProto

from churnops.export.graph import OPSETS, Piece, network_piece, node


def network_nodes(network: keras.Model, width: int) -> Piece:
    """`prepared` [N, width] to `logit` [N, 1]: the network as it predicts, without dropout."""
    prepared = (tf.TensorSpec([None, width], tf.float32, name="prepared"),)

    def predicts(x_ND: tf.Tensor) -> tf.Tensor:
        return network(x_ND, training=False)

    traced = tf.function(predicts, input_signature=prepared)
    tf2onnx.utils.INTERNAL_NAME = 1  # it numbers names on from conversion to conversion: a graph has its own
    model, _ = tf2onnx.convert.from_function(traced, prepared, opset=OPSETS[""])
    (output,) = model.graph.output
    return network_piece(model.graph) + node("Cast", output.name, "logit", to=TensorProto.DOUBLE)
