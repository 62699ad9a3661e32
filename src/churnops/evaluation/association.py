"""What one column alone tells about the label, and whether it tells anything else.

A column is an array of floats (NaN missing) or of strings (None missing).
Array names end in their axes: N rows, L levels, K folds, W witnesses.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import rankdata

from churnops.evaluation.metrics import Array, auc_of

Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]
Index = npt.NDArray[np.intp]
Labels = npt.NDArray[np.bool_]

_FOLDS = 5
_SEED = 86_243_619  # nobody's: tables made up with a customary seed would be tied to the folds
_BANDS = 64  # of equal count: fine enough to follow any bend, coarse enough to be learnt from 1,000 rows
_SHRINK_ROWS = 20.0  # a level counts as if so many more rows with everyone's churn rate were in it
_LEAST_TIE = 0.003
_STANDARD_ERRORS = 5.0


def folds(customer_id: npt.NDArray[np.object_]) -> Index:
    """A fold per row, the same for all rows of one customer."""
    code_N = levels(customer_id)
    return np.asarray(np.random.default_rng(_SEED).integers(_FOLDS, size=int(code_N.max()) + 1)[code_N])


def levels(column: Column) -> Index:
    """A code per row: each string its own, numbers in up to 64 bands; missing is a level like any other."""
    if column.dtype == object:
        encoded = pa.array(column, from_pandas=True).dictionary_encode()
        codes = encoded.indices.fill_null(len(encoded.dictionary))
        return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.intp)
    missing = np.isnan(column)
    known = column[~missing].astype(np.float64)
    if known.size == 0:
        return np.zeros(column.size, dtype=np.intp)
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, _BANDS + 1)[1:-1]))
    return np.where(missing, edges.size + 1, np.searchsorted(edges, column, side="right"))


def level_counts(churned: Labels, column: Column) -> Iterator[tuple[str, int, int]]:
    """What may be said of a row, how many rows it is true of, and how many of these churned.

    That a value is there, that it is missing, each value, and that it is another than the commonest.
    """
    present = np.asarray(pa.array(column, from_pandas=True).is_valid().to_numpy(zero_copy_only=False))
    yield "present", int(present.sum()), int((present & churned).sum())
    yield "missing", int((~present).sum()), int((~present & churned).sum())
    values, code_N = np.unique(column[present], return_inverse=True)
    if values.size:
        rows_L = np.bincount(code_N)
        churned_L = np.bincount(code_N, churned[present]).astype(np.intp)
        commonest = rows_L.argmax()
        others, others_churned = rows_L.sum() - rows_L[commonest], churned_L.sum() - churned_L[commonest]
        yield f"other than {values[commonest]}", int(others), int(others_churned)
        for value, rows, churned_rows in zip(values, rows_L, churned_L, strict=True):
            yield str(value), int(rows), int(churned_rows)


def out_of_fold_rate(churned: Labels, level_N: Index, fold_N: Index) -> Array:
    """The churn rate of each row's level in the other folds, shrunk towards everyone's.

    A level that lives in one fold gets everyone's rate, so a column of unique values tells nothing.
    """
    n_levels = int(level_N.max()) + 1
    cell_N = fold_N * n_levels + level_N
    rows_KL = np.bincount(cell_N, minlength=_FOLDS * n_levels).reshape(_FOLDS, n_levels)
    churned_KL = np.bincount(cell_N, churned, minlength=_FOLDS * n_levels).reshape(_FOLDS, n_levels)
    rows_KL, churned_KL = rows_KL.sum(axis=0) - rows_KL, churned_KL.sum(axis=0) - churned_KL
    rate_KL = (churned_KL + _SHRINK_ROWS * float(churned.mean())) / (rows_KL + _SHRINK_ROWS)
    return np.asarray(rate_KL[fold_N, level_N])


def auc_alone(churned: Labels, column: Column, fold_N: Index) -> float:
    """The AUC of the column alone: its order in either direction, or its levels' churn rates out of fold."""
    by_level = auc_of(churned, out_of_fold_rate(churned, levels(column), fold_N))
    if column.dtype == object or np.isnan(column).all():
        return by_level
    by_order = auc_of(churned, np.where(np.isnan(column), float(np.nanmin(column)) - 1.0, column))
    return max(by_level, by_order, 1.0 - by_order)


def witnesses(churned: Labels, columns: Iterable[Column], fold_N: Index) -> Array:
    """What `columns` say of each row, as ranks: its churn rate out of fold and, for numbers, its value."""
    said = [np.empty((churned.size, 0))]
    for column in columns:
        said.append(rankdata(out_of_fold_rate(churned, levels(column), fold_N))[:, None])
        if column.dtype != object:
            said.append(rankdata(np.where(np.isnan(column), -np.inf, column))[:, None])
    return np.concatenate(said, axis=1)


def knows_only_the_label(churned: Labels, rate_N: Array, *, witness_NW: Array, fold_N: Index) -> bool:
    """Whether what a column says is unrelated to all witnesses, both among the churned and among the stayed.

    A noisy copy of the label looks so, however well the other columns predict. What customers do by
    themselves is tied to something else they do: even between independent causes of churn, knowing the
    label makes a tie. Measured: witnesses explain at most 0.3 % of a planted copy in 2,500 to 25,000 rows
    (3 standard errors) and 16 % to 97 % of the strongest real columns. Below 2,000 rows a tie may stay
    unseen in tables whose columns were made up independently.
    """
    # Rates out of fold share what their fold leaves out: only differences within a fold count.
    cell_N = churned * _FOLDS + fold_N
    place_N = _within(cell_N, rankdata(rate_N))  # as rates, a few extreme ones would drown the rest
    total = float(place_N @ place_N)
    if total == 0.0 or witness_NW.shape[1] == 0:
        return True
    known_NW = np.stack([_within(cell_N, witness_N) for witness_N in witness_NW.T], axis=1)
    known_NW /= np.maximum(known_NW.std(axis=0), np.finfo(np.float32).eps)
    # The normal equations, since rows are many and columns few; directions that hardly differ are one.
    shared_W = known_NW.T @ place_N
    weight_W, _, rank, _ = np.linalg.lstsq(known_NW.T @ known_NW, shared_W, rcond=1e-8)
    rows = churned.size - 2 * _FOLDS
    unexplained = 1.0 - float(weight_W @ shared_W) / total
    tie = 1.0 - unexplained * rows / max(rows - int(rank), 1)
    return tie < max(_LEAST_TIE, _STANDARD_ERRORS * float(np.sqrt(2.0 * rank)) / rows)


def _within(cell_N: Index, value_N: Array) -> Array:
    """Each value less its cell's mean."""
    mean_L = np.bincount(cell_N, value_N) / np.maximum(np.bincount(cell_N), 1)
    return np.asarray(value_N - mean_L[cell_N])
