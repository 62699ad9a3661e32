"""Exports in the styles of many brands, made up: small, the same every time. Each function writes one."""

import datetime as dt
import gzip
from pathlib import Path
from random import Random

import pyarrow as pa
from exports import export, export_parquet
from made_tables import labelled_rows, lines, purchases

COUNTRIES = ("United Kingdom", "France", "Germany")
BANDS = ("18-24", "25-34", "35-44", "45-54", "55+")


def online_retail(folder: Path) -> list[Path]:
    """Lines of invoices; ids read as floats and some blank; a C before the numbers of cancellations."""
    random, rows = Random(3), []
    for i, (customer, moment) in enumerate(purchases()):
        cancelled = random.random() < 0.02
        who = "" if random.random() < 0.1 else f"{12346 + customer}.0"
        for line in range(random.randrange(1, 4)):
            rows.append(
                [
                    f"{'C' if cancelled else ''}{536365 + i}",
                    f"{85123 + (i + line) % 30}A",
                    '"HEART, WHITE"',
                    random.randrange(1, 20) * (-1 if cancelled else 1),
                    f"{moment.day}/{moment.month}/{moment.year} {moment.hour}:{moment:%M}",
                    f"{random.uniform(0.5, 9):.2f}",
                    who,
                    COUNTRIES[customer % 3],
                ]
            )
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    return [export(folder / "online_retail.csv", *lines(header, rows))]


def olist(folder: Path) -> list[Path]:
    """Orders with five times, and customers whose id of the order differs from that of the person."""
    random = Random(4)
    bought = purchases()
    orders = [
        [
            f"o{i:08x}",
            f"{customer * 7919 + 10**6:x}",
            "canceled" if random.random() < 0.02 else "delivered",
            moment,
            moment + dt.timedelta(minutes=12),
            moment + dt.timedelta(days=2),
            (moment + dt.timedelta(days=9)).replace(hour=0, minute=0),
            f"{random.uniform(9, 300):.2f}",
        ]
        for i, (customer, moment) in enumerate(bought)
    ]
    header = (
        "order_id,customer_unique_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_customer_date,order_estimated_delivery_date,payment_value"
    )
    people = [[f"{c * 7919 + 10**6:x}", 1000 + c * 37, f"city {c % 9}", "SP"] for c in range(45)]
    columns = "customer_unique_id,customer_zip_code_prefix,customer_city,customer_state"
    return [
        export(folder / "olist_customers.csv", *lines(columns, people)),
        export(folder / "olist_orders.csv", *lines(header, orders)),
    ]


def german(folder: Path) -> list[Path]:
    """Semicolons, decimal commas, days first with points, cp1252."""
    random = Random(5)
    rows = [
        [
            f"{customer:05d}",
            f"R{i:06d}",
            f"{moment:%d.%m.%Y}",
            f"{random.uniform(900, 2000):,.2f}".translate(str.maketrans(",.", ".,")),
            random.choice(["Bücher", "Möbel", "Küche"]),
        ]
        for i, (customer, moment) in enumerate(purchases())
    ]
    header = "Kundennummer;Rechnungsnr;Kaufdatum;Umsatz (€);Warengruppe"
    people = [
        [f"{c:05d}", random.choice(["Herr", "Frau"]), f"{c % 28 + 1:02d}.03.19{60 + c % 40}", f"0{1067 + c}"]
        for c in range(42)
    ]
    columns = "Kundennummer;Anrede;Geburtsdatum;PLZ"
    return [
        export(folder / "Kunden.csv", *lines(columns, people, ";"), encoding="cp1252", end="\r\n"),
        export(folder / "Käufe.csv", *lines(header, rows, ";"), encoding="cp1252", end="\r\n"),
    ]


def american(folder: Path) -> list[Path]:
    """Months first, am and pm, dollars with thousands separators, quoted."""
    random = Random(6)
    rows = [
        [
            1000 + customer,
            f"{moment.month}/{moment.day}/{moment.year} {moment:%I:%M:%S %p}",
            f'"${random.uniform(900, 2000):,.2f}"',
            f"{random.randrange(0, 30)}%",
        ]
        for customer, moment in purchases()
    ]
    return [export(folder / "sales.csv", *lines("Customer #,Sale Date,Sale Amount,Discount %", rows))]


