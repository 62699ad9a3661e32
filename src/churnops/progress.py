"""What a person sees while they wait: a live line on a terminal, plain lines anywhere else."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

Tell = Callable[[str, str], None]
"""Told a step's name and what it is doing: `started`, `done`, `kept`, or anything in between."""

_TENTHS = 10


class Advance(str):
    """What a long step is doing, and which share of it is done: a bar on a terminal, a line for each tenth
    anywhere else."""

    __slots__ = ("done",)

    def __new__(cls, what: str, done: float) -> "Advance":
        advance = super().__new__(cls, what)
        advance.done = done
        return advance

    done: float
    """0 to 1."""


@contextmanager
def resumable(since: str = "the checkpoint of the last epoch") -> Iterator[None]:
    """Told to end by SIGTERM, end with 143; then and after Ctrl-C say from where the same command goes on.

    Only for what keeps finished steps and what is done `since`, and only in the main thread.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except (_ToldToEnd, KeyboardInterrupt) as why:
        told = "SIGTERM" if isinstance(why, _ToldToEnd) else "Ctrl-C"
        going_on = f"the same command goes on from {since}"
        sys.stderr.write(f"{told}: stopped; finished steps are kept, and {going_on}\n")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _ToldToEnd(SystemExit):
    pass


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what was begun is put in order now
    raise _ToldToEnd(128 + signal.SIGTERM)


@contextmanager
def shown() -> Iterator[Tell]:
    """A `Tell` that writes to standard error; an epoch overwrites the one before on a terminal."""
    console = Console(stderr=True, highlight=False)
    started: dict[str, float] = {}
    tenths: dict[str, int] = {}

    def line(step: str, what: str) -> str:
        if what == "done":
            return f"{step:<24} done in {time.perf_counter() - started[step]:.1f} s"
        return f"{step:<24} {what}"

    if not console.is_terminal:

        def plain(step: str, what: str) -> None:
            started.setdefault(step, time.perf_counter())
            if isinstance(what, Advance):
                before, tenths[step] = tenths.get(step, 0), int(what.done * _TENTHS)
                if tenths[step] == before:
                    return
            sys.stderr.write(line(step, what) + "\n")
            sys.stderr.flush()

        yield plain
        return
    with console.status("starting") as status:

        def live(step: str, what: str) -> None:
            started.setdefault(step, time.perf_counter())
            if what in ("done", "kept"):
                console.print(escape(line(step, what)))
            elif isinstance(what, Advance):
                status.update(_bar(step, what))
            else:
                status.update(escape(line(step, what)))

        yield live


def _bar(step: str, what: Advance) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(
        f"{escape(step):<24}", ProgressBar(1.0, what.done, width=24), f"{what.done:4.0%}", escape(what)
    )
    return row
