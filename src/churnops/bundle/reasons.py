"""Why a customer has a score: the columns that move it most, in words."""

from dataclasses import dataclass

import numpy as np

from churnops.bundle.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Reason:
    """One column's part in a score."""

    column: str
    text: str
    """What the column is, in words for people."""
    value: float | str | None
    """The customer's; None: missing."""
    effect: float
    """What it adds to the score: above 0 towards leaving, below towards staying."""


@dataclass(frozen=True, slots=True)
class Largest:
    """Of each row the columns with the largest effects, the largest first: [N, T] each, T at most of them."""

    column_NT: np.ndarray
    """Which of `manifest.inputs`."""
    effect_NT: np.ndarray
    """0 where no further column moves the score."""
    other_N: np.ndarray
    """What all other columns add together."""


def largest(bundle: Bundle, numeric_NF: np.ndarray, categorical_NC: np.ndarray, *, top: int) -> Largest:
    """The `top` largest effects, fewer where the model has fewer columns.

    With `manifest.reasons.base_score` they and the others add up to the score. Raises BundleError for a
    bundle without reasons.
    """
    effects_NX = bundle.effects(numeric_NF, categorical_NC)
    column_NT = np.argsort(-np.abs(effects_NX), axis=1, kind="stable")[:, :top]
    effect_NT = np.take_along_axis(effects_NX, column_NT, axis=1)
    return Largest(column_NT, effect_NT, effects_NX.sum(axis=1) - effect_NT.sum(axis=1))


def reasons(
    bundle: Bundle, numeric_NF: np.ndarray, categorical_NC: np.ndarray, *, top: int = 3
) -> list[tuple[Reason, ...]]:
    """Of each row the `largest`, but for columns without an effect; raises as that does."""
    found = largest(bundle, numeric_NF, categorical_NC, top=top)
    numbers, inputs = len(bundle.manifest.numeric), bundle.manifest.inputs

    def reason(row: int, j: int, effect: float) -> Reason:
        value = _number(numeric_NF[row, j]) if j < numbers else categorical_NC[row, j - numbers] or None
        return Reason(inputs[j].name, inputs[j].text, value, effect)

    return [
        tuple(reason(row, j, effect) for j, effect in zip(columns, effects, strict=True) if effect)
        for row, (columns, effects) in enumerate(
            zip(found.column_NT.tolist(), found.effect_NT.tolist(), strict=True)
        )
    ]


def _number(value: np.float32) -> float | None:
    """The shortest decimal that is this number in 32 bits: 0.3, and not 0.30000001."""
    return None if np.isnan(value) else float(str(np.float32(value)))
