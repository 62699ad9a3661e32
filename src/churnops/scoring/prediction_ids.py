"""The names of predictions: the same model, customer and instant give the same name every time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def prediction_ids(model_version: str, as_of: pa.Array, customer_id: pa.Array) -> pa.Array:
    """`model_version/as_of/customer_id`; of an instant at midnight only the day is written."""
    encoded = as_of.dictionary_encode()  # few instants, many rows
    starts = pa.array([f"{model_version}/{instant}/" for instant in _texts(encoded.dictionary)], pa.string())
    return pc.binary_join_element_wise(starts.take(encoded.indices), customer_id.cast(pa.string()), "")


def _texts(instants: pa.Array) -> list[str]:
    """Instants in UTC as ISO 8601 has them."""
    instant_N = instants.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    day_N = instant_N.astype("datetime64[D]")
    texts_N = np.where(day_N == instant_N, np.datetime_as_string(day_N), np.datetime_as_string(instant_N))
    return [str(text) for text in texts_N]
