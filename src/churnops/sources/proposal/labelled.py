"""A labelled table: one row a customer, or a customer and a date, with a column that says who left."""

from churnops.data_config import AttributeColumn, Customers, TimeColumn
from churnops.sources import mapping
from churnops.sources.proposal import names
from churnops.sources.proposal.inquiry import Inquiry
from churnops.sources.proposal.keys import find, id_format, uniqueness
from churnops.sources.proposal.label import label_of
from churnops.sources.proposal.leaks import known_afterwards
from churnops.sources.proposal.moments import format_of, moment
from churnops.sources.proposal.names import rank
from churnops.sources.proposal.profile import Column, Profile
from churnops.sources.proposal.roles import roles_of

_NAMED_FOR_IT = 2  # the rank of names that can only mean when the row was true
_FEWEST_DATES = 4  # fewer cannot be split into train, validation and test
_DIFFER = 0.02  # of the customers: fewer may be slips
_CROWDED = 0.2  # of all customers on an average date: purchases are never so regular


def read_labelled(table: Profile, label: Column, inquiry: Inquiry) -> Customers:
    """What to say of a labelled table."""
    panel = is_panel(table, find(table, "customers", inquiry.aside(), repeated=True))
    id_ = find(table, "customers", inquiry, repeated=panel)
    as_of = _as_of(table, id_, inquiry)
    said = label_of(label, table.rows, inquiry)
    taken = (id_, label.name, as_of.column if as_of else "")
    columns = roles_of(table, taken, inquiry)
    kept = [name for name, column in columns.items() if column.role != "dropped"]
    for name, reason in known_afterwards(table, said, kept, inquiry).items():
        columns[name] = AttributeColumn(role="dropped")
        inquiry.remarks.because(f"customers.columns.{name}", reason)
        inquiry.remarks.warn(f"'{name}' is dropped, as if known only once somebody left: {reason}.")
    return Customers(
        **table.source.model_dump(exclude={"id_format"}),
        id_format=id_format(table.columns[id_]) if id_ else "text",
        id=id_,
        as_of=as_of,
        label=said,
        columns=columns,
    )


def is_panel(table: Profile, id_: str) -> bool:
    """Whether many customers have a row on every date, as snapshots have and purchases do not."""
    if not id_:
        return False
    dates = [fit for column in table.columns.values() if _named(column) and (fit := moment(column))]
    return any(table.rows >= _CROWDED * table.columns[id_].distinct * fit.days for fit in dates)


def speaks_of_rows(table: Profile, id_: str, label: Column, inquiry: Inquiry) -> bool:
    """Whether a customer's rows differ in the label, so that it says of each row, not of the customer."""
    said, customer = mapping.present(table.field(label.name)), mapping.present(table.field(id_))
    trimmed = ", ".join(mapping.trimmed(table.field(name)) for name in (id_, label.name))
    sql = f"""
        with customers as (
            select count(distinct {said}) > 1 as differs from (select {trimmed} from staged)
            where {customer} is not null group by {customer})
        select count(*) as n_customers, count(*) filter (differs) as n_differ from customers
    """
    (found,) = inquiry.query(sql, {"staged": table.address}).to_pylist()
    return bool(found["n_differ"] >= _DIFFER * found["n_customers"])


def _named(column: Column) -> int:
    return rank(column.name, names.SNAPSHOT_TIME)


def _as_of(table: Profile, id_: str, inquiry: Inquiry) -> TimeColumn | None:
    repeats = bool(id_) and uniqueness(table.columns[id_]) < 1
    for column in sorted(table.columns.values(), key=lambda column: -_named(column)):
        fit = moment(column)
        if fit is None or _named(column) < (1 if repeats else _NAMED_FOR_IT) or fit.days == 1:
            continue
        if fit.days < _FEWEST_DATES:
            inquiry.remarks.warn(
                f"'{column.name}' has {fit.days} dates, too few to test on later ones than were learned from."
            )
            continue
        format_ = format_of(table, column.name, "customers.as_of", inquiry)
        inquiry.remarks.because("customers.as_of", f"{fit.days} dates: the split goes by time")
        return TimeColumn(column=column.name, format=format_)
    return None
