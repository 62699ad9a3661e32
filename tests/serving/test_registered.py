"""Registries that cannot be read, in words; those that can are in tests/seams and tests/registry."""

import http.server
import sqlite3
import threading
from contextlib import closing

import pytest

from churnops.errors import ConfigError, RegistryError
from churnops.serving.registered import registry_at


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
def test_an_answer_of_something_else_is_an_error_of_the_registry(status, body, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a token")
    asked = []

    class Odd(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with pytest.raises(RegistryError):
                registry_at(f"http://127.0.0.1:{server.server_port}/").standing("a b")
        finally:
            server.shutdown()
    assert asked == [("/api/2.0/mlflow/registered-models/get?name=a+b", "Bearer a token")]


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
    registry_at(f"sqlite:///{tmp_path}/mlflow.db").fetch(f"file://{source}", to)
    assert {file.name for file in to.iterdir()} == {"manifest.json", "model.onnx", "manifest.sig"}
