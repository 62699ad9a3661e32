"""What answers: one model, and which model that is now."""

import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

import msgspec
import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import Manifest
from churnops.bundle.reasons import Reason, reasons
from churnops.serving.payloads import Fault, Faults
from churnops.serving.quick import Customers, QuickReader, Rows
from churnops.serving.request import Refusal, RequestReader

OK = 200
_EXTREME = "the model has no score for numbers this extreme"
_NEARER = "numbers near those seen in training"
_NO_REASONS = Fault(problem="the model gives no reasons", expected="a bundle that has them: train it again")

ROW_DIGITS = 5
"""At the end of a prediction's name: the row, in hexadecimal."""

Event = Literal[
    "swap",
    "refused_bundle",
    "registry_failure",
    "following_failure",
    "canary_answer",
    "canary_stop",
    "trial_error",
    "trial_drop",
]
"""What happens to the models of a server."""

# Seeded by the system; to ask that each time is a system call. A prediction's name is no secret.
_RANDOM = random.Random()  # noqa: S311

Note = Callable[[Manifest, Rows, list[float]], None]
"""Told what was asked and what was answered, such as `Meter.scored`."""


def unheard(*_: object) -> None:
    """The `Note` that nobody takes."""


class Answer(NamedTuple):
    """What is sent back: an HTTP status and a JSON body."""

    status: int
    body: bytes


class Served:
    """One model, ready to answer: its validators are built and the graph has run. It never changes.

    Of `names`, which callers may send, it ignores those it does not know. `note` is to hear of every request
    that was answered with scores, on the thread that answers.
    """

    def __init__(self, bundle: Bundle, *, names: frozenset[str] = frozenset(), note: Note = unheard) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.model_version = bundle.model_version
        self._threshold = bundle.manifest.threshold
        known = {*(column.name for column in self.manifest.inputs), *self.manifest.ignored_columns}
        self.names = names | known
        """The columns that callers may send."""
        ignored = (*self.manifest.ignored_columns, *sorted(names - known))
        asked = self.manifest.model_copy(update={"ignored_columns": ignored})
        self.asked = replace(bundle, manifest=asked)
        """The bundle by which requests are read: what else callers may send is ignored there."""
        self._reader = RequestReader(asked)
        self._quick = QuickReader.of(asked, bundle.categories)
        self.note: Note = unheard
        self.answer(msgspec.json.encode({"customers": [bundle.manifest.example]}))
        self.note = note  # which does not hear of the example

    def answer(self, body: bytes, n_reasons: int = 0) -> Answer:
        """Reads, scores and writes: the scores of every customer in the JSON `body`, or all that is wrong."""
        rows = self.read(body, n_reasons)
        return refused(rows) if isinstance(rows, Refusal) else self.answered(rows, self.explained(rows))

    def read(self, body: bytes, n_reasons: int = 0) -> Rows | Refusal:
        """The customers in the JSON `body`, good in every column, or every fault."""
        if not self.gives(n_reasons):
            return Refusal(422, (_NO_REASONS,))
        good = self.read_quickly(body)
        if good is not None:
            return self.rows(good, n_reasons)
        customers = self._reader.read(body)
        if isinstance(customers, Refusal):
            return customers
        ids = [customer.get("customer_id") for customer in customers]
        numeric_NF, categorical_NC = self.bundle.matrices(customers)
        others: dict[str, int] = {}
        category_NX = self.bundle.categories.numbers(categorical_NC.ravel().tolist(), others)
        return Rows(numeric_NF, category_NX.reshape(categorical_NC.shape), ids, (*others,), n_reasons)

    def gives(self, n_reasons: int) -> bool:
        """Whether it can tell so many reasons: bundles of before have none."""
        return not n_reasons or self.manifest.reasons is not None

    def read_quickly(self, body: bytes) -> Customers | None:
        """The customers in the JSON `body`; None for faults, and for names that need escapes: see `read`."""
        return self._quick.read(body) if self._quick else None

    def rows(self, customers: Customers, n_reasons: int = 0) -> Rows:
        """What was read quickly, as the graph takes it."""
        if self._quick is None:
            raise ValueError("the customers were read by another model")
        return self._quick.rows(customers, n_reasons)

    def score(self, rows: Rows) -> np.ndarray:
        """Churn probabilities [N]; not finite where numbers are so extreme that the graph overflows."""
        return self.bundle.score(rows.numeric_NF, self.bundle.categories.fed(rows.category_NC, rows.others))

    def reasons(self, rows: Rows) -> list[tuple[Reason, ...]]:
        """As many of each customer as `rows` ask for; empty where they ask for none."""
        if not rows.reasons:
            return []
        categorical_NC = self.bundle.categories.texts(rows.category_NC, rows.others)
        return reasons(self.bundle, rows.numeric_NF, categorical_NC, top=rows.reasons)

    def explained(self, rows: Rows) -> "Explained":
        """The scores, and the reasons if they are asked for."""
        return Explained(self.score(rows), self.reasons(rows))

    def answered(self, rows: Rows, found: "Explained") -> Answer:
        """What to say of customers that were read and scored."""
        told = self.told(rows, found)
        return refused(told) if isinstance(told, Refusal) else Answer(OK, self.written(told))

    def told(self, rows: Rows, found: "Explained") -> list[dict[str, Any]] | Refusal:
        """One `CustomerScore` per customer, of which `note` hears; or whose numbers are too extreme."""
        scores = checked(found.score_N)
        if isinstance(scores, Refusal):
            return scores
        self.note(self.manifest, rows, scores)
        return self.answers(rows, scores, found.reasons)

    def answers(
        self, rows: Rows, scores: list[float], found: Sequence[tuple[Reason, ...]] = ()
    ) -> list[dict[str, Any]]:
        """One `CustomerScore` per customer, with the reasons that were found."""
        threshold, version = self._threshold, self.model_version
        answers = []
        for customer_id, score, prediction in zip(
            rows.customer_ids, scores, prediction_ids(len(scores)), strict=True
        ):
            answer: dict[str, Any] = {} if customer_id is None else {"customer_id": customer_id}
            answer["score"] = score
            answer["decision"] = score >= threshold
            answer["model_version"] = version
            answer["prediction_id"] = prediction
            answers.append(answer)
        if found:
            for answer, of_customer in zip(answers, found, strict=True):
                answer["reasons"] = of_customer
        return answers

    def written(self, answers: list[dict[str, Any]]) -> bytes:
        """`Scores` as JSON."""
        if "reasons" in answers[0] and self.manifest.reasons:
            return msgspec.json.encode({"base_score": self.manifest.reasons.base_score, "scores": answers})
        return msgspec.json.encode({"scores": answers})

    @cached_property
    def request_body(self) -> dict[str, Any]:
        """The OpenAPI `requestBody`, with the model's own columns."""
        return self._reader.openapi()


