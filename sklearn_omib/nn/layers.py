"""Layers for one network, which are torch's, or for several side by side.

Small networks spend their time between kernels, not in them. Side by side, each kernel works for
all networks at once: every tensor has a first dimension for the network, linear maps are batched
matrix products, and everything elementwise works as it is. ``stack`` is the number of networks;
None makes a single one, whose tensors lack that dimension.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .random import Dropout, each_network


class StackedLinear(nn.Module):
    """y_k = x_k W_k + b_k for x of shape (n_networks, ..., in_features).

    Initial weights are those of ``torch.nn.Linear``, network by network. Weights, and x, may have
    more dimensions in front, as those of :func:`~sklearn_omib.nn.stacking.abreast`.

    Parameters
    ----------
    in_features, out_features : int
    stack : int
        Number of networks.
    bias : bool, default=True
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, in_features: int, out_features: int, stack: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        layers = [nn.Linear(in_features, out_features, bias) for _ in each_network(stack)]
        # W, not its transpose: so comes the gradient, and an optimiser need not copy it
        self.weight = nn.Parameter(torch.stack([one.weight.detach().T for one in layers]))
        if bias:
            self.bias = nn.Parameter(torch.stack([one.bias.detach() for one in layers]))
        else:
            self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.flatten(0, -3)
        rows = x.reshape(len(weight), -1, self.in_features)
        if self.bias is None:
            y = rows.bmm(weight)
        else:
            y = torch.baddbmm(self.bias.flatten(0, -2).unsqueeze(1), rows, weight)
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, stack={len(self.weight)}"


class StackedLayerNorm(nn.Module):
    """Layer normalisation over the last dimension, with gain and offset of each network.

    Parameters
    ----------
    width, stack : int
    """

    def __init__(self, width: int, stack: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(stack, width))
        self.bias = nn.Parameter(torch.zeros(stack, width))

    def forward(self, x: Tensor) -> Tensor:
        lined_up = (len(x), *[1] * (x.ndim - 2), -1)
        x = F.layer_norm(x, x.shape[-1:])
        return torch.addcmul(self.bias.view(lined_up), x, self.weight.view(lined_up))


class StackedBilinear(nn.Module):
    """y_ko = a_k^T W_ko b_k + c_ko for a, b of shape (n_networks, batch, width).

    Parameters
    ----------
    width, out_features, stack : int
    """

    def __init__(self, width: int, out_features: int, stack: int) -> None:
        super().__init__()
        layers = [nn.Bilinear(width, width, out_features) for _ in each_network(stack)]
        self.weight = nn.Parameter(torch.stack([one.weight.detach() for one in layers]))
        self.bias = nn.Parameter(torch.stack([one.bias.detach() for one in layers]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("kni,koij,knj->kno", a, self.weight, b) + self.bias.unsqueeze(1)


def linear(
    in_features: int, out_features: int, stack: int | None = None, bias: bool = True
) -> nn.Linear | StackedLinear:
    """A linear map, of one network or of several."""
    if stack is None:
        return nn.Linear(in_features, out_features, bias)
    return StackedLinear(in_features, out_features, stack, bias)


def layer_norm(width: int, stack: int | None = None) -> nn.LayerNorm | StackedLayerNorm:
    """A norm of each sample, with gain and offset of each network."""
    return nn.LayerNorm(width) if stack is None else StackedLayerNorm(width, stack)


def bilinear(
    width: int, out_features: int, stack: int | None = None
) -> nn.Bilinear | StackedBilinear:
    """A bilinear form of two codes."""
    if stack is None:
        return nn.Bilinear(width, width, out_features)
    return StackedBilinear(width, out_features, stack)


def parameter(draw: Callable[[], Tensor], stack: int | None = None) -> nn.Parameter:
    """A parameter that ``draw()`` draws, network by network."""
    if stack is None:
        return nn.Parameter(draw())
    return nn.Parameter(torch.stack([draw() for _ in each_network(stack)]))


def constant(value: float, shape: tuple[int, ...], stack: int | None = None) -> Tensor:
    """A tensor of one value, with a first dimension for the networks where there are several."""
    return torch.full(shape if stack is None else (stack, *shape), value)


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer is a linear map, of one network or of several."""
    return isinstance(layer, (nn.Linear, StackedLinear))


def mlp(
    input_dim: int,
    hidden_dim: int,
    n_outputs: int,
    n_layers: int,
    dropout: float,
    stack: int | None = None,
) -> nn.Sequential:
    """W_L dropout(gelu(... dropout(gelu(W_1 x)))), L = n_layers linear maps.

    Parameters
    ----------
    input_dim, hidden_dim, n_outputs : int
    n_layers : int
        1 is a single linear map from input_dim to n_outputs.
    dropout : float
    stack : int or None, default=None
        Number of networks side by side.

    Returns
    -------
    torch.nn.Sequential
    """
    widths = [input_dim] + [hidden_dim] * (n_layers - 1) + [n_outputs]
    layers: list[nn.Module] = [linear(widths[0], widths[1], stack)]
    for before, after in pairwise(widths[1:]):
        layers += [nn.GELU(), Dropout(dropout), linear(before, after, stack)]
    return nn.Sequential(*layers)
