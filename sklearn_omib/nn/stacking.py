"""Several networks of one structure as one, whose every tensor has a dimension for the network.

Small networks spend their time between kernels, not in them. Stacked, each kernel works for all
networks at once: linear maps become batched matrix products, and everything elementwise works as it
is. The forward of our own modules counts its dimensions from the last, so it serves both.
"""

import copy

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from .bottleneck import VariationalBottleneck
from .encoders import LinearEncoder, LinearMLPEncoder, MLPEncoder
from .fusion import FUSIONS
from .model import OMIBNetwork
from .objective import OMIBObjective
from .random import Dropout, GeneratorStack, set_generator
from .tasks import BernoulliTask, CategoricalTask, GaussianTask


class StackedLinear(nn.Module):
    """y_k = x_k W_k^T + b_k for x of shape (n_networks, ..., in_features).

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, layers):
        super().__init__()
        _stack_tensors(self, layers)
        # W^T, as its gradient comes, so that the optimiser need not copy that
        self.weight.data = self.weight.data.mT.contiguous()
        self.weight.is_transposed = True  # type: ignore[attr-defined]

    def forward(self, x):
        rows = x.flatten(1, -2)
        if self.bias is None:
            y = rows.bmm(self.weight)
        else:
            y = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight)
        return y.unflatten(1, x.shape[1:-1])


class StackedLayerNorm(nn.Module):
    """Layer normalisation over the last dimension, with gain and offset of each network.

    Parameters
    ----------
    layers : sequence of torch.nn.LayerNorm
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, layers):
        super().__init__()
        self.shape, self.eps = layers[0].normalized_shape, layers[0].eps
        _stack_tensors(self, layers)

    def forward(self, x):
        x = F.layer_norm(x, self.shape, eps=self.eps)
        lined_up = (len(x), *[1] * (x.ndim - 2), -1)
        return torch.addcmul(self.bias.view(lined_up), x, self.weight.view(lined_up))


class Each(nn.Module):
    """Modules that cannot be stacked (convolutions, recurrent ones, a user's own), one by one.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
    """

    def __init__(self, modules):
        super().__init__()
        self.module = copy.deepcopy(modules[0])
        owners = [dict(module.named_modules()) for module in modules]
        made: dict = {}  # a tensor in two places stays one
        for name, owner in self.module.named_modules():
            _stack_tensors(owner, [named[name] for named in owners], made)
        self.generator = None

    def forward(self, x):
        tensors = {
            name: tensor.unbind(0)
            for named in (self.module.named_parameters(), self.module.named_buffers())
            for name, tensor in named
        }
        return torch.stack([
            functional_call(self.module, {name: t[k] for name, t in tensors.items()}, (x[k],))
            for k in self._networks(len(x))
        ])  # fmt: skip

    def _networks(self, n_networks):
        """Count the networks; before each, its generator stands where its twins began."""
        stack = self.generator
        if not isinstance(stack, GeneratorStack):
            yield from range(n_networks)
            return
        begun = [generator.get_state() for generator in stack.generators]
        for k, group in enumerate(stack.index.tolist()):
            generator = stack.generators[group].set_state(begun[group])
            set_generator(self.module, generator)
            yield k
        set_generator(self.module, stack)


# the forward of these works whatever dimensions come before the batch
_LEADING_DIMENSIONS = (
    nn.Sequential, nn.ModuleList, nn.Identity, nn.GELU, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU,
    nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, Dropout, MLPEncoder, LinearEncoder,
    LinearMLPEncoder, VariationalBottleneck, *FUSIONS.values(), OMIBNetwork, OMIBObjective,
    CategoricalTask, BernoulliTask, GaussianTask,
)  # fmt: skip
_STACKED = {nn.Linear: StackedLinear, nn.LayerNorm: StackedLayerNorm}


def _stack_tensors(target, modules, made=None):
    """Put the stacked parameters and buffers of modules into the place of the target's own."""
    made = {} if made is None else made
    for kind in ("_parameters", "_buffers"):
        tensors: dict = {}
        for name, first in getattr(modules[0], kind).items():
            if first is None:
                tensors[name] = None
                continue
            if first not in made:
                stacked = torch.stack([getattr(one, kind)[name].detach() for one in modules])
                made[first] = nn.Parameter(stacked) if kind == "_parameters" else stacked
            tensors[name] = made[first]
        setattr(target, kind, tensors)


def stack(modules):
    """One module that applies each of several modules of one structure to an input of its own.

    Parameters
    ----------
    modules : sequence of n_networks torch.nn.Module
        Left as they are.

    Returns
    -------
    torch.nn.Module
        Takes (n_networks, batch, ...) where the modules take (batch, ...). Its parameters and
        buffers come in the order of theirs.

    Examples
    --------
    >>> import torch
    >>> layers = [torch.nn.Linear(3, 2) for _ in range(4)]
    >>> x = torch.randn(4, 5, 3)
    >>> torch.allclose(stack(layers)(x)[1], layers[1](x[1]))
    True
    """
    first = modules[0]
    if type(first) in _STACKED and (type(first) is nn.Linear or _is_plain_norm(first)):
        return _STACKED[type(first)](modules)
    if type(first) not in _LEADING_DIMENSIONS:
        return Each(modules)
    stacked = copy.copy(first)
    _stack_tensors(stacked, modules)
    stacked._modules = {
        name: None if child is None else stack([module._modules[name] for module in modules])
        for name, child in first._modules.items()
    }
    return stacked


def _is_plain_norm(norm):
    return len(norm.normalized_shape) == 1 and norm.weight is not None and norm.bias is not None


@torch.no_grad()
def unstack(stacked, modules, rows=None):
    """Copy parameters and buffers of stacked networks back into the networks.

    Parameters
    ----------
    stacked : torch.nn.Module
        From :func:`stack`.
    modules : sequence of torch.nn.Module
    rows : sequence of int, default=None
        Place of each module in the stack; None for all in order.
    """
    rows = range(len(modules)) if rows is None else rows
    for row, module in zip(rows, modules, strict=True):
        for ours, theirs in (
            (stacked.parameters(), module.parameters()),
            (stacked.buffers(), module.buffers()),
        ):
            for source, tensor in zip(ours, theirs, strict=True):
                own = source[row]
                tensor.copy_(own.mT if getattr(source, "is_transposed", False) else own)
