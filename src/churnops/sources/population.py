"""Made-up customers whose truth is known: how often each buys, what, and when each stops for good.

Purchase rates are gamma-distributed, lapse times exponential with a gamma-distributed hazard (Schmittlein,
Morrison and Colombo 1987, Management Science 33, 1-24). Purchases come somewhat more regularly than chance:
every second event of a Poisson process (Chatfield and Goodhardt 1973, JASA 68, 828-835) whose intensity
follows the hour, the weekday and the season. Attributes shift rate and hazard, so they carry a modest signal.

Times are days since the history's start unless a name says otherwise; money is in cents.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnops.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SEGMENTS = ("occasional", "regular", "devoted")
CHANNELS = ("search", "social", "referral", "store")
COUNTRIES = ("DE", "FR", "NL", "GB")
CATEGORIES = ("basics", "care", "drinks", "home", "kids", "outdoor", "pantry", "sport")
DAY_SECONDS = 86_400

_BLOCK = 4096  # customers drawn at once
_SIGNUPS_BEFORE = 400  # days before the start in which the first of the customers joined
_FOREVER = 36_500  # no lapse time is later

_GAP_DAYS = np.array([26.0, 20.0, 15.0])  # by segment, between the purchases of an average customer
_RATE_SHAPE = 3.0
_HAZARD_PER_DAY = 1 / 130
_FRAILTY_SHAPE = 1.5
_SEGMENT_HAZARD = np.array([1.35, 1.0, 0.65])
_CHANNEL_HAZARD = np.array([1.0, 1.5, 0.7, 0.85])
_SEGMENT_LOYALTY = np.array([0.2, 0.45, 0.7])
_FADE_DAYS = 30.0  # before leaving, a customer buys ever less
_ONE_TIME = 0.12  # share of new customers who never come back
_NEVER_BUYS = 0.04
_KNOWN_SEGMENT = 0.8  # share of customers whose recorded segment is theirs; the others' is any
_NO_INCOME = 0.08

_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 12, 11, 10, 10, 11, 13, 15, 17, 18, 14, 8, 3])
_WEEKDAYS = np.array([0.9, 0.85, 0.9, 0.95, 1.1, 1.25, 1.05])  # Monday first
_PEAK_DAY = 350  # of the year

_CATEGORY_CENTS = np.array([1500, 900, 600, 2800, 2200, 4500, 700, 3200])
_DISCOUNTS = np.array([0.1, 0.15, 0.2, 0.3])


@dataclass(frozen=True)
class Population:
    """Which customers to make up; the same values give the same customers."""

    customers: int = 20_000
    days: int = 540
    start: dt.date = dt.date(2023, 1, 1)
    seed: int = 0
    dirty: bool = True
    """Whether the export has the faults of real ones. The customers are the same either way."""

    def __post_init__(self) -> None:
        """Raise InputError for a population nobody can be drawn from."""
        problems = [f"{name}: must be 1 or more" for name in ("customers", "days") if getattr(self, name) < 1]
        if self.seed < 0:
            problems.append("seed: must be 0 or more")
        if problems:
            raise InputError("population", problems)


@dataclass(frozen=True)
class Customers:
    """A block of customers, one position each: first what their brand knows, then what only we know."""

    number: Ints
    signup: Floats
    segment: Ints
    channel: Ints
    country: Ints
    age: Ints
    newsletter: Flags
    loyalty: Flags
    income: Floats
    """NaN where the brand was not told."""

    purchases_per_day: Floats
    lapse: Floats
    discount_ratio: Floats
    """Share of the customer's orders that are discounted; the more, the sooner the customer leaves."""
    return_ratio: Floats
    extra_lines: Floats
    price_level: Floats
    taste: Ints
    """One row per customer: the categories, best liked first."""


@dataclass(frozen=True)
class Lines:
    """The purchases and returns of a block, one position per line, sorted by customer, time and order."""

    who: Ints
    """Position in the block."""
    seconds: Ints
    """Since the history's start."""
    order: Ints
    """Number within the block; returns have orders of their own."""
    category: Ints
    quantity: Ints
    amount: Ints
    discount: Ints
    """Both negative, as is `quantity`, for a return."""


