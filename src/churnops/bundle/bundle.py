"""Reading, checking, writing and running a bundle."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from pydantic import ValidationError

from churnops.bundle.graph import check_stands_alone
from churnops.bundle.manifest import Manifest
from churnops.bundle.signature import check_signature
from churnops.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa  # not at run time: the server has no Arrow

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"

# What ONNX Runtime raises for a graph it cannot open or cannot feed; they share no base.
_GRAPH_FAULTS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ValueError,
)


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. The graph takes `numeric` [N, F] float32 (NaN: missing) and `categorical` [N, C] text
    ('' : missing), each left out when it has no columns, and gives `score` [N] float32."""

    manifest: Manifest
    model: bytes

    @cached_property
    def session(self) -> ort.InferenceSession:
        """One ONNX Runtime session with a single thread: callers bring their own parallelism."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def score(self, numeric_NF: np.ndarray, categorical_NC: np.ndarray) -> np.ndarray:
        """Churn probabilities [N] in float64 for rows given as the graph's two matrices.

        NaN where a value is so extreme that the graph overflows: the caller must look.
        """
        feed = {"numeric": np.ascontiguousarray(numeric_NF, dtype=np.float32), "categorical": categorical_NC}
        if len(self._fed) < len(feed):
            feed = {name: feed[name] for name in self._fed}
        (score_N,) = self.session.run(["score"], feed)
        return np.asarray(score_N, dtype=np.float64)

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Churn probabilities for rows given by raw column names; absent and None are missing."""
        return self.score(*self.matrices(rows))

    def matrices(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """The graph's `numeric` and `categorical` for rows given by raw column names."""
        numeric, categorical = self._names
        numbers = [[row.get(name) for name in numeric] for row in rows]
        texts = [[category_text(row.get(name)) for name in categorical] for row in rows]
        numeric_NF = np.array(numbers, dtype=np.float32).reshape(len(rows), len(numeric))
        return numeric_NF, np.array(texts, dtype=object).reshape(len(rows), len(categorical))

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        numeric, categorical = self.manifest.numeric, self.manifest.categorical
        return [column.name for column in numeric], [column.name for column in categorical]

    @cached_property
    def _fed(self) -> tuple[str, ...]:
        """The graph's inputs: it has none for a kind of which there is no column."""
        return tuple(one.name for one in self.session.get_inputs())


def category_text(value: str | int | None) -> str:
    """A category as the graph knows it: blank text is missing, a whole number is its digits."""
    text = "" if value is None else str(value)
    return "" if text.isspace() else text


def category_texts(column: "pa.Array") -> np.ndarray:
    """`category_text` of every value of an Arrow array of text or whole numbers, for training and scoring."""
    # Each level is made text once, not once a row.
    encoded = column.cast("string").dictionary_encode()
    levels = np.array([*map(category_text, encoded.dictionary.to_pylist()), ""], dtype=object)
    indices_N: np.ndarray = encoded.indices.fill_null(len(levels) - 1).to_numpy()
    return np.take(levels, indices_N)


def read_bundle(folder: Path, *, signed_by: str = "") -> Bundle:
    """Load the bundle in `folder`; raise BundleError unless it is what was written and can score a row.

    `signed_by` is the public key (PEM) of whom it must be signed by; empty: it need not be.
    """
    if signed_by:
        check_signature(folder / MANIFEST_FILE, signed_by)
    bundle = Bundle(_read_manifest(folder / MANIFEST_FILE), _read(folder / MODEL_FILE))
    if hashlib.sha256(bundle.model).hexdigest() != bundle.manifest.model_sha256:
        raise BundleError(f"{folder}: {MODEL_FILE} is not the file its manifest describes (SHA-256 differs)")
    check_stands_alone(bundle.model, f"{folder}: {MODEL_FILE}")
    try:
        score_N = bundle.score_rows([bundle.manifest.example])
    except _GRAPH_FAULTS as error:
        raise BundleError(f"{folder}: {MODEL_FILE} does not take what its manifest says: {error}") from error
    if score_N.shape != (1,) or not 0 <= score_N[0] <= 1:
        raise BundleError(f"{folder}: {MODEL_FILE} gives {score_N} for one row, not one probability")
    return bundle


def write_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write `bundle` as `folder`, replacing what stood there.

    A reader finds the old bundle whole or the new one whole. Only between the two renames of a replacement
    is there none; a process killed at that instant leaves both beside it, and the next call mends that. One
    writer at a time.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    replaced = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    recorded = {"content_hash": bundle.manifest.content_hash, **bundle.manifest.model_dump(mode="json")}
    text = json.dumps(recorded, indent=2, ensure_ascii=False, allow_nan=False)
    (unfinished / MODEL_FILE).write_bytes(bundle.model)
    (unfinished / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    unfinished.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return folder


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path.parent}: not a bundle: {path.name} is missing") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_manifest(path: Path) -> Manifest:
    content = _read(path)
    try:
        recorded = json.loads(content)
        if not isinstance(recorded, dict):
            raise BundleError(f"{path}: is not a JSON object")
        content_hash = recorded.pop("content_hash", None)
        manifest = Manifest.model_validate(recorded)
        unaltered = content_hash == manifest.content_hash
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise BundleError(f"{path}: not a manifest of this version: {'; '.join(faults)}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is not JSON: {error}") from error
    if not unaltered:
        raise BundleError(f"{path}: was altered (its content hash differs)")
    return manifest
