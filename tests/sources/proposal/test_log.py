"""What the columns of a log are."""

import datetime as dt

import pytest
from exports import export
from made_tables import lines, purchases


@pytest.fixture
def read(tmp_path, proposed):
    """What is proposed for purchases with columns of the test's, each made from a purchase's number."""

    def propose(**columns):
        rows = [
            [customer, moment, *(column(i) for column in columns.values())]
            for i, (customer, moment) in enumerate(purchases())
        ]
        header = ",".join(["customer_id", "date", *columns])
        return proposed(export(tmp_path / "a.csv", *lines(header, rows)))

    return propose


def test_a_number_of_lines_is_no_number_of_an_order(tmp_path, proposed):
    rows = [
        [customer, moment, f"t{3 * i + line}", 5]
        for i, (customer, moment) in enumerate(purchases())
        for line in range(3)
    ]
    proposal = proposed(export(tmp_path / "a.csv", *lines("customer_id,date,transaction_id,amount", rows)))
    assert proposal.config.transactions.order == ""
    assert (
        "all lines of one customer at one instant are one purchase" in proposal.reasons["transactions.order"]
    )


def test_a_number_of_years_of_purchases_is_no_number_of_an_order(read):
    assert read(order_no=lambda i: i % 3, amount=lambda i: 5 + i % 3).config.transactions.order == ""


@pytest.mark.parametrize(("hours", "known"), [(30, "loaded_at"), (0, ""), (-30, "")])
def test_a_time_that_never_comes_first_is_when_the_row_was_known(tmp_path, proposed, hours, known):
    rows = [
        [customer, moment, moment + dt.timedelta(hours=hours * (i % 2)), 5]
        for i, (customer, moment) in enumerate(purchases())
    ]
    found = proposed(export(tmp_path / "a.csv", *lines("customer_id,purchase_time,loaded_at,amount", rows)))
    known_at = found.config.transactions.known_at
    assert (known_at.column if known_at else "") == known
    assert found.config.transactions.time.column == "purchase_time"


@pytest.mark.parametrize(
    ("columns", "values", "money"),
    [
        (["amount", "tax"], [9, 1], ("amount", "", "")),
        (["unit_price", "quantity"], [3, 2], ("", "unit_price", "quantity")),
        (["price", "qty", "line_total"], [3, 2, 6], ("line_total", "", "")),
        (["price"], [3], ("price", "", "")),
        (["shipping_cost"], [3], ("", "", "")),
        (["quantity"], [3], ("", "", "")),
    ],
)
def test_money_is_the_lines_amount_or_price_times_quantity(read, columns, values, money):
    found = read(**{name: lambda i, n=n: n + i % 5 for name, n in zip(columns, values, strict=True)})
    log = found.config.transactions
    assert (log.amount, log.unit_price, log.quantity) == money
    assert any("No money was found" in warning for warning in found.warnings) is not any(money)


def test_an_orders_total_on_every_line_is_not_taken_where_there_is_a_price(tmp_path, proposed):
    header = "customer_id,date,order_id,{}total"
    for extra, money in (("price,quantity,", ("", "price")), ("", ("total", ""))):
        rows = [
            [customer, moment, i, *([line + 1, 1 + i % 2] if extra else []), 40 + i % 9, line]
            for i, (customer, moment) in enumerate(purchases())
            for line in range(2)
        ]
        path = export(tmp_path / "a.csv", *lines(header.format(extra) + ",line", rows))
        proposal = proposed(path)
        log = proposal.config.transactions
        assert (log.amount, log.unit_price) == money
        assert any("order's money would be counted once a line" in w for w in proposal.warnings) is not bool(
            extra
        )


def test_one_price_for_all_is_money_where_the_pieces_differ(read):
    log = read(price=lambda i: 5 + 0 * i, quantity=lambda i: 1 + i % 3).config.transactions
    assert (log.unit_price, log.quantity) == ("price", "quantity")


def test_returns_are_told(read):
    reasons = read(amount=lambda i: -5 if i % 10 == 0 else 5 + i % 3).reasons
    assert reasons["transactions.returns"] == "60 lines (10.1%) are negative: returns, not purchases"


@pytest.mark.parametrize(
    ("name", "value", "discount"),
    [
        ("discount", lambda i: i % 3, "discount"),
        ("discount", lambda i: -(i % 3), "discount"),
        ("discount", lambda i: i % 3 / 10, ""),
        ("discount", lambda i: f"{i % 30}%", ""),
        ("discount_code", lambda i: i % 3, ""),
    ],
)
def test_a_discount_is_money_and_no_share(read, name, value, discount):
    found = read(amount=lambda i: 5 + i % 3, **{name: value})
    assert found.config.transactions.discount == discount


@pytest.mark.parametrize(
    ("name", "values", "marks"),
    [
        ("status", ["complete", "complete", "cancelled"], ["cancelled"]),
        ("order_status", ["shipped", "Canceled", "payment failed"], ["Canceled", "payment failed"]),
        ("is_cancelled", ["0", "0", "1"], ["1"]),
        ("storniert", ["nein", "nein", "ja"], ["ja"]),
        ("event_type", ["view", "cart", "purchase"], ["cart", "view"]),
        ("type", ["sale", "sale", "refund"], ["refund"]),
        ("status", ["complete", "complete", "refunded"], []),
        ("status", ["new", "shipped", "delivered"], []),
    ],
)
def test_what_did_not_happen_is_marked(read, name, values, marks):
    log = read(amount=lambda i: 5 + i % 3, **{name: lambda i: values[i % 3]}).config.transactions
    assert sorted(log.cancelled.values if log.cancelled else []) == marks


def test_refunds_that_are_negative_are_returns_and_not_cancelled(read):
    log = read(amount=lambda i: -5 if i % 3 == 2 else 5, type=lambda i: "refund" if i % 3 == 2 else "sale")
    assert log.config.transactions.cancelled is None


def test_cancelled_is_also_a_time_or_a_letter_before_the_number(read):
    timed = read(amount=lambda i: 5 + i % 3, cancelled_at=lambda i: "2021-11-01" if i % 9 == 0 else "")
    assert timed.config.transactions.cancelled.prefix == "20"
    lettered = read(amount=lambda i: 5 + i % 3, invoice_no=lambda i: f"{'C' if i % 9 == 0 else ''}{i}")
    assert (lettered.config.transactions.cancelled.column, lettered.config.transactions.cancelled.prefix) == (
        "invoice_no",
        "C",
    )


def test_a_category_is_a_kind_of_thing_and_neither_money_nor_one_for_each_row(read):
    log = read(
        amount=lambda i: 5 + i % 3, product_id=lambda i: f"p{i % 90}", product_category=lambda i: f"c{i % 9}"
    ).config.transactions
    assert log.category == "product_category"


def test_what_is_not_used_is_said(read):
    assert (
        read(amount=lambda i: 5 + i % 3, note=lambda i: f"hello {i}").reasons["transactions.not used"]
        == "note"
    )