@dataclass(frozen=True)
class _Calendar:
    """How much buying has happened by each hour, in days of average activity."""

    hours: Floats
    activity: Floats

    def activity_at(self, days: Floats) -> Floats:
        return np.interp(days, self.hours, self.activity)

    def days_at(self, activity: Floats) -> Floats:
        return np.interp(activity, self.activity, self.hours)


def blocks(population: Population, *, pace: float = 1.0) -> Iterator[tuple[Customers, Lines]]:
    """The population piece by piece, each from its own seed; `pace` multiplies every purchase rate."""
    calendar = _calendar(population)
    for block, first in enumerate(range(0, population.customers, _BLOCK)):
        rng = np.random.default_rng([population.seed, block])
        numbers = np.arange(first, min(first + _BLOCK, population.customers))
        customers = _draw_customers(numbers, calendar, rng, pace=pace)
        who, when = _purchases(customers, calendar, rng)
        lines = _baskets(customers, who, when, rng)
        yield customers, _with_returns(lines, customers, population.days, rng)


def _calendar(population: Population) -> _Calendar:
    dates = np.datetime64(population.start, "D") + np.arange(population.days)
    weekday = (dates.astype(np.int64) + 3) % 7  # day 0 of the epoch was a Thursday
    day_of_year = (dates - dates.astype("datetime64[Y]")).astype(np.int64)
    season = 1.0 + 0.15 * np.cos(2 * np.pi * (day_of_year - _PEAK_DAY) / 365.25)
    per_hour = np.outer(_WEEKDAYS[weekday] * season, _HOURS / _HOURS.sum())
    hours = np.arange(population.days * 24 + 1) / 24
    return _Calendar(hours=hours, activity=np.concatenate([[0.0], np.cumsum(per_hour)]))


def _draw_customers(
    numbers: Ints, calendar: _Calendar, rng: np.random.Generator, *, pace: float
) -> Customers:
    n = len(numbers)
    segment = rng.choice(3, n, p=[0.40, 0.42, 0.18])
    channel = rng.choice(4, n, p=[0.4, 0.25, 0.2, 0.15])
    age = rng.normal(41, 14, n).clip(18, 84).astype(np.int64)
    newsletter = rng.random(n) < 0.5
    loyalty = rng.random(n) < _SEGMENT_LOYALTY[segment]
    discount_ratio = rng.beta(1.2, 3.0, n)
    income = rng.lognormal(10.4, 0.4, n)
    # Who joins within the history does so by buying, so at the hours and in the seasons of buying.
    joined = rng.uniform(-_SIGNUPS_BEFORE, calendar.activity[-1], n)
    signup = np.where(joined < 0, joined, calendar.days_at(joined))
    log_hazard = (
        np.log(_HAZARD_PER_DAY * _SEGMENT_HAZARD[segment] * _CHANNEL_HAZARD[channel])
        - 0.25 * newsletter
        - 0.35 * loyalty
        - 0.01 * (age - 41)
        + 1.5 * (discount_ratio - 0.29)
        - 0.5 * (-signup).clip(0) / 365
    )
    hazard = np.exp(log_hazard) * rng.gamma(_FRAILTY_SHAPE, 1 / _FRAILTY_SHAPE, n)
    one_time = (signup >= 0) & (rng.random(n) < _ONE_TIME)
    rate = rng.gamma(_RATE_SHAPE, 1 / _RATE_SHAPE, n) * (1 + 0.15 * loyalty) / _GAP_DAYS[segment]
    recorded = np.where(rng.random(n) < _KNOWN_SEGMENT, segment, rng.integers(0, 3, n))
    return Customers(
        number=numbers,
        signup=signup,
        segment=recorded,
        channel=channel,
        country=rng.choice(4, n, p=[0.45, 0.25, 0.1, 0.2]),
        age=age,
        newsletter=newsletter,
        loyalty=loyalty,
        income=np.where(rng.random(n) < _NO_INCOME, np.nan, income),
        purchases_per_day=pace * rate * (rng.random(n) >= _NEVER_BUYS),
        lapse=np.where(one_time, signup, signup.clip(0) + rng.exponential(1 / hazard)).clip(max=_FOREVER),
        discount_ratio=discount_ratio,
        return_ratio=rng.beta(1.0, 30.0, n),
        extra_lines=rng.gamma(2.0, 0.4, n),
        price_level=(income / 33_000) ** 0.4 * rng.lognormal(0.0, 0.25, n),
        taste=rng.permuted(np.tile(np.arange(len(CATEGORIES)), (n, 1)), axis=1),
    )


