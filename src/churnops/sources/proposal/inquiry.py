"""What is said while a config is proposed: reasons, warnings, and questions only a person can answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from churnops.contracts.table import Query


@dataclass(frozen=True)
class Question:
    """A choice the data leave open. `key` is the place in the config it decides, such as `customers.id`."""

    key: str
    text: str
    options: tuple[str, ...]
    default: str
    """The likeliest of `options`."""
    why: str
    """What speaks for the default."""


@dataclass
class Remarks:
    """Collects what is said, in the order in which the choices are made."""

    answers: Mapping[str, str] = field(default_factory=dict)
    """What a person has answered, by the question's key."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a key of the config has its value, by the key's place, such as `transactions.amount`."""
    warnings: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    """Those not answered yet."""

    def because(self, key: str, reason: str) -> None:
        """Say why the config has what it has at `key`."""
        self.reasons[key] = reason

    def warn(self, text: str) -> None:
        """Say what a person should know before trusting the config; once is enough."""
        # Values of the data are quoted in it, and some would control the terminal.
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        if shown not in self.warnings:
            self.warnings.append(shown)

    def ask(self, question: Question) -> str:
        """The answer that was given, or else the default, with a warning that it was taken for granted."""
        answer = self.answers.get(question.key)
        if answer in question.options:
            return answer
        self.questions.append(question)
        self.warn(f"{question.text} Taken for granted: {question.default} ({question.why}).")
        return question.default


@dataclass(frozen=True)
class Inquiry:
    """What every choice is made with: the engine to ask the data, and what was said so far."""

    query: Query
    remarks: Remarks
    day_first: bool | None
    """Whether dates of these files that can be read in one way only have the day first; None if unknown."""

    def aside(self) -> "Inquiry":
        """The same with remarks of its own: for what is only tried."""
        return replace(self, remarks=Remarks(self.remarks.answers))
