"""What SageMaker asks of a container that serves, at endpoints and in batch transform.

The contract: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html, and
your-algorithms-batch-code.html beside it.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from churnops.serving.body import read_body, refusal_response
from churnops.serving.columns import Parts
from churnops.serving.csv_rows import read_csv
from churnops.serving.json_rows import read_json, read_json_lines
from churnops.serving.media import ARROW, CSV, JSON, JSON_LINES, PARQUET, Media, media, preferred
from churnops.serving.model import Asked, Given, Models, Served, Trial
from churnops.serving.payloads import Fault
from churnops.serving.quick import Rows
from churnops.serving.request import NO_REASONS_HERE, Refusal
from churnops.serving.threads import Threads
from churnops.serving.trial import answered, watched

INVOCATIONS = "/invocations"
READ = (JSON, CSV, JSON_LINES, PARQUET, ARROW)
WRITTEN = (JSON, CSV, JSON_LINES, ARROW)

_PAYLOAD_MB = 6  # of an endpoint; a transform job may say otherwise
_MOST_PAYLOAD_MB = 100  # SageMaker's own limit of a transform job, for all payloads at once
_ID = "customer_id"
_SCORED = ("score", "decision", "model_version", "prediction_id")
_ENCODER = msgspec.json.Encoder()


def payload_mb(variables: Mapping[str, str]) -> int:
    """How large a request may be: as a transform job says (0: without limit), else 6 MB."""
    said = variables.get("SAGEMAKER_MAX_PAYLOAD_IN_MB", "")
    return min(int(said) or _MOST_PAYLOAD_MB, _MOST_PAYLOAD_MB) if said.isdecimal() else _PAYLOAD_MB


def sagemaker_routes(models: Models, threads: Threads) -> APIRouter:
    """`/ping`, `/invocations` and `/execution-parameters`."""
    router = APIRouter(include_in_schema=False)
    most_mb = payload_mb(os.environ)

    @router.get("/ping")
    async def ping() -> Response:
        served = models.current
        served.bundle.score_rows([served.manifest.example])
        return Response()

    @router.get("/execution-parameters")
    async def execution_parameters() -> dict[str, Any]:
        return {
            "MaxConcurrentTransforms": min(len(os.sched_getaffinity(0)), _MOST_PAYLOAD_MB // most_mb),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": most_mb,
        }

    router.add_api_route(INVOCATIONS, Invocations(models, threads).answer, methods=["POST"])
    return router


class Invocations:
    """`POST /invocations`, which FastAPI may stand around, or nothing."""

    def __init__(self, models: Models, threads: Threads) -> None:
        self._models, self._threads = models, threads
        self._parquet_threads = Threads(at_once=2)  # one is unpacked while another is scored
        self._most_mb = payload_mb(os.environ)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI app."""
        answer = await self.answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Customers and scores, in the forms that the request's headers name."""
        served, trial = self._models.current, self._models.trial
        if "reasons" in request.query_params:
            return refusal_response(NO_REASONS_HERE)
        sent = media(request.headers.get("content-type") or JSON)
        if sent.name not in READ or sent.parameters.get("charset", "utf-8") not in {"utf-8", "us-ascii"}:
            said = request.headers["content-type"][:100]
            return _refused(415, f"content-type: {said} is not read", f"one of {', '.join(READ)}")
        accept = ",".join(request.headers.getlist("accept"))
        wanted = preferred(accept, [ARROW if sent.name == PARQUET else sent.name, *WRITTEN])
        if wanted is None:
            return _refused(406, f"accept: {accept[:100]} is not written", f"one of {', '.join(WRITTEN)}")
        body = await read_body(request.receive, self._most_mb << 20)
        if body is None:
            return Response(status_code=400)  # nobody is left to read it
        if isinstance(body, Refusal):
            return refusal_response(body)
        asked = Asked(len(body), partial(_read, body=body, sent=sent))
        if trial and sent.name == CSV and _names(trial.challenger) != _names(served):
            trial = None  # without a header, what a cell means is for the current model to say
        threads = self._parquet_threads if sent.name == PARQUET else self._threads
        return await threads.run(_answer, served, trial, asked, wanted)


def _answer(served: Served, trial: Trial | None, asked: Asked, wanted: Media) -> Response:
    found = answered(served, trial, asked)
    if isinstance(found, Refusal):
        return refusal_response(found)
    content, given = _written(*found, wanted)
    watched(trial, found, asked, given)
    return Response(content, media_type=wanted.name)


def _names(served: Served) -> list[str]:
    return [column.name for column in served.manifest.inputs]


def _read(served: Served, body: bytes, sent: Media) -> Rows | Refusal:
    match sent.name:
        case "application/json":
            return read_json(served, body)
        case "application/jsonlines":
            return read_json_lines(served, body)
        case "text/csv":
            is_part = os.environ.get("SAGEMAKER_BATCH", "").lower() == "true"
            return read_csv(served.asked, body, has_header=sent.has_header, is_part=is_part)
    from churnops.serving.arrow_rows import read_arrow, read_parquet  # Arrow takes 60 MB

    read = read_parquet if sent.name == PARQUET else read_arrow
    return read(served.asked, body)


def _written(served: Served, parts: Parts, wanted: Media) -> tuple[bytes, Given]:
    if wanted.name == ARROW:
        import pyarrow as pa

        from churnops.serving.arrow_rows import written

        content = written(served, parts)
        return content, lambda: pa.ipc.open_stream(content).read_all().to_pylist()
    answers = [served.answers(*part) for part in parts]
    return _as_text(answers, wanted), lambda: [*chain.from_iterable(answers)]


def _as_text(answers: Sequence[Sequence[Mapping[str, Any]]], wanted: Media) -> bytes:
    match wanted.name:
        case "text/csv":
            return _csv([*chain.from_iterable(answers)], has_header=bool(wanted.has_header))
        case "application/jsonlines":
            return b"".join(map(_ENCODER.encode_lines, answers))
    return b'{"scores":[' + b",".join(_ENCODER.encode(some)[1:-1] for some in answers) + b"]}"


def _csv(answers: Sequence[Mapping[str, Any]], *, has_header: bool) -> bytes:
    """With `customer_id` in front where any was sent. Without a header unless asked for: SageMaker puts the
    answers to the parts of a file together."""
    names = [_ID] * any(_ID in answer for answer in answers) + [*_SCORED]
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    if has_header:
        lines.writerow(names)
    for answer in answers:
        lines.writerow([_cell(answer.get(name)) for name in names])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _refused(status: int, problem: str, wanted: str) -> Response:
    return refusal_response(Refusal(status, (Fault(problem=problem, expected=wanted),)))
