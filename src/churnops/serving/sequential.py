"""A test one may look at after every observation, and stop by, without more false alarms than promised.

Each measure of a new model is compared with the old one's: d in [-1, 1], above 0 where the new one is worse.
The hypothesis is that all is well: whatever came before, the next d is at most the tolerance, in expectation.
A gambler who stakes the share s of their money on more than that has 1 + s (d - tolerance) times as much
afterwards, in expectation no more than before: a non-negative supermartingale, and so is the mean of such
fortunes over many shares and measures. It ever reaches 1 / alpha with a probability of at most alpha, however
often one looks (Ville's inequality). Where a measure is worse, some share makes a fortune quickly.

Sources: Ville, Étude critique de la notion de collectif (1939); Waudby-Smith and Ramdas, Estimating means of
bounded random variables by betting (JRSS B 86, 2024); for two samples, Shekhar and Ramdas, Nonparametric
two-sample testing by betting (IEEE Trans. Inf. Theory 70, 2024); for the mean of several fortunes, Vovk and
Wang, E-values: calibration, combination and applications (Ann. Statist. 49, 2021).
"""

from collections.abc import Sequence

import numpy as np

_STAKES_L = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9])
"""Small ones find small differences in the end, large ones find large differences at once."""


class SequentialTest:
    """The fortunes [K, L] of K measures and L stakes, as logarithms."""

    def __init__(self, tolerance_K: Sequence[float], weight_K: Sequence[float]) -> None:
        """`weight_K` is how the first stake is divided among the measures; it is made to sum to 1."""
        self._tolerance_K = np.asarray(tolerance_K, dtype=np.float64)
        self._log_weight_K1 = np.log(np.asarray(weight_K) / np.sum(weight_K))[:, None]
        # A stake is what may be lost at most, so that nobody can owe.
        self._share_KL = _STAKES_L / (1 + self._tolerance_K[:, None])
        self.log_wealth_KL = np.zeros(self._share_KL.shape)

    def add(self, d_K: np.ndarray) -> None:
        """One observation of every measure; NaN where there is none."""
        gain_K = np.nan_to_num(d_K - self._tolerance_K, nan=0.0)
        self.log_wealth_KL += np.log1p(self._share_KL * gain_K[:, None])

    @property
    def log_evidence(self) -> float:
        """The logarithm of the whole fortune: an alarm at `-log(alpha)`."""
        return float(np.logaddexp.reduce(self._weighed_K()))

    @property
    def worst(self) -> int:
        """The measure that made the most."""
        return int(np.argmax(self._weighed_K()))

    def _weighed_K(self) -> np.ndarray:
        log_share = self._log_weight_K1 - np.log(len(_STAKES_L))
        weighed_K: np.ndarray = np.logaddexp.reduce(self.log_wealth_KL + log_share, axis=1)
        return weighed_K
