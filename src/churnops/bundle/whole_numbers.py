"""Whole numbers of Arrow as NumPy has them, without pandas, which takes 40 MB."""

import numpy as np
import pyarrow as pa


def whole_numbers(numbers: pa.Array, *, null: int) -> np.ndarray:
    """The numbers, or truths, in 64 bits, with `null` for null.

    Where pandas is installed, Arrow loads it for `to_numpy`, and for each value of Python's that it is given.
    """
    wide = numbers.cast(pa.int64())
    if wide.null_count:
        wide = wide.fill_null(pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(np.array([null]))])[0])
    number_N: np.ndarray = np.from_dlpack(wide)
    return number_N
