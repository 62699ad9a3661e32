"""Reading, checking, writing and running a bundle."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from pydantic import ValidationError

from churnops.bundle.categories import Categories, category_text
from churnops.bundle.graph import check_stands_alone
from churnops.bundle.manifest import InputColumn, Manifest
from churnops.bundle.signature import check_signature
from churnops.config import faults
from churnops.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa  # not at run time: the server loads Arrow when a table comes

MODEL_FILE = "model.onnx"
REASONS_FILE = "reasons.onnx"
MANIFEST_FILE = "manifest.json"
FILES = (MANIFEST_FILE, MODEL_FILE, REASONS_FILE)
"""Those a bundle may be made of; the last is not in every one."""

_SMOKE_TOLERANCE = 1e-5  # of another processor's arithmetic
_SUM_TOLERANCE = 1e-4
_ROWS_AT_ONCE = 4096  # of those scored for reasons: bounds memory

# What ONNX Runtime raises for a graph it cannot open or cannot feed; they share no base.
GRAPH_FAULTS = (
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
    reasons: bytes | None = None
    """A second graph, of the same inputs: `effects` [N, F + C] float32 on the score. Not in every bundle."""

    @cached_property
    def session(self) -> ort.InferenceSession:
        """One ONNX Runtime session with a single thread: callers bring their own parallelism."""
        return _session(self.model)

    @cached_property
    def reasons_session(self) -> ort.InferenceSession | None:
        """The same for the graph of reasons, if there is one. Whoever opens it early answers sooner later."""
        return None if self.reasons is None else _session(self.reasons)

    def effects(self, numeric_NF: np.ndarray, categorical_NC: np.ndarray) -> np.ndarray:
        """What each column adds to the score [N, F + C]; with `manifest.reasons.base_score` it is the score.

        NaN where `score` gives NaN. Raises BundleError for a bundle without reasons.
        """
        session, said = self.reasons_session, self.manifest.reasons
        if session is None or said is None:
            raise BundleError(
                f"{self.manifest.model_version} gives no reasons: it was made before bundles had them; "
                "run it again"
            )
        whole = {"numeric": np.ascontiguousarray(numeric_NF, dtype=np.float32), "categorical": categorical_NC}
        feed = {name: whole[name] for name in self._fed}
        step = max(_ROWS_AT_ONCE // said.rows, 1)
        parts = [
            session.run(["effects"], {name: matrix[start : start + step] for name, matrix in feed.items()})[0]
            for start in range(0, max(len(numeric_NF), 1), step)
        ]
        return np.concatenate(parts).astype(np.float64)

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
    def model_version(self) -> str:
        """As in the manifest, which hashes itself each time."""
        return self.manifest.model_version

    @cached_property
    def numeric(self) -> tuple[InputColumn, ...]:
        """As in the manifest, which looks for them each time."""
        return self.manifest.numeric

    @cached_property
    def categorical(self) -> tuple[InputColumn, ...]:
        """The same."""
        return self.manifest.categorical

    @cached_property
    def categories(self) -> Categories:
        """The numbers of its texts, for whoever keeps rows by number."""
        return Categories(self.categorical)

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        return [column.name for column in self.numeric], [column.name for column in self.categorical]

    @cached_property
    def _fed(self) -> tuple[str, ...]:
        """The graph's inputs: it has none for a kind of which there is no column."""
        return tuple(one.name for one in self.session.get_inputs())


def category_texts(column: "pa.Array") -> np.ndarray:
    """`category_text` of every value of an Arrow array of text or whole numbers, for training and scoring."""
    # Each level is made text once, not once a row.
    encoded = column if hasattr(column, "dictionary") else column.cast("string").dictionary_encode()
    texts = encoded.dictionary.cast("string").to_pylist()
    levels = np.array([*map(category_text, texts), ""], dtype=object)
    indices_N: np.ndarray = encoded.indices.fill_null(len(levels) - 1).to_numpy()
    return np.take(levels, indices_N)


