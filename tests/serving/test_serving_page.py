"""docs/serving.md: its calls are made, and get the answers that stand below them."""

import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from builders import make_bundle
from served import arrow, served

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import InputColumn

PAGE = Path(__file__).resolve().parents[2] / "docs/serving.md"
CALLS = re.findall(
    r"^```sh\n([^`]*?\bcurl .*?)^```\n(?:\n^```text\n(.*?)^```)?",
    PAGE.read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)

_NUMBER = {"kind": "numeric", "text": "", "minimum": 0, "maximum": 365}
COLUMNS = (
    InputColumn(name="recency_days", nullable=False, **_NUMBER),
    InputColumn(name="tenure_days", nullable=True, **_NUMBER),
    InputColumn(name="orders_total", nullable=True, **_NUMBER),
    InputColumn(name="country", kind="categorical", nullable=True, text="", levels=("DE", "FR")),
)
_DIFFERENT = (
    (r"shop-[0-9a-f]{12}", "shop-0"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "0"),
    (r"0\.\d{3,}", "0.5"),
    (r"true|false", "true or false"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of the page's model, in a folder with the page's file."""
    folder = tmp_path_factory.mktemp("page")
    table = pa.table({"customer_id": ["a", "b"], "recency_days": [12, 200], "country": ["DE", "FR"]})
    (folder / "customers.arrow").write_bytes(arrow(table))
    with served(write_bundle(make_bundle(COLUMNS, name="shop"), folder / "bundle")) as (_, url):
        yield url.removeprefix("http://"), folder


@pytest.mark.parametrize(("call", "answer"), CALLS, ids=range(len(CALLS)))
def test_a_call_of_the_page_gets_the_answer_below_it(server, call, answer):
    address, folder = server
    call = call.replace("localhost:8000", address)
    done = subprocess.run(["bash", "-c", call], cwd=folder, capture_output=True, text=True, check=True)
    assert _comparable(done.stdout) == _comparable(answer)


def test_the_page_has_a_call_in_every_contract():
    paths = {re.search(r"localhost:8000(\S+)", call).group(1) for call, _ in CALLS}
    assert paths == {"/v1/score", "/v1/score/stream", "/invocations", "/v2/models/shop/infer"}


def test_a_stream_of_the_page_is_answered(server):
    address, folder = server
    (call,) = (call for call, _ in CALLS if "/v1/score/stream" in call)
    subprocess.run(["bash", "-c", call.replace("localhost:8000", address)], cwd=folder, check=True)
    scores = pa.ipc.open_stream((folder / "scores.arrow").read_bytes()).read_all()
    assert scores["customer_id"].to_pylist() == ["a", "b"]


def _comparable(text):
    for pattern, instead in _DIFFERENT:
        text = re.sub(pattern, instead, text)
    return text.strip()
