"""Reading, checking, writing and running a bundle."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders import COLUMNS, make_bundle, rewrite_manifest
from hypothesis import given
from hypothesis import strategies as st

from churnops.bundle.bundle import (
    MANIFEST_FILE,
    MODEL_FILE,
    category_texts,
    read_bundle,
    write_bundle,
)
from churnops.bundle.categories import category_text
from churnops.bundle.manifest import canonical_json
from churnops.errors import BundleError

ROW = {"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}


@pytest.fixture
def folder(tiny_bundle, tmp_path) -> Path:
    return write_bundle(tiny_bundle, tmp_path / "bundle")


def test_what_was_written_is_read(folder, tiny_bundle):
    bundle = read_bundle(folder)
    assert bundle == tiny_bundle
    assert bundle.score_rows([ROW]) == tiny_bundle.score_rows([ROW])
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_FILE, MODEL_FILE]


def test_equal_bundles_are_equal_bytes(folder, tmp_path):
    again = write_bundle(make_bundle(), tmp_path / "again")
    for name in (MANIFEST_FILE, MODEL_FILE):
        assert (folder / name).read_bytes() == (again / name).read_bytes()


def test_every_column_moves_the_score(tiny_bundle):
    others = [
        ROW | {"tenure months": 13},
        ROW | {"spend.30d": None},
        ROW | {"class": False},
        ROW | {'1st "plan"': "basic"},
        ROW | {"city_tier": None},
        ROW | {"city_tier": "unseen"},
    ]
    assert len(set(tiny_bundle.score_rows([ROW, *others]))) == 1 + len(others)


def test_absent_none_and_blank_are_one_thing(tiny_bundle):
    bare = {"tenure months": 12, '1st "plan"': "pro"}
    scores = tiny_bundle.score_rows(
        [bare, bare | {"spend.30d": None, "city_tier": None}, bare | {"city_tier": " "}]
    )
    assert len(set(scores)) == 1


def test_no_rows_are_no_scores(tiny_bundle):
    assert tiny_bundle.score_rows([]).shape == (0,)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_a_model_of_one_kind_of_column_has_one_input(kind):
    bundle = make_bundle([column for column in COLUMNS if column.kind == kind])
    assert np.isfinite(bundle.score_rows([ROW])).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("", ""), (" \t\u00a0", ""), (" a ", " a "), ("a", "a"), (3, "3"), ("3.0", "3.0")],
)
def test_a_category_is_text_and_blank_is_missing(value, text):
    assert category_text(value) == text


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", " ", None, "é", "a", ""]),
        pa.array(["a", " ", None]).dictionary_encode(),
        pa.array([3, None, -1], pa.int8()),
        pa.array(["x", "a", None], pa.large_string())[1:],
        pa.nulls(2),
        pa.array([], pa.string()),
    ],
)
def test_a_column_of_categories_is_the_text_of_each_value(column):
    assert category_texts(column).tolist() == [category_text(value) for value in column.to_pylist()]


def test_a_bundle_is_read_without_arrow(folder):
    """The server is installed without it."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from churnops.bundle.bundle import read_bundle\n"
        "from churnops.serving.app import create_app\n"
        "from churnops.serving.model import Models, Served\n"
        "create_app(Models(Served(read_bundle(Path(sys.argv[1])))))"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (MODEL_FILE, None, "not a bundle: model.onnx is missing"),
        (MANIFEST_FILE, None, "not a bundle: manifest.json is missing"),
        (MODEL_FILE, b"", "SHA-256 differs"),
        (MODEL_FILE, b"\x08\x0a", "SHA-256 differs"),
        (MANIFEST_FILE, b"", "is not JSON"),
        (MANIFEST_FILE, b'{"name": "tiny", ', "is not JSON"),
        (MANIFEST_FILE, b"\xff\xfe\x00", "is not JSON"),
        (MANIFEST_FILE, b"[" * 100_000, "is not JSON"),
        (MANIFEST_FILE, b"[]", "is not a JSON object"),
        (MANIFEST_FILE, b"null", "is not a JSON object"),
        (MANIFEST_FILE, b"{}", "threshold: Field required"),
    ],
)
def test_a_damaged_bundle_is_named(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_a_truncated_model_is_refused(folder):
    model = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(model[: len(model) // 2])
    with pytest.raises(BundleError, match="SHA-256 differs"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"threshold": 0.5', '"threshold": 0.4', "was altered"),
        ('"threshold": 0.5', '"threshold": NaN', "threshold: Input should be a finite number"),
        ('"threshold": 0.5', '"threshold": 0.1, "threshold": 0.5', "threshold: more than once"),
        ('"schema_version": 2', '"schema_version": 3', "schema_version"),
        ('"seed": 0', '"sead": 0', "sead"),
    ],
)
def test_an_altered_manifest_is_refused(folder, before, after, message):
    text = (folder / MANIFEST_FILE).read_text()
    (folder / MANIFEST_FILE).write_text(text.replace(before, after))
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [(COLUMNS[1:], "does not take"), (COLUMNS[:3], "does not take"), (COLUMNS[3:], "does not take")],
)
def test_a_manifest_that_names_other_columns_than_the_graph_takes_is_refused(folder, inputs, message):
    rewrite_manifest(folder, inputs=[column.model_dump(mode="json") for column in inputs])
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def _first_column(**change):
    return [
        COLUMNS[0].model_dump(mode="json") | change,
        *(one.model_dump(mode="json") for one in COLUMNS[1:]),
    ]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "../../x"}),
        ("name", {"name": "tiny\n<script>"}),
        ("threshold", {"threshold": 2.0}),
        ("threshold", {"threshold": -0.1}),
        ("horizon_days", {"horizon_days": 0}),
        ("model_sha256", {"model_sha256": "../model"}),
        ("inputs.0.name", {"inputs": _first_column(name="x" * 10**6)}),
        ("inputs.0.minimum", {"inputs": _first_column(minimum=-1e39)}),
        ("inputs.0: from .* is no range", {"inputs": _first_column(maximum=-1.0)}),
        ("inputs.0: from .* is no range", {"inputs": _first_column(maximum=None)}),
        ("file: columns named twice", {"inputs": 2 * [COLUMNS[0].model_dump(mode="json")]}),
        ("smoke.0.score", {"smoke": [{"values": {}, "score": 1.5}]}),
        ("reasons.rows", {"reasons": {"sha256": "0" * 64, "base_score": 0.5, "rows": 0}}),
        ("reasons.rows", {"reasons": {"sha256": "0" * 64, "base_score": 0.5, "rows": -5}}),
        ("reasons.rows", {"reasons": {"sha256": "0" * 64, "base_score": 0.5, "rows": 10**9}}),
        ("reasons.base_score", {"reasons": {"sha256": "0" * 64, "base_score": 7.0, "rows": 160}}),
    ],
)
def test_a_manifest_beyond_its_bounds_is_refused_by_its_field_though_its_hash_is_right(folder, field, change):
    path = folder / MANIFEST_FILE
    recorded = json.loads(path.read_text()) | change
    del recorded["content_hash"]
    content_hash = hashlib.sha256(canonical_json(recorded).encode()).hexdigest()
    path.write_text(json.dumps({"content_hash": content_hash, **recorded}))
    with pytest.raises(BundleError, match=rf"manifest\.json: not a manifest of this version: {field}"):
        read_bundle(folder)


