"""`compile` and `fit`."""

from collections.abc import Callable

import keras
import numpy as np

from textbook import BATCH, EPOCHS


def train(x_ND: np.ndarray, y_N: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """All epochs, whatever validation would say; what it makes of other rows."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((x_ND.shape[1],)),
            *(layers.Dense(128, activation="relu"), layers.Dropout(0.2)),
            *(layers.Dense(64, activation="relu"), layers.Dense(1, activation="sigmoid")),
        ]
    )
    network.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
    network.fit(x_ND, y_N, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return lambda x_ND: network.predict(x_ND, batch_size=65_536, verbose=0)[:, 0]
