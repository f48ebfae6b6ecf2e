"""The multilayer perceptron every part is built of."""

from itertools import pairwise

from torch import nn

from .random import Dropout


def mlp(input_dim, hidden_dim, n_outputs, n_layers, dropout):
    """W_L dropout(gelu(... dropout(gelu(W_1 x)))), L = n_layers linear maps.

    Parameters
    ----------
    input_dim, hidden_dim, n_outputs : int
    n_layers : int
        1 is a single linear map from input_dim to n_outputs.
    dropout : float

    Returns
    -------
    torch.nn.Sequential
    """
    widths = [input_dim] + [hidden_dim] * (n_layers - 1) + [n_outputs]
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [nn.GELU(), Dropout(dropout), nn.Linear(before, after)]
    return nn.Sequential(*layers)