def _purchases(customers: Customers, calendar: _Calendar, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Who (position in the block) buys when, sorted by both; who joins within the history buys at once."""
    n = len(customers.number)
    begin = calendar.activity_at(customers.signup.clip(0))
    active_days = calendar.activity_at(customers.lapse) - begin
    who = np.repeat(np.arange(n), rng.poisson(2 * customers.purchases_per_day * active_days))
    when = calendar.days_at(begin[who] + rng.random(len(who)) * active_days[who])
    kept = rng.random(len(who)) * _FADE_DAYS < customers.lapse[who] - when
    who, when = _sorted(who[kept], when[kept])
    position = np.arange(len(who)) - np.searchsorted(who, np.arange(n))[who]
    second = (position + rng.integers(0, 2, n)[who]) % 2 == 1
    new = np.flatnonzero((customers.signup >= 0) & (customers.purchases_per_day > 0))
    return _sorted(np.concatenate([who[second], new]), np.concatenate([when[second], customers.signup[new]]))


def _baskets(customers: Customers, buyer: Ints, when: Floats, rng: np.random.Generator) -> Lines:
    order = np.repeat(np.arange(len(buyer)), 1 + rng.poisson(customers.extra_lines[buyer]))
    n, who = len(order), buyer[order]
    liking = rng.geometric(0.45, n).clip(max=len(CATEGORIES)) - 1
    category = customers.taste[who, liking]
    quantity = 1 + rng.poisson(0.3, n)
    price = _CATEGORY_CENTS[category] * customers.price_level[who] * rng.lognormal(0.0, 0.3, n)
    full = np.rint(price).clip(1) * quantity
    discounted = rng.random(len(buyer)) < customers.discount_ratio[buyer]
    off = np.where(discounted, rng.choice(_DISCOUNTS, len(buyer)), 0.0)
    discount = np.rint(full * off[order]).astype(np.int64)
    return Lines(
        who=who,
        seconds=(when * DAY_SECONDS).astype(np.int64)[order],
        order=order,
        category=category,
        quantity=quantity,
        amount=full.astype(np.int64) - discount,
        discount=discount,
    )


def _with_returns(lines: Lines, customers: Customers, days: int, rng: np.random.Generator) -> Lines:
    """Some lines come back two to 21 days later, each as an order of its own."""
    back = np.flatnonzero(rng.random(len(lines.who)) < customers.return_ratio[lines.who])
    at = lines.seconds[back] + rng.integers(2 * DAY_SECONDS, 21 * DAY_SECONDS, len(back))
    back, at = back[at < days * DAY_SECONDS], at[at < days * DAY_SECONDS]
    orders = int(lines.order.max(initial=-1)) + 1
    who = np.concatenate([lines.who, lines.who[back]])
    seconds = np.concatenate([lines.seconds, at])
    order = np.concatenate([lines.order, orders + np.arange(len(back))])
    by = np.lexsort((order, seconds, who))
    return Lines(
        who=who[by],
        seconds=seconds[by],
        order=order[by],
        category=np.concatenate([lines.category, lines.category[back]])[by],
        quantity=np.concatenate([lines.quantity, -lines.quantity[back]])[by],
        amount=np.concatenate([lines.amount, -lines.amount[back]])[by],
        discount=np.concatenate([lines.discount, -lines.discount[back]])[by],
    )


def _sorted(who: Ints, when: Floats) -> tuple[Ints, Floats]:
    by = np.lexsort((when, who))
    return who[by], when[by]
