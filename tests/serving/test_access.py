"""Who is let in: keys, tokens, and nobody else."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient
from pydantic import ValidationError
from structlog.testing import capture_logs

from churnops.errors import ConfigError
from churnops.serving import access, denied
from churnops.serving.access import OPEN, Keys, new_key
from churnops.serving.app import PATHS, create_app
from churnops.serving.issuer import Issuer
from churnops.serving.metrics import Meter
from churnops.serving.model import Models, Served
from churnops.serving.protected import protected
from churnops.serving.protection import Protection, Tokens

KEY, DIGEST = new_key()
GOOD = {"tenure months": 12, '1st "plan"': "pro"}
ISSUER, AUDIENCE = "https://login.example", "churnops"
SIGNED, FOREIGN = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def issuer():
    """A real server of the issuer's public keys; `paths` are those it was asked for."""
    shown = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(SIGNED.public_key())) | {
        "kid": "one",
        "alg": "ES256",
    }

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [shown]}).encode())

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        server.paths = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(tiny_bundle):
    return Served(tiny_bundle)


@pytest.fixture
def client_of(served):
    def make(file=None, **fields):
        app = protected(create_app(Models(served)), Meter(), Protection(**fields), paths=PATHS, file=file)
        return TestClient(app)

    return make


def _tokens(issuer, **fields):
    url = f"http://127.0.0.1:{issuer.server_port}/jwks"
    return {"issuer": ISSUER, "audience": AUDIENCE, "keys_url": url, **fields}


def _token(key=SIGNED, kid="one", algorithm="ES256", **claims):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "exp": time.time() + 60, **claims}
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, key, algorithm, {"kid": kid}
    )