def read_bundle(folder: Path, *, signed_by: str = "") -> Bundle:
    """Load the bundle in `folder`; raise BundleError unless it is what was written and scores as it did then,
    with reasons that add up.

    `signed_by` is the public key (PEM) of whom it must be signed by; empty: it need not be.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: there is no such folder")
    path = folder / MANIFEST_FILE
    content = _read(path)  # once: what is parsed is what was signed, whoever writes the folder meanwhile
    if signed_by:
        check_signature(path, content, signed_by)
    manifest = _read_manifest(path, content)
    model = _described(folder / MODEL_FILE, manifest.model_sha256)
    reasons = _described(folder / REASONS_FILE, manifest.reasons.sha256) if manifest.reasons else None
    for graph, name in ((model, MODEL_FILE), (reasons, REASONS_FILE)):
        if graph is not None:
            check_stands_alone(graph, f"{folder}: {name}")
    bundle = Bundle(manifest, model, reasons)
    try:
        score_N = bundle.score_rows([bundle.manifest.example])
    except GRAPH_FAULTS as error:
        raise BundleError(f"{folder}: {MODEL_FILE} does not take what its manifest says: {error}") from error
    if score_N.shape != (1,) or not 0 <= score_N[0] <= 1:
        raise BundleError(f"{folder}: {MODEL_FILE} gives {score_N} for one row, not one probability")
    _smoke(bundle, folder)
    return bundle


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Else a mark that fits into ONNX makes it another format, which `check_stands_alone` does not read.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _smoke(bundle: Bundle, folder: Path) -> None:
    """Raise BundleError where a smoke row does not get the score it had, or reasons that add up to it."""
    rows = [one.values for one in bundle.manifest.smoke]
    if not rows:
        return
    stored_N = np.array([one.score for one in bundle.manifest.smoke])
    try:
        score_N = bundle.score_rows(rows)
        if not np.allclose(score_N, stored_N, rtol=0, atol=_SMOKE_TOLERANCE):
            raise BundleError(f"{folder}: {MODEL_FILE} gives smoke rows {score_N}, and once gave {stored_N}")
        if bundle.manifest.reasons:
            effects_NX = bundle.effects(*bundle.matrices(rows))
            sum_N = bundle.manifest.reasons.base_score + effects_NX.sum(axis=1)
            if not np.allclose(sum_N, score_N, rtol=0, atol=_SUM_TOLERANCE):
                raise BundleError(
                    f"{folder}: {REASONS_FILE} adds up to {sum_N}, and the scores are {score_N}"
                )
    except GRAPH_FAULTS as error:
        raise BundleError(f"{folder}: {error}") from error


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
    if bundle.reasons is not None:
        (unfinished / REASONS_FILE).write_bytes(bundle.reasons)
    (unfinished / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    unfinished.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return folder


def _described(path: Path, sha256: str) -> bytes:
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(
            f"{path.parent}: {path.name} is not the file its manifest describes (SHA-256 differs)"
        )
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path.parent}: not a bundle: {path.name} is missing") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_manifest(path: Path, content: bytes) -> Manifest:
    try:
        recorded = json.loads(content, object_pairs_hook=_distinct)
        if not isinstance(recorded, dict):
            raise BundleError(f"{path}: is not a JSON object")
        content_hash = recorded.pop("content_hash", None)
        manifest = Manifest.model_validate(recorded)
        unaltered = content_hash == manifest.content_hash
    except ValidationError as error:
        raise BundleError(f"{path}: not a manifest of this version: {'; '.join(faults(error))}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: is not JSON: {error}") from error
    if not unaltered:
        raise BundleError(f"{path}: was altered (its content hash differs)")
    return manifest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object they make. Of two values by one name, readers would take one or the other."""
    read = dict(pairs)
    if len(read) < len(pairs):
        twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
        raise ValueError(f"{', '.join(twice)}: more than once in one object")
    return read
