"""`churnops-serve` as a container's entry point, and a real client of SageMaker's endpoints."""

import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_hosts import network, start
from served import served

from churnops.bundle.bundle import write_bundle
from churnops.errors import BundleError, ConfigError
from churnops.jobs.endpoint import find_bundle, read_contract

ENTRY = (sys.executable, "-c", "from churnops.jobs.endpoint import main; main()", "serve")
LINE = b"12,3.5,1,pro,2\n"


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 8080),
        ({"SAGEMAKER_BIND_TO_PORT": "9000", "SAGEMAKER_SAFE_PORT_RANGE": "9001-9010"}, 9000),
        ({"SAGEMAKER_SAFE_PORT_RANGE": "9001-9010"}, 9001),
    ],
)
def test_sagemaker_says_which_port_is_free(variables, port):
    assert read_contract(variables)[0] == port


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT: 'http' is no whole number"),
        ({"SAGEMAKER_BIND_TO_PORT": "70000"}, "from 1 to 65,535"),
        ({"SAGEMAKER_SAFE_PORT_RANGE": "9001"}, "SAGEMAKER_SAFE_PORT_RANGE: '9001' is no range"),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "0"}, "SAGEMAKER_MODEL_SERVER_WORKERS: '0'"),
    ],
)
def test_a_variable_that_cannot_be_is_named(variables, problem):
    with pytest.raises(ConfigError, match=problem):
        read_contract(variables)


def test_a_bundle_is_found_where_the_archive_had_it(tiny_bundle, tmp_path):
    for folder in (tmp_path / "a/model/bundle", tmp_path / "b/model"):
        write_bundle(tiny_bundle, folder)
    assert find_bundle(tmp_path / "a/model") == tmp_path / "a/model/bundle"
    assert find_bundle(tmp_path / "b/model") == tmp_path / "b/model"


def test_no_bundle_and_several_are_refused(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match=r"no manifest\.json here or below"):
        find_bundle(tmp_path)
    for name in ("one", "two"):
        write_bundle(tiny_bundle, tmp_path / name)
    with pytest.raises(BundleError, match=r"here are several: .*one, .*two"):
        find_bundle(tmp_path)


def test_a_container_without_a_model_says_so_and_ends(tmp_path):
    (tmp_path / "host/model").mkdir(parents=True)
    log = tmp_path / "log"
    assert start(tmp_path / "host", "algo-1", ["algo-1"], log, entry=ENTRY).wait() == 3
    assert "no manifest.json here or below" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_container_answers_on_sagemakers_port_until_it_is_told_to_stop(tiny_bundle, tmp_path, workers):
    """As SageMaker runs it: the model in /opt/ml, the command as the first process, which gets the signal."""
    write_bundle(tiny_bundle, tmp_path / "host/model/bundle")
    log = tmp_path / "log"
    entry = ("unshare", "--pid", "--fork", "--kill-child", *ENTRY)
    variables = {"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)}
    with network() as inside:
        container = start(
            tmp_path / "host", "algo-1", ["algo-1"], log, entry=entry, within=inside, variables=variables
        )
        _ready(inside, container)
        call = [
            "curl",
            "-s",
            "http://127.0.0.1:8080/invocations",
            "-H",
            "content-type: text/csv",
            "--data-binary",
            LINE,
        ]
        said = subprocess.run([*inside, *call], capture_output=True, text=True, check=True).stdout
        first = subprocess.run(
            ["pgrep", "-P", str(container.pid)], capture_output=True, text=True, check=True
        ).stdout
        subprocess.run(["kill", "-TERM", *first.split()], check=True)
        code = container.wait(timeout=20)
    assert 0 < float(said.split(",")[0]) < 1
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def _ready(inside, container):
    ping = [*inside, "curl", "-s", "-f", "-o", "/dev/null", "http://127.0.0.1:8080/ping"]
    give_up = time.monotonic() + 60
    while subprocess.run(ping, check=False).returncode:
        assert container.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.1)


class _Runtime(BaseHTTPRequestHandler):
    """What stands between boto3 and a container: its refusals become ModelError."""

    protocol_version = "HTTP/1.1"
    container = ""

    def do_POST(self):
        assert re.fullmatch(r"/endpoints/churn/invocations", self.path)
        body = self.rfile.read(int(self.headers["content-length"]))
        passed = {name: self.headers[name] for name in ("content-type", "accept") if name in self.headers}
        try:
            with urlopen(Request(f"{self.container}/invocations", body, passed)) as answer:  # noqa: S310
                self._answer(200, answer.read(), {"Content-Type": answer.headers["content-type"]})
        except HTTPError as refused:
            said = refused.read().decode()
            content = {
                "Message": f"Received client error ({refused.code})",
                "OriginalMessage": said,
                "OriginalStatusCode": refused.code,
            }
            self._answer(424, json.dumps(content).encode(), {"x-amzn-ErrorType": "ModelError"})

    def _answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def _runtime(container):
    handler = type("Runtime", (_Runtime,), {"container": container})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def runtime(tiny_bundle, tmp_path_factory):
    folder = write_bundle(tiny_bundle, tmp_path_factory.mktemp("endpoint") / "bundle")
    with served(folder) as (_, container), _runtime(container) as url:
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        yield client
        client.close()


def test_boto3_gets_scores_in_the_form_it_accepts(runtime, tiny_bundle):
    (score,) = tiny_bundle.score_rows(
        [{"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}]
    )
    answer = runtime.invoke_endpoint(
        EndpointName="churn", ContentType="text/csv", Accept="application/json", Body=LINE
    )
    assert answer["ContentType"] == "application/json"
    assert json.loads(answer["Body"].read())["scores"][0]["score"] == pytest.approx(score, abs=1e-6)
    answer = runtime.invoke_endpoint(EndpointName="churn", ContentType="text/csv", Body=LINE)
    assert float(answer["Body"].read().split(b",")[0]) == pytest.approx(score, abs=1e-6)


def test_boto3_is_told_what_is_wrong(runtime):
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint(EndpointName="churn", ContentType="application/json", Body=b'{"class": "x"}')
    response = refused.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == 422
    assert '"column":"class"' in response["OriginalMessage"]