def app_events(folder: Path) -> list[Path]:
    """Seconds since 1970, of which only some events are purchases."""
    random, rows = Random(7), []
    for customer, moment in purchases():
        seconds = int(moment.replace(tzinfo=dt.UTC).timestamp())
        rows += [
            [seconds - 300 * n, f"u_{customer:04x}", kind, f"{1.99 * n:.2f}"]
            for n, kind in enumerate(["purchase", "cart", "view"][: random.randrange(1, 4)])
        ]
    rows = [
        [at, who, kind, f"{random.uniform(1, 9):.2f}" if kind == "purchase" else ""]
        for at, who, kind, _ in rows
    ]
    return [export(folder / "events.csv", *lines("event_time,user_id,event_type,price", rows))]


def shopify(folder: Path) -> list[Path]:
    """Several lines an order, of which only the first has the order's total, offsets on the times."""
    random, rows = Random(8), []
    for i, (customer, moment) in enumerate(purchases()):
        status = random.choices(["paid", "refunded", "voided"], [95, 3, 2])[0]
        for line in range(random.randrange(1, 4)):
            first = line == 0
            rows.append(
                [
                    f"#{1001 + i}",
                    f"buyer{customer}@example.org",
                    status if first else "",
                    f"{moment:%Y-%m-%d %H:%M:%S} -0500",
                    f"{random.uniform(20, 200):.2f}" if first else "",
                    random.randrange(1, 4),
                    f"Thing {random.randrange(9)}",
                    f"{random.uniform(5, 50):.2f}",
                ]
            )
    header = "Name,Email,Financial Status,Created at,Total,Lineitem quantity,Lineitem name,Lineitem price"
    return [export(folder / "orders_export.csv", *lines(header, rows))]


def zeros_in_one(folder: Path) -> list[Path]:
    """Ids with leading zeros among customers, and without among the purchases of half of them."""
    people = [[f"{c:06d}", "ab"[c % 2], BANDS[c % 5], c % 2 == 0] for c in range(60)]
    bought = [[customer, moment.date(), 10 + i % 7] for i, (customer, moment) in enumerate(purchases())]
    return [
        export(folder / "crm.csv", *lines("customer_id,segment,age_group,newsletter", people)),
        export(folder / "till.csv", *lines("cust_no,date,amount", bought)),
    ]


def typed(folder: Path) -> list[Path]:
    """Parquet: times with a zone, exact money, whole ids, and flags for lines sent back."""
    bought = purchases()
    moments = [moment.replace(tzinfo=dt.UTC) for _, moment in bought]
    table = export_parquet(
        folder / "tx.parquet",
        member_id=pa.array([customer for customer, _ in bought], pa.int64()),
        purchased_at=pa.array(moments, pa.timestamp("ns", tz="America/New_York")),
        net_amount=pa.array([1.5 + i % 9 for i in range(len(bought))], pa.float32()),
        is_void=pa.array([i % 40 == 0 for i in range(len(bought))]),
    )
    return [table]


def parted(folder: Path) -> list[Path]:
    """A folder of packed files, one a month, with a mark of byte order in each, and lines repeated."""
    found: dict[str, list[str]] = {}
    for i, (customer, moment) in enumerate(purchases()):
        line = f"{customer},{moment:%Y-%m-%dT%H:%M:%SZ},{5 + i % 11}.50,t{i}"
        found.setdefault(f"{moment:%Y-%m}", []).extend([line] * (2 if i % 20 == 0 else 1))
    for month, listed in found.items():
        path = folder / "orders" / f"orders_{month}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(["client_id,ts,total,transaction_id", *listed]) + "\n"
        path.write_bytes(gzip.compress(text.encode("utf-8-sig"), mtime=0))
    return [folder / "orders"]


def odd_names(folder: Path) -> list[Path]:
    """Columns named with blanks, quotation marks, points, umlauts and more."""
    rows = [
        [customer, moment, f"{7 + i % 13}.25", "abc"[i % 3]]
        for i, (customer, moment) in enumerate(purchases())
    ]
    return [
        export(
            folder / "odd.csv",
            *lines('"Customer ""No.""",order.date,"Größe [€] amount 💶",Item Category', rows),
            encoding="utf-16",
        )
    ]


def ambiguous(folder: Path) -> list[Path]:
    """Purchases in the first twelve days of months only, in no order: days and months may be swapped."""
    rows = [
        [customer, f"{moment:%d/%m/%Y}", 5 + i % 9]
        for i, (customer, moment) in enumerate(purchases(120))
        if moment.day <= 12
    ]
    Random(9).shuffle(rows)
    return [export(folder / "unclear.csv", *lines("customer_id,date,amount", rows))]


