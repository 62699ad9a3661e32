"""Exports in many styles: what is proposed for them reads them, and says of them what is so."""

from collections.abc import Mapping

import brands
import pytest
from exports import rows
from made_tables import purchases

from churnops.data_config import DataConfig
from churnops.sources.clean import clean

DROPPED, NUMERIC, CATEGORICAL = ({"role": role} for role in ("dropped", "numeric", "categorical"))
CASES = {
    brands.online_retail: {
        "transactions": {
            "id": "CustomerID",
            "id_format": "integer",
            "time": {"column": "InvoiceDate", "format": "%d/%m/%Y %H:%M"},
            "order": "InvoiceNo",
            "amount": "",
            "unit_price": "UnitPrice",
            "quantity": "Quantity",
            "category": "StockCode",
            "cancelled": None,
        },
        "repairs": {"missing_id": "drop", "exact_duplicates": "drop"},
    },
    brands.olist: {
        "customers": {
            "id": "customer_unique_id",
            "columns": {
                "customer_zip_code_prefix": DROPPED,
                "customer_city": CATEGORICAL,
                "customer_state": DROPPED,
            },
        },
        "transactions": {
            "id": "customer_unique_id",
            "time": {"column": "order_purchase_timestamp"},
            "order": "order_id",
            "amount": "payment_value",
            "cancelled": {"column": "order_status", "values": ["canceled"]},
        },
    },
    brands.german: {
        "customers": {
            "id": "Kundennummer",
            "columns": {"Anrede": CATEGORICAL, "Geburtsdatum": {"role": "date", "format": "%d.%m.%Y"}},
        },
        "transactions": {
            "delimiter": ";",
            "encoding": "cp1252",
            "decimal": ",",
            "id": "Kundennummer",
            "id_format": "text",
            "time": {"column": "Kaufdatum", "format": "%d.%m.%Y"},
            "order": "Rechnungsnr",
            "amount": "Umsatz (€)",
            "category": "Warengruppe",
        },
    },
    brands.american: {
        "transactions": {
            "id": "Customer #",
            "time": {"column": "Sale Date", "format": "%m/%d/%Y %I:%M:%S %p"},
            "amount": "Sale Amount",
            "discount": "",
        }
    },
    brands.app_events: {
        "transactions": {
            "id": "user_id",
            "time": {"column": "event_time", "format": "epoch"},
            "amount": "price",
            "cancelled": {"column": "event_type", "values": ["cart", "view"]},
        }
    },
    brands.shopify: {
        "transactions": {
            "id": "Email",
            "time": {"column": "Created at", "format": "%Y-%m-%d %H:%M:%S %z"},
            "order": "Name",
            "amount": "Total",
            "unit_price": "",
            "category": "Lineitem name",
            "cancelled": {"column": "Financial Status", "values": ["voided"], "whole_order": True},
        }
    },
    brands.zeros_in_one: {
        "customers": {
            "id": "customer_id",
            "id_format": "integer",
            "columns": {"segment": CATEGORICAL, "age_group": CATEGORICAL, "newsletter": NUMERIC},
        },
        "transactions": {"id": "cust_no", "id_format": "integer", "amount": "amount"},
        "repairs": {"exact_duplicates": "keep"},
    },
    brands.typed: {
        "transactions": {
            "id": "member_id",
            "time": {"column": "purchased_at", "format": "native"},
            "amount": "net_amount",
            "cancelled": {"column": "is_void", "values": ["true"]},
        }
    },
    brands.parted: {
        "transactions": {
            "id": "client_id",
            "time": {"column": "ts", "format": "%Y-%m-%dT%H:%M:%S%z"},
            "order": "transaction_id",
            "amount": "total",
        },
        "repairs": {"exact_duplicates": "drop"},
    },
    brands.odd_names: {
        "transactions": {
            "encoding": "utf-16",
            "id": 'Customer "No."',
            "time": {"column": "order.date"},
            "amount": "Größe [€] amount 💶",
            "category": "Item Category",
        }
    },
    brands.crm_as_of_now: {
        "customers": {
            "columns": {
                "member_since": {"role": "date"},
                "birth_date": {"role": "date"},
                "tier": CATEGORICAL,
                "last_purchase_date": DROPPED,
                "visits": DROPPED,
                "spent_so_far": DROPPED,
                "state": DROPPED,
            }
        },
    },
    brands.dirty: {
        "customers": {"columns": {"sex": CATEGORICAL, "age": NUMERIC}},
        "transactions": {"id": "customer_id", "amount": "price"},
        "repairs": {
            "missing_id": "drop",
            "bad_time": "drop",
            "bad_number": "null",
            "repeated_customer": "first",
        },
    },
    brands.subscriptions: {
        "customers": {
            "id": "subscription_id",
            "label": {"column": "status", "churned": ["cancelled"], "stayed": ["active"]},
            "columns": {
                "plan": CATEGORICAL,
                "start_date": {"role": "date"},
                "end_date": DROPPED,
                "cancellation_reason": DROPPED,
            },
        }
    },
    brands.wide: {
        "customers": {
            "id": "Member Number",
            "id_format": "text",
            "label": {"column": "outcome", "churned": ["left"], "stayed": ["stayed"]},
            "columns": {
                "row": DROPPED,
                "age band": CATEGORICAL,
                "zip code": DROPPED,
                "last comment": DROPPED,
                "region": DROPPED,
                "fax": DROPPED,
                "opt in": NUMERIC,
                "yearly income": NUMERIC,
                "usage share": NUMERIC,
                "has app": CATEGORICAL,
                "avg session": NUMERIC,
                "exit_date": DROPPED,
                "date of birth": {"role": "date", "format": "%d/%m/%Y"},
            },
        },
        "repairs": {"missing_label": "drop"},
    },
    brands.panel: {
        "customers": {
            "id": "customer_id",
            "as_of": {"column": "month", "format": "%Y-%m"},
            "label": {"column": "churned", "churned": ["1"]},
            "columns": {"tickets": NUMERIC},
        }
    },
}

