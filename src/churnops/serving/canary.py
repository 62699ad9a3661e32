"""A challenger that answers a share of the customers, and is stopped where it harms."""

import hashlib
import math
import os
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import structlog

from churnops.serving.model import Asked, Given, Models, Scored, Served
from churnops.serving.quick import Rows
from churnops.serving.request import Refusal
from churnops.serving.sequential import SequentialTest
from churnops.serving.trial import Plan, RunningTrial, Seen, scores_by
from churnops.writing import write_whole

CUTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Where the two models' distributions of scores are held against each other."""

_MEASURES = (
    "errors",
    "latency",
    "scores: more decisions to act",
    "scores: fewer decisions to act",
    *(f"scores: more from {cut:g} on" for cut in CUTS),
    *(f"scores: fewer from {cut:g} on" for cut in CUTS),
)
_SHIFTS = len(_MEASURES) - 2
_TIMES = 256
_SLOWER_SECONDS = 0.001
_SAVE_SECONDS = 1.0
_MOST_REMEMBERED = 100_000


class Canary(RunningTrial):
    """Gives a share of the customers, the same ever again, the challenger's answer.

    What it cannot answer the champion does, and so does every request for several customers: one request has
    one model. It stops itself by a sequential test of three things: requests that only the champion could
    answer, slow answers, and how the scores of the same customers lie.
    """

    def __init__(self, plan: Plan, challenger: Served, models: Models, place: "Place") -> None:
        super().__init__(plan, challenger, models)
        self._place = place
        self._times: deque[float] = deque(maxlen=_TIMES)
        self._slow = math.inf
        self._counted: set[bytes] = set()
        self._saved = time.monotonic()
        shifts = [plan.shift_tolerance] * _SHIFTS
        # A third of the stake each on errors, latency and scores.
        weights = [1.0, 1.0, *[1 / _SHIFTS] * _SHIFTS]
        self._test = SequentialTest([plan.error_tolerance, plan.slow_tolerance, *shifts], weights)
        log_wealth_KL = place.wealth(self._test.log_wealth_KL.shape)
        if log_wealth_KL is not None:
            self._test.log_wealth_KL = log_wealth_KL

    def answer(self, served: Served, rows: Rows, asked: Asked) -> Scored | None:
        """The challenger's answer to a customer in its share."""
        ids = rows.customer_ids
        if not self.challenger.gives(rows.reasons):
            return None
        if len(ids) > 1 or not self.takes(os.urandom(8).hex() if ids[0] is None else str(ids[0])):
            return None
        own = self.own_scores(asked)
        if own:
            own = own._replace(rows=replace(own.rows, reasons=rows.reasons))
            self.challenger.note(self.challenger.manifest, own.rows, own.scores)
            self.models.count("canary_answer")
        self.put(Seen(served, asked, rows=rows, failed=own is None))
        return own

    def watch(self, served: Served, asked: Asked, given: Given) -> None:
        """Nothing: the champion's other answers tell nothing of the canary."""

    def compare(self, seen: Seen) -> None:
        """Score the customer by both models, and stop the canary where the test says so."""
        if seen.rows is None:
            return
        begun = time.perf_counter()
        scores = scores_by(seen.served, seen.rows)
        others_seconds = time.perf_counter() - begun
        d_K = np.full(len(_MEASURES), np.nan)
        d_K[0] = float(seen.failed and scores is not None)
        own = None if seen.failed else seen.asked.read(self.challenger)
        if own and not isinstance(own, Refusal) and scores:
            begun = time.perf_counter()
            own_scores = scores_by(self.challenger, own)
            d_K[1] = self._slowness(time.perf_counter() - begun, others_seconds)
            if own_scores and self._is_new(seen.rows.customer_ids[0]):
                d_K[2:] = self._shift(own_scores[0], scores[0], seen.served)
        self._test.add(d_K)
        if self._test.log_evidence >= -math.log(self.plan.alpha) and self.models.trial is self:
            self.stop(_MEASURES[self._test.worst])

    def keep(self, *, last: bool = False) -> None:
        """Write down how the test stands, once a second; notice that another process stopped the canary."""
        if not last and time.monotonic() < self._saved + _SAVE_SECONDS:
            return
        self._saved = time.monotonic()
        if self.models.trial is self and self._place.stopped():
            self.models.trial = None
        try:
            self._place.keep_wealth(self._test.log_wealth_KL)
        except OSError as error:
            structlog.get_logger().error("the state of the canary cannot be kept", error=str(error))

    def stop(self, why: str) -> None:
        """End it for good, in all processes."""
        super().stop(why)
        self.models.count("canary_stop")
        try:
            self._place.stop(why)
        except OSError as error:
            structlog.get_logger().error("that the canary was stopped cannot be kept", error=str(error))

    def _slowness(self, own: float, others: float) -> float:
        """Whether the canary was slow, less whether the champion was, for the same customer."""
        slow = self._slow
        self._times.append(others)
        # What is slow is fixed before the next are compared by it.
        if len(self._times) == _TIMES:
            self._slow = float(np.quantile(self._times, 0.95)) + _SLOWER_SECONDS
        return float(own > slow) - float(others > slow) if math.isfinite(slow) else math.nan

    def _is_new(self, customer: str | int | None) -> bool:
        """Whether a customer's scores were not compared yet: one who comes often counts once."""
        if customer is None:
            return True
        key = hashlib.blake2b(str(customer).encode(errors="surrogatepass"), digest_size=8).digest()
        if key in self._counted:
            return False
        if len(self._counted) < _MOST_REMEMBERED:
            self._counted.add(key)
        return True

    def _shift(self, own: float, other: float, served: Served) -> np.ndarray:
        """Over which of the threshold and the cuts the score of one customer has moved, up and down."""
        above = np.greater_equal(own, (self.challenger.manifest.threshold, *CUTS)).astype(np.float64)
        moved = above - np.greater_equal(other, (served.manifest.threshold, *CUTS))
        return np.concatenate([[moved[0], -moved[0]], moved[1:], -moved[1:]])


class Place:
    """What outlives a process that runs a canary: how its test stands, and that it was stopped.

    The processes of a machine share `folder`. Each keeps its own test, and takes up that of one which ended;
    when one stops the canary, all do.
    """

    def __init__(self, folder: Path, trial: str, slot: int) -> None:
        self._stopped = folder / f"{trial}.stopped"
        self._wealth = folder / f"{trial}.{slot}.json"

    def stopped(self) -> str:
        """Why the canary was stopped; empty where it was not."""
        try:
            return self._stopped.read_text(encoding="utf-8", errors="replace") or "stopped"
        except FileNotFoundError:
            return ""

    def stop(self, why: str) -> None:
        """Stop the canary for good, in all processes."""
        self._stopped.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._stopped, why.encode())

    def wealth(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """How the test stood when it was last kept; None where it was not, or what was kept is damaged.

        A fortune that is no number would stay so, and the test could stop nothing any more.
        """
        try:
            log_wealth_KL = np.array(msgspec.json.decode(self._wealth.read_bytes(), type=list[list[float]]))
            if log_wealth_KL.shape == shape and np.isfinite(log_wealth_KL).all():
                return log_wealth_KL
            why = f"not {shape} finite numbers"
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = str(error)
        structlog.get_logger().warning(
            "the canary's test begins anew, how it stood cannot be read", error=why
        )
        return None

    def keep_wealth(self, log_wealth_KL: np.ndarray) -> None:
        """Keep how the test stands."""
        self._wealth.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._wealth, msgspec.json.encode(log_wealth_KL.tolist()))
