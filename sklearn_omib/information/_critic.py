"""The network T(x, y) that tells pairs from shuffled pairs."""

from __future__ import annotations

import torch
from torch import nn

from .._typing import Array
from ._copula import canonical_correlations


class Critic(nn.Module):
    """An MLP of two hidden layers on the concatenation of x and y.

    With ``ratio``, the log-ratio ln p(x, y) / p(x) p(y) of a Gaussian is added, and the MLP begins
    at zero: it learns what a Gaussian does not say.
    """

    def __init__(self, input_dim: int, hidden_dim: int, ratio: nn.Module | None = None) -> None:
        super().__init__()
        last = nn.Linear(hidden_dim, 1)
        self.layers = nn.Sequential(
            nn.Linear(input_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(),
            last,
        )  # fmt: skip
        self.ratio = ratio
        if ratio is not None:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        value = self.layers(torch.cat([x, y], 1))[:, 0]
        return value if self.ratio is None else value + self.ratio(x, y)


class GaussianRatio(nn.Module):
    r"""ln p(x, y) / p(x) p(y) of a Gaussian fitted to samples, in canonical variates u and v.

    .. math:: \sum_i \frac{\rho_i u_i v_i - \rho_i^2 (u_i^2 + v_i^2) / 2}{1 - \rho_i^2}
              - \tfrac12 \ln(1 - \rho_i^2)
    """

    to_u: torch.Tensor
    to_v: torch.Tensor
    mean_x: torch.Tensor
    mean_y: torch.Tensor
    rho: torch.Tensor
    spread: torch.Tensor

    def __init__(self, x: Array, y: Array) -> None:
        super().__init__()
        n_samples = len(x)
        to_u, to_v, rho, ranks = canonical_correlations(x, y)
        # sum rho^2 of independent columns is p q / n: what is left of it says how much to believe
        by_chance = ranks[0] * ranks[1] / n_samples
        rho = rho * max(0, 1 - by_chance / max((rho**2).sum(), by_chance, 1e-12))
        spread = (1 - rho**2).clip(1 / n_samples)
        arrays = {"to_u": to_u, "to_v": to_v, "mean_x": x.mean(0), "mean_y": y.mean(0),
                  "rho": (1 - spread) ** 0.5, "spread": spread}  # fmt: skip
        for name, value in arrays.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        u, v = (x - self.mean_x) @ self.to_u, (y - self.mean_y) @ self.to_v
        quadratic = (self.rho * u * v - self.rho**2 * (u**2 + v**2) / 2) / self.spread
        return (quadratic - self.spread.log() / 2).sum(1)


def scores(
    critic: nn.Module, x: torch.Tensor, y: torch.Tensor, n_shuffles: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Critic on the pairs, and on shuffles in which no row meets its own partner."""
    n_shuffles = min(n_shuffles, len(x) - 1)
    shifts = torch.randperm(len(x) - 1, generator=generator)[:n_shuffles] + 1
    shuffled = torch.cat([y.roll(int(shift), 0) for shift in shifts])
    return critic(x, y), critic(x.repeat(n_shuffles, 1), shuffled).view(n_shuffles, -1)
