"""The scoring service around one bundle."""

from typing import Any
from uuid import uuid4

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from churnops.bundle.bundle import Bundle
from churnops.serving.payloads import MAX_BODY_BYTES, Customer, CustomerScore, Fault, Faults, Scores
from churnops.serving.request import Refusal, RequestReader

_REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Faults, "description": "Too many customers, or too large a body"},
    422: {"model": Faults, "description": "Everything that is wrong with the request"},
}


def create_app(bundle: Bundle) -> FastAPI:
    """The app that answers with `bundle`. Scoring runs on threads, so the probes on the loop never wait."""
    reader = RequestReader(bundle.manifest)
    app = FastAPI(title="churnops", version=bundle.manifest.model_version, redoc_url=None)

    @app.post(
        "/v1/score",
        response_model=Scores,
        response_model_exclude_none=True,
        responses=_REFUSALS,
        openapi_extra={"requestBody": reader.openapi()},
    )
    async def score(request: Request) -> Response:
        """Score one or many customers, given by the raw columns of `GET /v1/model`.

        A nullable column may be null or left out, which is the same: missing. Blank text is missing too.
        Unknown categories are accepted, unknown columns are not. A request is answered or refused whole.
        """
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        return await run_in_threadpool(_answer, bundle, reader, body)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether the model answers: scores one made-up customer."""
        bundle.score_rows([bundle.manifest.example])
        return {"status": "ready", "model_version": bundle.manifest.model_version}

    @app.get("/v1/model")
    async def model() -> dict[str, Any]:
        """What the model is: its input columns, how it was made and how good it was."""
        manifest = bundle.manifest
        version = {"model_version": manifest.model_version, "content_hash": manifest.content_hash}
        return version | manifest.model_dump(mode="json")

    return app


async def _body(request: Request) -> bytes | None:
    """The request's body, or None as soon as it is larger than `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _answer(bundle: Bundle, reader: RequestReader, body: bytes | None) -> Response:
    """Blocking: reads, scores and renders."""
    if body is None:
        large = Fault(problem="the body is too large", expected=f"at most {MAX_BODY_BYTES:,} bytes")
        return _rendered(Faults(faults=(large,)), 413)
    customers = reader.read(body)
    outcome = customers if isinstance(customers, Refusal) else score_customers(bundle, customers)
    if isinstance(outcome, Refusal):
        return _rendered(Faults(faults=outcome.faults), outcome.status)
    return _rendered(outcome, 200)


def score_customers(bundle: Bundle, customers: list[Customer]) -> Scores | Refusal:
    """One answer per customer; refuses those whose numbers are so extreme that the model overflows."""
    scores = bundle.score_rows(customers)
    if not np.isfinite(scores).all():
        extreme = np.flatnonzero(~np.isfinite(scores)).tolist()
        problem, wanted = (
            "the model has no score for numbers this extreme",
            "numbers near those seen in training",
        )
        return Refusal(422, tuple(Fault(row=row, problem=problem, expected=wanted) for row in extreme))
    threshold, version = bundle.manifest.threshold, bundle.manifest.model_version
    answers = (
        CustomerScore(
            customer_id=customer.get("customer_id"),
            score=score,
            decision=score >= threshold,
            model_version=version,
            prediction_id=str(uuid4()),
        )
        for customer, score in zip(customers, scores.tolist(), strict=True)
    )
    return Scores(scores=tuple(answers))


def _rendered(content: BaseModel, status: int) -> Response:
    return Response(content.model_dump_json(exclude_none=True), status, media_type="application/json")
