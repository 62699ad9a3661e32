"""Another model on a share of the traffic: as a shadow it is only watched, as a canary it answers.

What is compared waits in a bounded queue for a thread that looks every few milliseconds: no answer waits.
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Annotated

import structlog
from pydantic import Field, ValidationError

from churnops.bundle.bundle import GRAPH_FAULTS
from churnops.config import FrozenModel
from churnops.serving.columns import Parts, scored
from churnops.serving.model import Asked, Given, Models, Scored, Served, Trial, checked
from churnops.serving.payloads import MAX_CUSTOMERS
from churnops.serving.quick import Rows
from churnops.serving.request import Refusal

TAG = "churnops.trial"
"""The tag of a registered model that holds its `Plan`."""

_MOST_WAITING = 2000
_MOST_WAITING_BYTES = 8 << 20
_LOOK_SECONDS = 0.05

_Share = Annotated[float, Field(gt=0, lt=1)]


class Plan(FrozenModel):
    """What is tried, as people ordered it."""

    id: Annotated[str, Field(pattern=r"^[\w-]+$")]
    """Its own for every start, so that a trial that was stopped does not stop the next."""
    version: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(gt=0, le=1)]
    shadow: bool = False
    alpha: _Share = 0.01
    """How likely a canary that is as good as the champion may be stopped, in each process that serves."""
    error_tolerance: _Share = 0.01
    """The share of requests that the canary may fail and the champion does not."""
    slow_tolerance: _Share = 0.1
    """By how much more of its answers may be slow: a millisecond slower than 95 % of the champion's."""
    shift_tolerance: _Share = 0.1
    """The share of customers that may move over a cut, or over the threshold, on balance."""
    stopped: str = ""
    """Why; empty while it goes on."""

    @property
    def kind(self) -> str:
        """In the word of the command line."""
        return "shadow" if self.shadow else "canary"


def plan_of(text: str) -> Plan | None:
    """The plan that a tag holds; None where it is none."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that was answered, to be compared."""

    served: Served
    """The current model then."""
    asked: Asked
    given: Given | None = None
    """What the current model answered; None where the canary was to answer."""
    rows: Rows | None = None
    """The customers, as the current model read them; None where nothing but the answer is compared."""
    failed: bool = False
    """The canary had no answer, and the current model had to give one."""


class RunningTrial(ABC):
    """A trial under way in this process, from `start` to `close`."""

    def __init__(self, plan: Plan, challenger: Served, models: Models) -> None:
        self.plan, self.challenger, self.models = plan, challenger, models
        self._waiting: deque[Seen] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_working, name="trial", daemon=True)

    @abstractmethod
    def answer(self, served: Served, rows: Rows, asked: Asked) -> Scored | None:
        """The challenger's answer; None: `served` answers, which read `rows`."""

    @abstractmethod
    def watch(self, served: Served, asked: Asked, given: Given) -> None:
        """See how `served` answered."""

    @abstractmethod
    def compare(self, seen: Seen) -> None:
        """Compare the two models by one request."""

    @abstractmethod
    def keep(self, *, last: bool = False) -> None:
        """Write down what was found, when it is time."""

    def start(self) -> None:
        """Compare in a thread of its own from now on."""
        self._thread.start()

    def close(self) -> None:
        """Compare what still waits, and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def work(self) -> None:
        """Compare what waits now."""
        for _ in range(len(self._waiting)):
            seen = self._waiting.popleft()
            with self._lock:
                self._bytes -= seen.asked.size
            self.compare(seen)
        self.keep()

    def takes(self, who: str) -> bool:
        """Whether they are in the share: always the same, and a larger share has those of a smaller."""
        text = f"{self.challenger.model_version} {who}".encode(errors="surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) < self.plan.share * 2**64

    def put(self, seen: Seen) -> bool:
        """Let it wait to be compared; False where too many wait already."""
        with self._lock:
            full = len(self._waiting) >= _MOST_WAITING or self._bytes + seen.asked.size > _MOST_WAITING_BYTES
            if full:
                self.models.count("trial_drop")
                return False
            self._bytes += seen.asked.size
            self._waiting.append(seen)
            return True

    def own_scores(self, asked: Asked) -> Scored | None:
        """What the challenger reads and scores; None where it refuses or fails, which is counted."""
        rows = asked.read(self.challenger)
        scores = None if isinstance(rows, Refusal) else scores_by(self.challenger, rows)
        if isinstance(rows, Refusal) or scores is None:
            self.models.count("trial_error")
            return None
        return Scored(self.challenger, rows, scores)

    def stop(self, why: str) -> None:
        """End it in this process, since `why`."""
        self.models.trial = None
        log = structlog.get_logger()
        log.error("trial stopped", why=why, model_version=self.challenger.model_version, trial=self.plan.id)

    def _keep_working(self) -> None:
        try:
            while not self._ended.wait(_LOOK_SECONDS):
                self.work()
            self.work()
            self.keep(last=True)
        except Exception as error:  # noqa: BLE001 - nobody foresaw it; what nobody watches may not go on
            structlog.get_logger().error("comparing failed", trial=self.plan.id, exc_info=error)
            if self.models.trial is self:
                self.stop(f"comparing failed: {error!r}")


def answered(served: Served, trial: Trial | None, asked: Asked) -> tuple[Served, Parts] | Refusal:
    """Which model answers a request, in any form but ours, and the scores of its customers."""
    rows = asked.read(served)
    if isinstance(rows, Refusal):
        return rows
    own = trial.answer(served, rows, asked) if trial else None
    if own:
        return own.served, [(own.rows, own.scores)]
    parts = scored(served, rows)
    return parts if isinstance(parts, Refusal) else (served, parts)


def watched(trial: Trial | None, found: tuple[Served, Parts], asked: Asked, given: Given) -> None:
    """Show a trial what the current model answered, unless that is too much."""
    served, parts = found
    few = sum(len(scores) for _, scores in parts) <= MAX_CUSTOMERS
    if trial and few and served is not trial.challenger:
        trial.watch(served, asked, given)


def scores_by(served: Served, rows: Rows) -> list[float] | None:
    """None where the model has no scores for them, or fails."""
    try:
        scores = checked(served.score(rows))
    except GRAPH_FAULTS as error:
        structlog.get_logger().error("a model failed", model_version=served.model_version, error=str(error))
        return None
    return None if isinstance(scores, Refusal) else scores
