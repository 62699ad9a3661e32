"""A `Dataset` that makes tensors of one row, and a `DataLoader`."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from textbook import BATCH, EPOCHS


class RowByRow(Dataset[tuple[Tensor, Tensor]]):
    """What tutorials write."""

    def __init__(self, x_ND: np.ndarray, y_N: np.ndarray) -> None:
        self.x_ND = x_ND
        self.y_N = y_N

    def __len__(self) -> int:
        return len(self.y_N)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.x_ND[i]), torch.tensor(self.y_N[i])


def train(x_ND: np.ndarray, y_N: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """All epochs, whatever validation would say; what it makes of other rows."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Linear(x_ND.shape[1], 128), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = nn.BCEWithLogitsLoss()
    rows = RowByRow(x_ND, y_N)
    for _ in range(EPOCHS):
        for x_BD, y_B in DataLoader(rows, batch_size=BATCH, shuffle=True):
            optimiser.zero_grad()
            loss_of(network(x_BD).squeeze(1), y_B).backward()
            optimiser.step()
    network.eval()
    return lambda x_ND: network(torch.from_numpy(x_ND)).detach().squeeze(1).numpy()
