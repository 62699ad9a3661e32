"""What can go wrong with a real S3 server: it is waited for, or named with what to do about it."""

import hashlib
import http.server
import json
import random
import threading
import time
from contextlib import contextmanager

import pytest
from command import churnops
from s3_server import Server, s3_client, settings_of

from churnops.errors import StorageError
from churnops.storage import Storage

pytestmark = pytest.mark.servers

_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of this test's own, which it may stop and start."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    s3_client(server.address).create_bucket(Bucket="lake")
    for name, value in settings_of(server.address).items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop(kill=True)


def every_call(storage, folder):
    """Each way to use a storage, by name."""
    path = folder / "file"
    path.write_bytes(b"content")
    return {
        "reading": lambda: storage.read("a"),
        "writing": lambda: storage.create("a", b"1"),
        "writing a file": lambda: storage.upload(path, "b"),
        "listing": lambda: list(storage.files()),
        "downloading": lambda: storage.download("a", folder / "to"),
    }


def test_a_server_that_is_killed_in_mid_write_and_comes_back_is_waited_for(server, tmp_path):
    content = random.Random(0).randbytes(48 << 20)
    (tmp_path / "big").write_bytes(content)
    storage = Storage("s3://lake/p")
    writer = threading.Thread(target=storage.upload, args=(tmp_path / "big", "big"))
    writer.start()
    server.stop(kill=True)
    assert writer.is_alive()
    server.start()
    writer.join()

    reader = threading.Thread(target=storage.download, args=("big", tmp_path / "back"))
    server.stop(kill=True)
    reader.start()
    server.start()
    reader.join()

    with (tmp_path / "back").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(content).digest()


def test_one_that_stays_away_is_named_when_patience_is_over(server, tmp_path):
    storage = Storage("s3://lake/p", patience_seconds=0.5)
    server.stop()

    for call in every_call(storage, tmp_path).values():
        began = time.monotonic()
        with pytest.raises(
            StorageError, match=r"s3://lake/p.*: no answer within 0.5 seconds: .*AWS_ENDPOINT_URL"
        ):
            call()
        assert time.monotonic() - began < 10

    server.start()
    assert list(storage.files()) == []
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret key is wrong: check AWS_PROFILE or"),
        ("AWS_ACCESS_KEY_ID", "nobody", "the credentials are not known there: check AWS_PROFILE or"),
        (
            "AWS_SESSION_TOKEN",
            "of somebody",
            "the credentials are not known there|the session token is not valid",
        ),
    ],
)
@pytest.mark.usefixtures("s3")
def test_wrong_credentials_are_named(monkeypatch, tmp_path, variable, value, says):
    monkeypatch.setenv(variable, value)

    for call in every_call(Storage("s3://lake/p"), tmp_path).values():
        with pytest.raises(StorageError, match=f"s3://lake/p.*: ({says})"):
            call()


def test_credentials_that_have_expired_are_named(monkeypatch, tmp_path):
    with answering(400, _EXPIRED) as address:
        for name, value in settings_of(address).items():
            monkeypatch.setenv(name, value)

        for call in every_call(Storage("s3://lake/p"), tmp_path).values():
            with pytest.raises(
                StorageError, match=r"s3://lake/p.*: the credentials have expired: sign in again"
            ):
                call()


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_missing_is_named(tmp_path):
    calls = every_call(Storage("s3://nosuch/p"), tmp_path)

    for name in ("reading", "listing", "downloading"):  # this server makes a bucket that is written to
        with pytest.raises(StorageError, match=r"s3://nosuch/p.*: there is no such bucket: create it"):
            calls[name]()


@pytest.mark.parametrize(
    ("action", "names"), [("PutObject", ["writing", "writing a file"]), ("GetObject", ["reading"])]
)
def test_denied_access_is_named(s3, tmp_path, action, names):
    bucket = f"closed-{action.lower()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="p/a", Body=b"1")
    rule = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": [f"s3:{action}"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))
    calls = every_call(Storage(f"s3://{bucket}/p"), tmp_path)

    for name in names:
        with pytest.raises(StorageError, match=f"s3://{bucket}/p.*: access is denied: docs/lake.md lists"):
            calls[name]()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "StorageError: listing s3://lake/p/: the secret key is wrong"),
        (
            {"AWS_ACCESS_KEY_ID": "nobody"},
            "StorageError: listing s3://lake/p/: the credentials are not known",
        ),
    ],
)
@pytest.mark.usefixtures("s3")
def test_the_command_line_tells_it_in_a_paragraph(monkeypatch, tmp_path, settings, says):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    done = churnops("lake", "ls", data_dir=tmp_path, lake="s3://lake/p", expect=6)

    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@contextmanager
def answering(status, body):
    """A server that answers everything so; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
