"""`POST /v1/score/stream`: tables of any length, Arrow in and Arrow out, in bounded memory.

A batch is read, scored and written before the next is read. The caller must read while it sends.

A fault in the schema or in the first rows is a 4xx answer in JSON. Once scores were sent the status cannot
change: then the last batch is empty and has the faults as its metadata (`FAULTS`), and the answer ends
without Arrow's end of stream and without HTTP's last chunk, so that no client takes a part for the whole.
"""

import io
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread
from fastapi import APIRouter, Request, Response
from starlette.types import Message, Receive, Scope, Send

from churnops.serving.body import refusal_response
from churnops.serving.columns import NOBODY, PIECE_ROWS, moved
from churnops.serving.frames import MAX_BATCH_BYTES, MAX_BATCH_ROWS, StreamRefused
from churnops.serving.media import ARROW, media
from churnops.serving.model import Models, Served, checked, refused
from churnops.serving.payloads import Fault, Faults
from churnops.serving.request import NO_REASONS_HERE, Refusal

if TYPE_CHECKING:
    import pyarrow as pa  # at run time where a stream comes

STREAM = "/v1/score/stream"
FAULTS = b"churnops.faults"

_STREAMS = 8  # at once; others wait
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_MANY = Fault(
    problem="a batch has too many rows", expected=f"at most {MAX_BATCH_ROWS:,} in each, of a byte or more"
)
_Found = TypeVar("_Found")


class _Gone(Exception):
    """The caller is no longer there."""


def stream_routes(models: Models) -> APIRouter:
    """`STREAM`."""
    router = APIRouter()
    limiter = CapacityLimiter(_STREAMS)

    @router.post(
        STREAM,
        response_class=Response,
        openapi_extra={"requestBody": {"required": True, "content": {ARROW: _BINARY}}},
        responses={
            200: {"content": {ARROW: _BINARY}, "description": "An Arrow IPC stream of scores"},
            413: {"model": Faults, "description": "The first batch is too large"},
            415: {"model": Faults, "description": "No Arrow IPC stream"},
            422: {"model": Faults, "description": "What is wrong with the schema or with the first batch"},
        },
    )
    async def score_stream(request: Request) -> Response:
        """Score an Arrow IPC stream of any length, a batch at a time; scores come as they are made."""
        if "reasons" in request.query_params:
            return refusal_response(NO_REASONS_HERE)
        if media(request.headers.get("content-type", "")).name != ARROW:
            wrong = Fault(problem="content-type is not that of an Arrow stream", expected=ARROW)
            return refusal_response(Refusal(415, (wrong,)))
        return _Stream(models.current, limiter)

    return router


class _Stream(Response):
    """The answer to a stream."""

    def __init__(self, served: Served, limiter: CapacityLimiter) -> None:
        super().__init__()
        self._served, self._limiter = served, limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers on a thread: Arrow reads and writes what blocks."""
        answer = _Answer(send)
        work = partial(_answer, self._served, _Body(receive), answer)
        refusal = await to_thread.run_sync(work, limiter=self._limiter)
        if refusal:
            await refusal_response(refusal)(scope, receive, send)


def _answer(served: Served, body: "_Body", answer: "_Answer") -> Refusal | None:
    """Reads, scores and answers to the end; returns the faults where nothing was answered yet."""
    import pyarrow as pa  # takes 60 MB and a quarter of a second, where no stream may ever come

    from churnops.serving.arrow_rows import NOT_ARROW, answer_schema, not_arrow, open_arrow

    written = io.BytesIO()
    try:
        stream = open_arrow(body.read)
        scored = _scored(served, stream)
        first = next(scored, None)
        if first is None:
            return NOBODY
        schema = answer_schema(stream.schema)
        with pa.ipc.new_stream(written, schema) as writer:
            try:
                for batch in chain([first], scored):
                    writer.write_batch(batch)
                    answer.send(_taken(written))
            except StreamRefused as ended:
                # Of an answer, as Arrow makes no empty batch of some types that ids may have.
                writer.write_batch(batch.slice(0, 0), {FAULTS: refused(ended.refusal).body})
                answer.send(_taken(written))
                return None
    except StreamRefused as ended:
        return ended.refusal
    except _Gone:  # ends here: beyond the thread its traceback, with a batch in it, would be kept in a cycle
        return None
    except NOT_ARROW as error:
        if answer.has_begun:
            raise
        return not_arrow(error)
    answer.send(_taken(written), is_last=True)
    return None


def _scored(served: Served, stream: "pa.RecordBatchReader") -> "Iterator[pa.RecordBatch]":
    """The answers to each batch; raises StreamRefused at the first that is not good."""
    from churnops.serving.arrow_rows import (
        NOT_ARROW,
        answer_schema,
        answered,
        not_arrow,
        refused_schema,
        rows_of,
        safe_batches,
    )

    _raise(refused_schema(served.asked.manifest, stream.schema), 0)
    start, schema = 0, answer_schema(stream.schema)
    batches = safe_batches(served.asked.manifest, MAX_BATCH_BYTES)
    try:
        for sent in stream:
            if sent.num_rows > min(MAX_BATCH_ROWS, max(PIECE_ROWS, sent.get_total_buffer_size())):
                raise StreamRefused(Refusal(413, (_MANY,)))
            batch = batches.checked(sent)
            for first in range(0, batch.num_rows, PIECE_ROWS):
                piece = batch.slice(first, PIECE_ROWS)
                rows = _raise(rows_of(served.asked, piece), start)
                scores = _raise(checked(served.score(rows)), start)
                served.note(served.manifest, rows, scores)
                yield answered(served, schema, piece, scores)
                start += piece.num_rows
    except NOT_ARROW as error:
        raise StreamRefused(not_arrow(error)) from error


def _raise(found: _Found | Refusal, start: int) -> _Found:
    """What was found, unless it is a refusal; its rows are counted from the first of the stream."""
    if isinstance(found, Refusal):
        raise StreamRefused(moved(found, start))
    return found


def _taken(written: io.BytesIO) -> bytes:
    content = written.getvalue()
    written.seek(0)
    written.truncate()
    return content


class _Answer:
    """Where a thread sends an answer that has no end yet."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    def send(self, content: bytes, *, is_last: bool = False) -> None:
        """Waits until the caller has taken what was sent before."""
        if not self.has_begun:
            self.has_begun = True
            headers = [(b"content-type", ARROW.encode())]
            self._pass({"type": "http.response.start", "status": 200, "headers": headers})
        self._pass({"type": "http.response.body", "body": content, "more_body": not is_last})

    def _pass(self, message: Message) -> None:
        async def passed() -> None:
            await self._send(message)

        from_thread.run(passed)


class _Body:
    """The body of a request, for a thread that reads it as it comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._held = memoryview(b"")
        self._has_more = True

    def read(self, n: int) -> bytes:
        """So many bytes, fewer only at the end; raises _Gone."""
        read = bytearray()
        while len(read) < n and (self._held or self._has_more):
            if not self._held:
                self._receive_more()
            taken = n - len(read)
            read += self._held[:taken]
            self._held = self._held[taken:]
        return bytes(read)

    def _receive_more(self) -> None:
        message = from_thread.run(self._next)
        if message["type"] == "http.disconnect":
            raise _Gone
        self._held = memoryview(message.get("body", b""))
        self._has_more = message.get("more_body", False)

    async def _next(self) -> Message:
        return await self._receive()
