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


def reasons(
    bundle: Bundle, numeric_NF: np.ndarray, categorical_NC: np.ndarray, *, top: int = 3
) -> list[tuple[Reason, ...]]:
    """Of each row the `top` columns with the largest effects, the largest first; none without an effect.

    `manifest.reasons.base_score` and the effects of all columns add up to the score. Raises BundleError for a
    bundle without reasons.
    """
    effects_NX = bundle.effects(numeric_NF, categorical_NC)
    largest_NT = np.argsort(-np.abs(effects_NX), axis=1, kind="stable")[:, :top]
    numbers, inputs = len(bundle.manifest.numeric), bundle.manifest.inputs
    effects_NT = np.take_along_axis(effects_NX, largest_NT, axis=1).tolist()

    def reason(row: int, j: int, effect: float) -> Reason:
        value = _number(numeric_NF[row, j]) if j < numbers else categorical_NC[row, j - numbers] or None
        return Reason(inputs[j].name, inputs[j].text, value, effect)

    return [
        tuple(reason(row, j, effect) for j, effect in zip(columns, effects, strict=True) if effect)
        for row, (columns, effects) in enumerate(zip(largest_NT.tolist(), effects_NT, strict=True))
    ]


def _number(value: np.float32) -> float | None:
    """The shortest decimal that is this number in 32 bits: 0.3, and not 0.30000001."""
    return None if np.isnan(value) else float(str(np.float32(value)))
