"""Which columns a model leans on."""

import numpy as np

from churnops.evaluation.importance import importances


def test_only_the_columns_a_model_uses_are_important() -> None:
    rng = np.random.default_rng(0)
    numeric_NF = rng.normal(size=(500, 3)).astype(np.float32)
    categorical_NC = rng.choice(np.array(["a", "b"], dtype=object), size=(500, 2))

    def score(numeric_NF: np.ndarray, categorical_NC: np.ndarray) -> np.ndarray:
        return numeric_NF[:, 1] + 2.0 * (categorical_NC[:, 0] == "a")

    churned_N = rng.random(500) < 1 / (1 + np.exp(-score(numeric_NF, categorical_NC)))

    lost = importances(score, numeric_NF, categorical_NC, churned=churned_N)

    assert lost.shape == (5,)
    assert lost[[0, 2, 4]].tolist() == [0.0, 0.0, 0.0]
    assert (lost[[1, 3]] > 0.05).all()


def test_a_large_table_is_asked_about_by_a_sample() -> None:
    asked = []

    def score(numeric_NF: np.ndarray, _: np.ndarray) -> np.ndarray:
        asked.append(len(numeric_NF))
        return numeric_NF[:, 0].astype(float)

    rows = 30_000
    numeric_NF = np.arange(rows, dtype=np.float32).reshape(-1, 1)
    importances(score, numeric_NF, np.empty((rows, 0), dtype=object), churned=np.arange(rows) % 2 == 0)

    assert set(asked) == {20_000}
