"""What `/openapi.json` says of the login and of refusals."""

import json

import httpx2
import pytest
from builders import make_bundle
from callers import serving
from fastapi.testclient import TestClient

from churnops.serving.access import OPEN, new_key
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.protection import Protection

KEY, DIGEST = new_key()
KEYS = {"web": DIGEST}
TOKENS = {
    "issuer": "https://login.example/",
    "audience": "churnops",
    "keys_url": "https://login.example/keys",
}


@pytest.fixture(scope="module")
def served(tiny_bundle):
    return Served(tiny_bundle)


@pytest.fixture
def document_of(served):
    def document(**fields):
        app = create_app(Models(served), protection=Protection(**fields))
        return TestClient(app).get("/openapi.json").json()

    return document


def _refusals(document):
    """Every operation and the statuses it may be refused with."""
    return {
        (path, method): {status for status in operation["responses"] if status != "200"}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_a_server_without_a_login_describes_none(document_of):
    document = document_of()
    assert "securitySchemes" not in document["components"]
    assert "security" not in json.dumps(document)
    assert _refusals(document) == {
        ("/v1/score", "post"): {"413", "415", "422", "503"},
        ("/v1/score/stream", "post"): {"413", "415", "422", "503"},
        ("/v1/model", "get"): {"503"},
        ("/livez", "get"): {"503"},
        ("/readyz", "get"): {"503"},
    }


@pytest.mark.parametrize(
    ("fields", "security", "statuses"),
    [
        ({"keys": KEYS}, [{"key": []}, {"key_header": []}], {"401", "503"}),
        ({"tokens": TOKENS}, [{"token": []}], {"401", "503"}),
        (
            {"keys": KEYS, "tokens": TOKENS | {"scope": "churn:score"}},
            [{"key": []}, {"key_header": []}, {"token": ["churn:score"]}],
            {"401", "403", "503"},
        ),
    ],
)
def test_a_server_with_a_login_describes_it(document_of, fields, security, statuses):
    document = document_of(**fields)
    assert document["security"] == security
    assert {name for one in security for name in one} == set(document["components"]["securitySchemes"])
    assert DIGEST not in json.dumps(document)
    for (path, method), refusals in _refusals(document).items():
        is_open = path in OPEN
        assert (document["paths"][path][method].get("security") == []) == is_open
        assert refusals - {"413", "415", "422"} == ({"503"} if is_open else statuses)


def test_each_scheme_says_where_a_credential_comes_from_and_goes(document_of):
    schemes = document_of(keys=KEYS, tokens=TOKENS)["components"]["securitySchemes"]
    assert (schemes["key"]["type"], schemes["key"]["scheme"]) == ("http", "bearer")
    assert (schemes["key_header"]["in"], schemes["key_header"]["name"]) == ("header", "X-API-Key")
    assert schemes["token"]["type"] == "openIdConnect"
    assert schemes["token"]["openIdConnectUrl"] == "https://login.example/.well-known/openid-configuration"
    assert "'churnops'" in schemes["token"]["description"]
    bare = document_of(tokens=TOKENS | {"issuer": "our own"})["components"]["securitySchemes"]["token"]
    assert (bare["type"], bare["scheme"], bare["bearerFormat"]) == ("http", "bearer", "JWT")
    assert "our own" in bare["description"]


@pytest.mark.servers
def test_a_server_describes_the_login_of_its_file(tmp_path):
    with serving(make_bundle(), tmp_path, f'[keys]\nweb = "{DIGEST}"\n') as server:
        document = httpx2.get(f"{server.url}/openapi.json", headers={"x-api-key": KEY}).json()
    assert set(document["components"]["securitySchemes"]) == {"key", "key_header"}
