"""The Open Inference Protocol, version 2, over HTTP, as KServe's and Triton's clients speak it.

The protocol: kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, with the extension
`binary_tensor_data`. The model's name is that of the data config, its version the `model_version` of scores.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from churnops import __version__
from churnops.serving.body import read_body
from churnops.serving.model import Asked, Models, Served, Trial
from churnops.serving.payloads import MAX_BODY_BYTES
from churnops.serving.request import NO_REASONS_HERE, Refusal
from churnops.serving.tensors import Inference, Malformed, output, read_inference, rows_of
from churnops.serving.threads import Threads
from churnops.serving.trial import answered, watched

_OUTPUTS = {"score": "FP64", "decision": "BOOL", "prediction_id": "BYTES"}
_UNASKED = ("score", "decision")
_JSON_BYTES = "Inference-Header-Content-Length"
_BINARY = "application/octet-stream"


def inference_protocol_routes(models: Models, threads: Threads) -> APIRouter:
    """`/v2` and what is below it."""
    router = APIRouter(prefix="/v2", include_in_schema=False)

    @router.get("")
    async def server() -> dict[str, Any]:
        return {"name": "churnops", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> dict[str, bool]:
        served = models.current
        served.bundle.score_rows([served.manifest.example])
        return {"ready": True}

    @router.get("/models/{name}")
    @router.get("/models/{name}/versions/{version}")
    async def model(name: str, version: str | None = None) -> Response:
        served = models.current
        return _unknown(served, name, version) or _json(200, _described(served))

    @router.get("/models/{name}/ready")
    @router.get("/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str | None = None) -> Response:
        return _unknown(models.current, name, version) or _json(200, {"name": name, "ready": True})

    @router.post("/models/{name}/infer")
    @router.post("/models/{name}/versions/{version}/infer")
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        served, trial = models.current, None if version else models.trial  # who names a version wants it
        in_vain = _unknown(served, name, version) or _asking_reasons(request)
        if in_vain:
            return in_vain
        body = await read_body(request.receive, MAX_BODY_BYTES)
        if body is None:
            return Response(status_code=400)  # nobody is left to read it
        if isinstance(body, Refusal):
            return _refused(body)
        return await threads.run(_infer, served, trial, body, request.headers.get(_JSON_BYTES))

    return router


def _described(served: Served) -> dict[str, Any]:
    datatypes = {"numeric": "FP32", "categorical": "BYTES"}
    return {
        "name": served.manifest.name,
        "versions": [served.model_version],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": column.name, "datatype": datatypes[column.kind], "shape": [-1]}
            for column in served.manifest.inputs
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in _OUTPUTS.items()
        ],
    }


def _infer(served: Served, trial: Trial | None, body: bytes, json_bytes: str | None) -> Response:
    try:
        request, blobs = read_inference(body, json_bytes)
    except Malformed as error:
        return _json(400, {"error": str(error)})
    unknown = [one.name[:100] for one in request.outputs if one.name not in _OUTPUTS]
    if unknown:
        wanted = f"there is no output '{unknown[0]}': {', '.join(_OUTPUTS)}"
        return _json(400, {"error": wanted})
    asked = Asked(len(body), lambda model: rows_of(model.asked, request, blobs))
    found = answered(served, trial, asked)
    if isinstance(found, Refusal):
        return _refused(found)
    who, parts = found
    answers = [answer for part in parts for answer in who.answers(*part)]
    watched(trial, found, asked, lambda: answers)
    return _written(who, request, answers)


def _written(served: Served, request: Inference, answers: list[dict[str, Any]]) -> Response:
    all_binary = request.parameters.get("binary_data_output") is True
    asked = {one.name: one.parameters.get("binary_data", all_binary) is True for one in request.outputs}
    outputs = [
        output(name, [answer[name] for answer in answers], _OUTPUTS[name], is_binary=is_binary)
        for name, is_binary in (asked or dict.fromkeys(_UNASKED, all_binary)).items()
    ]
    content = {
        "model_name": served.manifest.name,
        "model_version": served.model_version,
        **({"id": request.id} if request.id else {}),
        "outputs": [described for described, _ in outputs],
    }
    header = msgspec.json.encode(content)
    blobs = [blob for _, blob in outputs]
    if not any(blobs):
        return Response(header, media_type="application/json")
    return Response(b"".join([header, *blobs]), media_type=_BINARY, headers={_JSON_BYTES: str(len(header))})


def _unknown(served: Served, name: str, version: str | None) -> Response | None:
    """Of a model or a version that is not the one that answers."""
    known = served.manifest.name, served.model_version
    if name == known[0] and version in {None, known[1]}:
        return None
    asked = name if version is None else f"{name}, version {version}"
    return _json(404, {"error": f"there is no model {asked}: it is {known[0]}, version {known[1]}"})


def _asking_reasons(request: Request) -> Response | None:
    return _refused(NO_REASONS_HERE) if "reasons" in request.query_params else None


def _refused(refusal: Refusal) -> Response:
    """Every fault, and in `error`, which is all that the protocol knows, the first ones in words."""
    faults = [fault.model_dump(exclude_none=True) for fault in refusal.faults]
    said = [_said(fault) for fault in faults[:3]]
    more = len(faults) - len(said)
    error = "; ".join(said) + f"; and {more:,} more" * (more > 0)
    return _json(refusal.status, {"error": error, "faults": faults})


def _said(fault: dict[str, Any]) -> str:
    place = [f"{kind} {fault[kind]}" for kind in ("row", "column") if kind in fault]
    return f"{', '.join(place)}{': ' * bool(place)}{fault['problem']} (expected: {fault['expected']})"


def _json(status: int, content: Any) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