def _ask(client, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/score", json={"customers": [GOOD]}, headers=headers)


def test_a_caller_with_a_key_is_answered(client_of):
    client = client_of(keys={"other": "0" * 64, "web": DIGEST})
    assert _ask(client, authorization=f"Bearer {KEY}").status_code == 200
    assert _ask(client, x_api_key=KEY).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": DIGEST},
        {"authorization": f"Bearer {DIGEST}"},
        {"authorization": f"Bearer {KEY}", "x_api_key": "x"},
        {"authorization": "Bearer x", "x_api_key": KEY},
        {"authorization": f"Bearer {KEY}", "x_api_key": KEY},
        {"x_api_key": "x" * 10_000},
        {"x_api_key": "a.b.c"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/score", "/v1/model", "/metrics", "/openapi.json", "/nowhere", "/livez/"]
)
def test_others_are_told_that_they_must_say_who_they_are(client_of, headers, path):
    client = client_of(keys={"web": DIGEST})
    answer = client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    (fault,) = answer.json()["faults"]
    assert fault["problem"]
    assert DIGEST not in answer.text


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_need_no_key(client_of, path):
    assert client_of(keys={"web": DIGEST}).get(path).status_code in {200, 404}


def test_every_key_is_compared_in_constant_time(monkeypatch):
    compared = []

    def noted(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(access, "compare_digest", noted)
    keys = Keys({"web": DIGEST, "b": "0" * 64, "c": "1" * 64})
    assert keys.caller(KEY.encode()) == "web"
    assert keys.caller(b"wrong") is None
    assert len(compared) == 6


def test_a_new_key_is_random_and_only_its_hash_is_kept():
    key, digest = new_key()
    assert key != KEY
    assert len(key) > 43
    assert digest == hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A file with the key, and the keys of it, which are looked at whenever somebody asks."""
    monkeypatch.setattr(access, "_LOOKED_AT_SECONDS", -1.0)
    file = tmp_path / "serving.toml"
    file.write_text(f'[keys]\nweb = "{DIGEST}"\n')
    keys = Keys({"web": DIGEST}, file)
    assert keys.caller(KEY.encode()) == "web"
    return file, keys


def test_keys_change_while_serving(watched):
    file, keys = watched
    another, digest = new_key()
    file.write_text(f'[keys]\nshop = "{digest}"\n# it was rotated')
    assert keys.caller(KEY.encode()) is None
    assert keys.caller(another.encode()) == "shop"

    file.write_text("[keys\n")
    assert keys.caller(another.encode()) == "shop"
    file.unlink()
    assert keys.caller(another.encode()) == "shop"


def test_a_file_that_could_not_be_read_once_is_read_when_it_can_be(watched, monkeypatch):
    file, keys = watched
    file.write_text("[keys]  # nobody")
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Path, "read_text", _forbidden)  # root may read whatever `chmod` says
        for _ in range(3):
            assert keys.caller(KEY.encode()) == "web"
    assert [line["event"] for line in logs] == ["keys stay as they were"]  # once
    assert keys.caller(KEY.encode()) is None


def _forbidden(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_a_key_that_was_revoked_before_a_process_looked_is_revoked(tmp_path):
    file = tmp_path / "serving.toml"
    file.write_text("[keys]\n")
    assert Keys({"web": DIGEST}, file).caller(KEY.encode()) is None


def test_the_first_key_of_a_file_is_asked_for_and_so_on_when_it_is_gone(client_of, tmp_path, monkeypatch):
    monkeypatch.setattr(access, "_LOOKED_AT_SECONDS", -1.0)
    file = tmp_path / "serving.toml"
    file.write_text("[keys]\n")
    client = client_of(file=file)
    assert _ask(client).status_code == 200
    file.write_text(f'[keys]\nweb = "{DIGEST}"\n')
    assert _ask(client).status_code == 401
    assert client.get("/livez").status_code == 200
    assert _ask(client, x_api_key=KEY).status_code == 200
    file.write_text("[keys]\n")
    assert _ask(client).status_code == _ask(client, x_api_key=KEY).status_code == 401


@pytest.mark.parametrize(
    "kept", [KEY, DIGEST.upper(), DIGEST[:-1], ""], ids=["key", "upper", "short", "empty"]
)
def test_what_is_no_hash_is_refused_and_never_told(tmp_path, kept):
    """Somebody pastes the key itself."""
    from churnops.config import load_toml

    file = tmp_path / "serving.toml"
    file.write_text(f'[keys]\nweb = "{kept}"\n')
    with pytest.raises(ConfigError, match=r"keys\.web") as told:
        load_toml(Protection, file)
    assert not kept or kept not in str(told.value)


def test_a_token_of_the_issuer_is_answered_and_its_keys_are_fetched_once(client_of, issuer):
    client = client_of(tokens=_tokens(issuer))
    issuer.paths.clear()
    token = _token()
    with client:  # one loop for all
        for _ in range(3):
            assert _ask(client, authorization=f"Bearer {token}").status_code == 200
            assert _ask(client, authorization=f"Bearer {_token(jti=str(time.time()))}").status_code == 200
    assert issuer.paths == ["/jwks"]


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (lambda: _token(exp=time.time() - 60), "has expired"),
        (lambda: _token(exp=None), "lacks the claim 'exp'"),
        (lambda: _token(aud="elsewhere"), "not for this service: its 'aud'"),
        (lambda: _token(aud=None), "lacks the claim 'aud'"),
        (lambda: _token(iss="https://login.example.evil"), "not of this service's issuer: its 'iss'"),
        (lambda: _token(iss=None), "lacks the claim 'iss'"),
        (lambda: _token(nbf=time.time() + 600), "not yet valid"),
        (lambda: _token(iat=time.time() + 600), "not yet valid"),
        (lambda: _token(jti=7), "'jti' is not text"),
        (lambda: _token(key=FOREIGN), "signature is not that of its issuer"),
        (lambda: _token(key=FOREIGN, exp=time.time() - 60), "signature is not that of its issuer"),
        (lambda: _token(kid="two"), "a key its issuer does not show"),
        (lambda: _token(key="a secret of more than thirty-two bytes", algorithm="HS256"), "not accepted"),
        (lambda: _token(key=None, algorithm="none"), "not accepted"),
        (lambda: _token()[:-2], "signature is not that of its issuer"),
        (lambda: _token(exp="soon"), "cannot be read"),
        (lambda: "a.b.c", "cannot be read"),
        (lambda: "\u00e9.b.c".encode("latin-1"), "cannot be read"),
    ],
)
def test_any_other_token_is_refused_and_caller_and_log_are_told_why(client_of, issuer, token, told):
    token = token()
    bearer = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
    with capture_logs() as logs:
        answer = _ask(client_of(tokens=_tokens(issuer)), authorization=bearer)
    assert answer.status_code == 401
    reason = answer.json()["faults"][0]["problem"]
    assert told in reason
    challenge = f'Bearer realm="churnops", error="invalid_token", error_description="{reason}"'
    assert answer.headers["www-authenticate"] == challenge
    noted = [line for line in logs if line["event"] == "not let in"]
    assert noted == [
        {"event": "not let in", "log_level": "info", "status": 401, "reason": reason, "requests": 1}
    ]
    assert not any(str(sent) in reason for sent in ("elsewhere", "evil", "shop", token))


def test_a_token_that_is_good_for_ever_is_answered(client_of, issuer):
    assert _ask(client_of(tokens=_tokens(issuer)), authorization=f"Bearer {_token(exp=10**400)}").is_success


def test_many_refusals_are_few_lines_of_the_log(client_of, monkeypatch):
    client = client_of(keys={"web": DIGEST})
    with capture_logs() as logs:
        for _ in range(50):
            _ask(client)
            _ask(client, x_api_key="wrong")
        monkeypatch.setattr(denied, "_TOLD_SECONDS", 0)
        _ask(client)
    noted = [(line["reason"], line["requests"]) for line in logs if line["event"] == "not let in"]
    assert noted == [
        ("nobody knows who asks", 1),
        ("the key is not one of this service's", 1),
        ("nobody knows who asks", 50),
    ]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"scope": "openid churn:score"}, 200),
        ({"scp": ["churn:score"]}, 200),
        ({"scope": "churn"}, 403),
        ({"scope": 3}, 403),
        ({}, 403),
    ],
)
def test_a_token_needs_the_scope(client_of, issuer, claims, status):
    client = client_of(tokens=_tokens(issuer, scope="churn:score"))
    answer = _ask(client, authorization=f"Bearer {_token(**claims)}")
    assert answer.status_code == status
    assert status == 200 or "insufficient_scope" in answer.headers["www-authenticate"]


def test_keys_are_good_beside_tokens(client_of, issuer):
    client = client_of(tokens=_tokens(issuer), keys={"web": DIGEST})
    assert _ask(client, x_api_key=KEY).status_code == 200


def test_an_issuer_that_cannot_be_reached_is_no_fault_of_the_caller(client_of):
    tokens = {"issuer": ISSUER, "audience": AUDIENCE, "keys_url": "http://127.0.0.1:1/jwks"}
    with client_of(tokens=tokens) as client:
        for _ in range(3):
            answer = _ask(client, authorization=f"Bearer {_token()}")
            assert answer.status_code == 503
            assert 0 < int(answer.headers["retry-after"]) <= 10


@pytest.mark.parametrize(("left", "believed"), [(600, 60), (-10, 20)])
def test_a_token_is_believed_for_a_minute_but_no_longer_than_it_is_good(issuer, monkeypatch, left, believed):
    now, begun = time.time(), time.monotonic()
    checked, token = Issuer(Tokens(**_tokens(issuer))), _token(exp=now + left).encode()
    assert checked.believed(token) is None
    assert asyncio.run(checked.caller(token)) == "shop"
    for later, caller in [(0, "shop"), (believed - 1, "shop"), (believed + 2, None)]:
        monkeypatch.setattr(time, "monotonic", lambda later=later: begun + later)
        monkeypatch.setattr(time, "time", lambda: now - 3600)  # a clock that was set back
        assert checked.believed(token) == caller


@pytest.mark.parametrize("scope", ["a b", 'a"b', "a\\b", "a\nb", "\u00e9"])
def test_a_scope_is_one_word_that_a_header_can_hold(issuer, scope):
    with pytest.raises(ValidationError, match="scope"):
        Protection(tokens=_tokens(issuer, scope=scope))


@pytest.mark.parametrize(
    "url", ["http://login.example/jwks", "file:///etc/passwd", "ftp://127.0.0.1/jwks", ""]
)
def test_keys_of_an_issuer_come_over_a_safe_way(url):
    with pytest.raises(ValidationError, match="https"):
        Protection(tokens={"issuer": ISSUER, "audience": AUDIENCE, "keys_url": url})


def test_a_browser_of_a_named_origin_may_ask(client_of):
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    client = client_of(keys={"web": DIGEST}, cors_origins=["https://shop.example"])
    allowed = client.options("/v1/score", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    other = client.options("/v1/score", headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in client_of().options("/v1/score", headers=asked).headers
    with pytest.raises(ValidationError, match="every page"):
        Protection(cors_origins=["*"])


@pytest.mark.parametrize("fields", [{}, {"cors_origins": ["https://shop.example"]}])
def test_what_needs_no_leave_comes_in_from_any_page_which_does_not_see_the_answer(client_of, fields):
    sent = {"origin": "https://evil.example", "content-type": "text/plain"}
    body = json.dumps({"customers": [GOOD]})
    answer = client_of(**fields).post("/v1/score", content=body, headers=sent)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    answer = client_of(keys={"web": DIGEST}, **fields).post("/v1/score", content=body, headers=sent)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_only_this_machine_is_answered_without_a_login(host, loopback):
    if not loopback:
        with pytest.raises(ConfigError, match="--no-login"):
            Protection().check_host(host, no_login=False)
        Protection().check_host(host, no_login=True)
        Protection(keys={"web": DIGEST}).check_host(host, no_login=False)
    else:
        Protection().check_host(host, no_login=False)