class Explained(NamedTuple):
    """What a model says of the customers of a request, before it is looked at."""

    score_N: np.ndarray
    """Not finite where numbers are so extreme that the graph overflows."""
    reasons: list[tuple[Reason, ...]]
    """Empty where nobody asked."""


class Scored(NamedTuple):
    """Which model answers, the customers as it reads them, and their scores."""

    served: Served
    rows: Rows
    scores: list[float]

    def as_json(self) -> Answer:
        """The answer, with as many reasons as the rows ask for."""
        answers = self.served.answers(self.rows, self.scores, self.served.reasons(self.rows))
        return Answer(OK, self.served.written(answers))


class Asked(NamedTuple):
    """One request, in whatever form it came."""

    size: int
    """Of its body, in bytes."""
    read: Callable[[Served], Rows | Refusal]
    """As a model reads it."""


Given = Callable[[], Sequence[Mapping[str, Any]]]
"""What was answered, one `CustomerScore` per customer, for who wants to know."""


class Trial(Protocol):
    """Another model on a share of the traffic; see `serving.trial`."""

    @property
    def challenger(self) -> Served:
        """The other model."""

    def answer(self, served: Served, rows: Rows, asked: Asked) -> Scored | None:
        """Its answer to customers that `served` read as `rows`; None: `served` answers."""

    def watch(self, served: Served, asked: Asked, given: Given) -> None:
        """See how `served` answered."""


@dataclass
class Models:
    """Which model answers now. A request takes `current` once, when it begins, and uses no other.

    Setting `current` is how a model is changed: requests that have begun end on the one they took.
    """

    current: Served
    trial: Trial | None = None
    """Another model, tried on a share of the traffic."""
    state: dict[str, str] = field(default_factory=dict)
    """What `/readyz` says besides: of the registry, of a model that was refused."""
    counts: Counter[Event] = field(default_factory=lambda: Counter(dict.fromkeys(get_args(Event), 0)))
    """What happened since the start, also what never did: an alarm sees only what rises from zero."""
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, event: Event) -> None:
        """Count what happened, on any thread."""
        with self._counting:
            self.counts[event] += 1

    def answer(self, served: Served, body: bytes, n_reasons: int = 0) -> Answer:
        """As `served.answer`, or the answer of the model on trial."""
        trial = self.trial
        if trial is None:
            return served.answer(body, n_reasons)
        rows = served.read(body, n_reasons)
        if isinstance(rows, Refusal):
            return refused(rows)
        asked = asked_as_json(body)
        own = trial.answer(served, rows, asked)
        if own:
            return own.as_json()
        answer = served.answered(rows, served.explained(rows))
        if answer.status == OK:
            trial.watch(served, asked, given_as_json(answer))
        return answer


def asked_as_json(body: bytes) -> Asked:
    """A request whose body is our JSON."""
    return Asked(len(body), lambda model: model.read(body))


def given_as_json(answer: Answer) -> Given:
    """What an answer of our JSON says."""
    return lambda: msgspec.json.decode(answer.body)["scores"]


def checked(score_N: np.ndarray) -> list[float] | Refusal:
    """The scores, unless the graph overflowed for some; those are named."""
    scores: list[float] = score_N.tolist()
    if math.isfinite(sum(scores)):
        return scores
    extreme = np.flatnonzero(~np.isfinite(score_N)).tolist()
    return Refusal(422, tuple(Fault(row=row, problem=_EXTREME, expected=_NEARER) for row in extreme))


def refused(refusal: Refusal) -> Answer:
    """Every fault as JSON."""
    faults = Faults(faults=refusal.faults)
    return Answer(refusal.status, faults.model_dump_json(exclude_none=True).encode())


def prediction_ids(n: int) -> list[str]:
    """Names for `n` answers, as version 4 UUIDs: random, with the row number at the end."""
    start = prediction_start()
    return [f"{start}{row:05x}" for row in range(n)]  # ROW_DIGITS, which written so take half the time


def prediction_start() -> str:
    """What the names of answers that are made at once have in common: all but the last `ROW_DIGITS`."""
    text = f"{_RANDOM.getrandbits(112):028x}"
    variant = "89ab"[int(text[15], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-{variant}{text[16:19]}-{text[19:26]}"
