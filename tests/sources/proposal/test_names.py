"""What names say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.sources.proposal import names
from churnops.sources.proposal.names import plain, rank, says_gone


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CustomerID", "customer_id"),
        ("customerID", "customer_id"),
        ("InvoiceNo", "invoice_no"),
        ("PLZNummer", "plz_nummer"),
        ("Churn?", "churn"),
        (" Größe (cm) ", "grosse_cm"),
        ("Discount %", "discount_percent"),
        ("Order #", "order_number"),
        ("顧客ID", "顧客id"),
        ("---", ""),
    ],
)
def test_names_are_told_in_plain_words(name, words):
    assert plain(name) == words


@given(st.text())
def test_a_plain_name_stays_as_it_is(name):
    assert plain(plain(name)) == plain(name)


@pytest.mark.parametrize(
    ("surer", "less_sure", "patterns"),
    [
        ("customer_id", "email", names.CUSTOMER_ID),
        ("Kundennummer", "id", names.CUSTOMER_ID),
        ("msno", "phone", names.CUSTOMER_ID),
        ("order_purchase_timestamp", "created_at", names.EVENT_TIME),
        ("InvoiceDate", "month", names.EVENT_TIME),
        ("Total Amount", "price", names.AMOUNT),
        ("Umsatz", "Preis", names.AMOUNT),
        ("product_category", "brand", names.CATEGORY),
        ("department", "product_id", names.CATEGORY),
        ("Churn", "customer_status", names.LABEL),
        ("left_next_month", "customer_status", names.LABEL),
        ("will_quit_within_90_days", "target", names.LABEL),
        ("cod_cliente", "Debitor", names.CUSTOMER_ID),
        ("id_klienta", "email", names.CUSTOMER_ID),
        ("Exited", "IsActiveMember", names.LABEL),
        ("is_active", "target", names.LABEL),
    ],
)
def test_the_surer_name_ranks_higher(surer, less_sure, patterns):
    assert rank(surer, patterns) > rank(less_sure, patterns) > 0


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("account length", names.CUSTOMER_ID),
        ("customer_zip_code_prefix", names.CUSTOMER_ID),
        ("email_open_rate", names.CUSTOMER_ID),
        ("order_status", names.ORDER_ID),
        ("quantity", names.AMOUNT),
        ("churn_score", names.SUMMARY),
        ("last_name", names.SUMMARY),
        ("average_household_size", names.SUMMARY),
        ("marital_status", names.LABEL),
        ("days_left", names.LABEL),
    ],
)
def test_a_name_that_only_sounds_like_it_says_nothing(name, patterns):
    assert rank(name, patterns) == 0


@pytest.mark.parametrize(
    ("word", "gone"),
    [
        ("Churned", True),
        ("Attrited Customer", True),
        ("Left", True),
        ("inactive", True),
        ("Not renewed", True),
        ("unsubscribed", True),
        ("gekündigt", True),
        ("nicht aktiv", True),
        ("Existing Customer", False),
        ("no churn", False),
        ("Stayed", False),
        ("aktiv", False),
        ("IsActiveMember", False),
        ("Yes", None),
        ("0", None),
        ("newsletter", None),
    ],
)
def test_words_say_who_has_left(word, gone):
    assert says_gone(word) is gone