def subscriptions(folder: Path) -> list[Path]:
    """Contracts with a status, when they ended and why: known only of those that ended."""
    rows = []
    for i, random, gone in labelled_rows():
        start = dt.date(2019, 1, 1) + dt.timedelta(days=random.randrange(700))
        end = (start + dt.timedelta(days=200)) if gone else ""
        why = random.choice(["price", "moved", "other"]) if gone else ""
        plan = random.choice(["basic", "pro"])
        rows.append([f"S{i:04d}", plan, start, "cancelled" if gone else "active", end, why])
    header = "subscription_id,plan,start_date,status,end_date,cancellation_reason"
    return [export(folder / "subscriptions.csv", *lines(header, rows))]


def wide(folder: Path) -> list[Path]:
    """One labelled row a customer and every sort of column."""
    rows = []
    for i, random, gone in labelled_rows(400):
        rows.append(
            [
                i,
                f"{20000 + i * 7:06d}",
                "" if random.random() < 0.03 else "left" if gone else "stayed",
                BANDS[i % 5],
                f"{random.randrange(1, 99999):05d}",
                f'"{" ".join(random.choices(["no", "good", "bad", "late", "box"], k=12))}"',
                "EU",
                "",
                random.choice(["True", "False"]),
                f'"$1,{random.randrange(100, 999)}.50"',
                f"{random.randrange(100)}%",
                random.choice(["Yes", "No", ""]),
                " " if random.random() < 0.1 else f"{random.uniform(1, 9):.3f}",
                random.randrange(1, 13),
                "2020-05-01" if gone else "",
                f"{random.randrange(1, 28):02d}/{random.randrange(1, 13):02d}/{random.randrange(1950, 2000)}",
            ]
        )
    header = (
        "row,Member Number,outcome,age band,zip code,last comment,region,fax,opt in,yearly income,"
        "usage share,has app,avg session,favourite month,exit_date,date of birth"
    )
    return [export(folder / "members.csv", *lines(header, rows))]


def panel(folder: Path) -> list[Path]:
    """A row a customer and month, who churned in it."""
    rows = []
    for i, random, gone in labelled_rows(80):
        for month in range(1, 11 if not gone else random.randrange(3, 10)):
            rows.append([i, f"2021-{month:02d}", random.randrange(9), 0])
        rows[-1][-1] = int(gone)
    return [export(folder / "panel.csv", *lines("customer_id,month,tickets,churned", rows))]


def two_words(folder: Path, column: str, *, gone: str, stayed: str) -> list[Path]:
    """A small labelled table whose label is `column`, in the words `gone` and `stayed`."""
    rows = [[f"k{i}", random.randrange(90), gone if left else stayed] for i, random, left in labelled_rows()]
    return [export(folder / "people.csv", *lines(f"id,minutes,{column}", rows))]


def crm_as_of_now(folder: Path) -> list[Path]:
    """Customers of whom the export says what they bought until it was made, beside those purchases."""
    bought = purchases()
    rows = []
    for c in range(40):
        mine = [moment for customer, moment in bought if customer == c]
        rows.append(
            [
                f"K{c:03d}",
                (mine[0] - dt.timedelta(days=3)).date(),
                dt.date(1960 + c, 3, 5),
                "silver" if c % 3 else "gold",
                mine[-1].date(),
                len(mine),
                len(mine) * 20 + c % 3,
                "active" if (bought[-1][1] - mine[-1]).days < 40 else "lapsed",
            ]
        )
    header = "client_no,member_since,birth_date,tier,last_purchase_date,visits,spent_so_far,state"
    orders = [[f"K{customer:03d}", moment, 20] for customer, moment in bought]
    return [
        export(folder / "crm.csv", *lines(header, rows)),
        export(folder / "sales.csv", *lines("client_no,sold_at,amount", orders)),
    ]


def dirty(folder: Path) -> list[Path]:
    """One fault of each kind, many of some: no id, no time, words for amounts, customers twice."""
    random = Random(10)
    bought = [
        [
            "" if i % 50 == 0 else f"{customer:03d}",
            "" if i % 97 == 0 else f"{moment:%Y-%m-%d %H:%M}",
            "n/a" if i % 31 == 0 else "free" if i % 71 == 0 else f"{random.uniform(2, 9):.2f}",
        ]
        for i, (customer, moment) in enumerate(purchases())
    ]
    people = [[f"{c:03d}", "fm"[c % 2], "unknown" if c == 7 else 20 + c] for c in range(41)]
    people.append(["003", "m", 99])
    return [
        export(folder / "people.csv", *lines("customer_id,sex,age", people)),
        export(folder / "buys.csv", *lines("customer_id,time,price", bought)),
    ]