@pytest.mark.parametrize("signed_by", ["", "a key"])
def test_a_folder_that_is_not_there_is_said_so(tmp_path, signed_by):
    with pytest.raises(BundleError, match="nowhere: there is no such folder"):
        read_bundle(tmp_path / "nowhere", signed_by=signed_by)


@given(content=st.binary(max_size=40))
def test_no_manifest_at_all_is_always_a_bundle_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bundle")
    (folder / MODEL_FILE).touch()
    (folder / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(BundleError):
        read_bundle(folder)


def test_writing_again_replaces_and_leaves_nothing_behind(folder):
    write_bundle(make_bundle(seed=1), folder)
    assert read_bundle(folder).manifest.seed == 1
    assert list(folder.parent.iterdir()) == [folder]


_DYING = """
import os, sys
from pathlib import Path
from builders import make_bundle
from churnops.bundle.bundle import write_bundle

def die(event, args):
    if event == sys.argv[2] and str(args[event == "os.rename"]).endswith(sys.argv[3]):
        os._exit(9)

bundle = make_bundle(seed=1)
sys.addaudithook(die)
write_bundle(bundle, Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("event", "target", "stands"),
    [
        ("open", "manifest.json", True),
        ("os.rename", ".bundle.replaced", True),
        ("os.rename", "/bundle", False),
    ],
)
def test_a_kill_never_leaves_half_a_bundle_and_the_next_write_mends_it(folder, event, target, stands):
    command = [sys.executable, "-c", _DYING, str(folder), event, target]
    assert subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode == 9
    assert folder.exists() == stands
    assert not stands or read_bundle(folder).manifest.seed == 0
    write_bundle(make_bundle(seed=1), folder)
    assert read_bundle(folder).manifest.seed == 1
    assert list(folder.parent.iterdir()) == [folder]
