"""Registries that cannot be read, in words; those that can are in tests/seams and tests/registry."""

import sqlite3
import time
from contextlib import closing

import pytest
from odd_server import odd_server

from churnops.errors import ConfigError, RegistryError
from churnops.serving import registered
from churnops.serving.registered import registry_at


@pytest.fixture
def server():
    with odd_server() as shows:
        yield shows


def test_a_database_that_only_mlflow_reads_is_named():
    with pytest.raises(ConfigError, match="not postgresql"):
        registry_at("postgresql://churn@db/mlflow")


def test_a_server_that_is_away_is_named_without_its_password():
    with pytest.raises(RegistryError, match=r"^http://127\.0\.0\.1:1: ") as told:
        registry_at("http://anna:secret@127.0.0.1:1").standing("demo")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>sign in"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b"[" * 100_000),
        (200, b'{"registered_model": null}'),
        (200, b'{"registered_model": {"aliases": null}}'),
        (200, b'{"registered_model": {"aliases": [{"alias": "champion", "version": "abc"}]}}'),
        (200, b'{"registered_model": {"tags": [{"key": "churnops.trial", "value": 7}]}}'),
        (500, b"oops"),
        (404, b"{}"),
    ],
)
def test_an_answer_of_something_else_is_an_error_of_the_registry(status, body, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a token")
    server.status, server.parts = status, [body]
    with pytest.raises(RegistryError):
        registry_at(f"{server.url}/").standing("a b")
    assert server.asked == [("/api/2.0/mlflow/registered-models/get?name=a+b", "Bearer a token")]


@pytest.mark.parametrize(
    ("parts", "raw", "status"),
    [
        ([b" "] * 60, False, 200),
        ([b" "] * 60, False, 500),
        ([b"HTTP/1.0 200 OK\r\nX: ", *[b" "] * 60], True, 200),
        ([b"HTTP/1.0 100 Continue\r\n\r\n"] * 60, True, 200),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 60], True, 200),
    ],
    ids=["body", "body of a refusal", "head", "many heads", "chunks"],
)
def test_an_answer_that_trickles_in_is_given_up(parts, raw, status, server, monkeypatch):
    monkeypatch.setattr(registered, "_SECONDS", 0.3)
    server.parts, server.raw, server.status, server.seconds = parts, raw, status, 0.05
    begun = time.monotonic()
    with pytest.raises(RegistryError):
        registry_at(server.url).standing("demo")
    assert time.monotonic() - begun < 1.5


def test_an_answer_without_an_end_is_read_no_further(server):
    server.parts = [b" " * (1 << 20)] * 6
    with pytest.raises(RegistryError, match="there is no end after 4,194,304 bytes"):
        registry_at(server.url).standing("demo")


def test_a_login_goes_nowhere_else(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a token")
    for status in (301, 302, 303, 307, 308):
        server.status, server.headers = status, {"location": f"{server.url}/elsewhere?secret=1"}
        with pytest.raises(
            RegistryError, match=rf"status {status}: it sends to '.*/elsewhere', which"
        ) as told:
            registry_at(server.url).standing("demo")
        assert "secret" not in str(told.value)
    assert {path for path, _ in server.asked} == {"/api/2.0/mlflow/registered-models/get?name=demo"}


@pytest.mark.parametrize(
    ("file", "seconds", "said"),
    [
        ([b"Content-Length: 9\r\n\r\n", b"whole"], 0, "lacks 4 bytes at its end"),
        ([b"\r\n", b"more than ten"], 0, "there is no end after 10 bytes"),
        ([b"\r\n", *[b" "] * 9], 0.1, "the answer takes too long|timed out"),
    ],
)
def test_a_file_that_does_not_end_well_is_given_up(file, seconds, said, server, tmp_path, monkeypatch):
    monkeypatch.setattr(registered, "_BUNDLE_SECONDS", 0.3)
    monkeypatch.setattr(registered, "_MOST_FILE_BYTES", 10)
    server.parts_of = {"/api/2.0/mlflow-artifacts/artifacts/demo/model.onnx": [b"HTTP/1.0 200 OK\r\n", *file]}
    server.parts = [b'HTTP/1.0 200 OK\r\n\r\n{"files": [{"path": "model.onnx"}]}']
    server.raw, server.seconds = True, seconds
    with pytest.raises(RegistryError, match=said):
        registry_at(server.url).fetch("mlflow-artifacts:/demo", tmp_path)


def test_a_database_that_is_none_is_an_error_of_the_registry(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    registry = registry_at(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(RegistryError, match="not a database"):
        registry.standing("demo")
    with pytest.raises(RegistryError, match="a folder, S3 or a tracking server only"):
        registry.fetch("gs://bucket/model", tmp_path)
    with pytest.raises(RegistryError, match="the registry says that a bundle is there"):
        registry.fetch(f"file://{tmp_path}/gone", tmp_path / "to")


@pytest.mark.parametrize(
    "row",
    [
        "registered_model_aliases VALUES ('demo', 'champion', 'abc')",
        "registered_model_aliases VALUES ('demo', 'champion', NULL)",
        "registered_model_tags VALUES ('demo', 'churnops.trial', x'ff')",
    ],
)
def test_rows_of_a_database_that_mlflow_does_not_write_are_an_error_of_the_registry(row, tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE registered_model_aliases (name, alias, version)")
        database.execute("CREATE TABLE registered_model_tags (name, key, value)")
        database.execute(f"INSERT INTO {row}")
    with pytest.raises(RegistryError, match=r"mlflow\.db: Expected"):
        registry_at(f"sqlite:///{tmp_path}/mlflow.db").standing("demo")


def test_only_files_of_a_bundle_are_fetched(tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    for name in ("manifest.json", "model.onnx", "manifest.sig", "else.txt"):
        (source / name).write_text(name)
    (source / "reasons.onnx").mkdir()  # no file; who reads a pipe would wait for ever
    registry_at(f"sqlite:///{tmp_path}/mlflow.db").fetch(f"file://{source}", to)
    assert {file.name for file in to.iterdir()} == {"manifest.json", "model.onnx", "manifest.sig"}
