"""The path of a score: as little as it takes between the bytes of a request and those of its answer."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.types import Receive

from churnops.serving.body import read_body
from churnops.serving.model import OK, Answer, Models, asked_as_json, given_as_json, refused
from churnops.serving.payloads import MAX_BODY_BYTES, MAX_REASONS, Fault
from churnops.serving.request import Refusal
from churnops.serving.threads import Threads
from churnops.serving.together import Together

_SMALL_BYTES = 16_384  # some 30 customers take less than a thread
_FEW_BYTES = 1024  # one or two: reasons take ten times as long as a score


@dataclass(frozen=True)
class Scoring:
    """Answers requests for scores with the current one of `models`, and does what takes long on `threads`."""

    models: Models
    threads: Threads
    together: Together = field(default_factory=Together)

    async def answer(self, receive: Receive, query: bytes) -> Answer | None:
        """The answer to the request whose body comes from `receive`; None where the caller has gone.

        Good small requests are scored on the event loop, together; all others on threads, where none waits
        for them.
        """
        served, trial = self.models.current, self.models.trial
        n_reasons = asked_reasons(query) if query else 0
        body = await read_body(receive, MAX_BODY_BYTES)
        if body is None:
            return None
        if isinstance(body, Refusal):
            return refused(body)
        if isinstance(n_reasons, Refusal):
            return refused(n_reasons)
        small = len(body) <= (_FEW_BYTES if n_reasons else _SMALL_BYTES)
        customers = served.read_quickly(body) if small and served.gives(n_reasons) else None
        if customers is None:
            return await self.threads.run(self.models.answer, served, body, n_reasons)
        if trial is None:
            return await self.together.answer(served, customers, n_reasons)
        asked = asked_as_json(body)
        own = trial.answer(served, served.rows(customers, n_reasons), asked)
        if own:
            return own.as_json()
        answer = await self.together.answer(served, customers, n_reasons)
        if answer.status == OK:
            trial.watch(served, asked, given_as_json(answer))
        return answer


def asked_reasons(query: bytes) -> int | Refusal:
    """The `reasons` of a query string, `reasons=3`: how many each customer is to be told."""
    asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("reasons", ["0"])[-1]
    if (
        asked.isascii()
        and asked.isdigit()
        and len(asked) <= len(str(MAX_REASONS))
        and int(asked) <= MAX_REASONS
    ):
        return int(asked)
    wanted = f"a whole number from 0 to {MAX_REASONS}"
    return Refusal(
        422, (Fault(column="reasons", problem=f"got {asked[:20]!r} in the query", expected=wanted),)
    )
