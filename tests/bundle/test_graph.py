"""Graphs that would reach outside are refused before they are opened."""

import hashlib

import numpy as np
import pytest
from builders import make_bundle
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, load_from_string, numpy_helper

from churnops.bundle.bundle import Bundle, read_bundle, write_bundle
from churnops.bundle.graph import check_stands_alone
from churnops.errors import BundleError

GOOD = make_bundle().model


def _outside(place: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    return tensor


def _branch(node: NodeProto) -> AttributeProto:
    graph = helper.make_graph(
        [node], "inside", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])]
    )
    return helper.make_attribute("then_branch", graph)


def _initializer(model: ModelProto, place: str) -> None:
    model.graph.initializer.append(_outside(place))


def _constant(model: ModelProto, place: str) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["o"], value=_outside(place)))


def _nested(model: ModelProto, place: str) -> None:
    inner = helper.make_node("Constant", [], ["o"], value=_outside(place))
    node = model.graph.node.add(op_type="If")
    node.attribute.append(_branch(inner))


def _sparse(model: ModelProto, place: str) -> None:
    model.graph.sparse_initializer.add(values=_outside(place), dims=[2])


def _in_function(model: ModelProto, place: str) -> None:
    node = helper.make_node("Constant", [], ["o"], value=_outside(place))
    model.functions.add(name="f", domain="").node.append(node)


@pytest.mark.parametrize("place", ["w.bin", "../w.bin", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("spoil", [_initializer, _constant, _nested, _sparse, _in_function])
def test_weights_in_another_file_are_refused(spoil, place):
    model = load_from_string(GOOD)
    spoil(model, place)
    with pytest.raises(BundleError, match="another file"):
        check_stands_alone(model.SerializeToString(), "model.onnx")


@pytest.mark.parametrize("domain", ["evil", "com.microsoft", "ai.onnx.preview.training", "ai.onnx.ml.evil"])
def test_operators_that_are_not_of_onnx_are_refused(domain):
    at_top, nested, in_function = (load_from_string(GOOD) for _ in range(3))
    node = helper.make_node("Run", [], ["o"], domain=domain)
    at_top.graph.node.append(node)
    nested.graph.node.add(op_type="If").attribute.append(_branch(node))
    in_function.functions.add(name="f", domain="").node.append(node)
    for model in (at_top, nested, in_function):
        with pytest.raises(BundleError, match=f"'{domain}'"):
            check_stands_alone(model.SerializeToString(), "model.onnx")


def test_a_bundle_is_looked_at_before_it_is_opened(tiny_bundle, tmp_path):
    model = load_from_string(GOOD)
    model.graph.node[0].domain = "com.microsoft"
    content = model.SerializeToString()
    manifest = tiny_bundle.manifest.model_copy(update={"model_sha256": hashlib.sha256(content).hexdigest()})
    folder = write_bundle(Bundle(manifest, content), tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"model\.onnx runs operators of 'com\.microsoft'"):
        read_bundle(folder)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_refused_or_left_to_the_hash(at, byte, cut):
    damaged = GOOD[:at] if cut else GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        check_stands_alone(damaged, "model.onnx")
    except BundleError as error:
        assert "model.onnx" in str(error)  # noqa: PT017  # it may also be fine
