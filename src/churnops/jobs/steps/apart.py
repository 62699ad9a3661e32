"""Work in a process of its own: two frameworks never meet in one, and its memory goes when it ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from churnops.errors import ChurnopsError
from churnops.progress import Tell

Work = Callable[[Any, Tell], None]
"""A function of a module, given its task and whom to tell."""


def apart(work: Work, task: Any, tell: Tell) -> None:
    """Do `work(task, tell)` in another process; raise what it raises, and ChurnopsError when it is killed.

    It ends with this process, however this one ends.
    """
    context = multiprocessing.get_context("spawn")  # a fork would take over threads that hold locks
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, task, theirs))
    process.start()
    theirs.close()
    problem: Exception | None = None
    try:
        while True:
            said = ours.recv()
            if isinstance(said, Exception):
                problem = said
            else:
                tell(*said)
    except EOFError:
        process.join()
    finally:
        process.kill()
    if problem:
        raise problem
    if process.exitcode:
        raise ChurnopsError(f"{_reason(process.exitcode)} while it was training")


def _do(work: Work, task: Any, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business, and it ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(task, lambda step, what: pipe.send((step, what)))
    except (ChurnopsError, OSError) as error:
        pipe.send(error)


def _end_with_parent() -> None:
    """Wait until the parent is gone: what it began must not go on writing under the next run."""
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)


def _reason(exitcode: int) -> str:
    return (
        f"a process was ended by signal {-exitcode}" if exitcode < 0 else f"a process ended with {exitcode}"
    )
