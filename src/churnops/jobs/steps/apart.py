"""Work in processes of its own: two frameworks never meet in one, and their memory goes when they end."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from churnops.errors import ChurnopsError, Fault, ProcessLost
from churnops.progress import Tell

Work = Callable[[Any, Tell], None]
"""A function of a module, given its task and whom to tell."""

_GRACE_SECONDS = 5.0  # for the others to say what they know, once one has failed


def apart(work: Work, task: Any, tell: Tell) -> None:
    """Do `work(task, tell)` in another process; raise what it raises, and ProcessLost when it is killed.

    An exception that is none of ours arrives as Fault.

    It ends with this process, however this one ends.
    """
    together(work, [task], tell)


def together(work: Work, tasks: Sequence[Any], tell: Tell) -> None:
    """Do `work` for each task in a process of its own, all at once. The first that fails ends all.

    Raises the error that began it: what one of them raised, ProcessLost for one that was killed, and last of
    all what the others say of having lost it.
    """
    crew: list[_Member] = []
    try:
        crew += (_begin(work, task) for task in tasks)
        problems = sorted(_problems(crew, tell), key=lambda found: found.distance)
    finally:
        for member in crew:
            member.process.kill()
            member.process.join()
    if problems:
        raise problems[0].error


class _Problem(NamedTuple):
    error: Exception
    distance: int
    """From what began it: 0 raised by one of them, 1 seen from outside, 2 said by one who lost another."""


class _Member(NamedTuple):
    process: BaseProcess
    pipe: Connection
    """What it says."""


def _begin(work: Work, task: Any) -> _Member:
    context = multiprocessing.get_context("spawn")  # a fork would take over threads that hold locks
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, task, theirs))
    process.start()
    theirs.close()
    return _Member(process, ours)


def _problems(crew: Sequence[_Member], tell: Tell) -> Iterator[_Problem]:
    """Pass on what they tell until all have ended, or until one has failed and the others had a moment."""
    talking: dict[Any, tuple[int, BaseProcess]] = {
        member.pipe: (number, member.process) for number, member in enumerate(crew, start=1)
    }
    until = math.inf
    while talking and (left := until - time.monotonic()) > 0:
        for pipe in wait(talking, None if until == math.inf else left):
            error, distance = _heard(pipe, tell), 0
            if isinstance(error, ProcessLost):
                distance = 2
            elif isinstance(error, EOFError):
                number, process = talking.pop(pipe)
                process.join()
                error, distance = _ended(process.exitcode or 0, f"process {number} of {len(crew)}"), 1
            if error:
                until = min(until, time.monotonic() + _GRACE_SECONDS)
                yield _Problem(error, distance)


def _heard(pipe: Any, tell: Tell) -> Exception | None:
    """The problem it speaks of; EOFError when it has nothing more to say."""
    try:
        said = pipe.recv()
    except EOFError as end:
        return end
    if isinstance(said, Exception):
        return said
    tell(*said)
    return None


def _ended(exitcode: int, who: str) -> ProcessLost | None:
    if exitcode < 0:
        how = f"was ended by signal {-exitcode} while it worked"
        return ProcessLost(f"{who} {how}; run again: it goes on from the last epoch or part that was kept")
    return ProcessLost(f"{who} ended with {exitcode}; what it said before tells why") if exitcode else None


def _do(work: Work, task: Any, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business, and it ends us
    when_parent_ends(lambda: os._exit(1))  # it must not go on writing under the next run
    try:
        work(task, lambda step, what: pipe.send((step, what)))
    except (ChurnopsError, OSError) as error:
        pipe.send(error)
    except BaseException as error:  # goes on, to leave a traceback
        pipe.send(Fault(f"{type(error).__name__}: {error}; the traceback above tells where"))
        raise


def when_parent_ends(end: Callable[[], None]) -> None:
    """Call `end`, on a thread of its own, once the process that began this one is gone."""
    parent = multiprocessing.parent_process()

    def waiting() -> None:
        if parent:
            wait([parent.sentinel])
            end()

    threading.Thread(target=waiting, daemon=True).start()
