"""The scoring service as an ASGI app."""

from functools import lru_cache
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from churnops.serving.described import described
from churnops.serving.inference_protocol import inference_protocol_routes
from churnops.serving.model import Answer, Models, Served
from churnops.serving.payloads import MAX_REASONS, Faults, Scores
from churnops.serving.protection import Protection
from churnops.serving.sagemaker import INVOCATIONS, Invocations, sagemaker_routes
from churnops.serving.scores import Scoring
from churnops.serving.stream import stream_routes
from churnops.serving.threads import Threads

SCORE = "/v1/score"
PATHS = (
    *(SCORE, f"{SCORE}/stream", "/v1/model", "/livez", "/readyz", "/openapi.json", "/docs"),
    *("/ping", "/invocations", "/execution-parameters", "/v2", "/v2/health/live", "/v2/health/ready"),
)
"""Those of which there is one; a path that names a model is none."""

_JSON = (b"content-type", b"application/json")
_REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Faults, "description": "Too many customers, or too large a body"},
    415: {"model": Faults, "description": "The body has a content-encoding"},
    422: {"model": Faults, "description": "Everything that is wrong with the request"},
}
_FOR_LOADING: dict[str, Any] = {"smoke": True, "reasons": {"sha256", "rows"}}
"""What of a manifest tells callers nothing: it is for whoever loads the bundle."""
_Reasons = Annotated[
    int, Query(ge=0, le=MAX_REASONS, description="Tell why: so many columns that move the score most.")
]


def create_app(
    models: Models, threads: Threads | None = None, protection: Protection | None = None
) -> ASGIApp:
    """The app that answers with the current one of `models`, and does what takes long on `threads`.

    It describes itself as it is behind `protection`, which `protected` puts before it.
    FastAPI does everything but what is asked all the time: the paths of scores go round it.
    """
    scoring = Scoring(models, threads or Threads())
    around = _around(scoring, protection or Protection())
    apps: dict[str, ASGIApp] = {SCORE: _score(scoring), INVOCATIONS: Invocations(models, scoring.threads)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope["type"] == "http" and scope["method"] == "POST"
        answering = apps.get(scope["path"], around) if is_asked else around
        await answering(scope, receive, send)

    return app


def _score(scoring: Scoring) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = await scoring.answer(receive, scope["query_string"])
        if answer is None:
            return  # nobody is left to read it
        headers = [_JSON, (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return app


def _around(scoring: Scoring, protection: Protection) -> FastAPI:
    models, threads = scoring.models, scoring.threads
    api = FastAPI(title="churnops", redoc_url=None)

    @api.post(SCORE, response_model=Scores, response_model_exclude_none=True, responses=_REFUSALS)
    async def score(request: Request, reasons: _Reasons = 0) -> Response:  # noqa: ARG001  # read as bytes
        """Score one or many customers, given by the raw columns of `GET /v1/model`.

        A nullable column may be null or left out, which is the same: missing. Blank text is missing too.
        Unknown categories are accepted, unknown columns are not. A request is answered or refused whole.
        """
        # Only where this app stands below a prefix of another's; elsewhere requests do not come this far.
        query = request.scope["query_string"]
        status, body = await scoring.answer(request.receive, query) or Answer(400, b"")
        return Response(body, status, media_type="application/json")

    @api.head("/livez", include_in_schema=False)
    @api.get("/livez")
    async def livez() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "alive"}

    @api.head("/readyz", include_in_schema=False)
    @api.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether the model answers: scores one made-up customer."""
        served = models.current
        served.bundle.score_rows([served.manifest.example])
        return {"status": "ready", "model_version": served.model_version, **models.state}

    @api.get("/v1/model")
    async def model() -> dict[str, Any]:
        """What the model is: its input columns, how it was made and how good it was."""
        manifest = models.current.manifest
        version = {"model_version": manifest.model_version, "content_hash": manifest.content_hash}
        return version | manifest.model_dump(mode="json", exclude=_FOR_LOADING)

    api.include_router(stream_routes(models))
    api.include_router(sagemaker_routes(models, threads))
    api.include_router(inference_protocol_routes(models, threads))

    @lru_cache(maxsize=1)
    def openapi_of(served: Served) -> dict[str, Any]:
        document = described(api, served.model_version, protection)
        document["paths"][SCORE]["post"]["requestBody"] = served.request_body
        return document

    api.openapi = lambda: openapi_of(models.current)  # type: ignore[method-assign]  # how FastAPI wants it
    return api
