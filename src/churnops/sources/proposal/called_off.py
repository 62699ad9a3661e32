"""Marks of purchases that did not happen: called off, or never more than a look into the shop."""

import re

from churnops.data_config import Cancelled
from churnops.sources import mapping
from churnops.sources.proposal import names
from churnops.sources.proposal.lines import Log
from churnops.sources.proposal.moments import moment
from churnops.sources.proposal.names import plain
from churnops.sources.proposal.profile import Column

_CANCELLED = (
    r"cancel|(^|_)void|storn|annul|fail|declin|reject|abandon|unpaid|not_paid|denied|unavailable|abgebrochen"
    r"|expired"
)
_BOUGHT = r"^(purchased?|order(ed)?|sales?|sold|buy|bought|transactions?|kauf|gekauft|checkout_completed?)$"
_LOOKED = r"view|click|cart|search|impression|wish|visit|log_?in|log_?out|sign_?up|session|scroll|page|browse"
_RETURNED = r"return|refund|retour|gutschrift|credit"
_YES = ("1", "yes", "y", "true", "t", "ja", "j")
_MOSTLY = 0.95


def called_off(log: Log, amount: str) -> Cancelled | None:
    """The mark of lines that are no purchases; lines of negative `amount`, SQL, are returns."""
    for column in log.free(names.STATUS):
        found = _of_time(column) or _of_words(log, column, amount)
        if found:
            told = ", ".join(found.values) or f"values that begin with {found.prefix}"
            whole = _is_of_first_lines(log, column, found)
            more = "; a line without a mark goes with the others of its order" if whole else ""
            log.because("cancelled", f"not purchases: {told}{more}")
            return found.model_copy(update={"whole_order": whole})
    return _of_order_number(log, amount)


def _is_of_first_lines(log: Log, column: Column, mark: Cancelled) -> bool:
    """Whether every order has one line with a value, and other lines without."""
    if not mark.values or column.present == log.table.rows:
        return False
    found = log.count(
        f""", orders as (
            select count(*) as n_lines, count(status) as n_marked from lines
            where customer is not null group by customer, {"purchase" if log.order else "moment"})
        select count(*) as n_orders, count(*) filter (where n_marked = 1) as n_firsts,
               count(*) filter (where n_lines > 1) as n_several from orders""",
        status=mapping.present(log.table.field(column.name)),
    )
    return bool(found["n_several"] and found["n_firsts"] >= _MOSTLY * found["n_orders"])


def _of_time(column: Column) -> Cancelled | None:
    """A time of cancelling, blank for all others; times of one century begin alike."""
    fit = moment(column)
    if fit is None or "cancel" not in plain(column.name) or column.kind != "text" or fit.format[:2] != "%Y":
        return None
    century = f"{fit.first.year // 100}"
    return (
        Cancelled(column=column.name, prefix=century)
        if fit.last.year // 100 == fit.first.year // 100
        else None
    )


def _of_words(log: Log, column: Column, amount: str) -> Cancelled | None:
    words = {value: plain(value) for value, _ in column.levels}
    if len(words) < column.distinct:  # too many to be a status
        return None
    if re.search(_CANCELLED, plain(column.name)):
        marks = [value for value in words if mapping.as_word(value) in _YES]
    else:
        marks = [value for value, word in words.items() if re.search(_CANCELLED, word)]
        if any(re.search(_BOUGHT, word) for word in words.values()):
            marks += [value for value, word in words.items() if re.search(_LOOKED, word)]
    returned = [value for value, word in words.items() if re.search(_RETURNED, word) and value not in marks]
    if "status" not in plain(column.name):
        marks += [value for value in returned if _is_positive(log, column, value, amount=amount)]
    elif returned:  # what was paid and refunded later was a purchase
        rows = sum(n for value, n in column.levels if value in returned)
        log.warn(f"'{column.name}': {rows} rows say {', '.join(returned)}, and stay purchases.")
    some_are_not = len(marks) < len(words) or column.present < log.table.rows
    return Cancelled(column=column.name, values=tuple(marks)) if marks and some_are_not else None


def _is_positive(log: Log, column: Column, value: str, *, amount: str) -> bool:
    """Whether lines so marked have money like purchases, so that nothing else tells them apart."""
    found = log.rows(
        "select mark, count(amount) as n_amounts, count(*) filter (where amount > 0) as n_positive"
        " from lines group by mark",
        mark=mapping.text(log.table.field(column.name)),
        amount=amount,
    )
    return any(
        row["n_positive"] >= max(1, _MOSTLY * row["n_amounts"]) for row in found if row["mark"] == value
    )


def _of_order_number(log: Log, amount: str) -> Cancelled | None:
    """Digits with a C in front: some shops number cancellations so."""
    if not log.order:
        return None
    found = log.count(
        """, numbers as (
            select amount, regexp_full_match(purchase, '[0-9]+') as is_plain,
                   regexp_full_match(purchase, '[Cc][0-9]+') as is_marked from lines)
        select count(*) filter (where is_plain) as n_plain, count(*) filter (where is_marked) as n_marked,
               count(*) filter (where is_marked and amount < 0) as n_negative from numbers""",
        amount=amount,
    )
    if not 0 < found["n_marked"] < found["n_plain"]:
        return None
    if found["n_negative"] >= _MOSTLY * found["n_marked"]:
        log.because(
            "cancelled",
            f"none: the {found['n_marked']} lines with C before the order number are negative, so returns",
        )
        return None
    log.because("cancelled", f"{found['n_marked']} lines have a C before the order number")
    return Cancelled(column=log.order, prefix="C")
