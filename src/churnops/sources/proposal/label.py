"""Which column of a labelled table says who left, and which of its words mean so."""

from dataclasses import replace

from churnops.data_config import Label
from churnops.sources import mapping
from churnops.sources.proposal.inquiry import Inquiry, Question
from churnops.sources.proposal.names import LABEL, OF_A_CUSTOMER, rank, says_gone
from churnops.sources.proposal.profile import Column, Profile

_MOST_WORDS = 10
_FILLED = 0.5
_SLIPS = 0.05  # of the rows, with a word that is neither of two others: yes and no
_NEUTRAL = 1  # the rank of label names that may as well mean something else
_YES = frozenset({"1", "1.", "yes", "y", "t", "true.", "ja", "j", "si", "sí", "oui", "sim", "tak"})
_NO = frozenset({"0", "0.", "no", "n", "f", "false.", "nein", "non", "nee", "não", "nao", "nie", "-1"})


def label_column(table: Profile) -> Column | None:
    """The column whose name and values say most surely who left."""
    options = [
        column for column in table.columns.values() if _may_be_label(_without_slips(column), table.rows)
    ]
    return max(options, key=lambda column: rank(column.name, LABEL), default=None)


def almost_labels(table: Profile) -> list[str]:
    """In words, the columns named like a label whose values cannot be one, and what to do about each."""
    return [
        f"'{column.name}' is named like one, and holds {_listed(column)}: {_way_out(column)}"
        for column in table.columns.values()
        if rank(column.name, LABEL) > _NEUTRAL and column.present
    ]


def is_of_customers(column: Column) -> bool:
    """Whether the label speaks of customers or contracts, by its name or its words, and not of purchases."""
    said = {says_gone(value) for value, _ in column.levels}
    return bool(rank(column.name, OF_A_CUSTOMER)) or {True, False} <= said


def label_of(column: Column, rows: int, inquiry: Inquiry) -> Label:
    """Which words of the label mean that a customer left; asked for where neither they nor its name say."""
    column = _without_slips(column)
    words = tuple(value for value, _ in column.levels)
    churned, why = _churned(column, inquiry)
    stayed = tuple(word for word in words if word not in churned)
    unclear = [word for word in stayed if len(words) > 2 and says_gone(word) is None]
    if unclear:
        inquiry.remarks.warn(f"'{column.name}': {', '.join(unclear)} counted as having stayed.")
    n_churned = sum(n for value, n in column.levels if value in churned)
    if n_churned > column.present / 2:
        inquiry.remarks.warn(
            f"'{column.name}' says that {n_churned / column.present:.0%} left: make sure that"
            f" {', '.join(churned)} means having left, and not having stayed."
        )
    blank = f", {rows - column.present} rows without a label" if column.present < rows else ""
    inquiry.remarks.because("customers.label", f"{n_churned / column.present:.1%} left; {why}{blank}")
    return Label(column=column.name, churned=churned, stayed=stayed)


def _without_slips(column: Column) -> Column:
    """A column of yes and no without the few rows that say something else."""
    known = tuple((word, n) for word, n in column.levels if mapping.as_word(word) in _YES | _NO)
    slips = column.present - sum(n for _, n in known)
    rest = replace(column, levels=known, distinct=len(known), present=column.present - slips)
    return rest if 0 < slips <= _SLIPS * column.present and _are_yes_and_no(rest) else column


def _listed(column: Column) -> str:
    if len(column.levels) < column.distinct or column.distinct > _MOST_WORDS:
        return f"{column.distinct} different values"
    words = ", ".join(f"'{word}' ({n} rows)" for word, n in column.levels)
    return f"only {words}" if column.distinct == 1 else words


def _way_out(column: Column) -> str:
    if column.distinct == 1:
        return "add the customers of whom it says otherwise, since both kinds are learned from"
    return "let it say yes of who left and no of who stayed"


def _may_be_label(column: Column, rows: int) -> bool:
    few = 2 <= column.distinct <= _MOST_WORDS and len(column.levels) == column.distinct
    if not few or not rank(column.name, LABEL) or column.present < _FILLED * rows:
        return False
    said = {says_gone(value) for value, _ in column.levels}
    if column.distinct == 2:
        return "status" not in column.name.lower() or said & {True, False} != set() or _are_yes_and_no(column)
    return True in said and said != {True}


def _are_yes_and_no(column: Column) -> bool:
    words = {mapping.as_word(value) for value, _ in column.levels}
    return len(words & _YES) == 1 and len(words & _NO) == 1


def _churned(column: Column, inquiry: Inquiry) -> tuple[tuple[str, ...], str]:
    """The words for having left, and why these."""
    words = tuple(value for value, _ in column.levels)
    said = {word: says_gone(word) for word in words}
    gone = tuple(word for word in words if said[word])
    if gone and len(gone) < len(words):
        return gone, "the words say so"
    if len(words) == 2 and False in said.values() and None in said.values():
        return tuple(word for word in words if said[word] is None), "the other word means having stayed"
    by_name = says_gone(column.name)
    if _are_yes_and_no(column) and by_name is not None:
        meaning = _YES if by_name else _NO
        churned = tuple(word for word in words if mapping.as_word(word) in meaning)
        return churned, "the column is named for leaving" if by_name else "the column is named for staying"
    return _asked(column, inquiry)


def _asked(column: Column, inquiry: Inquiry) -> tuple[tuple[str, ...], str]:
    words = tuple(value for value, _ in column.levels)
    if _are_yes_and_no(column):
        default, why = (
            next(word for word in words if mapping.as_word(word) in _YES),
            "yes is usually what is asked for",
        )
    else:
        default, why = column.levels[-1][0], "it is the rarer"
    answer = inquiry.remarks.ask(
        Question(
            key="customers.label.churned",
            text=f"Which word in '{column.name}' means that a customer has left?",
            options=words,
            default=default,
            why=why,
        )
    )
    return (answer,), "as answered" if "customers.label.churned" in inquiry.remarks.answers else why
