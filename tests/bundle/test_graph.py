"""Graphs that would reach outside are refused before they are opened."""

import hashlib

import numpy as np
import onnxruntime as ort
import pytest
from builders import make_bundle
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
    load_from_string,
    numpy_helper,
)

from churnops.bundle.bundle import GRAPH_FAULTS, Bundle, read_bundle, write_bundle
from churnops.bundle.graph import _TAGS, check_stands_alone
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


def _varint(value: int) -> bytes:
    text = b""
    while value > 0x7F:
        text += bytes([value & 0x7F | 0x80])
        value >>= 7
    return text + bytes([value])


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


GRAPH = 7 << 3 | 2


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        (_varint(GRAPH | 1 << 32), "has no field"),  # protobuf reads 32 bits of it
        (_varint(GRAPH | 1 << 34), "has no field"),
        (bytes([GRAPH | 0x80, 0]), "longer than it need be"),
        (bytes([GRAPH | 0x80, 0x80, 0]), "longer than it need be"),
        (b"\xba" + b"\x80" * 9 + b"\x01", "too long"),
        (_varint(20 << 3 | 2), "has no field 20 of kind 2"),  # training_info, which holds graphs
        (_varint(99 << 3 | 2), "has no field 99"),
    ],
)
def test_a_graph_that_another_reader_would_see_is_not_hidden_from_this_one(tag, why):
    model = load_from_string(GOOD)
    model.graph.node[0].domain = "com.microsoft"
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    hidden = model.SerializeToString() + _field(tag, graph)
    with pytest.raises(BundleError, match=f"no ONNX graph: .*{why}"):
        check_stands_alone(hidden, "model.onnx")


def test_a_graph_in_two_parts_that_are_read_as_one_is_looked_at_whole():
    more = ModelProto()
    more.graph.node.add(op_type="Run", domain="com.microsoft")
    together = GOOD + more.SerializeToString()
    assert load_from_string(together).graph.node[-1].domain == "com.microsoft"
    with pytest.raises(BundleError, match=r"'com\.microsoft'"):
        check_stands_alone(together, "model.onnx")
    external = ModelProto()
    external.graph.initializer.add(data_location=TensorProto.EXTERNAL)
    with pytest.raises(BundleError, match="another file"):
        check_stands_alone(external.SerializeToString() + GOOD, "model.onnx")


@pytest.mark.parametrize("wire", [1, 3, 4, 5, 6, 7])
def test_groups_and_other_encodings_are_not_skipped(wire):
    with pytest.raises(BundleError, match=f"no field 7 of kind {wire}"):
        check_stands_alone(GOOD + bytes([7 << 3 | wire]) + b"\0" * 8, "model.onnx")


@pytest.mark.parametrize(
    ("kind", "message", "left_out"),
    [
        ("model", ModelProto, {"training_info", "configuration"}),
        ("graph", GraphProto, set()),
        ("function", FunctionProto, set()),
        ("node", NodeProto, {"device_configurations"}),
        ("attribute", AttributeProto, set()),
        ("tensor", TensorProto, {"segment"}),
        ("sparse tensor", SparseTensorProto, set()),
    ],
)
def test_the_fields_that_are_read_are_those_of_onnx(kind, message, left_out):
    def tag(field: FieldDescriptor) -> int:
        wire = {field.TYPE_FLOAT: 5, field.TYPE_INT64: 0, field.TYPE_INT32: 0, field.TYPE_ENUM: 0}
        return field.number << 3 | (2 if field.is_packed else wire.get(field.type, 2))

    known = {tag(field) for field in message.DESCRIPTOR.fields if field.name not in left_out}
    assert _TAGS[kind] == known


def test_only_onnx_is_opened(tiny_bundle, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(GOOD, options, providers=["CPUExecutionProvider"])
    other = (tmp_path / "model.ort").read_bytes()
    assert ort.InferenceSession(other, providers=["CPUExecutionProvider"]).get_inputs()
    with pytest.raises(GRAPH_FAULTS):
        _ = Bundle(tiny_bundle.manifest, other).session


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_refused_or_left_to_the_hash(at, byte, cut):
    damaged = GOOD[:at] if cut else GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        check_stands_alone(damaged, "model.onnx")
    except BundleError as error:
        assert "model.onnx" in str(error)  # noqa: PT017  # it may also be fine
