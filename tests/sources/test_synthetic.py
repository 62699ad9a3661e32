"""Made-up customers: the same for the same seed, true to their truth, and dirty only where they say so."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.contracts.table import check
from churnops.contracts.tables import ORDERS
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import InputError
from churnops.sources.population import blocks
from churnops.sources.synthetic import Export, Population, write_export, write_orders

Ask = Callable[[str, Export], tuple]

SOME = Population(customers=3000, days=300, seed=3)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return write_export(SOME, tmp_path_factory.mktemp("dirty"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return write_export(dataclasses.replace(SOME, dirty=False), tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orders") / "orders.parquet"
    assert write_orders(SOME, path, orders=20_000) == pytest.approx(20_000, rel=0.05)
    return path


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """The first row of SQL over an export's files, all columns of `customers` and `transactions` text."""
    loaded: dict[Path, duckdb.DuckDBPyConnection] = {}
    with ExitStack() as stack:

        def first_row(sql: str, export: Export) -> tuple:
            if export.truth not in loaded:
                connection = loaded[export.truth] = stack.enter_context(duckdb.connect())
                for name in ("customers", "transactions"):
                    connection.read_csv(str(getattr(export, name)), all_varchar=True).create(name)
                connection.read_parquet(str(export.truth)).create_view("truth")
            return loaded[export.truth].execute(sql).fetchone()

        yield first_row


def ask_orders(sql: str, orders: Path) -> tuple:
    with duckdb.connect() as connection:
        connection.read_parquet(str(orders)).create_view("orders")
        return connection.execute(sql).fetchone()


def test_the_same_population_is_the_same_files(dirty: Export, tmp_path: Path) -> None:
    again = write_export(SOME, tmp_path)
    for name in ("customers", "transactions", "truth"):
        assert getattr(again, name).read_bytes() == getattr(dirty, name).read_bytes()


def test_another_seed_is_another_population(dirty: Export, tmp_path: Path) -> None:
    other = write_export(dataclasses.replace(SOME, seed=4), tmp_path)
    assert other.truth.read_bytes() != dirty.truth.read_bytes()


def test_more_customers_leave_the_earlier_blocks_as_they_were() -> None:
    few, many = (next(blocks(Population(customers=n))) for n in (4096, 10_000))
    for one, other in zip(few, many, strict=True):
        np.testing.assert_equal(vars(one), vars(other))


def test_dirt_is_in_the_files_not_in_the_customers(dirty: Export, clean: Export) -> None:
    assert dirty.truth.read_bytes() == clean.truth.read_bytes()
    assert dirty.customers.read_text().replace(", \n", ",\n") == clean.customers.read_text()


def test_an_export_counts_its_rows(dirty: Export, ask: Ask) -> None:
    counted = ask("select (select count(*) from customers), (select count(*) from transactions)", dirty)
    assert (dirty.n_customers, dirty.n_lines) == counted


def test_ids_keep_their_leading_zeros_and_do_not_repeat(dirty: Export, ask: Ask) -> None:
    sql = "select count(distinct customer_id), min(customer_id), max(customer_id) from customers"
    assert ask(sql, dirty) == (3000, "00000001", "00003000")


FAULTS = {
    "repeated line": (0.005, "select 1 - count(distinct t::text) / count(*) from transactions t"),
    "order without a customer": (
        0.01,
        """select count(distinct order_id) filter (where customer_id is null) / count(distinct order_id)
        from transactions""",
    ),
    "unknown customer": (
        0.003,
        """select count(distinct order_id) filter (where id is null and customer_id is not null)
            / count(distinct order_id)
        from transactions left join (select customer_id as id from customers) on id = customer_id""",
    ),
    "free line": (0.005, "select avg((amount = '0.00')::int) from transactions"),
    "blank quantity": (0.01, "select avg((quantity is null)::int) from transactions"),
    "blank in numeric text": (0.08, "select avg((income = ' ')::int) from customers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_share_and_a_clean_export_has_none(
    dirty: Export, clean: Export, fault: str, ask: Ask
) -> None:
    share, sql = FAULTS[fault]
    assert ask(sql, dirty)[0] == pytest.approx(share, rel=0.4)
    assert (ask(sql, clean)[0] or 0) < 0.0004  # two lines of an order may be alike by chance


FACTS = {
    "returned lines": (0.02, 0.05, "select avg((amount::double < 0)::int) from transactions"),
    "customers without purchases": (
        0.03,
        0.15,
        "select avg((customer_id not in (select customer_id from transactions))::int) from customers",
    ),
    "orders of several lines": (
        0.3,
        0.7,
        """select avg((n_lines > 1)::int) from (
            select count(*) as n_lines from transactions where amount::double > 0 group by order_id)""",
    ),
    "weekends": (0.31, 0.37, "select avg((isodow(order_time::timestamp) > 5)::int) from transactions"),
    "nights": (0.01, 0.04, "select avg((hour(order_time::timestamp) < 4)::int) from transactions"),
    "discounted lines": (0.2, 0.4, "select avg((discount::double > 0)::int) from transactions"),
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_clean_export_looks_like_a_shop(clean: Export, fact: str, ask: Ask) -> None:
    low, high, sql = FACTS[fact]
    assert low < ask(sql, clean)[0] < high


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), customers=st.integers(1, 300), days=st.integers(1, 800))
def test_nobody_buys_before_joining_after_lapsing_or_outside_the_history(
    seed: int, customers: int, days: int
) -> None:
    for them, lines in blocks(Population(customers=customers, days=days, seed=seed)):
        bought = lines.quantity > 0
        at, who = lines.seconds[bought] / 86_400, lines.who[bought]
        assert np.all(at >= them.signup[who] - 1 / 86_400)
        assert np.all(at <= them.lapse[who])
        assert np.all((lines.seconds >= 0) & (lines.seconds < days * 86_400))
        assert not np.any(them.purchases_per_day[who] == 0)


