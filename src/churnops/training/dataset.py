"""The dataset as arrays. Shapes: N rows, F numeric columns, C categorical columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from churnops.bundle.bundle import category_texts


@dataclass(frozen=True)
class Columns:
    """The features a model is given, by kind."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Customers as seen at an instant, and whether they left."""

    columns: Columns
    numeric_NF: npt.NDArray[np.float32]
    """NaN where missing."""
    categorical_NC: npt.NDArray[np.object_]
    """Text; '' where missing or blank."""
    churned_N: npt.NDArray[np.bool_]
    customer_id_N: npt.NDArray[np.object_]
    as_of_N: npt.NDArray[np.datetime64]
    """NaT in tables without dates."""
    horizon_days: int = 0
    """How far `churned` looks ahead; 0: nobody said."""

    def __len__(self) -> int:
        return self.churned_N.size

    def take(self, index_N: npt.NDArray[np.intp]) -> "Rows":
        """The rows at these places, in this order."""
        return Rows(
            self.columns,
            self.numeric_NF[index_N],
            self.categorical_NC[index_N],
            self.churned_N[index_N],
            self.customer_id_N[index_N],
            self.as_of_N[index_N],
            self.horizon_days,
        )


def read_rows(address: str, columns: Columns, *, horizon_days: int = 0) -> Rows:
    """Read a Parquet table of the contract DATASET."""
    names = ["customer_id", "as_of", "churned", *columns.numeric, *columns.categorical]
    return to_rows(pq.read_table(address, columns=names), columns, horizon_days=horizon_days)


def to_rows(table: pa.Table, columns: Columns, *, horizon_days: int = 0) -> Rows:
    """A table of the contract DATASET, column by column as one matrix of each kind."""
    numeric_NF = np.empty((table.num_rows, len(columns.numeric)), dtype=np.float32)
    categorical_NC = np.empty((table.num_rows, len(columns.categorical)), dtype=object)
    for j, name in enumerate(columns.numeric):
        with np.errstate(over="ignore"):  # what 32 bits cannot hold becomes infinite, and `apply` clips it
            numeric_NF[:, j] = table[name].cast(pa.float64(), safe=False).to_numpy()
    for j, name in enumerate(columns.categorical):
        categorical_NC[:, j] = category_texts(table[name].combine_chunks())
    return Rows(
        columns,
        numeric_NF,
        categorical_NC,
        churned_N=table["churned"].to_numpy(),
        customer_id_N=np.array(table["customer_id"].to_pylist(), dtype=object),
        as_of_N=table["as_of"].to_numpy().astype("datetime64[us]"),
        horizon_days=horizon_days,
    )
