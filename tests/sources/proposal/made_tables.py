"""Tables as brands export them, made up: small, the same every time."""

import datetime as dt
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

START = dt.datetime(2021, 1, 4, 9, 30)


def purchases(customers: int = 40, days: int = 300) -> list[tuple[int, dt.datetime]]:
    """Who bought when, in the order of time: everybody every few weeks, until some stop."""
    random = Random(1)
    found = []
    for customer in range(customers):
        moment = START + dt.timedelta(days=random.random() * days / 3)
        while (moment - START).days < days:
            found.append((customer, moment.replace(second=0, microsecond=0)))
            moment += dt.timedelta(days=random.uniform(3, 25), minutes=random.randrange(600))
            if random.random() < 0.03:
                break
    return sorted(found, key=lambda each: each[1])


def lines(header: str, rows: Sequence[Sequence[Any]], delimiter: str = ",") -> Iterator[str]:
    """The lines of a CSV file."""
    yield header
    for row in rows:
        yield delimiter.join(map(str, row))


def labelled_rows(n: int = 200) -> Iterator[tuple[int, Random, bool]]:
    """The number of each row, chance, and whether its customer left, as every fourth does."""
    random = Random(2)
    return ((i, random, random.random() < 0.25) for i in range(n))