def test_customers_buy_at_their_true_rate() -> None:
    them, lines = next(blocks(Population(customers=4096, seed=1)))
    stayed = (them.signup < 0) & (them.lapse > 600)
    purchases = np.unique(np.stack([lines.who, lines.order])[:, lines.quantity > 0], axis=1)
    bought = np.bincount(purchases[0], minlength=4096)
    assert bought[stayed].sum() == pytest.approx(540 * them.purchases_per_day[stayed].sum(), rel=0.03)


def test_attributes_tell_a_little_of_who_stays(clean: Export, ask: Ask) -> None:
    stayed = """select avg(alive_at_end::int) filter (where loyalty = '1'),
            avg(alive_at_end::int) filter (where loyalty = '0'),
            avg(alive_at_end::int) filter (where channel = 'referral'),
            avg(alive_at_end::int) filter (where channel = 'social')
        from truth join customers using (customer_id)"""
    loyal, others, referral, social = ask(stayed, clean)
    assert 0.05 < loyal - others < 0.4
    assert 0.05 < referral - social < 0.4


def test_orders_keep_their_contract_and_lie_sorted(orders: Path, tmp_path: Path) -> None:
    check(ORDERS, DuckDB(spill_dir=tmp_path).query, str(orders))
    unsorted = """select count(*) from (
        select (customer_id, event_timestamp) as key, lag((customer_id, event_timestamp)) over () as previous
        from orders) where key < previous"""
    assert ask_orders(unsorted, orders) == (0,)


def test_gaps_are_those_between_purchases(orders: Path) -> None:
    wrong, right = ask_orders(
        """select count(*) filter (where gap_seconds is distinct from gap), count(gap) from (
            select gap_seconds, epoch(event_timestamp - lag(event_timestamp) over (
                partition by customer_id order by event_timestamp))::bigint as gap
            from orders where not is_return)""",
        orders,
    )
    assert wrong == 0
    assert right > 10_000


def test_returns_cost_money_and_end_no_gap(orders: Path) -> None:
    returns = (
        "select count(*) > 100, count(gap_seconds), max(amount) < 0, max(lines) from orders where is_return"
    )
    assert ask_orders(returns, orders) == (True, 0, True, 1)


def test_a_category_is_new_to_a_customer_once(orders: Path) -> None:
    news = """with numbered as (
            select *, row_number() over (partition by customer_id, is_return order by event_timestamp) as nth
            from orders),
        totals as (select sum(new_categories) as n from orders group by customer_id)
        select min(new_categories) filter (where nth = 1 and not is_return),
            sum(new_categories) filter (where is_return),
            count(*) filter (where new_categories > lines),
            (select max(n) from totals)
        from numbered"""
    assert ask_orders(news, orders) == (1, 0, 0, 8)


def test_fewer_orders_than_newcomers_bring_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="those who join have one to begin with"):
        write_orders(SOME, tmp_path / "orders.parquet", orders=100)
    assert list(tmp_path.iterdir()) == []


def test_a_block_without_any_purchase_is_written_too(tmp_path: Path) -> None:
    export = write_export(Population(customers=1, days=1, seed=1), tmp_path)
    assert (export.n_customers, export.n_lines) == (1, 0)


def test_an_impossible_population_is_refused_with_every_reason() -> None:
    with pytest.raises(InputError, match=r"(?s)customers: .*days: .*seed: "):
        Population(customers=0, days=0, seed=-1)
