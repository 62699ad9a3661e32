"""From the two raw matrices to the model's inputs `prepared` [N, D]: numbers, flags, bins, categories.

The number of nodes does not grow with the number of columns: each node works on a whole matrix, and one
LabelEncoder knows the levels of all categories. That is what a single row's latency depends on.
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, numpy_helper

from churnops.export.graph import PREPARED, Piece, constant, joined, ml_node, node
from churnops.training.dataset import Columns
from churnops.training.preprocessing import CLIP, Bins, Category, Number, Preprocessing, TreeEncoding


def preprocessed(preprocessing: Preprocessing, columns: Columns) -> Piece:
    """`Preprocessing.apply` as a graph."""
    numbers = preprocessing.numeric
    flagged = [i for i, number in enumerate(numbers) if number.flagged]
    return _prepared(
        {
            "numbers": _standardised(numbers, columns) if numbers else Piece(),
            "flags": _flags(flagged, len(numbers)) if flagged else Piece(),
            "bins": _bins(preprocessing.bins) if preprocessing.bins.from_K.size else Piece(),
            "levels": _one_hot(preprocessing.categorical, columns) if preprocessing.categorical else Piece(),
        }
    )


def encoded(encoding: TreeEncoding, columns: Columns) -> Piece:
    """`TreeEncoding.apply` as a graph: raw numbers, NaN where missing."""
    return _prepared(
        {
            "numbers": picked("numeric", "numbers", encoding.numeric, columns.numeric)
            if encoding.numeric
            else Piece(),
            "levels": _one_hot(encoding.categorical, columns) if encoding.categorical else Piece(),
        }
    )


def _prepared(parts: dict[str, Piece]) -> Piece:
    present = {name: piece for name, piece in parts.items() if piece.nodes}
    return joined(present.values()) + node("Concat", " ".join(present), PREPARED, axis=1)


def picked(matrix: str, output: str, names: Sequence[str], of: Sequence[str]) -> Piece:
    """The columns a model uses, in its order."""
    if tuple(names) == tuple(of):
        return node("Identity", matrix, output)
    index = constant(f"{output}_index", [of.index(name) for name in names], np.int64)
    return index + node("Gather", f"{matrix} {output}_index", output, axis=1)


def _standardised(numbers: Sequence[Number], columns: Columns) -> Piece:
    """In float64 until the last step, as in `Preprocessing.apply`.

    A logarithm that is off by one float32 moves a column that hardly varies by many times its scale.
    """
    pieces = [
        picked("numeric", "raw", [number.name for number in numbers], columns.numeric),
        constant("fill", [number.fill for number in numbers], np.float64),
        constant("mean", [number.mean for number in numbers], np.float64),
        constant("scale", [number.scale for number in numbers], np.float64),
        constant("lowest", -CLIP, np.float64),
        constant("highest", CLIP, np.float64),
        node("IsNaN", "raw", "missing"),
        node("Cast", "raw", "wide", to=TensorProto.DOUBLE),
        node("Where", "missing fill wide", "filled"),
        _logarithms(numbers),
        node("Sub", "tamed mean", "centred"),
        node("Div", "centred scale", "standardised"),
        node("Clip", "standardised lowest highest", "clipped"),
        node("Cast", "clipped", "numbers", to=TensorProto.FLOAT),
    ]
    return joined(pieces)


def _logarithms(numbers: Sequence[Number]) -> Piece:
    if not any(number.log for number in numbers):
        return node("Identity", "filled", "tamed")
    pieces = [
        constant("is_log", [number.log for number in numbers], np.bool_),
        constant("one", 1, np.float64),
        node("Abs", "filled", "size"),
        node("Add", "size one", "size_and_one"),
        node("Log", "size_and_one", "logarithm"),
        node("Sign", "filled", "sign"),
        node("Mul", "sign logarithm", "signed_logarithm"),
        node("Where", "is_log signed_logarithm filled", "tamed"),
    ]
    return joined(pieces)


def _flags(flagged: Sequence[int], numbers: int) -> Piece:
    """A product picks them: to gather single columns takes ONNX Runtime several times as long."""
    if len(flagged) == numbers:
        return node("Cast", "missing", "flags", to=TensorProto.FLOAT)
    pieces = [
        constant("flagged", np.eye(numbers)[:, flagged], np.float32),
        node("Cast", "missing", "missing_wide", to=TensorProto.FLOAT),
        node("MatMul", "missing_wide flagged", "flags"),
    ]
    return joined(pieces)


def _bins(bins: Bins) -> Piece:
    """`Bins.apply`, in float64 as there: a narrow bin would show every rounding."""
    pieces = [
        constant("bin_number", bins.number_K, np.int64),
        constant("bin_from", bins.from_K, np.float64),
        constant("bin_width", bins.width_K, np.float64),
        constant("none_of_it", 0.0, np.float64),
        constant("all_of_it", 1.0, np.float64),
        node("Gather", "clipped bin_number", "bin_of", axis=1),
        node("Sub", "bin_of bin_from", "bin_above"),
        node("Div", "bin_above bin_width", "bin_filled"),
        node("Clip", "bin_filled none_of_it all_of_it", "bin_wide"),
        node("Cast", "bin_wide", "bins", to=TensorProto.FLOAT),
    ]
    return joined(pieces)


def _one_hot(categories: Sequence[Category], columns: Columns) -> Piece:
    """Each category's levels, then its slot for the unknown.

    text -> number of the text among all levels of all categories -> its slot among the D' of the output,
    looked up in a table with one row per category -> a one scattered there.
    """
    texts = sorted({level for category in categories for level in category.levels})
    slot_CT, width = _slots(categories, texts)
    pieces = [
        picked("categorical", "texts", [category.name for category in categories], columns.categorical),
        constant("slots", slot_CT.ravel(), np.int64),
        constant("slots_start", np.arange(len(categories)) * slot_CT.shape[1], np.int64),
        constant("width", [width], np.int64),
        ml_node(
            "LabelEncoder",
            "texts",
            "text_number",
            keys_strings=texts,
            values_int64s=list(range(len(texts))),
            default_int64=len(texts),
        ),
        node("Add", "text_number slots_start", "slots_at"),
        node("Gather", "slots slots_at", "slot"),
        node("Shape", "slot", "slot_shape"),
        node("Shape", "slot", "rows", end=1),
        node("Concat", "rows width", "levels_shape", axis=0),
        node("ConstantOfShape", "slot_shape", "ones", value=numpy_helper.from_array(np.ones(1, np.float32))),
        node("ConstantOfShape", "levels_shape", "zeros"),
        node("ScatterElements", "zeros slot ones", "levels", axis=1),
    ]
    return joined(pieces)


def _slots(categories: Sequence[Category], texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """The slot of each of T texts, and last of any other, in each category [C, T + 1]; how many slots."""
    number = {text: i for i, text in enumerate(texts)}
    slot_CT = np.empty((len(categories), len(texts) + 1), dtype=np.int64)
    start = 0
    for slot_T, category in zip(slot_CT, categories, strict=True):
        slot_T[:] = start + len(category.levels)
        slot_T[[number[level] for level in category.levels]] = start + np.arange(len(category.levels))
        start += len(category.levels) + 1
    return slot_CT, start
