"""The keys an issuer shows: held, fetched again, and away."""

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from odd_server import odd_server
from structlog.testing import capture_logs

from churnops.serving import issuer_keys
from churnops.serving.denied import Denied
from churnops.serving.issuer_keys import IssuerKeys

_SHOWN = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))


def _jwks(*names, **fields):
    return json.dumps(
        {"keys": [_SHOWN | fields | ({"kid": name} if name else {}) for name in names]}
    ).encode()


@pytest.fixture
def issuer():
    """A server that shows two keys, and names another address."""
    with odd_server() as shows:
        shows.parts, shows.headers = [_jwks("one", "two")], {"location": "/elsewhere"}
        yield shows


async def _status(keys, name="one"):
    """As the caller is told: 200 where there is such a key."""
    try:
        await keys.key(name)
    except Denied as denied:
        return denied.status
    return 200


def test_keys_are_fetched_once_for_a_crowd(issuer):
    async def crowd():
        keys = IssuerKeys(issuer.url)
        return await asyncio.gather(*(_status(keys, name) for name in ["one", "two"] * 50))

    assert set(asyncio.run(crowd())) == {200}
    assert len(issuer.asked) == 1


def test_while_no_keys_are_held_everybody_may_come_again(issuer, monkeypatch):
    issuer.status = 500

    async def asked():
        keys = IssuerKeys(issuer.url)
        away = [await _status(keys) for _ in range(5)]
        issuer.status = 200
        monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)
        return away, await _status(keys)

    assert asyncio.run(asked()) == ([503] * 5, 200)
    assert len(issuer.asked) == 2


def test_a_key_nobody_knows_is_looked_for_now_and_then_only(issuer, monkeypatch):
    async def asked():
        keys = IssuerKeys(issuer.url)
        known = [await _status(keys), *[await _status(keys, str(i)) for i in range(20)]]
        issuer.parts = [_jwks("one", "new")]
        monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)
        return known, await _status(keys, "new"), await _status(keys, "two")

    assert asyncio.run(asked()) == ([200, *[401] * 20], 200, 401)
    assert len(issuer.asked) == 3


@pytest.mark.parametrize(
    ("parts", "told"),
    [([b" ", _jwks("one", "two")], 401), ([b" "] * 60, 503)],
    ids=["slow", "a byte at a time"],
)
def test_a_token_with_an_unknown_key_keeps_no_good_token_waiting(issuer, monkeypatch, parts, told):
    monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)
    monkeypatch.setattr(issuer_keys, "_FETCH_SECONDS", 2)

    async def asked():
        keys = IssuerKeys(issuer.url)
        assert await _status(keys) == 200
        issuer.parts, issuer.seconds = parts, 0.3
        begun = time.monotonic()
        unknown = asyncio.create_task(_status(keys, "new"))
        await asyncio.sleep(0.1)
        assert await _status(keys) == 200
        known = time.monotonic() - begun
        return known, await unknown, time.monotonic() - begun

    known, status, unknown = asyncio.run(asked())
    assert known < 0.25
    assert status == told
    assert unknown < 1.5
    assert len(issuer.asked) == 2


@pytest.mark.parametrize("raw", [False, True], ids=["body", "headers"])
def test_keys_that_come_a_byte_at_a_time_are_given_up(issuer, monkeypatch, raw):
    monkeypatch.setattr(issuer_keys, "_FETCH_SECONDS", 0.5)
    monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)
    issuer.parts, issuer.seconds, issuer.raw = [b"HTTP/1.0 200 OK\r\nX: ", *[b" "] * 30], 0.1, raw

    async def asked():
        keys = IssuerKeys(issuer.url)
        away = await _status(keys)
        await asyncio.sleep(1)
        issuer.parts, issuer.seconds, issuer.raw = [_jwks("one")], 0, False
        return away, await _status(keys)

    with capture_logs() as logs:
        assert asyncio.run(asked()) == (503, 200)
    assert "TimeoutError" in logs[0]["problem"]


def test_the_log_has_the_keys_that_an_issuer_shows(issuer, monkeypatch):
    monkeypatch.setattr(issuer_keys, "_KEPT_SECONDS", 0)
    monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)

    async def asked():
        keys = IssuerKeys(issuer.url)
        for names in [("one", "two"), ("one", "two"), (None,)]:
            issuer.parts = [_jwks(*names)]
            await _status(keys)

    with capture_logs() as logs:
        asyncio.run(asked())
    assert [line["kids"] for line in logs] == [["one", "two"], [None]]


def test_old_keys_stay_good_while_the_issuer_is_away(issuer, monkeypatch):
    monkeypatch.setattr(issuer_keys, "_KEPT_SECONDS", 0)
    monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)

    async def asked():
        keys = IssuerKeys(issuer.url)
        there = await _status(keys)
        issuer.status = 503
        return there, await _status(keys), await _status(keys, "new")

    assert asyncio.run(asked()) == (200, 200, 503)


def test_a_key_that_is_no_longer_shown_is_no_longer_good(issuer, monkeypatch):
    monkeypatch.setattr(issuer_keys, "_KEPT_SECONDS", 0)
    monkeypatch.setattr(issuer_keys, "_AGAIN_SECONDS", 0)

    async def asked():
        keys = IssuerKeys(issuer.url)
        before = await _status(keys)
        issuer.parts = [_jwks("two")]
        return before, await _status(keys)

    assert asyncio.run(asked()) == (200, 401)


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (b"<html>", "malformed"),
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `keys`"),
        (b'{"keys": 5}', "Expected `array`, got `int`"),
        (b'{"keys": []}', "did not contain any keys"),
        (b'{"keys": [{"kty": "RSA", "kid": "one", "n": 1}]}', "usable keys"),
        (b'{"keys": [{"kty": "EC", "kid": "one", "alg": ["x"]}]}', "unhashable"),
        (b'{"x": ' + b"[" * 100_000, "recursion"),
        (b" " * (1 << 20), "no end after 262,144 bytes"),
        (_jwks("one", use="enc"), "no key is for signatures"),
        (_jwks(None, None), "none of its 2 keys has a 'kid'"),
        (b'{"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]}', "no key is for signatures"),
    ],
    ids=range(13),
)
def test_the_log_has_what_is_wrong_with_the_keys(issuer, shown, problem):
    issuer.parts = [shown]
    with capture_logs() as logs:
        assert asyncio.run(_status(IssuerKeys(issuer.url))) == 503
    (line,) = logs
    assert line["url"] == issuer.url
    assert problem in line["problem"]


def test_another_address_is_not_followed(issuer):
    issuer.status = 302
    with capture_logs() as logs:
        assert asyncio.run(_status(IssuerKeys(issuer.url))) == 503
    assert "302" in logs[0]["problem"]
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    ("names", "token", "status"),
    [
        ([None], None, 200),
        (["one"], None, 200),
        ([None], "one", 401),
        (["one", "two"], None, 401),
        (["one", None], None, 401),
        (["one", None], "one", 200),
    ],
)
def test_a_token_need_not_name_its_key_where_there_is_one(issuer, names, token, status):
    issuer.parts = [_jwks(*names)]
    assert asyncio.run(_status(IssuerKeys(issuer.url), token)) == status