AS_BOUGHT = (brands.american, brands.app_events, brands.parted, brands.odd_names)
"""Exports of exactly the purchases that were made up, at their times in UTC."""


def differences(expected, found, place=""):
    """Where `found` is not as `expected`, of which only what it names counts."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            each
            for key, part in expected.items()
            for each in differences(part, found.get(key), f"{place}.{key}")
        ]
    return [] if expected == found else [f"{place[1:]} is {found!r}, not {expected!r}"]


@pytest.mark.parametrize(("brand", "expected"), CASES.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_proposed_fits_the_export_and_cleans_it(tmp_path, engine, proposed, brand, expected):
    config = proposed(*brand(tmp_path)).config
    assert differences(expected, config.model_dump(mode="json")) == []
    report = clean(config, engine, source_dir=tmp_path, to=tmp_path / "clean")
    assert all(count.rows_kept > 0 for count in report.tables.values())
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config
    if brand in AS_BOUGHT:
        orders = rows(tmp_path / "clean" / "orders.parquet")
        moments = sorted(order["event_timestamp"] for order in orders)
        assert moments == [moment for _, moment in purchases()]
    if brand is brands.shopify:  # a void order loses all its lines
        void = (tmp_path / "orders_export.csv").read_text().count(",voided,")
        assert len(rows(tmp_path / "clean" / "orders.parquet")) == len(purchases()) - void < len(purchases())


def test_what_was_sent_back_is_told_and_stays_a_purchase(tmp_path, proposed):
    told = "\n".join(proposed(*brands.shopify(tmp_path)).warnings)
    refunded = (tmp_path / "orders_export.csv").read_text().count(",refunded,")
    assert f"'Financial Status': {refunded} rows say refunded, and stay purchases." in told


def test_faults_are_told_with_their_figures(tmp_path, proposed):
    told = "\n".join(proposed(*brands.dirty(tmp_path)).warnings)
    for fault in (
        "12 of 594 rows (2.0%) are nobody's: no 'customer_id'",
        "7 of 594 rows (1.2%) have no usable 'time'",
        "such as 'free', in 'price'",
        "1 of 42 rows (2.4%) repeat an earlier 'customer_id'",
    ):
        assert fault in told


def test_what_sums_up_the_purchases_is_dropped_with_its_figure(tmp_path, proposed):
    reasons = proposed(*brands.crm_as_of_now(tmp_path)).reasons
    assert "whole log (correlation 1.00)" in reasons["customers.columns.visits"]
    assert (
        "total spend" in reasons["customers.columns.spent_so_far"]
        or "lines" in (reasons["customers.columns.spent_so_far"])
    )
    assert "who had left" in reasons["customers.columns.state"]


def test_the_tables_may_come_in_either_order(tmp_path, proposed):
    paths = brands.zeros_in_one(tmp_path)
    assert proposed(*paths).config == proposed(*reversed(paths)).config
