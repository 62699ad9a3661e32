"""What outlives a process that runs a canary."""

import json
import math

import numpy as np
import pytest
from structlog.testing import capture_logs

from churnops.serving.canary import Place


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"{}",
        b'[{"a": 1}]',
        b"[" * 100_000,
        b"[[0.0]]",
        b"[[0.0], [0.0, 1.0]]",
        json.dumps([[math.nan] * 8] * 26).encode(),
        json.dumps([[-math.inf] * 8] * 26).encode(),
        json.dumps([[10**999] * 8] * 26).encode(),
        b"\xff",
    ],
    ids=range(10),
)
def test_how_a_test_stood_counts_as_not_there_where_it_is_damaged(kept, tmp_path):
    state = Place(tmp_path, "trial", 0)
    (tmp_path / "trial.0.json").write_bytes(kept)
    with capture_logs() as logs:
        assert state.wealth((26, 8)) is None
    assert len(logs) == 1
    state.keep_wealth(np.full((26, 8), 0.1))
    assert (state.wealth((26, 8)) == 0.1).all()
