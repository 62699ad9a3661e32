"""Registries that cannot be read, in words; those that can are in tests/seams and tests/registry."""

import http.server
import threading

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
    ("status", "body"), [(200, b"<html>sign in"), (200, b"[]"), (200, b"{}"), (500, b"oops"), (404, b"{}")]
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
