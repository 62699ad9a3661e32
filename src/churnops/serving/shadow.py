"""A challenger that scores what the champion has answered, and how far the two are apart."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import msgspec
import structlog

from churnops.serving.model import Asked, Given, Models, Served
from churnops.serving.quick import Rows
from churnops.serving.trial import Plan, RunningTrial, Seen

_ROTATE_BYTES = 32 << 20
_KEPT = 4


class Shadow(RunningTrial):
    """Scores a share of the requests again, by the challenger, and writes down both scores."""

    def __init__(self, plan: Plan, challenger: Served, models: Models, records: "Records") -> None:
        super().__init__(plan, challenger, models)
        self._records = records
        self._lines: list[dict[str, object]] = []
        self._dropped = 0
        self._lost = 0

    def answer(self, served: Served, rows: Rows, asked: Asked) -> None:
        """Nothing: a shadow never answers."""

    def watch(self, served: Served, asked: Asked, given: Given) -> None:
        """Let the request wait, if it is in the share."""
        if self.takes(os.urandom(8).hex()):
            self._dropped += not self.put(Seen(served, asked, given))

    def compare(self, seen: Seen) -> None:
        """Score the request by the challenger, too."""
        own = self.own_scores(seen.asked)
        models = {"champion": seen.served.model_version, "challenger": self.challenger.model_version}
        limit = self.challenger.manifest.threshold
        given = seen.given() if seen.given else ()
        for row, score in zip(given, own.scores if own else [None] * len(given), strict=True):
            line: dict[str, object] = {"prediction_id": row["prediction_id"], **models, "score": row["score"]}
            if score is not None:
                line |= {"challenger_score": score, "flipped": row["decision"] != (score >= limit)}
            self._lines.append(line)

    def keep(self, *, last: bool = False) -> None:
        """Write the lines that are new, and with them how many were lost before."""
        lines, self._lines = self._lines, []
        dropped, self._dropped = self._dropped, 0
        if not (lines or dropped or last):
            return
        left_out = dropped + self._lost
        try:
            self._records.write([*lines, {"dropped": left_out}] if left_out else lines)
        except OSError as error:
            self._lost = left_out + len(lines)
            structlog.get_logger().error("differences are lost", lines=len(lines), error=str(error))
        else:
            self._lost = 0


class Records:
    """JSON lines in files of 32 MB; the last five are kept. One process writes."""

    def __init__(self, path: Path, rotate_bytes: int = _ROTATE_BYTES) -> None:
        self._path, self._rotate_bytes = path, rotate_bytes

    def write(self, lines: Sequence[object]) -> None:
        """Add lines, all or none; raises OSError where the disk takes none."""
        if not lines:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > self._rotate_bytes:
            names = [self._path, *(self._path.with_suffix(f".{i}.jsonl") for i in range(1, _KEPT + 1))]
            for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
                if newer.exists():
                    newer.replace(older)
        with self._path.open("a+b", buffering=0) as file:
            size = file.tell()
            start = b"\n" if _was_cut(file) else b""
            content = start + msgspec.json.Encoder().encode_lines(lines)
            if file.write(content) < len(content):
                file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def _was_cut(file: FileIO) -> bool:
    """Whether the last line has no end, since the process was killed."""
    if not file.tell():
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


@dataclass(frozen=True)
class Differences:
    """What a shadow found; differences are between scores, the challenger's less the champion's."""

    compared: int
    mean: float
    mean_absolute: float
    largest: float
    flips: int
    """Customers about whom the two would decide otherwise."""
    failures: int
    """Customers that the champion scored and the challenger could not."""
    dropped: int
    """Requests that were not compared, since too many waited, and lines that were lost: a full disk."""
    unreadable: int
    """Lines that were cut when they were written."""


class _Line(msgspec.Struct):
    """What is summed up of one line of `Records`."""

    score: float = 0.0
    challenger_score: float | None = None
    flipped: bool = False
    dropped: int | None = None


def summary(folder: Path, trial: str) -> Differences:
    """What all processes of this machine found in one trial."""
    compared, flips, failures, dropped, unreadable = 0, 0, 0, 0, 0
    total = absolute = largest = 0.0
    for line in _lines(folder, trial):
        if line is None:
            unreadable += 1
        elif line.dropped is not None:
            dropped += line.dropped
        elif line.challenger_score is None:
            failures += 1
        else:
            difference = line.challenger_score - line.score
            compared += 1
            flips += line.flipped
            total += difference
            absolute += abs(difference)
            largest = max(largest, abs(difference))
    n = max(compared, 1)
    return Differences(compared, total / n, absolute / n, largest, flips, failures, dropped, unreadable)


def _lines(folder: Path, trial: str) -> Iterator[_Line | None]:
    """None for a line that cannot be read."""
    decoder = msgspec.json.Decoder(_Line)
    for path in sorted(folder.glob(f"{trial}*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # the last may be being written
                    continue
                try:
                    yield decoder.decode(line)
                except (ValueError, RecursionError):
                    yield None
