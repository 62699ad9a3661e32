"""The OpenAPI document: what FastAPI knows of its routes, and what stands around them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from churnops.serving.access import OPEN
from churnops.serving.payloads import Faults
from churnops.serving.protection import Protection, Tokens

Document = dict[str, Any]

_FAULTS = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Faults.__name__}"}}}
_BUSY = "Too many requests at once, no answer in time, or no keys to check a token with"
_WHO = "Nobody knows who asks; the header says what is wrong with a token"


def described(api: FastAPI, version: str, protection: Protection) -> Document:
    """The document of `api` behind `protection`: with its login, and with refusals that are not of `api`."""
    document = get_openapi(title=api.title, version=version, routes=api.routes)
    schemes = _schemes(protection)
    if schemes:
        document["components"]["securitySchemes"] = schemes
        scopes = {"token": [protection.tokens.scope]} if protection.tokens and protection.tokens.scope else {}
        document["security"] = [{name: scopes.get(name, [])} for name in schemes]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if schemes and path in OPEN:
                operation["security"] = []
            operation["responses"] |= _refusals(protection, is_open=path in OPEN)
    return document


def _schemes(protection: Protection) -> Document:
    schemes: Document = {}
    if protection.keys:
        text = "An API key, as who runs this service gave it to you."
        schemes["key"] = {"type": "http", "scheme": "bearer", "description": text}
        schemes["key_header"] = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": text}
    if protection.tokens:
        schemes["token"] = _token(protection.tokens)
    return schemes


def _token(tokens: Tokens) -> Document:
    text = f"A token (JWT) of {tokens.issuer} for the audience '{tokens.audience}'"
    text += f", with the scope '{tokens.scope}'." if tokens.scope else "."
    if not tokens.issuer.startswith("https://"):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": text}
    url = f"{tokens.issuer.rstrip('/')}/.well-known/openid-configuration"
    return {"type": "openIdConnect", "openIdConnectUrl": url, "description": text}


def _refusals(protection: Protection, *, is_open: bool) -> Document:
    responses = {"503": _response(_BUSY, "Retry-After", "integer")}
    if protection.asks_who and not is_open:
        responses["401"] = _response(_WHO, "WWW-Authenticate", "string")
        if protection.tokens and protection.tokens.scope:
            lacking = f"The token lacks the scope '{protection.tokens.scope}'"
            responses["403"] = _response(lacking, "WWW-Authenticate", "string")
    return responses


def _response(description: str, header: str, kind: str) -> Document:
    headers = {header: {"schema": {"type": kind}}}
    return {"description": description, "headers": headers, "content": _FAULTS}
